"""Types and style of everything; what runs in the sidecar against the packages of its image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sidecar import IMAGE, need_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's Python packages."""
    need_image()
    folder = tmp_path_factory.mktemp("site")
    create = ["docker", "create", "--label=claude-bottle-test=types", IMAGE]
    name = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
    try:
        subprocess.run(["docker", "cp", f"{name}:/opt/sidecar/site", folder], check=True)
    finally:
        subprocess.run(["docker", "rm", name], check=True, capture_output=True)
    return folder / "site"


def checked(words: list[str], site: Path, folder: Path) -> str:
    """Give what mypy says of a folder."""
    places = (ROOT, site, ROOT / "images" / "sidecar")
    command = [sys.executable, "-m", "mypy", f"--cache-dir={site.parent / 'cache'}", *words]
    environment = {"MYPYPATH": ":".join(map(str, places)), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_sidecars_edge_is_typed(site: Path) -> None:
    assert checked(["--config-file=mypy.ini"], site, ROOT / "images" / "sidecar") == ""


def test_the_stand_in_is_typed(site: Path) -> None:
    folder = ROOT / "images" / "standin"
    config = ROOT / "images" / "sidecar" / "mypy.ini"
    files = sorted(path.name for path in folder.glob("*.py"))
    assert checked([f"--config-file={config}", *files], site, folder) == ""


def test_a_wrong_type_is_found(site: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("from mitmproxy import http\n\nbody: http.Request = 1\n")
    config = ROOT / "images" / "sidecar" / "mypy.ini"
    assert "Incompatible types" in checked([f"--config-file={config}", "wrong.py"], site, tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("mypy", "--no-incremental"),
    ],
)
def test_the_project_is_in_order(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
