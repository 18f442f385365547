"""Skills: exactly the plain files of the named folders are read, once, with a digest of them."""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bottle.core.place import Place
from bottle.errors import Problem
from bottle.session import skills
from bottle.session.skills import Skill
from tests.support.starts import add_skill


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Give the folder of the user's skills."""
    return tmp_path / "home" / "skills"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Give the folder of the manifest's own skills."""
    return tmp_path / "project" / "skills"


def read(*folders: Path, names: Sequence[str] = ("one",)) -> tuple[Skill, ...]:
    at = Place("agents.a.skills")
    found = skills.read(names, folders, at, {})
    assert at.problems == []
    return found


def refused(
    *folders: Path, names: Sequence[str] = ("one",), known: dict[str, Skill] | None = None
) -> list[Problem]:
    """Read what cannot be; each is refused in its place."""
    at = Place("agents.a.skills")
    found = skills.read(names, folders, at, {} if known is None else known)
    assert len(found) + len(at.problems) == len(names)
    assert not [p for p in at.problems if p.remedy.startswith("write ")], "a file is not written"
    return at.problems


def why(*folders: Path) -> Problem:
    (problem,) = refused(*folders)
    assert problem.path == "agents.a.skills[0]"
    return problem


class TestFound:
    def test_all_of_it_is_in_memory(self, mine: Path) -> None:
        folder = add_skill(mine)
        (skill,) = read(mine)
        folder.rename(mine / "gone")
        assert (skill.name, skill.folder) == ("one", folder)
        assert [(file.path, file.mode, file.content) for file in skill.files] == [
            ("SKILL.md", 0o644, b"# Skill\n"),
            ("scripts/run", 0o755, b"#!/bin/sh\n"),
        ]

    @pytest.mark.parametrize("which", ["mine", "own"])
    def test_in_either_folder(self, mine: Path, own: Path, which: str) -> None:
        folder = add_skill({"mine": mine, "own": own}[which])
        (skill,) = read(mine, own)
        assert skill.folder == folder

    def test_in_the_order_of_their_names_in_the_manifest(self, mine: Path, own: Path) -> None:
        add_skill(mine, "one")
        add_skill(own, "two")
        found = read(mine, own, names=("two", "one"))
        assert [skill.name for skill in found] == ["two", "one"]
        assert read(mine, own, names=()) == ()

    def test_the_users_whole_folder_may_be_a_link(self, mine: Path, tmp_path: Path) -> None:
        add_skill(tmp_path / "elsewhere")
        mine.parent.mkdir()
        mine.symlink_to(tmp_path / "elsewhere")
        assert read(mine)[0].folder == mine / "one"

    @pytest.mark.parametrize(
        ("place", "target"),
        [("link", "SKILL.md"), ("link", "scripts/run"), ("scripts/link", "../SKILL.md")],
    )
    def test_a_link_to_a_file_of_the_skill_is_that_file(
        self, mine: Path, place: str, target: str
    ) -> None:
        folder = add_skill(mine)
        (folder / place).symlink_to(target)
        (skill,) = read(mine)
        files = {file.path: file for file in skill.files}
        assert files[place].content == (folder / place).read_bytes()
        assert len(files) == 3

    def test_a_file_with_two_names_is_there_twice(self, mine: Path) -> None:
        folder = add_skill(mine)
        os.link(folder / "SKILL.md", folder / "again.md")
        (skill,) = read(mine)
        assert [f.path for f in skill.files if f.content == b"# Skill\n"] == [
            "SKILL.md",
            "again.md",
        ]

    def test_no_content_is_in_its_repr(self, mine: Path) -> None:
        (add_skill(mine) / "text").write_text("of the person")
        assert "of the person" not in repr(read(mine))


