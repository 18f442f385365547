"""Repository: what is promised about its files, checked on the files that are committed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import require

ROOT = Path(__file__).resolve().parents[2]
BOTTLE, UNIT = ROOT / "bottle", ROOT / "tests" / "unit"

ELSEWHERE = {
    "engine/port.py": "a protocol and plain values: mypy judges it, there is nothing to run",
}
"""Modules without a test file of their own, and why."""

ENTRANCES = {"agents/__init__.py": "agents/test_agents.py"}
"""Packages that say something themselves, and where that is tested."""

SAME_WORDS = ("build", "start", "check", "plan", "init", "schema", "test", "reap")
"""Recipes that are called like the task behind them."""

DOORS = (("./", "setup start --agent demo --yes"), ("./", "setup test"))


def committed() -> list[Path]:
    """Give the files that git knows; there is no such list in a bare copy."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(listed, capture_output=True, text=True, check=False)
    require.need(done.returncode == 0, "git's list of files")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_every_module_has_its_tests() -> None:
    modules = {path.relative_to(BOTTLE) for path in BOTTLE.rglob("*.py")}
    plain = {path for path in modules if path.name != "__init__.py"}
    untested = {
        str(path) for path in plain if not (UNIT / path.parent / f"test_{path.name}").is_file()
    }
    assert untested == set(ELSEWHERE)


def test_every_test_has_its_module() -> None:
    """A test file below one of the packages' folders is named after a module there."""
    packages = [path.name for path in BOTTLE.iterdir() if path.is_dir() and path.name[0] != "_"]
    tests = [path.relative_to(UNIT) for name in packages for path in (UNIT / name).rglob("test_*")]
    strays = {
        str(path)
        for path in tests
        if path.suffix == ".py"
        and not (BOTTLE / path.parent / path.name.removeprefix("test_")).is_file()
    }
    assert strays == set(ENTRANCES.values())


def test_a_package_says_nothing_by_itself() -> None:
    for path in BOTTLE.rglob("__init__.py"):
        code = [line for line in path.read_text().splitlines() if line and line[0] not in '"#']
        assert not code or str(path.relative_to(BOTTLE)) in ENTRANCES, path


def test_every_module_says_first_what_it_is() -> None:
    for path in BOTTLE.rglob("*.py"):
        text = path.read_text()
        assert text.startswith('"""') or (path.name == "__init__.py" and not text), path


def test_the_readme_begins_with_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks[0].splitlines() == [start + words for start, words in DOORS]


def test_both_commands_are_there_to_run() -> None:
    setup = ROOT / "setup"
    assert setup.stat().st_mode & 0o111
    assert setup.read_text().startswith("#!/bin/sh\n")


@pytest.mark.parametrize("folder", ["docs", "."])
def test_links_between_documents_lead_somewhere(folder: str) -> None:
    pages = (ROOT / folder).rglob("*.md") if folder == "docs" else ROOT.glob("*.md")
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if ":" not in target:
                path, _, anchor = target.partition("#")
                aimed = (page.parent / path).resolve() if path else page
                assert aimed.exists(), f"{page.name}: {target}"
                assert not anchor or anchor in anchors(aimed), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", heading.strip()) for heading in plain}


def test_every_recipe_is_one_task() -> None:
    """A recipe names a task of Invoke's, or the script that leads to one."""
    recipes = re.findall(r"^(\w+)[^:=\n]*:\n((?: +.*\n)+)", (ROOT / "justfile").read_text(), re.M)
    names = {name for name, _ in recipes}
    assert names == {"default", "setup", *SAME_WORDS}
    for name, body in recipes:
        (line,) = body.splitlines()
        door = {"default": "--list", "setup": 'quote(here / "setup")'}
        assert door.get(name, f"{{{{ invoke }}}} {name}") in line
        assert line.strip().startswith("@")
        assert name == "default" or line.endswith('"$@"')


def test_every_recipe_runs_where_you_stand_and_leaves_the_word_to_its_task() -> None:
    """Without its attributes just would change folders, and tell of an agent's exit code."""
    just = Path(sys.executable).parent / "just"
    command = [str(just), "--justfile", str(ROOT / "justfile"), "--dump", "--dump-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    recipes = json.loads(done.stdout)["recipes"]
    assert recipes.keys() == {"default", "setup", *SAME_WORDS}
    for name, recipe in recipes.items():
        assert set(recipe["attributes"]) == {"no-cd", "no-exit-message"}, name
        assert recipe["doc"], name


@pytest.mark.parametrize("name", SAME_WORDS)
def test_just_gives_the_words_on_as_they_are(name: str) -> None:
    just = Path(sys.executable).parent / "just"
    words = ["--args", "-c 'exit 7'"]
    command = [str(just), "--justfile", str(ROOT / "justfile"), "--dry-run", name, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.split() == [
        *(f"'{ROOT}/.venv/bin/invoke'", "-r", f"'{ROOT}'"),
        *(name, '"$@"'),
    ]


def hosts() -> list[str]:
    """Compose the names that must not be written anywhere, this file included."""
    registries = {
        "org": ["py" + "pi", "files.python" + "hosted", "registry.np" + "mjs"],
        "io": ["registry-1.doc" + "ker", "gh" + "cr", "qu" + "ay", "index.doc" + "ker"],
        "com": ["registry.yarn" + "pkg"],
    }
    return [f"{name}.{ending}" for ending, names in registries.items() for name in names]


def forbidden() -> list[re.Pattern[str]]:
    """What is of one machine or one network, or looks like a secret that works."""
    names = [re.escape(name) for name in hosts()]
    keys = ["sk-" + r"ant-[a-z]+\d\d-[A-Za-z0-9_-]{40,}", "BEGIN [A-Z ]*PRIVATE" + " KEY"]
    tokens = ["gh" + r"[pousr]_[A-Za-z0-9]{36}", "AK" + r"IA[A-Z0-9]{16}"]
    places = [
        r"(?<!\w)/" + r"home/(?!(?:agent|somebody)\b)\w+/\w",
        "/" + r"Users/\w+/\w",
        "/ro" + r"ot/\.",
        "/wo" + "rk/",
    ]
    return [re.compile(text) for text in (*names, *keys, *tokens, *places)]


def test_no_registry_no_place_of_one_machine_and_no_secret_is_written() -> None:
    found = []
    for path in committed():
        text = path.read_text(encoding="utf-8", errors="replace")
        for pattern in forbidden():
            found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in pattern.finditer(text)]
    assert found == []


def test_this_check_would_notice() -> None:
    samples = [*hosts(), "gh" + "p_" + "a" * 36, "/" + "home/me/x", "/wo" + "rk/main"]
    samples.append("sk-" + "ant-oat01-" + "a" * 86)
    assert [s for s in samples if not any(p.search(s) for p in forbidden())] == []


def test_nothing_that_is_made_is_committed() -> None:
    made = {".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    assert [p for p in committed() if made & set(p.relative_to(ROOT).parts)] == []
