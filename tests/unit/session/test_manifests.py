"""Manifests: which file a start reads, and what it says when that cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bottle.core import document
from bottle.errors import ManifestError, ManifestMissing, UsageError
from bottle.session import manifests, ssh

TEXT = '{bottles: {default: {}}, agents: {%s: {bottle: "default"}}}'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder, with a configuration folder of our own elsewhere."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def mine(here: Path) -> Path:
    """Give the place of the person's own manifest, where there is none yet."""
    _, place = manifests.usual_places()
    assert place.is_relative_to(here.parent / "config")
    place.parent.mkdir(parents=True)
    return place


def test_the_current_folders_own_is_read() -> None:
    Path(manifests.FILE).write_text(TEXT % "default")
    found = manifests.find("", "default")
    assert found.path == Path(manifests.FILE)
    assert list(found.manifest.agents) == ["default"]


class TestThePersonsOwn:
    def test_it_is_read_where_the_folder_has_none(self, mine: Path) -> None:
        mine.write_text(TEXT % "mine")
        found = manifests.find("", "default")
        assert found.path == mine
        assert list(found.manifest.agents) == ["mine"]

    def test_the_folders_goes_before_it(self, mine: Path) -> None:
        mine.write_text(TEXT % "mine")
        Path(manifests.FILE).write_text(TEXT % "default")
        assert manifests.find("", "default").path == Path(manifests.FILE)

    def test_a_broken_one_of_the_folder_is_not_passed_over(self, mine: Path) -> None:
        """What the person sees there would not be what is used."""
        mine.write_text(TEXT % "mine")
        path = Path(manifests.FILE)
        path.write_text("{")
        with pytest.raises(ManifestError):
            manifests.find("", "default")
        path.unlink()
        assert manifests.find("", "default").path == mine

    @pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
    def test_nor_one_that_is_no_file(self, mine: Path, make: Callable[[Path], object]) -> None:
        mine.write_text(TEXT % "mine")
        make(Path(manifests.FILE))
        with pytest.raises(ManifestMissing, match=r"no manifest at claude-bottle\.json"):
            manifests.find("", "default")

    def test_both_places_are_named_where_there_is_none(self, mine: Path) -> None:
        with pytest.raises(ManifestMissing, match=f"claude-bottle.json or {mine}"):
            manifests.find("", "default")


class TestStumbledOn:
    """A manifest that lay in the current folder, and that nobody named, may be a stranger's."""

    def test_the_folders_own_is(self) -> None:
        Path(manifests.FILE).write_text(TEXT % "default")
        assert manifests.find("", "default").stumbled_on

    @pytest.mark.parametrize("named", [manifests.FILE, f"./{manifests.FILE}"])
    def test_a_named_one_is_not_even_there(self, named: str) -> None:
        Path(manifests.FILE).write_text(TEXT % "default")
        assert not manifests.find(named, "default").stumbled_on

    def test_the_persons_own_is_not(self, mine: Path) -> None:
        mine.write_text(TEXT % "default")
        assert not manifests.find("", "default").stumbled_on

    def test_the_demos_is_not(self) -> None:
        Path(manifests.FILE).write_text(TEXT % "default")
        assert not manifests.find("", "demo").stumbled_on


def test_a_link_to_a_manifest_is_one(here: Path) -> None:
    (here / "other.json").write_text(TEXT % "default")
    Path(manifests.FILE).symlink_to("other.json")
    found = manifests.find("", "default")
    assert (found.path, found.stumbled_on) == (Path(manifests.FILE), True)


def test_a_link_to_itself_is_none() -> None:
    Path(manifests.FILE).symlink_to(manifests.FILE)
    with pytest.raises(ManifestMissing):
        manifests.find("", "default")


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


