"""Referents: every file that an agent names is read once, or refused at the path that names it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bottle.core.manifest import Manifest, parse
from bottle.core.place import Place
from bottle.core.shape import LONGEST
from bottle.errors import ManifestError
from bottle.session import below, referents, ssh
from bottle.session.referents import Referents, Whereabouts
from tests.support.starts import add_skill

PROMPT: Mapping[str, Any] = {"prompt": {"file": "texts/prompt.md"}}
DOCKERFILE = "image/Dockerfile"
TEXT = "ARG BASE\nFROM ${BASE}\n"


@pytest.fixture
def where(tmp_path: Path) -> Whereabouts:
    """Give the folder of a manifest with everything that it could name."""
    folder = tmp_path / "project"
    (folder / "texts").mkdir(parents=True)
    (folder / "texts" / "prompt.md").write_text("be brief ä\n")
    (folder / "image").mkdir()
    (folder / DOCKERFILE).write_text(TEXT)
    return Whereabouts(folder=folder, skills=tmp_path / "skills")


def manifest(agent: Mapping[str, Any], **bottle: Any) -> Manifest:
    """Declare the agent `a` in `web`, which extends `base` and has all from there."""
    bottles = {"base": bottle, "web": {"extends": "base"}}
    declared = {"bottles": bottles, "agents": {"a": {"bottle": "web", **agent}}}
    return parse(json.dumps(declared).encode())


def read(where: Whereabouts, agent: Mapping[str, Any], **bottle: Any) -> Referents:
    declared = manifest(agent, **bottle)
    return referents.read(declared, declared.agents["a"], where, "some.json")


def refused(where: Whereabouts, agent: Mapping[str, Any], **bottle: Any) -> list[tuple[str, str]]:
    """Give path and finding of each problem."""
    with pytest.raises(ManifestError, match=r"^some\.json: \d problem") as caught:
        read(where, agent, **bottle)
    assert caught.value.code == 65
    remedies = [problem.remedy for problem in caught.value.problems]
    assert not [r for r in remedies if r.startswith("write ")], "a file is not written"
    return [(problem.path, problem.found) for problem in caught.value.problems]


def test_everything_is_read(where: Whereabouts) -> None:
    add_skill(where.skills, "one")
    add_skill(where.folder / "skills", "two")
    agent = {**PROMPT, "skills": ["one", "two"]}
    found = read(where, agent, image={"dockerfile": DOCKERFILE})
    assert found.prompt == "be brief ä\n"
    assert [skill.name for skill in found.skills] == ["one", "two"]
    assert found.dockerfile == TEXT.encode()


def test_what_is_not_named_is_not_looked_for(tmp_path: Path) -> None:
    nowhere = Whereabouts(folder=tmp_path / "none", skills=tmp_path / "none either")
    assert read(nowhere, {}) == Referents()
    assert read(nowhere, {"prompt": "text"}).prompt == "text"


def test_everything_is_refused_at_once_each_where_it_is_named(where: Whereabouts) -> None:
    (where.folder / "texts" / "prompt.md").unlink()
    (where.folder / DOCKERFILE).unlink()
    entry = {"host": "git.example.com", "key": "key", "known_hosts": "known"}
    found = refused(
        where,
        {**PROMPT, "skills": ["one", "two"]},
        image={"dockerfile": DOCKERFILE},
        ssh=[entry],
    )
    assert sorted(path for path, _ in found) == [
        "agents.a.prompt.file",
        "agents.a.skills[0]",
        "agents.a.skills[1]",
        "bottles.base.image.dockerfile",
        "bottles.base.ssh[0].key",
        "bottles.base.ssh[0].known_hosts",
    ]


class TestPrompt:
    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"\xff", "not UTF-8"),
            (b"a\xed\xa0\x80", "not UTF-8"),
            (b"a\0b", "NUL"),
            (b"x" * (LONGEST + 1), "more than 65536 bytes"),
        ],
    )
    def test_what_is_no_text_of_that_size(
        self, where: Whereabouts, content: bytes, found: str
    ) -> None:
        (where.folder / "texts" / "prompt.md").write_bytes(content)
        ((path, what),) = refused(where, PROMPT)
        assert path == "agents.a.prompt.file"
        assert found in what

    @pytest.mark.parametrize("content", [b"", b"x" * LONGEST, b"\r\n\t\x1b[2J"])
    def test_what_is(self, where: Whereabouts, content: bytes) -> None:
        (where.folder / "texts" / "prompt.md").write_bytes(content)
        assert read(where, PROMPT).prompt.encode() == content

    def test_a_link_is_not_followed(self, where: Whereabouts) -> None:
        path = where.folder / "texts" / "prompt.md"
        path.unlink()
        path.symlink_to("/etc/hostname")
        assert refused(where, PROMPT) == [("agents.a.prompt.file", "texts/prompt.md: a link")]

    def test_nor_a_link_on_the_way(self, where: Whereabouts) -> None:
        (where.folder / "texts").rename(where.folder.parent / "texts")
        (where.folder / "texts").symlink_to("../texts")
        ((path, found),) = refused(where, PROMPT)
        assert path == "agents.a.prompt.file"
        assert "on the way" in found


class TestDockerfile:
    @pytest.mark.parametrize(
        "make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/etc/hostname")]
    )
    def test_it_is_refused_where_the_extended_bottle_names_it(
        self, where: Whereabouts, make: Callable[[Path], object]
    ) -> None:
        (where.folder / DOCKERFILE).unlink()
        make(where.folder / DOCKERFILE)
        ((path, _),) = refused(where, {}, image={"dockerfile": DOCKERFILE})
        assert path == "bottles.base.image.dockerfile"

    @pytest.mark.parametrize(("size", "fits"), [(256 * 1024, True), (256 * 1024 + 1, False)])
    def test_its_size_is_bounded(self, where: Whereabouts, size: int, fits: bool) -> None:
        (where.folder / DOCKERFILE).write_bytes(f"{TEXT:<{size}}".encode())
        image = {"dockerfile": DOCKERFILE}
        if fits:
            assert len(read(where, {}, image=image).dockerfile) == size
        else:
            assert [path for path, _ in refused(where, {}, image=image)] == [
                "bottles.base.image.dockerfile"
            ]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("", "an empty file"),
            ("FROM debian\n", "does not build upon the agent's image"),
            (f"# syntax=other\n{TEXT}", "a `syntax` line"),
        ],
    )
    def test_what_can_be_seen_to_be_unfit_is_refused_before_the_yes(
        self, where: Whereabouts, text: str, found: str
    ) -> None:
        (where.folder / DOCKERFILE).write_text(text)
        ((path, what),) = refused(where, {}, image={"dockerfile": DOCKERFILE})
        assert path == "bottles.base.image.dockerfile"
        assert found in what

    def test_its_text_is_in_no_repr(self, where: Whereabouts) -> None:
        assert "FROM" not in repr(read(where, {}, image={"dockerfile": DOCKERFILE}))


class TestOnce:
    """What bottles and agents share is looked at once, however many they are."""

    ENTRIES = tuple(
        {"host": f"git{number}.example.com", "key": "key", "known_hosts": "known"}
        for number in range(70)
    )

    @pytest.fixture
    def checked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Give the hosts that are looked at."""
        seen: list[str] = []
        monkeypatch.setattr(ssh, "check", lambda entry, *_: seen.append(entry.host))
        return seen

    @staticmethod
    def declared(of_base: Mapping[str, Any], **own: Mapping[str, Any]) -> Manifest:
        """Declare bottles that extend `base`, with two agents each."""
        extending = {name: {"extends": "base", **bottle} for name, bottle in own.items()}
        agents = {f"{name}{number}": {"bottle": name} for name in own for number in range(2)}
        declared = {"bottles": {"base": of_base, **extending}, "agents": agents}
        return parse(json.dumps(declared).encode())

    def test_each_host_of_ssh(self, where: Whereabouts, checked: list[str]) -> None:
        base, own = self.ENTRIES[0], self.ENTRIES[1]
        manifest, at = self.declared({"ssh": [base]}, a={"ssh": [own]}, b={}), Place()
        for agent in manifest.agents.values():
            referents.look(manifest, agent, where, at)
        referents.look_at_all(manifest, where, at)
        assert sorted(checked) == ["git0.example.com", "git1.example.com"]
        assert at.problems == []

    def test_the_same_host_of_two_bottles_is_looked_at_for_each(
        self, where: Whereabouts, checked: list[str]
    ) -> None:
        """Each names files of its own."""
        entry = self.ENTRIES[0]
        manifest = self.declared({}, a={"ssh": [entry]}, b={"ssh": [entry]})
        referents.look_at_all(manifest, where, Place())
        assert checked == ["git0.example.com"] * 2

    @pytest.mark.parametrize(("count", "told"), [(64, 0), (65, 1), (70, 6)])
    def test_hosts_of_ssh_are_counted_over_all_bottles(
        self, where: Whereabouts, checked: list[str], count: int, told: int
    ) -> None:
        first, second = self.ENTRIES[:30], self.ENTRIES[30:count]
        image = {"image": {"dockerfile": DOCKERFILE}}
        manifest = self.declared(image, a={"ssh": first}, b={"ssh": second}, c={})
        at = Place()
        referents.look_at_all(manifest, where, at)
        assert len(checked) == min(count, 64)
        assert [p.wanted for p in at.problems] == ["at most 64 in all"] * told
        assert all(p.path.startswith("bottles.b.ssh[") and p.remedy for p in at.problems)

    def test_each_dockerfile(self, where: Whereabouts, monkeypatch: pytest.MonkeyPatch) -> None:
        (where.folder / "Own").write_text(TEXT + "RUN true\n")
        manifest = self.declared(
            {"image": {"dockerfile": DOCKERFILE}}, a={}, b={"image": {"dockerfile": "Own"}}, c={}
        )
        read, seen = below.read, list[str]()

        def noting(folder: Path, relative: str, longest: int) -> bytes:
            seen.append(relative)
            return read(folder, relative, longest)

        monkeypatch.setattr(below, "read", noting)
        at = Place()
        found = {
            name: referents.look(manifest, agent, where, at).dockerfile
            for name, agent in manifest.agents.items()
        }
        referents.look_at_all(manifest, where, at)
        assert sorted(seen) == ["Own", DOCKERFILE]
        assert at.problems == []
        assert found["a0"] == found["a1"] == found["c0"] == TEXT.encode()
        assert found["b0"] == found["b1"] == TEXT.encode() + b"RUN true\n"

    def test_one_that_is_missing_is_told_once(self, where: Whereabouts) -> None:
        manifest, at = self.declared({"image": {"dockerfile": "none"}}, a={}, b={}), Place()
        for agent in manifest.agents.values():
            referents.look(manifest, agent, where, at)
        referents.look_at_all(manifest, where, at)
        assert [p.path for p in at.problems] == ["bottles.base.image.dockerfile"]
        assert at.problems[0].remedy == "create it, or correct the path"

    def test_each_skill(self, where: Whereabouts) -> None:
        folder = add_skill(where.skills)
        declared = manifest({"skills": ["one"]})
        first = referents.look(declared, declared.agents["a"], where, Place())
        (folder / "SKILL.md").write_text("# Another\n")
        assert referents.look(declared, declared.agents["a"], where, Place()) == first

    @pytest.mark.parametrize("link", [False, True])
    def test_a_folder_of_skills_that_is_the_persons_own_too(
        self, where: Whereabouts, link: bool
    ) -> None:
        """A skill in it is not there twice."""
        place = where.folder / "skills"
        add_skill(place)
        here = Whereabouts(folder=where.folder, skills=place)
        if link:
            where.skills.symlink_to(place)
            here = where
        (skill,) = read(here, {"skills": ["one"]}).skills
        assert skill.folder == here.skills / "one"


def test_a_skill_that_only_the_manifest_has(where: Whereabouts) -> None:
    add_skill(where.folder / "skills", "one")
    (skill,) = read(where, {"skills": ["one"]}).skills
    assert skill.folder == where.folder / "skills" / "one"


def test_a_skill_that_both_have(where: Whereabouts) -> None:
    add_skill(where.folder / "skills", "one")
    add_skill(where.skills, "one")
    assert [path for path, _ in refused(where, {"skills": ["one"]})] == ["agents.a.skills[0]"]
