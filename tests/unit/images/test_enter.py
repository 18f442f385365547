"""Enter: its filter as the kernel would run it, and that without its walls nothing begins."""

from __future__ import annotations

import errno
import itertools
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.images.loading import load

MACHINES = ("x86_64", "aarch64")
# ELF machine | 64 bit | little endian, as linux/audit.h puts AUDIT_ARCH_* together
ARCHITECTURES = {"x86_64": 62 | 0xC0000000, "aarch64": 183 | 0xC0000000}
FOREIGN = (3 | 0x40000000, 40 | 0x40000000, 8 | 0x80000000, 0, 0xFFFFFFFF)  # i386, arm, mips64
SOCKETS = {"x86_64": (41, 53), "aarch64": (198, 199)}  # socket, socketpair
FORKS = {"x86_64": (56, 272), "aarch64": (220, 97)}  # clone, unshare
IO_SETUP = {"x86_64": 206, "aarch64": 0}
CLONE3 = 435
NEW_USER = 1 << 28
IO_URING = (425, 426, 427)
X32 = 0x40000000
VSOCK = 40
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM
UNKNOWN = 0x00050000 | errno.ENOSYS
INTERNET = {0, 1, 6, 17, 58}
OPEN_FAMILIES = {1: None, 2: INTERNET, 10: INTERNET, 16: {0}}
"""UNIX, INET, INET6, NETLINK, each with its open protocols; UNIX has none to speak of."""
PROTOCOLS = (*range(64), 132, 136, 255, 262, 1 << 32, 1 << 32 | 15, 2**64 - 1)
FLAGS = (0, 17, NEW_USER, NEW_USER - 1, NEW_USER << 1, NEW_USER | 17, NEW_USER << 32, 2**64 - 1)

NUMBERS = (*range(470), 0x3FFFFFFF, X32, X32 + 41, X32 + 425, 0x7FFFFFFF, 0x80000029, 0xFFFFFFFF)
FAMILIES = (
    *range(48),
    *(VSOCK | high << 32 for high in (1, 40, 0x80000000, 0xFFFFFFFF)),
    *(2 | high << 32 for high in (40, 0xFFFFFFFF)),
    *(VSOCK << 32, VSOCK | 0x80000000, VSOCK << 8, 0xFFFFFFFF, 2**64 - 1),
)
Program = list[tuple[int, int, int, int]]


@pytest.fixture
def enter() -> Any:
    return load("agent/enter")


def run(program: Program, architecture: int, number: int, first: int, third: int = 0) -> int:
    """Run a filter as the kernel does: over struct seccomp_data, forwards only."""
    rest = (2**64 - 1, third, *[2**64 - 1] * 3)
    seen = struct.pack("<IIQ6Q", number, architecture, 0x7F0000000000, first, *rest)
    loaded, at = 0, 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            assert value % 4 == 0
            (loaded,) = struct.unpack_from("<I", seen, value)
        elif code == 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
            at += if_true if loaded == value else if_false
        elif code == 0x35:  # BPF_JMP | BPF_JGE | BPF_K
            at += if_true if loaded >= value else if_false
        elif code == 0x45:  # BPF_JMP | BPF_JSET | BPF_K
            at += if_true if loaded & value else if_false
        else:
            assert code == 0x06  # BPF_RET | BPF_K
            return value


def wanted(machine: str, architecture: int, number: int, first: int, third: int = 0) -> int:
    """Say it once more in other words: this machine's 64-bit calls, without the closed ones."""
    if architecture != ARCHITECTURES[machine] or number >= X32:
        return REFUSE
    if number in (*IO_URING, IO_SETUP[machine]):
        return REFUSE
    if number == CLONE3:
        return UNKNOWN
    low, protocol = first % 2**32, third % 2**32  # ints to the kernel
    open_ones = OPEN_FAMILIES.get(low, set())
    closed = number in SOCKETS[machine] and open_ones is not None and protocol not in open_ones
    closed |= number in FORKS[machine] and low // NEW_USER % 2 == 1
    return REFUSE if closed else ALLOW


def cases(machine: str) -> Iterator[tuple[int, ...]]:
    every = (*ARCHITECTURES.values(), *FOREIGN)
    yield from itertools.product(every, NUMBERS, (0, 1, 2, VSOCK))
    yield from itertools.product(every, (*SOCKETS[machine], *IO_URING, 0), FAMILIES)
    yield from itertools.product(every, (*FORKS[machine], CLONE3, 0), FLAGS)
    yield from itertools.product(every, SOCKETS[machine], (1, 2, 10, 16, 40), PROTOCOLS)