class TestDigest:
    def test_it_is_of_all_that_comes_along(self, mine: Path) -> None:
        folder = add_skill(mine)
        seen = [read(mine)[0].digest]
        assert read(mine)[0].digest == seen[0]
        changes: list[Callable[[], object]] = [
            lambda: (folder / "SKILL.md").write_text("# Other\n"),
            lambda: (folder / "scripts" / "run").chmod(0o600),
            lambda: (folder / "scripts" / "run").rename(folder / "run"),
            lambda: (folder / "empty").touch(),
        ]
        for change in changes:
            change()
            seen.append(read(mine)[0].digest)
        assert len(set(seen)) == len(seen)

    def test_it_is_of_nothing_else(self, mine: Path, own: Path) -> None:
        folder, same = add_skill(mine), add_skill(own, "two")
        os.utime(folder / "SKILL.md", (0, 0))
        (folder / "SKILL.md").chmod(0o664)
        (folder / "nothing").mkdir()
        one, two = read(mine, own, names=("one", same.name))
        assert one.digest == two.digest

    def test_files_are_in_the_order_of_their_paths(self, mine: Path) -> None:
        folder = add_skill(mine)
        (folder / "b" / "deep").mkdir(parents=True)
        for name in ("b.md", "b/deep/x", "b/a", "a", "c"):
            (folder / name).touch()
        (skill,) = read(mine)
        paths = [file.path for file in skill.files]
        assert paths == sorted(paths)
        assert len(paths) == 7


class TestRefused:
    def test_a_missing_one_with_where_to_put_it(self, mine: Path, own: Path) -> None:
        problem = why(mine, own)
        assert problem.found == "'one'"
        assert str(mine) in problem.wanted
        assert str(own) in problem.wanted
        assert str(mine / "one" / "SKILL.md") in problem.remedy

    def test_a_misspelt_one_with_what_is_there(self, mine: Path, own: Path) -> None:
        add_skill(own, "reading")
        (problem,) = refused(mine, own, names=("raeding",))
        assert problem.remedy == "did you mean 'reading'?"

    def test_one_that_was_refused_already_is_not_told_again(self, mine: Path) -> None:
        at = Place("agents.a.skills")
        assert skills.read(("", "one"), (mine,), at, {}) == ()
        assert [problem.path for problem in at.problems] == ["agents.a.skills[1]"]

    def test_one_that_is_in_both(self, mine: Path, own: Path) -> None:
        add_skill(mine)
        add_skill(own)
        problem = why(mine, own)
        assert str(mine / "one") in problem.found
        assert str(own / "one") in problem.found
        assert "rename" in problem.remedy

    def test_one_that_is_in_the_other_as_a_broken_link(self, mine: Path, own: Path) -> None:
        add_skill(mine)
        own.mkdir(parents=True)
        (own / "one").symlink_to("nowhere")
        assert str(own / "one") in why(mine, own).found

    def test_each_by_its_place_and_all_at_once(self, mine: Path, own: Path) -> None:
        add_skill(mine, "two")
        problems = refused(mine, own, names=("one", "two", "three"))
        assert [p.path for p in problems] == ["agents.a.skills[0]", "agents.a.skills[2]"]

    def test_a_folder_without_the_file(self, mine: Path) -> None:
        (add_skill(mine) / "SKILL.md").unlink()
        assert "SKILL.md" in why(mine).wanted

    @pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
    def test_what_is_no_folder(self, mine: Path, make: Callable[[Path], object]) -> None:
        mine.mkdir(parents=True)
        make(mine / "one")
        assert "a folder" in why(mine).wanted

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
    def test_a_skill_file_that_is_none(self, mine: Path, make: Callable[[Path], object]) -> None:
        (add_skill(mine) / "SKILL.md").unlink()
        make(mine / "one" / "SKILL.md")
        assert "SKILL.md" in why(mine).wanted

    @pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
    def test_what_is_no_plain_file_in_it(self, mine: Path, make: Callable[[Path], object]) -> None:
        odd = add_skill(mine) / "scripts" / "odd"
        make(odd)
        assert str(odd) in why(mine).found

    @pytest.mark.parametrize("place", ["link", "scripts/link", "SKILL.md"])
    @pytest.mark.parametrize(
        "target", ["/etc/hostname", "../../two/SKILL.md", "nowhere", "/", ".", "scripts", "link"]
    )
    def test_a_link_that_leaves_it_or_is_no_files(
        self, mine: Path, place: str, target: str
    ) -> None:
        add_skill(mine, "two")
        path = add_skill(mine) / place
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        assert str(path.parent) in why(mine).found
        path.unlink()
        path.write_text("plain")
        assert read(mine)

    def test_a_link_to_a_place_whose_name_only_begins_alike(self, mine: Path) -> None:
        add_skill(mine, "one-more")
        (add_skill(mine) / "link").symlink_to("../one-more/SKILL.md")
        assert "a link" in why(mine).found

    def test_a_skill_that_is_itself_a_link(self, mine: Path, tmp_path: Path) -> None:
        add_skill(tmp_path / "elsewhere")
        mine.mkdir(parents=True)
        (mine / "one").symlink_to(tmp_path / "elsewhere" / "one")
        assert "no link" in why(mine).wanted

    def test_a_manifests_own_folder_that_is_a_link(
        self, mine: Path, own: Path, tmp_path: Path
    ) -> None:
        """Nothing outside the manifest's folder is read for it."""
        add_skill(tmp_path / "elsewhere")
        own.parent.mkdir()
        own.symlink_to(tmp_path / "elsewhere")
        assert why(mine, own).found == f"{own}, a link"

    @pytest.mark.parametrize("place", ["SKILL.md", "scripts/run", "scripts", ""])
    def test_what_cannot_be_read(
        self, mine: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        unreadable = add_skill(mine) / place
        opened, listed = os.open, os.listdir

        def refuse(path: Path) -> None:
            if path == unreadable:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))

        def open_unless(path: Path, flags: int) -> int:
            refuse(path)
            return opened(path, flags)

        def list_unless(path: Path | str) -> list[str]:
            refuse(Path(path))
            return listed(path)

        monkeypatch.setattr(os, "open", open_unless)
        monkeypatch.setattr(os, "listdir", list_unless)
        problem = why(mine)
        assert problem.found == f"{unreadable}: Permission denied"
        assert "readable" in problem.remedy


