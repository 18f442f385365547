"""Architecture: imports go one way, and what is decided is decided without a look at the world."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bottle.provision.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]
BOTTLE = ROOT / "bottle"
PURE = ("core", "agents", "sidecars")
STANDS_ALONE = {
    "core/addresses.py": set(),
    "core/allowlist.py": {"idna"},
    "core/egress.py": {"bottle.core"},
    "probes/inside.py": set(),
    "probes/watch.py": set(),
}
"""Modules that run where there is no checkout, and what they may import beside the language's own.

`idna` is in the sidecar's image, at the version that its requirements pin.
"""

LINES = {
    "the direction of imports": ("provision/pip.py", "from bottle.session import lock"),
    "what is decided is pure": ("core/slot.py", "import time"),
    "a use case is handed its engine, and does not know Docker's": (
        "session/reaper.py",
        "from bottle.engine import docker",
    ),
    "one module speaks python-on-whales": ("engine/host.py", "import python_on_whales"),
    "one module prints": ("session/lock.py", "from rich.text import Text"),
    "the sidecar's rules stand alone": ("core/addresses.py", "from bottle.core import slot"),
}
"""A line for each contract that breaks it, and where it would stand."""


def lint_imports(folder: Path) -> dict[str, str]:
    """Judge the package of a folder; give contract to `KEPT` or `BROKEN`."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", done.stdout, re.MULTILINE))
    assert verdicts, done.stdout + done.stderr
    assert (done.returncode == 0) == (set(verdicts.values()) == {"KEPT"})
    return verdicts


def test_every_contract_is_kept() -> None:
    assert lint_imports(ROOT) == dict.fromkeys(LINES, "KEPT")


def test_every_contract_would_notice(tmp_path: Path) -> None:
    shutil.copytree(BOTTLE, tmp_path / "bottle", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for place, line in LINES.values():
        with (tmp_path / "bottle" / place).open("a") as file:
            file.write(f"\n{line}\n")
    assert lint_imports(tmp_path) == dict.fromkeys(LINES, "BROKEN")


def imports(path: Path) -> Iterator[str]:
    """Give every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports have no place here"
            yield node.module or ""


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (BOTTLE / folder).rglob("*.py"))


@pytest.mark.parametrize("place", STANDS_ALONE)
def test_what_runs_elsewhere_needs_next_to_nothing(place: str) -> None:
    """These files are copied into the sidecar's image, or piped into a bottle."""
    found = set(imports(BOTTLE / place)) - STANDS_ALONE[place]
    own = {name for name in found if name.partition(".")[0] == "bottle"}
    together = "bottle.core" in STANDS_ALONE[place]
    allowed = {"bottle.core.addresses", "bottle.core.allowlist"} if together else set()
    assert own <= allowed
    assert {name.partition(".")[0] for name in found - own} <= sys.stdlib_module_names


def test_the_sidecar_decides_with_the_idna_of_the_host() -> None:
    """Another version could read a name another way than the preflight showed it."""
    versions = {
        re.findall(r"^idna==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)[0]
        for name in ("runtime.txt", "sidecar.txt", "dev.txt")
    }
    assert len(versions) == 1


LIBRARIES = {
    "core/allowlist.py": {"idna"},
    "core/lookalike.py": {"idna"},
    "core/rules.py": {"publicsuffixlist"},
}
"""What is pure and leans on more than the standard library."""


@pytest.mark.parametrize("path", modules(*PURE), ids=lambda p: str(p.relative_to(BOTTLE)))
def test_what_is_decided_leans_on_little(path: Path) -> None:
    found = {name.partition(".")[0] for name in imports(path)} - {"bottle"}
    assert found - sys.stdlib_module_names == LIBRARIES.get(str(path.relative_to(BOTTLE)), set())


def test_the_rules_of_the_sidecar_are_all_that_no_other_core_may_enter() -> None:
    """The contract names every module of core but its own three; a new one has to be added."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (alone,) = (c for c in contracts["contracts"] if c["name"] == "the sidecar's rules stand alone")
    named = {n for n in (*alone["source_modules"], *alone["forbidden_modules"]) if ".core." in n}
    assert named == {f"bottle.core.{p.stem}" for p in modules("core") if p.stem != "__init__"}


def test_the_sidecars_image_has_what_its_program_imports() -> None:
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == "sidecar")
    copied = {name.removesuffix(".py").replace("/", ".") for name in recipe.copied}
    wanted = {
        name
        for path in (ROOT / "images" / "sidecar").glob("*.py")
        for name in imports(path)
        if name.partition(".")[0] == "bottle"
    }
    assert wanted
    assert wanted <= copied | {"bottle.core"}


@pytest.mark.parametrize("path", modules(*PURE), ids=lambda p: str(p.relative_to(BOTTLE)))
def test_nothing_pure_reaches_out_by_a_builtin(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {function.id for function in calls if isinstance(function, ast.Name)}
    assert called & {"__import__", "compile", "eval", "exec", "input", "open", "print"} == set()


def test_nothing_knows_its_door() -> None:
    for path in BOTTLE.rglob("*.py"):
        assert not {"tasks", "invoke"} & {name.partition(".")[0] for name in imports(path)}, path


def test_only_tasks_make_the_docker_engine() -> None:
    makers = [p for p in BOTTLE.rglob("*.py") if "bottle.engine.docker" in set(imports(p))]
    assert makers == []
    assert "bottle.engine.docker" in set(imports(ROOT / "tasks.py"))


def test_tasks_are_doorways() -> None:
    """What a task imports at the top is what `invoke --list` waits for."""
    top = ast.parse((ROOT / "tasks.py").read_text()).body
    early = [n.module for n in top if isinstance(n, ast.ImportFrom)]
    assert [name for name in early if name and name.startswith("bottle")] == ["bottle.core"]
