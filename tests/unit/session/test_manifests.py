"""Manifests: which file a start reads, and what it says when that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bottle.core import document
from bottle.errors import ManifestError, ManifestMissing, UsageError
from bottle.session import manifests

TEXT = '{bottles: {default: {}}, agents: {%s: {bottle: "default"}}}'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_current_folders_own_is_read() -> None:
    Path(manifests.FILE).write_text(TEXT % "default")
    found = manifests.find("", "default")
    assert found.path == Path(manifests.FILE)
    assert list(found.manifest.agents) == ["default"]


def test_a_named_one_goes_before_it_also_for_the_demo(here: Path) -> None:
    Path(manifests.FILE).write_text(TEXT % "default")
    declared = TEXT.replace('"default"}', '"default", adapter: "demo"}') % "demo"
    (here / "other.json").write_text(declared)
    for agent in ("default", "demo"):
        found = manifests.find("other.json", agent)
        assert found.path == Path("other.json")


def test_a_named_one_without_a_demo_is_no_place_to_look_for_it(here: Path) -> None:
    (here / "other.json").write_text(TEXT % "mine")
    with pytest.raises(UsageError, match=r"other\.json declares no demo") as caught:
        manifests.find("other.json", "demo")
    assert "leave --manifest out" in caught.value.remedy


def test_what_is_no_regular_file_is_not_waited_for(here: Path) -> None:
    os.mkfifo(here / "pipe")
    for named in ("pipe", "/dev/null"):
        with pytest.raises(ManifestMissing, match="not a regular file") as caught:
            manifests.find(named, "default")
        assert caught.value.code == 66


def test_the_demo_brings_its_own_wherever_it_is_started() -> None:
    Path(manifests.FILE).write_text("not even JSON")
    assert list(manifests.find("", "demo").manifest.agents) == ["demo"]


@pytest.mark.parametrize("named", ["", "nowhere.json", "."])
def test_without_one_the_remedy_says_how_to_get_one(named: str) -> None:
    with pytest.raises(ManifestMissing) as caught:
        manifests.find(named, "default")
    assert caught.value.code == 66
    assert "--agent demo" in caught.value.remedy


def test_problems_are_told_with_the_files_name() -> None:
    Path(manifests.FILE).write_text('{bottles: {default: {runtime: "x", egres: {}}}}')
    with pytest.raises(ManifestError, match=r"claude-bottle\.json: 3 problems") as caught:
        manifests.find("", "default")
    assert caught.value.code == 65


def test_a_huge_file_is_not_read_to_its_end() -> None:
    with Path(manifests.FILE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ManifestError):
        manifests.find("", "default")
    assert document.LARGEST < 1 << 20
