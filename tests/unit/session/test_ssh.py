"""Ssh: a key that is one and is the person's alone, and a known host that is known."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from bottle.core.manifest import Ssh
from bottle.core.place import Place
from bottle.engine.port import Completed
from bottle.errors import BottleError, Problem, TimeLimit, Unavailable
from bottle.provision.machine import ThisMachine
from bottle.session import ssh
from tests.support import require

HOST = "git.example.com"
OTHER = "other.example.com"
AT = "bottles.web.ssh[0]"
HEADERS = {
    "openssh": "OPENSSH PRIVATE",
    "rsa": "RSA PRIVATE",
    "pkcs8": "PRIVATE",
    "encrypted": "ENCRYPTED PRIVATE",
    "ec": "EC PRIVATE",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a manifest's folder with a key and its public half, which is also the host's."""
    require.need(shutil.which("ssh-keygen"), "ssh-keygen")
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "key")]
    subprocess.run(words, check=True)
    know(tmp_path, HOST)
    return tmp_path


def public(folder: Path) -> str:
    return " ".join((folder / "key.pub").read_text().split()[:2])


def know(folder: Path, *names: str) -> None:
    """Write the file of known hosts."""
    lines = [f"{name} {public(folder)}\n" for name in names]
    (folder / "known").write_text("".join(lines))


def hash_names(folder: Path) -> None:
    words = ["ssh-keygen", "-q", "-H", "-f", str(folder / "known")]
    subprocess.run(words, check=True, capture_output=True)
    assert HOST not in (folder / "known").read_text()


def entry(key: str = "key", known: str = "known", port: int = 22, host: str = HOST) -> Ssh:
    return Ssh(host=host, key=key, known_hosts=known, port=port, origin=AT)


def problems(folder: Path, asked: Ssh | None = None) -> list[Problem]:
    at = Place(AT)
    ssh.check(asked or entry(), folder, at)
    assert not [p for p in at.problems if p.remedy.startswith("write ")], "a file is not written"
    return at.problems


def wrong(folder: Path, what: str, asked: Ssh | None = None) -> Problem:
    """Give the one problem, which is with the key or with the known hosts."""
    (problem,) = problems(folder, asked)
    assert problem.path == f"{AT}.{what}"
    return problem


class TestPaths:
    def test_beside_the_manifest(self, folder: Path) -> None:
        assert problems(folder) == []

    def test_the_manifest_may_be_in_the_current_folder(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        assert problems(Path()) == []

    def test_absolute(self, folder: Path) -> None:
        asked = entry(key=str(folder / "key"), known=str(folder / "known"))
        assert problems(Path("/nonexistent"), asked) == []

    def test_below_the_home(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(folder))
        assert problems(Path("/nonexistent"), entry(key="~/key", known="~/known")) == []

    def test_somebodys_home_is_a_name_like_any_other(self, folder: Path) -> None:
        assert str(folder / "~root/key") in wrong(folder, "key", entry(key="~root/key")).found

    def test_a_link_of_the_persons_own_is_followed(self, folder: Path) -> None:
        (folder / "link").symlink_to("key")
        assert problems(folder, entry(key="link")) == []

    def test_a_name_that_looks_like_a_word_of_the_program(self, folder: Path) -> None:
        (folder / "known").rename(folder / "-R")
        assert problems(folder, entry(known="-R")) == []
        assert (folder / "-R").read_text().startswith(HOST)


class TestKey:
    @pytest.mark.parametrize("form", HEADERS)
    def test_each_form_of_a_private_key(self, folder: Path, form: str) -> None:
        (folder / "key").write_text(f"-----BEGIN {HEADERS[form]} KEY-----\n")
        assert problems(folder) == []

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "ssh-ed25519 AAAA me",
            "-----BEGIN PUBLIC KEY-----\n",
            "-----BEGIN CERTIFICATE-----\n",
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
            "\n-----BEGIN {} KEY-----\n",
            "-----BEGIN {} KEY",
            "x-----BEGIN {} KEY-----\n",
        ],
    )
    def test_what_is_none(self, folder: Path, text: str) -> None:
        (folder / "key").write_text(text.format("PRIVATE"))
        problem = wrong(folder, "key")
        assert problem.found == f"{folder / 'key'}, no private key"
        assert ".pub" in problem.remedy

    def test_its_public_half(self, folder: Path) -> None:
        (folder / "key.pub").chmod(0o600)
        assert "no private key" in wrong(folder, "key", entry(key="key.pub")).found

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
    def test_the_persons_alone(self, folder: Path, mode: int) -> None:
        (folder / "key").chmod(mode)
        assert problems(folder) == []

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610, 0o601, 0o777])
    def test_open_to_others(self, folder: Path, mode: int) -> None:
        (folder / "key").chmod(mode)
        problem = wrong(folder, "key")
        assert problem.found.endswith(f"with mode {mode:04o}")
        assert problem.remedy == f"chmod 600 {folder / 'key'}"

    def test_nothing_of_it_is_told(self, folder: Path) -> None:
        (folder / "key").write_text("something private")
        (folder / "key").chmod(0o644)
        found = problems(folder)
        assert [problem.path for problem in found] == [f"{AT}.key"] * 2
        assert "something private" not in repr(found)