class TestFilter:
    @pytest.mark.parametrize("machine", MACHINES)
    def test_it_decides_every_call_as_it_should(self, enter: Any, machine: str) -> None:
        program = enter.filter_program(machine)
        tried = list(cases(machine))
        wrong = [case for case in tried if run(program, *case) != wanted(machine, *case)]
        assert not wrong
        assert {run(program, *case) for case in tried} == {ALLOW, REFUSE, UNKNOWN}

    @pytest.mark.parametrize("machine", MACHINES)
    def test_the_kernel_takes_it(self, enter: Any, machine: str) -> None:
        program = enter.filter_program(machine)
        assert len(program) <= 4096
        assert program[-1][0] == 0x06
        for at, (code, if_true, if_false, value) in enumerate(program):
            assert 0 <= value <= 0xFFFFFFFF
            assert code in (0x15, 0x35, 0x45) or (if_true, if_false) == (0, 0)
            assert 0 <= if_true <= 255 > if_false >= 0
            assert at + 1 + max(if_true, if_false) <= len(program) - (code != 0x06)

    def test_an_unknown_machine_has_none(self, enter: Any) -> None:
        with pytest.raises(KeyError):
            enter.filter_program("riscv64")


@pytest.fixture
def place(enter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put contents, home and workspace into a folder, and take the walls' and exec's place."""
    for name in ("bottle/home", "home", "workspace"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bottle/env.json").write_text(json.dumps({"HOME": f"{tmp_path}/home", "X": "1"}))
    monkeypatch.setattr(enter, "BOTTLE", str(tmp_path / "bottle"))
    monkeypatch.setattr(enter, "WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setattr(enter, "refuse_calls", lambda: None)
    monkeypatch.setattr(os, "execvpe", _Executed.record)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class _Executed(Exception):
    """The command began: with these words and variables, in this folder."""

    @staticmethod
    def record(program: str, words: list[str], variables: dict[str, str]) -> None:
        raise _Executed(program, words, variables, Path.cwd())


class TestMain:
    def test_the_command_begins_in_the_workspace_with_the_bottles_variables(
        self, enter: Any, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("X", "the container's")
        monkeypatch.setenv("Y", "2")
        with pytest.raises(_Executed) as caught:
            enter.main(["claude", "-p"])
        program, words, variables, folder = caught.value.args
        assert (program, words, folder) == ("claude", ["claude", "-p"], place / "workspace")
        assert (variables["X"], variables["Y"]) == ("1", "2")

    @pytest.mark.parametrize("error", [OSError(errno.EINVAL, "prctl"), KeyError("riscv64")])
    def test_nothing_begins_without_the_filter(
        self,
        enter: Any,
        place: Path,
        error: Exception,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr(enter, "refuse_calls", fail)
        assert enter.main(["true"]) == 70
        assert capsys.readouterr().err.startswith(f"enter: {type(error).__name__}: ")
        assert list((place / "home").iterdir()) == []

    @pytest.mark.parametrize("content", ["", "{", "[1]", '{"X": "1"}', None])
    def test_nothing_begins_without_its_contents(
        self, enter: Any, place: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HOME")
        (place / "bottle/env.json").unlink()
        if content is not None:
            (place / "bottle/env.json").write_text(content)
        assert enter.main(["true"]) == 70

    def test_nothing_begins_without_a_workspace(self, enter: Any, place: Path) -> None:
        (place / "workspace").rmdir()
        assert enter.main(["true"]) == 70

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (FileNotFoundError(errno.ENOENT, "none"), 127),
            (PermissionError(errno.EACCES, "no"), 126),
        ],
    )
    def test_a_command_that_cannot_begin_has_a_shells_code(
        self,
        enter: Any,
        place: Path,
        error: OSError,
        code: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(os, "execvpe", fail)
        assert enter.main(["claude"]) == code
        assert capsys.readouterr().err == f"enter: claude: {error.strerror}\n"
        assert place.exists()


class TestHome:
    def test_files_are_copied_for_the_agent_alone_and_skills_linked(
        self, enter: Any, place: Path
    ) -> None:
        (place / "bottle/home/.config").mkdir()
        (place / "bottle/home/.claude.json").write_text("{}")
        (place / "bottle/home/.config/deep").write_text("deep")
        (place / "bottle/skills").mkdir()
        enter.seed_home(str(place / "home"))
        assert (place / "home/.claude.json").read_text() == "{}"
        assert (place / "home/.claude.json").stat().st_mode & 0o777 == 0o600
        assert (place / "home/.config/deep").read_text() == "deep"
        assert (place / "home/.claude/skills").readlink() == place / "bottle/skills"

    def test_what_the_agent_has_made_of_them_stays(self, enter: Any, place: Path) -> None:
        (place / "bottle/home/.claude.json").write_text("{}")
        (place / "bottle/skills").mkdir()
        (place / "home/.claude/skills").mkdir(parents=True)
        (place / "home/.claude.json").write_text("the agent's")
        enter.seed_home(str(place / "home"))
        assert (place / "home/.claude.json").read_text() == "the agent's"
        assert (place / "home/.claude/skills").is_dir()
        assert not (place / "home/.claude/skills").is_symlink()