class TestSecrets:
    """What a manifest names as a secret leaves our environment before any program runs."""

    VALUE = "of a secret"
    BOTTLES: Mapping[str, Any] = {
        "web": {"env": {"A": {"from": "CB_TEST_ONE"}, "B": {"from": "CB_TEST_UNSET"}, "C": "text"}},
        "other": {"env": {"A": {"from": "CB_TEST_TWO", "optional": True}}},
    }
    AGENTS: Mapping[str, Any] = {
        "a": {"bottle": "web", "env": {"D": {"from": "CB_TEST_THREE"}}},
        "b": {"bottle": "web"},
    }
    NAMES = ("CB_TEST_ONE", "CB_TEST_TWO", "CB_TEST_THREE")
    """One of a bottle's, one of a bottle's that no agent uses, one of an agent's."""

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in (*self.NAMES, "CB_TEST_OTHER", "C"):
            monkeypatch.setenv(name, self.VALUE)
        monkeypatch.delenv("CB_TEST_UNSET", raising=False)

    def write(self, **more: Any) -> None:
        declared = {"bottles": {**self.BOTTLES, **more}, "agents": self.AGENTS}
        Path(manifests.FILE).write_text(json.dumps(declared))

    @staticmethod
    def left() -> set[str]:
        """Name the variables that are still there."""
        return {name for name in os.environ if name.startswith("CB_TEST_") or name == "C"}

    @pytest.mark.parametrize("agent", ["", "a", "b", "nobody"])
    def test_whoever_of_it_is_started_all_are_taken(self, agent: str) -> None:
        self.write()
        found = manifests.find("", agent)
        assert {n: v.reveal() for n, v in found.variables.items()} == dict.fromkeys(
            self.NAMES, self.VALUE
        )
        assert self.left() == {"CB_TEST_OTHER", "C"}
        assert self.VALUE not in repr(found)

    def test_of_one_with_mistakes_too_and_before_the_first_program(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[set[str]] = []
        monkeypatch.setattr(ssh, "check", lambda *_: seen.append(self.left()))
        entry = {"host": "git.example.com", "key": "key", "known_hosts": "known"}
        self.write(more={"ssh": [entry], "egres": {}, "env": {"A": {"from": "CB_TEST_OTHER"}}})
        with pytest.raises(ManifestError):
            manifests.find("", "a")
        assert seen == [{"C"}]

    def test_of_one_that_cannot_be_read_none_are(self) -> None:
        Path(manifests.FILE).write_text('{bottles: {web: {env: {A: {from: "CB_TEST_ONE"}}}')
        with pytest.raises(ManifestError):
            manifests.find("", "a")
        assert self.left() == {*self.NAMES, "CB_TEST_OTHER", "C"}


class TestFilesOfABrokenOne:
    """What a manifest names is looked at too, so that all its problems are told at once."""

    @pytest.fixture(autouse=True)
    def home(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(here.parent))

    @staticmethod
    def paths(bottle: Any, *agents: Any) -> list[str]:
        named = {f"a{number}": agent for number, agent in enumerate(agents)}
        declared = {"bottles": {"web": bottle}, "agents": named}
        Path(manifests.FILE).write_text(json.dumps(declared))
        with pytest.raises(ManifestError, match=r"claude-bottle\.json: \d+ problem") as caught:
            manifests.find("", "default")
        return [problem.path for problem in caught.value.problems]

    def test_everything_is_told_at_once_each_in_its_place(self) -> None:
        entry = {"host": "git.example.com", "key": "key", "known_hosts": "known"}
        bottle = {
            "runtime": "x",
            "image": {"dockerfile": "Dockerfile"},
            "ssh": [1, {"host": "git.example.com"}, entry],
        }
        agents = (
            {"bottle": "wbe", "skills": ["../x", "none"]},
            {"bottle": "web", "prompt": {"file": "none"}, "skills": ["first", 1, "second"]},
        )
        found = self.paths(bottle, *agents)
        assert sorted(found) == [
            "agents.a0.bottle",
            "agents.a0.skills[0]",
            "agents.a0.skills[1]",
            "agents.a1.prompt.file",
            "agents.a1.skills[0]",
            "agents.a1.skills[1]",
            "agents.a1.skills[2]",
            "bottles.web.image.dockerfile",
            "bottles.web.runtime",
            "bottles.web.ssh[0]",
            "bottles.web.ssh[1].key",
            "bottles.web.ssh[1].known_hosts",
            "bottles.web.ssh[2].key",
            "bottles.web.ssh[2].known_hosts",
        ]

    @pytest.mark.parametrize("odd", [None, True, 1, "x", [], {}, [None], {"a": None}, "../x"])
    @pytest.mark.parametrize(
        "key", ["runtime", "env", "ssh", "egress", "limits", "image", "extends"]
    )
    def test_whatever_a_bottle_holds_it_is_told_and_no_more(self, key: str, odd: Any) -> None:
        found = self.paths({key: odd, "more": 1}, {"bottle": "web", "skills": ["none"]})
        assert "bottles.web.more" in found
        assert "agents.a0.skills[0]" in found

    @pytest.mark.parametrize("odd", [None, True, 1, "x", [], {}, [None], {"a": None}, "../x"])
    @pytest.mark.parametrize(
        "key", ["bottle", "adapter", "skills", "prompt", "args", "env", "more"]
    )
    def test_whatever_an_agent_holds_it_is_told_and_no_more(self, key: str, odd: Any) -> None:
        bottle = {"image": {"dockerfile": "Dockerfile"}, "more": 1}
        found = self.paths(bottle, {"bottle": "web", key: odd})
        assert {"bottles.web.more", "bottles.web.image.dockerfile"} <= set(found)

    def test_a_text_that_cannot_be_read_names_no_files(self) -> None:
        Path(manifests.FILE).write_text('{bottles: {web: {}}, agents: {a: {skills: ["none"]}}')
        with pytest.raises(ManifestError) as caught:
            manifests.find("", "default")
        assert len(caught.value.problems) == 1