ODD: Mapping[str, Callable[[Path], object]] = {
    "missing": str,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "too large": lambda path: os.truncate(
        os.open(path, os.O_CREAT | os.O_RDWR, 0o600), 256 * 1024 + 1
    ),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("what", ["key", "known_hosts"])
def test_what_is_no_file_is_refused_without_waiting(folder: Path, what: str, name: str) -> None:
    ODD[name](folder / "odd")
    asked = entry(key="odd") if what == "key" else entry(known="odd")
    assert str(folder / "odd") in wrong(folder, what, asked).found


@pytest.mark.parametrize("name", ["key", "known"])
@pytest.mark.parametrize(("size", "fits"), [(256 * 1024, True), (256 * 1024 + 1, False)])
def test_their_size_is_bounded(folder: Path, name: str, size: int, fits: bool) -> None:
    path = folder / name
    path.write_text(f"{path.read_text():\n<{size}}")
    what = {"key": "key", "known": "known_hosts"}[name]
    told = [] if fits else [(f"{AT}.{what}", "a file of at most 262144 bytes")]
    assert [(p.path, p.wanted) for p in problems(folder)] == told


def test_what_may_not_be_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refusing(path: Path, flags: int) -> int:
        if path.name == "key":
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refusing)
    assert wrong(folder, "key").found == f"{folder / 'key'}: Permission denied"


def test_both_are_told_at_once(folder: Path) -> None:
    found = problems(folder, entry(key="none", known="none either"))
    assert [problem.path for problem in found] == [f"{AT}.key", f"{AT}.known_hosts"]


class TestKnownHosts:
    @pytest.mark.parametrize("hashed", [False, True])
    @pytest.mark.parametrize(
        ("names", "port", "known"),
        [
            ((HOST,), 22, True),
            ((OTHER, HOST), 22, True),
            ((f"{OTHER},{HOST}",), 22, True),
            ((f"[{HOST}]:2222",), 2222, True),
            ((), 22, False),
            ((OTHER,), 22, False),
            ((f"more.{HOST}",), 22, False),
            ((HOST,), 2222, False),
            ((f"[{HOST}]:2222",), 22, False),
            ((f"[{HOST}]:2222",), 2223, False),
        ],
    )
    def test_by_name_and_port_also_where_names_are_hashed(
        self, folder: Path, names: Sequence[str], port: int, known: bool, hashed: bool
    ) -> None:
        know(folder, *names)
        if hashed:
            hash_names(folder)
        found = problems(folder, entry(port=port))
        assert [problem.path for problem in found] == ([] if known else [f"{AT}.known_hosts"])

    @pytest.mark.parametrize(
        ("line", "known"),
        [
            ("*.example.com {}", True),
            ("@cert-authority *.example.com {}", True),
            ("!git.example.com,*.example.com {}", False),
            ("@revoked git.example.com {}", False),
            ("# git.example.com {}", False),
            ("git.example.com", False),
            ("git.example.com garbage", False),
            ("\0\xff{}", False),
        ],
    )
    def test_by_what_ssh_makes_of_a_line(self, folder: Path, line: str, known: bool) -> None:
        (folder / "known").write_text(line.format(public(folder)) + "\n")
        assert (problems(folder) == []) is known

    def test_a_revoked_key_beside_a_good_one(self, folder: Path) -> None:
        know(folder, f"@revoked {HOST}", HOST)
        assert problems(folder) == []

    def test_how_to_get_the_key_is_said(self, folder: Path) -> None:
        know(folder, OTHER)
        problem = wrong(folder, "known_hosts", entry(port=2222))
        assert problem.found == f"{folder / 'known'} without [{HOST}]:2222"
        assert problem.remedy.startswith(f"ssh-keyscan -p 2222 {HOST}")

    @pytest.mark.parametrize(
        "failure",
        [
            Unavailable("the program ssh-keygen is missing"),
            TimeLimit("ssh-keygen took longer than 10 s"),
        ],
    )
    def test_without_the_programs_word_nothing_is_taken_for_known(
        self, folder: Path, failure: BottleError
    ) -> None:
        class Bare(ThisMachine):
            def run(self, words: Sequence[str], **_: object) -> Completed:  # noqa: ARG002  # as there
                raise failure

        at = Place(AT)
        ssh.check(entry(), folder, at, Bare())
        (problem,) = at.problems
        assert problem.path == f"{AT}.known_hosts"
        assert problem.found == failure.happened
        assert "openssh-client" in problem.remedy
        assert problems(folder) == []
