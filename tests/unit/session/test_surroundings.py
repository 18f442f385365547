"""Surroundings: whose remotes and package files are seen, and whose are not believed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from bottle.engine.port import Completed
from bottle.errors import TimeLimit, Unavailable
from bottle.provision.machine import ThisMachine
from bottle.session import surroundings
from bottle.session.surroundings import Workspace
from tests.support import require
from tests.unit.provision.fakes import FakeMachine, done

SCHEMA = "https://example.com/schema.json"
HIDDEN = "correct-horse"


def repository(
    folder: Path, config: str = '[remote "origin"]\n\turl = https://a.example.org/x\n'
) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text(config)
    return folder


def git() -> ThisMachine:
    require.need(shutil.which("git"), "git")
    return ThisMachine()


class TestLook:
    @pytest.mark.parametrize("name", ["pyproject.toml", "setup.py", "setup.cfg", "Pipfile"])
    @pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
    def test_of_package_files_only_the_names_count(
        self, tmp_path: Path, name: str, kind: str
    ) -> None:
        path = tmp_path / name
        if kind == "dangling":
            path.symlink_to("nowhere")
        elif kind == "folder":
            path.mkdir()
        else:
            path.touch(mode=0)
        assert surroundings.look(tmp_path, FakeMachine()) == Workspace(files=(name,))

    def test_of_clients_that_are_not_asked_too(self, tmp_path: Path) -> None:
        names = sorted(surroundings.BY_HAND)
        assert {".npmrc", "pip.conf", "uv.toml"} < set(names)
        for name in names:
            (tmp_path / name).touch()
        assert surroundings.look(tmp_path, FakeMachine()) == Workspace(files=tuple(names))

    def test_other_files_and_other_folders_do_not_count(self, tmp_path: Path) -> None:
        for name in ("README.md", "Package.json", "requirements.in", "my-pyproject.toml"):
            (tmp_path / name).touch()
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "package.json").touch()
        assert surroundings.look(tmp_path, FakeMachine()) == Workspace()

    def test_the_nearest_repository_counts(self, tmp_path: Path) -> None:
        repository(tmp_path, '[remote "far"]\nurl = https://far.example.org\n')
        near = repository(tmp_path / "near")
        (near / "deep" / "er").mkdir(parents=True)
        (tmp_path / "beside").mkdir()
        found = {
            place: [r.name for r in surroundings.look(tmp_path / place, git()).remotes]
            for place in ("near", "near/deep/er", "beside")
        }
        assert found == {"near": ["origin"], "near/deep/er": ["origin"], "beside": ["far"]}

    def test_a_relative_folder_has_parents_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (repository(tmp_path) / "below").mkdir()
        monkeypatch.chdir(tmp_path / "below")
        assert [r.name for r in surroundings.look(Path(), git()).remotes] == ["origin"]

    def test_git_is_asked_about_the_one_file_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "other"
        other.write_text('[remote "other"]\nurl = https://other.example.org\n')
        for variable in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG"):
            monkeypatch.setenv(variable, str(other))
        text = f'[include]\npath = {other}\n[remote "a.b"]\nurl = https://a.example.org\n'
        text += "pushurl = git@b.example.org:x\n[remote]\nurl = https://c.example.org\n"
        text += '[remote "bare"]\nurl\nfetch = https://d.example.org\n'
        found = surroundings.look(repository(tmp_path / "here", text), git()).remotes
        assert [(r.name, r.url) for r in found] == [
            ("a.b", "https://a.example.org"),
            ("a.b", "git@b.example.org:x"),
        ]

    def test_a_link_to_a_repository_is_none(self, tmp_path: Path) -> None:
        other = repository(tmp_path / "other")
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / ".git").symlink_to(other / ".git")
        machine = FakeMachine()
        found = surroundings.look(tmp_path / "here", machine)
        assert found == Workspace(unread="its .git is a link")
        assert machine.ran == []
        assert surroundings.look(other, git()).remotes

    def test_git_gets_a_clean_environment(self, tmp_path: Path) -> None:
        machine = FakeMachine(environment={"GIT_DIR": "/x", "PATH": "/y"})
        surroundings.look(repository(tmp_path), machine)
        (ran,) = machine.ran
        environment = ran.environment or {}
        assert environment["GIT_CONFIG_NOSYSTEM"] == "1"
        assert environment["GIT_CONFIG_GLOBAL"] == "/dev/null"
        assert "GIT_DIR" not in environment
        assert "--no-includes" in ran.words

    def test_a_repository_without_remotes_has_none(self, tmp_path: Path) -> None:
        machine = FakeMachine()
        machine.when("git", done(code=1))
        assert surroundings.look(repository(tmp_path), machine) == Workspace()

    @pytest.mark.parametrize(
        "failure", [Unavailable("git is missing"), TimeLimit("git is late"), OSError(8, "odd")]
    )
    def test_without_git_there_are_no_remotes(self, tmp_path: Path, failure: Exception) -> None:
        def fail(_: object) -> Completed:
            raise failure

        (tmp_path / "package.json").touch()
        found = surroundings.look(repository(tmp_path), FakeMachine(answers=[("git", fail)]))
        assert found.remotes == ()
        assert "git is missing here, or does not answer" in found.unread
        assert found.files == ("package.json",)

    def test_a_configuration_that_git_cannot_read_is_told(self, tmp_path: Path) -> None:
        found = surroundings.look(repository(tmp_path, "[remote\n"), git())
        assert found == Workspace(unread="git cannot read its configuration")

    @pytest.mark.parametrize("kind", ["missing", "pipe", "link", "folder", "huge"])
    def test_a_configuration_that_is_no_plain_file_is_not_opened(
        self, tmp_path: Path, kind: str
    ) -> None:
        path = repository(tmp_path / "here") / ".git" / "config"
        path.rename(tmp_path / "config")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to(tmp_path / "config")
        elif kind == "folder":
            path.mkdir()
        elif kind == "huge":
            with path.open("wb") as file:
                file.truncate(1 << 30)
        machine = FakeMachine()
        found = surroundings.look(tmp_path / "here", machine)
        assert (found.remotes, machine.ran) == ((), [])
        assert found.unread

    @pytest.mark.parametrize(
        ("of_link", "of_git", "of_folder", "believed"),
        [
            (4711, 4711, 4712, False),
            (4711, 4710, 4712, False),
            (4710, 4711, 4712, False),
            (4711, 4711, 4711, True),
            (4710, 4710, 4712, True),
        ],
    )
    def test_a_strangers_repository_above_is_not_believed(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        of_link: int,
        of_git: int,
        of_folder: int,
        believed: bool,
    ) -> None:
        (repository(tmp_path) / "below").mkdir()
        owners = {
            (tmp_path / ".git", False): of_link,
            (tmp_path / ".git", True): of_git,
            (tmp_path / "below", True): of_folder,
        }
        seen = Path.stat

        def owned(path: Path, **how: bool) -> os.stat_result:
            values = list(seen(path, **how))
            place = (path, how.get("follow_symlinks", True))
            values[stat.ST_UID] = owners.get(place, values[stat.ST_UID])
            return os.stat_result(values)

        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: 4710)
            patched.setattr(Path, "stat", owned)
            found = surroundings.look(tmp_path / "below", git())
        assert bool(found.remotes) == believed
        assert found.unread == ("" if believed else "it belongs to somebody else")


class TestWorktree:
    def worktree(self, tmp_path: Path) -> Path:
        """Make a worktree beside its repository, as git does it."""
        place = repository(tmp_path / "main") / ".git" / "worktrees" / "tree"
        place.mkdir(parents=True)
        folder = tmp_path / "tree"
        folder.mkdir()
        (folder / ".git").write_text(f"gitdir: {place}\n")
        (place / "gitdir").write_text(f"{folder / '.git'}\n")
        return folder

    def test_one_that_its_repository_knows_has_its_remotes(self, tmp_path: Path) -> None:
        found = surroundings.look(self.worktree(tmp_path), git())
        assert [r.name for r in found.remotes] == ["origin"]

    def test_gits_own_are_made_like_that(self, tmp_path: Path) -> None:
        machine = git()
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}

        def run(*words: str) -> None:
            subprocess.run(
                ["git", "-C", str(tmp_path / "main"), *words], env=environment, check=True
            )

        (tmp_path / "main").mkdir()
        run("init", "--quiet")
        run("remote", "add", "origin", "https://a.example.org/x")
        somebody = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        run(*somebody, "commit", "--quiet", "--allow-empty", "--message", "x")
        run("worktree", "add", "--quiet", str(tmp_path / "tree"))
        found = surroundings.look(tmp_path / "tree", machine)
        assert [(r.name, r.url) for r in found.remotes] == [("origin", "https://a.example.org/x")]

    @pytest.mark.parametrize("back", ["/elsewhere/.git", "", None, "../tree/.git"])
    def test_a_claim_that_the_repository_does_not_confirm_is_not_followed(
        self, tmp_path: Path, back: str | None
    ) -> None:
        folder, machine = self.worktree(tmp_path), FakeMachine()
        path = tmp_path / "main" / ".git" / "worktrees" / "tree" / "gitdir"
        path.unlink() if back is None else path.write_text(back)
        found = surroundings.look(folder, machine)
        assert (found.remotes, machine.ran) == ((), [])
        assert found.unread

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                "\n",
                "gitdir: ",
                "gitdir: ../main/.git/worktrees/tree",
                "gitdir: /\0/worktrees/x",
            ),
            *("gitdir: /worktrees/" + "x" * 10_000, "gitdir: ../.git/modules/x", "\xff\xfe"),
        ],
    )
    def test_a_git_file_of_another_form_is_not_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        folder, machine = self.worktree(tmp_path), FakeMachine()
        monkeypatch.chdir(folder)
        (folder / ".git").write_bytes(text.encode("latin-1"))
        found = surroundings.look(folder, machine)
        assert (found.remotes, machine.ran) == ((), [])
        assert found.unread

    @pytest.mark.parametrize("kind", ["pipe", "dangling", "loop"])
    def test_a_git_that_is_neither_file_nor_folder_is_not_waited_for(
        self, tmp_path: Path, kind: str
    ) -> None:
        path = tmp_path / ".git"
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(".git" if kind == "loop" else "nowhere")
        assert surroundings.look(tmp_path, FakeMachine()).unread