class TestNames:
    @pytest.mark.parametrize(
        "name", ["a\nb", "a\x1b[2J", "a\u202eb", "a\x7f", os.fsdecode(b"a\xff")]
    )
    @pytest.mark.parametrize("place", ["", "scripts"])
    @pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
    def test_one_that_cannot_be_shown_is_refused(
        self, mine: Path, make: Callable[[Path], object], place: str, name: str
    ) -> None:
        odd = add_skill(mine) / place / name
        make(odd)
        problem = why(mine)
        assert problem.found == repr(odd.name)
        assert problem.found.isprintable()
        assert "printable" in problem.wanted
        assert problem.remedy == "rename it"

    @pytest.mark.parametrize("name", ["ä", "漢 字", "it's", "-x", "a\\b"])
    def test_any_other_will_do(self, mine: Path, name: str) -> None:
        (add_skill(mine) / name).touch()
        assert name in [file.path for file in read(mine)[0].files]

    def test_the_folder_that_it_is_in_may_have_any(self, tmp_path: Path) -> None:
        odd = tmp_path / os.fsdecode(b"\xff\n")
        add_skill(odd)
        assert read(odd)


class TestCount:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(skills, "_MOST", 10)

    @pytest.mark.parametrize(("count", "fits"), [(7, True), (8, False)])
    @pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
    def test_files_and_folders_are_counted(
        self, mine: Path, make: Callable[[Path], object], count: int, fits: bool
    ) -> None:
        """Three are there already."""
        folder = add_skill(mine)
        for number in range(count):
            make(folder / "scripts" / str(number))
        problems = refused(mine)
        wanted = [] if fits else ["at most 10 files and folders"]
        assert [problem.wanted for problem in problems] == wanted

    def test_each_skill_may_have_as_many(self, mine: Path) -> None:
        for name in ("one", "two"):
            folder = add_skill(mine, name)
            for number in range(7):
                (folder / str(number)).touch()
        assert len(read(mine, names=("one", "two"))) == 2

    def test_a_deep_one_is_read_like_any_other(
        self, mine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(skills, "_MOST", 2000)
        deep = Path(f"{add_skill(mine)}{'/d' * 300}")
        deep.mkdir(parents=True)
        (deep / "file").touch()
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(len(inspect.stack()) + 150)
        try:
            (skill,) = read(mine)
        finally:
            sys.setrecursionlimit(limit)
        assert [file.path for file in skill.files] == [
            "SKILL.md",
            "d/" * 300 + "file",
            "scripts/run",
        ]


class TestMeanwhile:
    """Somebody changes the files between a look at one and its opening."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        path = tmp_path / "secret"
        path.write_text("of the person")
        return path

    def test_a_link_in_a_files_place_is_not_followed(
        self, mine: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = add_skill(mine) / "scripts" / "run"
        opened = os.open

        def swapping(name: Path, flags: int) -> int:
            if name == path:
                _swap(path, lambda: path.symlink_to(secret))
            return opened(name, flags)

        monkeypatch.setattr(os, "open", swapping)
        assert str(path) in why(mine).found

    def test_nor_one_that_came_right_after_the_look(
        self, mine: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = add_skill(mine) / "scripts" / "run"
        looked = Path.is_symlink

        def swapping(name: Path) -> bool:
            seen = looked(name)
            if name == path and not seen:
                _swap(path, lambda: path.symlink_to(secret))
            return seen

        monkeypatch.setattr(Path, "is_symlink", swapping)
        assert str(path) in why(mine).found
        assert "of the person" not in repr(why(mine))

    def test_a_pipe_in_a_files_place_is_not_waited_for(
        self, mine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = add_skill(mine) / "scripts" / "run"
        opened = os.open

        def swapping(name: Path, flags: int) -> int:
            if name == path:
                _swap(path, lambda: os.mkfifo(path))
            return opened(name, flags)

        monkeypatch.setattr(os, "open", swapping)
        problem = why(mine)
        assert problem.found == str(path)
        assert problem.wanted == "plain files and folders"


def _swap(path: Path, make: Callable[[], object]) -> None:
    path.unlink(missing_ok=True)
    make()


class TestKnown:
    """Many agents may name the same skill: it is read once."""

    def test_it_is_not_read_again(self, mine: Path) -> None:
        folder, known = add_skill(mine), dict[str, Skill]()
        at = Place("agents.a.skills")
        first = skills.read(("one",), (mine,), at, known)
        (folder / "SKILL.md").write_text("# Another\n")
        assert skills.read(("one",), (mine,), at, known) == first
        assert at.problems == []
        assert read(mine) != first

    def test_what_was_refused_is_not_known(self, mine: Path) -> None:
        known: dict[str, Skill] = {}
        assert refused(mine, known=known)
        add_skill(mine)
        at = Place("agents.a.skills")
        assert len(skills.read(("one",), (mine,), at, known)) == 1
        assert list(known) == ["one"]

    def test_its_size_counts_all_the_same(
        self, mine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(skills, "_LARGEST", 100)
        known: dict[str, Skill] = {}
        for name in ("one", "two"):
            (add_skill(mine, name) / "more").write_bytes(bytes(60))
            assert skills.read((name,), (mine,), Place(), known)
        with (add_skill(mine, "huge") / "file").open("wb") as file:
            file.truncate(1 << 40)
        problems = refused(mine, names=("one", "two", "huge"), known=known)
        assert [p.path for p in problems] == ["agents.a.skills[1]", "agents.a.skills[2]"]
        assert all("at most 100 bytes together" in p.wanted for p in problems)


class TestSize:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(skills, "_LARGEST", 100)

    def test_it_counts_for_all_of_them_together(self, mine: Path) -> None:
        for name in ("one", "two"):
            (add_skill(mine, name) / "more").write_bytes(bytes(60))
        assert read(mine)
        assert read(mine, names=("two",))
        (problem,) = refused(mine, names=("one", "two"))
        assert problem.path == "agents.a.skills[1]"
        assert "at most 100 bytes together" in problem.wanted

    @pytest.mark.parametrize(("size", "fits"), [(82, True), (83, False)])
    def test_to_the_byte(self, mine: Path, size: int, fits: bool) -> None:
        (add_skill(mine) / "more").write_bytes(bytes(size))
        assert bool(refused(mine)) != fits

    def test_a_huge_file_is_not_read_to_its_end(self, mine: Path) -> None:
        with (add_skill(mine) / "huge").open("wb") as file:
            file.truncate(1 << 40)
        assert "together" in why(mine).wanted

    def test_one_that_is_refused_leaves_the_next_its_room(self, mine: Path) -> None:
        (add_skill(mine, "one") / "more").write_bytes(bytes(200))
        add_skill(mine, "two")
        (problem,) = refused(mine, names=("one", "two"))
        assert problem.path == "agents.a.skills[0]"
