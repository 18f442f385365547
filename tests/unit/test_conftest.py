"""Conftest: with --require-docker a test that does not run fails the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RUNS = "def test_it():\n    pass\n"
SKIPS = {
    "test_runs": RUNS,
    "test_skips": "import pytest\n\ndef test_it():\n    pytest.skip('why')\n",
    "test_skips_whole": "import pytest\npytest.skip('why', allow_module_level=True)\n",
    "test_skips_marked": f"import pytest\n\n@pytest.mark.skipif(True, reason='why')\n{RUNS}",
}
NEEDS = "from tests.support import require\n\ndef test_it():\n    require.need(0, 'an engine')\n"
LONG = f"{RUNS}\nimport pytest\n\n@pytest.mark.long\ndef test_long():\n    raise AssertionError\n"


def run(folder: Path, tests: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run test modules under this project's settings."""
    for name, text in tests.items():
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, f"--config-file={ROOT / 'pyproject.toml'}", str(folder), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_flag_a_skip_is_one(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPS).returncode == 0


def test_with_it_a_skip_is_not_a_pass(tmp_path: Path) -> None:
    done = run(tmp_path, SKIPS, "--require-docker")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    told = [line for line in done.stdout.splitlines() if line.startswith("a skip is not a pass")]
    assert [name for name in SKIPS if not any(f"{name}.py" in line for line in told)] == [
        "test_runs"
    ]


def test_with_it_what_is_missing_fails(tmp_path: Path) -> None:
    done = run(tmp_path, {"test_needs": NEEDS}, "--require-docker")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "required, and missing: an engine" in done.stdout


def test_long_ones_are_left_out_and_are_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, {"test_long": LONG}, "--require-docker").returncode == 0
    assert run(tmp_path, {"test_long": LONG}, "--long").returncode == 1


def test_an_unknown_claim_is_no_run(tmp_path: Path) -> None:
    text = f"import pytest\n\n@pytest.mark.claim('NONE-0')\n{RUNS}"
    done = run(tmp_path, {"test_claims": text})
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "NONE-0" in done.stdout + done.stderr
