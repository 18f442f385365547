"""The agent's image alone, with the flags of a real plan: how it is filled, held and entered."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bottle.core.place import Place
from bottle.engine.port import Attached, Completed
from bottle.provision import claude
from bottle.session import skills
from bottle.session.contents import Contents
from tests.support import bottles, ground
from tests.support.ground import Ground, last_words

ENTER = "/opt/bottle/enter"
HOLD = "/opt/bottle/hold"


def _authority(folder: Path) -> str:
    """Make a certificate authority; its key goes nowhere."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "1", "-subj", "/CN=a test", "-keyout", str(folder / "key")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contents(certificate: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    skill = tmp_path_factory.mktemp("skills") / "reading"
    (skill / "deep").mkdir(parents=True)
    (skill / "SKILL.md").write_text("how to read")
    (skill / "deep" / "tool").write_text("#!/bin/sh\n")
    (skill / "deep" / "tool").chmod(0o700)
    at = Place()
    found = skills.read((skill.name,), (skill.parent,), at, {})
    assert not at.problems
    return Contents(
        environment={"OF_THE_BOTTLE": "1", "LANG": "C"},
        home={".claude.json": '{"a":1}'},
        certificate=certificate,
        skills=found,
    ).archive()


@dataclass(frozen=True, kw_only=True)
class Held:
    """A filled container, and who does what in it."""

    ground: Ground
    pipe: Attached

    def agent(self, *command: str, stdin: bytes = b"") -> Completed:
        """Run a command as the agent, past no door."""
        return self._execute(self.ground.plan.slot.agent_uid, *command, stdin=stdin)

    def entered(self, *command: str, stdin: bytes = b"") -> Completed:
        """Run a command as the agent, through its door."""
        return self.agent(ENTER, *command, stdin=stdin)

    def keeper(self, *command: str, stdin: bytes = b"") -> Completed:
        """Run a command as the user of PID 1."""
        return self._execute(self.ground.plan.slot.keeper_uid, *command, stdin=stdin)

    def _execute(self, uid: int, *command: str, stdin: bytes) -> Completed:
        return self.ground.execute(self.ground.plan.keeper, uid, *command, stdin=stdin)


@pytest.fixture(scope="module", params=bottles.RUNTIMES)
def held(request: pytest.FixtureRequest, contents: bytes) -> Iterator[Held]:
    with ground.ground(request.param) as made, made.running(made.plan.keeper) as pipe:
        pipe.send(contents)
        assert pipe.line(30) == "ready", pipe.errors()
        yield Held(ground=made, pipe=pipe)


@pytest.fixture(scope="module")
def bare() -> Iterator[Ground]:
    """Networks on which a test starts containers of its own, on runc."""
    with ground.ground() as made:
        yield made


# -- what it was filled with


class TestContents:
    def test_the_bottles_authority_is_trusted_beside_the_systems(
        self, held: Held, certificate: str
    ) -> None:
        bundle = held.agent("cat", "/etc/ssl/certs/ca-certificates.crt").output.decode()
        system = held.agent("cat", "/opt/bottle/ca-system.crt").output.decode()
        assert bundle == system + certificate
        assert system.count("BEGIN CERTIFICATE") > 50

    def test_its_file_is_found_by_its_hash(self, held: Held) -> None:
        check = "openssl verify -no-CAfile -CApath /etc/ssl/certs /run/bottle/ca.pem"
        done = held.agent("sh", "-c", check)
        assert done.output == b"/run/bottle/ca.pem: OK\n"

    def test_all_of_it_is_there_with_plain_modes(self, held: Held) -> None:
        listing = "cd /run/bottle && find . -printf '%P %m %U\\n' | sort"
        found = held.agent("sh", "-c", listing).output.decode().split("\n")
        keeper = held.ground.plan.slot.keeper_uid
        assert [line for line in found if line] == [
            f" 755 {keeper}",
            f"ca.pem 644 {keeper}",
            f"env.json 644 {keeper}",
            f"home 755 {keeper}",
            f"home/.claude.json 644 {keeper}",
            f"skills 755 {keeper}",
            f"skills/reading 755 {keeper}",
            f"skills/reading/SKILL.md 644 {keeper}",
            f"skills/reading/deep 755 {keeper}",
            f"skills/reading/deep/tool 755 {keeper}",
        ]

    @pytest.mark.parametrize(
        "attempt",
        [
            "echo x >>/run/bottle/env.json",
            "rm -f /run/bottle/env.json",
            "mv /run/bottle/home /run/bottle/other",
            "echo x >/run/bottle/new",
            "echo x >>/etc/ssl/certs/ca-certificates.crt",
            "echo x >/etc/ssl/certs/00000000.0",
            "echo x >>/opt/bottle/enter",
            "echo x >/etc/claude-code/managed-settings.json",
        ],
    )
    def test_the_agent_changes_none_of_it(self, held: Held, attempt: str) -> None:
        assert held.entered("bash", "-c", attempt).code == 1

    def test_nothing_else_stayed_behind(self, held: Held) -> None:
        assert held.agent("ls", "-A", "/tmp").output == b""


# -- odd contents


def _tar(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    """Give an archive of files by name and content, and of members as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            described = tarfile.TarInfo(name)
            described.size = len(content)
            tar.addfile(described, io.BytesIO(content))
    return buffer.getvalue()


def _odd(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def _counted(archive: bytes) -> bytes:
    return f"{len(archive)}\n".encode() + archive


Make = Callable[[bytes, bytes], bytes]
"""Gives what is sent, from good values for env.json and ca.pem."""


def _with(*members: tuple[str, bytes] | tarfile.TarInfo) -> Make:
    """Give good contents with something added."""

    def make(env: bytes, ca: bytes) -> bytes:
        return _counted(_tar(*_good(env, ca), *members))

    return make


def _good(env: bytes, ca: bytes) -> list[tuple[str, bytes]]:
    return [("run/bottle/env.json", env), ("run/bottle/ca.pem", ca)]


def _long(env: bytes, ca: bytes) -> bytes:
    """Give good contents with a long member at the end; it begins at byte 2560."""
    return _tar(*_good(env, ca), ("run/bottle/skills/a", b"a" * 40_000))


LISTED = "-rw-r--r-- 0/0 1 2000-01-01 00:00"
"""How tar begins the line of a plain file."""
LINE, COUNT, SHORT = "before the first line", "not a count of bytes", "before the count of bytes"
KIND, TAR, CERTIFICATE = "no plain file or folder", "tar: ", "certificate from /run/bottle/ca.pem"
ODD: dict[str, tuple[Make, str]] = {
    "nothing": (lambda _env, _ca: b"", LINE),
    "no end of the line": (lambda _env, _ca: b"10240", LINE),
    "an empty line": (lambda _env, _ca: b"\n", COUNT),
    "words": (lambda _env, _ca: b"hello\n", COUNT),
    "a negative count": (lambda _env, _ca: b"-1\n", COUNT),
    "a count with a sign": (lambda env, ca: b"+" + _counted(_tar(*_good(env, ca))), COUNT),
    "a count with a space": (lambda env, ca: b" " + _counted(_tar(*_good(env, ca))), COUNT),
    "a count in hex": (lambda _env, _ca: b"0x10\n", COUNT),
    "a count with a unit": (lambda _env, _ca: b"10k\n", COUNT),
    "a count beyond all numbers": (lambda _env, _ca: b"9" * 40 + b"\n", SHORT),
    "no bytes": (lambda _env, _ca: b"0\n", TAR),
    "no tar": (lambda _env, _ca: b"20\n01234567890123456789", TAR),
    "an archive of nothing": (lambda _env, _ca: _counted(_tar()), KIND),
    "less than counted": (lambda env, ca: _counted(_long(env, ca))[:20_000], SHORT),
    "whole members, and less": (lambda env, ca: _counted(_long(env, ca))[:2566], SHORT),
    "only its end is missing": (lambda env, ca: _counted(_long(env, ca))[:-1], SHORT),
    "a member cut in two": (lambda env, ca: _counted(_long(env, ca)[:20_000]), TAR),
    "no certificate": (lambda env, _ca: _counted(_tar(("run/bottle/env.json", env))), CERTIFICATE),
    "no real certificate": (lambda env, _ca: _counted(_tar(*_good(env, b"----"))), CERTIFICATE),
    "an empty certificate": (lambda env, _ca: _counted(_tar(*_good(env, b""))), CERTIFICATE),
    "no variables": (lambda _env, ca: _counted(_tar(("run/bottle/ca.pem", ca))), "env.json"),
    "a member elsewhere": (_with(("etc/ssl/certs/00000000.0", b"x")), KIND),
    "a member with a like name": (_with(("run/bottles/x", b"x")), KIND),
    "an absolute member": (_with(("/run/bottle/x", b"x")), KIND),
    "a member at the current folder": (_with(("./run/bottle/x", b"x")), KIND),
    "a member above": (_with(("run/bottle/../../tmp/x", b"x")), TAR),
    "a member with a line in its name": (_with((f"etc/x\n{LISTED} run/bottle/y", b"x")), KIND),
    "a symbolic link": (_with(_odd("run/bottle/x", tarfile.SYMTYPE, "/etc")), KIND),
    "a symbolic link and a file behind it": (
        _with(_odd("run/bottle/x", tarfile.SYMTYPE, "/tmp"), ("run/bottle/x/y", b"x")),
        KIND,
    ),
    "a hard link": (_with(_odd("run/bottle/x", tarfile.LNKTYPE, "run/bottle/env.json")), KIND),
    "a hard link to elsewhere": (_with(_odd("run/bottle/x", tarfile.LNKTYPE, "etc/passwd")), KIND),
    "a fifo": (_with(_odd("run/bottle/x", tarfile.FIFOTYPE)), KIND),
    "a device": (_with(_odd("run/bottle/x", tarfile.CHRTYPE)), KIND),
    "more than fits": (_with(("run/bottle/x", bytes(70 << 20))), TAR),
}
CLEAN = "rm -rf /run/bottle/* /etc/ssl/certs/* /tmp/contents.tar; exec"


@pytest.fixture(scope="module")
def refill(contents: bytes) -> Iterator[Callable[[bytes], Completed]]:
    """Give what fills an emptied place anew, with the very program that PID 1 runs."""
    with ground.ground() as made, made.running(made.plan.keeper) as pipe:
        pipe.send(contents)
        assert pipe.line(30) == "ready"
        inside = Held(ground=made, pipe=pipe)
        yield lambda sent: inside.keeper("sh", "-c", f"{CLEAN} {HOLD}", stdin=sent)


class TestOddContents:
    """Whatever is odd ends it before it says that it is ready."""

    def test_the_door(
        self, refill: Callable[[bytes], Completed], certificate: str, contents: bytes
    ) -> None:
        for sent in (contents, _with()(b"{}", certificate.encode())):
            done = refill(sent)
            assert (done.code, done.output) == (0, b"ready\n"), done.errors

    @pytest.mark.parametrize("name", ODD)
    def test_each(self, refill: Callable[[bytes], Completed], certificate: str, name: str) -> None:
        make, reason = ODD[name]
        done = refill(make(b"{}", certificate.encode()))
        assert done.code != 0
        assert done.output == b""
        assert reason in done.errors.decode()


class TestLife:
    @pytest.mark.parametrize("name", ["words", "no tar", "a member elsewhere"])
    def test_odd_contents_end_the_container_although_the_pipe_stays_open(
        self, bare: Ground, certificate: str, name: str
    ) -> None:
        with bare.running(bare.plan.keeper) as pipe:
            make, reason = ODD[name]
            pipe.send(make(b"{}", certificate.encode()))
            code, lines, errors = last_words(pipe)
        assert code in (2, 65)
        assert lines == []
        assert reason in errors

    def test_a_launcher_that_dies_early_ends_the_container(self, bare: Ground) -> None:
        with bare.running(bare.plan.keeper) as pipe:
            pipe.send(b"10240\nrun")
            began = time.monotonic()
            pipe.close()
            assert last_words(pipe)[0] == 65
            assert time.monotonic() - began < 5

    @pytest.mark.parametrize("runtime", bottles.RUNTIMES)
    def test_the_end_of_stdin_is_the_end(self, runtime: str, contents: bytes) -> None:
        with ground.ground(runtime) as made, made.running(made.plan.keeper) as pipe:
            pipe.send(contents)
            assert pipe.line(30) == "ready"
            pipe.close()
            assert pipe.wait(5) == 0
            assert made.engine.labelled(made.plan.session)[0].kind == "network"


# -- how it is entered

CALLS = """
import ctypes, errno, json, mmap, os, platform, socket, sys

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments)) >= 0:
        return "worked"
    return errno.errorcode[ctypes.get_errno()]

def made(*family):
    try:
        with socket.socket(*family):
            return "worked"
    except OSError as error:
        return errno.errorcode[error.errno]

def status(name):
    with open("/proc/self/status") as file:
        found = [line.split()[1] for line in file if line.startswith(name + ":")]
    return int(found[0]) if found else 0

buffer = ctypes.create_string_buffer(4096)
room = ctypes.addressof(buffer)
sock, pair = {"x86_64": (41, 53), "aarch64": (198, 199)}[platform.machine()]
high = 1 << 32
print(json.dumps({
    "vsock stream": made(40, socket.SOCK_STREAM),
    "vsock datagram": made(40, socket.SOCK_DGRAM),
    "vsock with flags": call(sock, 40, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0),
    "vsock with a high half": call(sock, 40 | high, 1, 0),
    "vsock pair": call(pair, 40, 1, 0, room),
    "io_uring setup": call(425, 1, room),
    "io_uring enter": call(426, 0, 0, 0, 0, 0, 0),
    "io_uring register": call(427, 0, 0, 0, 0),
    "x32 getpid": call(0x40000000 + 39),
    "x32 vsock": call(0x40000000 + 41, 40, 1, 0),
    "internet": made(socket.AF_INET, socket.SOCK_STREAM),
    "unix": made(socket.AF_UNIX, socket.SOCK_STREAM),
    "unix pair": call(pair, socket.AF_UNIX, 1, 0, room),
    "filters": status("Seccomp_filters"),
    "no new rights": status("NoNewPrivs"),
}))
"""
CLOSED = ("vsock", "io_uring", "x32")
FOREIGN = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000cd80c3"))  # i386 getpid: mov eax, 20; int 0x80; ret
at = ctypes.addressof(ctypes.c_char.from_buffer(code))
print(ctypes.CFUNCTYPE(ctypes.c_int)(at)(), flush=True)
"""


def _seen(done: Completed) -> dict[str, Any]:
    assert done.code == 0, done.errors
    return dict(json.loads(done.output))


class TestFilter:
    def test_vsock_and_io_uring_are_refused_and_nothing_else(self, held: Held) -> None:
        seen = _seen(held.entered("python3", "-I", "-", stdin=CALLS.encode()))
        closed = {name for name in seen if name.startswith(CLOSED)}
        assert {name: seen[name] for name in closed} == dict.fromkeys(closed, "EPERM")
        assert (seen["internet"], seen["unix"], seen["unix pair"]) == ("worked",) * 3
        assert seen["no new rights"] == 1

    def test_what_a_command_starts_has_it_too(self, held: Held) -> None:
        words = ("setsid", "sh", "-c", "env -i /usr/bin/python3 -I -")
        seen = _seen(held.entered(*words, stdin=CALLS.encode()))
        assert {v for n, v in seen.items() if n.startswith(CLOSED)} == {"EPERM"}

    def test_it_is_one_more_than_the_engines(self, held: Held) -> None:
        without = _seen(held.agent("python3", "-I", "-", stdin=CALLS.encode()))
        entered = _seen(held.entered("python3", "-I", "-", stdin=CALLS.encode()))
        shown = held.ground.plan.bottle.runtime == "runc"  # gVisor shows none of the filters in it
        assert entered["filters"] == without["filters"] + shown
        assert without["unix"] == "worked"

    def test_another_architectures_calls_are_refused(self, held: Held) -> None:
        if platform.machine() != "x86_64":
            return  # i386 is the other architecture of x86_64 alone
        done = held.entered("python3", "-I", "-", stdin=FOREIGN.encode())
        # refused (-EPERM), or killed where the kernel has no such calls
        assert done.output == b"-1\n" or done.code == 139


class TestEnter:
    def test_the_bottles_variables_stand_over_the_containers(self, held: Held) -> None:
        lines = held.entered("env").output.decode().splitlines()
        seen = dict(line.split("=", 1) for line in lines)
        planned = dict(held.ground.plan.keeper.environment)
        expected = {**planned, "OF_THE_BOTTLE": "1", "LANG": "C"}
        assert {name: seen.get(name) for name in expected} == expected
        assert seen.keys() - expected.keys() <= {"HOSTNAME", "TERM", "PWD", "SHLVL", "_"}

    def test_it_begins_in_the_workspace_with_a_seeded_home(self, held: Held) -> None:
        script = (
            "pwd; cat ~/.claude.json; stat -c ' %a %u' ~/.claude.json; cat ~/.claude/skills/*/*.md"
        )
        done = held.entered("bash", "-c", script)
        uid = held.ground.plan.slot.agent_uid
        assert done.output.decode() == f'/workspace\n{{"a":1}} 600 {uid}\nhow to read'

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            (("bash", "-c", "exit 7"), 7),
            (("no-such-command",), 127),
            (("/workspace",), 126),
            (("bash", "-c", "kill -9 $$"), 137),
        ],
    )
    def test_exit_codes_pass(self, held: Held, command: tuple[str, ...], code: int) -> None:
        assert held.entered(*command).code == code

    def test_nothing_begins_without_its_contents(self, held: Held) -> None:
        name, other = "/run/bottle/env.json", "/run/bottle/aside"
        assert held.keeper("mv", name, other).code == 0
        try:
            done = held.entered("echo", "it began")
        finally:
            assert held.keeper("mv", other, name).code == 0
        assert (done.code, done.output) == (70, b"")
        assert done.errors.startswith(b"enter: FileNotFoundError: ")


# -- what is in it


class TestImage:
    def test_claude_code_runs_as_the_agent(self, held: Held) -> None:
        done = held.entered("claude", "--version")
        assert done.output.decode().split()[0] == claude.VERSION

    def test_no_file_lends_rights(self, held: Held) -> None:
        found = held.agent("find", "/", "-xdev", "-perm", "/6000", "-type", "f")
        assert found.output == b""

    def test_nobody_elses_account_has_the_agents_number(self, held: Held) -> None:
        slot = held.ground.plan.slot
        script = f"getent passwd {slot.agent_uid}; getent group {slot.agent_uid}; id -nG"
        done = held.agent("sh", "-c", script)
        name = f"bottle{slot.agent_uid}"
        assert done.output.decode().splitlines() == [
            f"{name}:x:{slot.agent_uid}:{slot.agent_uid}::/home/agent:/bin/bash",
            f"{name}:x:{slot.agent_uid}:",
            name,
        ]

    def test_no_source_of_packages_is_named(self, held: Held) -> None:
        script = "find /etc/apt/sources.list /etc/apt/sources.list.d /debs -type f 2>/dev/null"
        assert held.agent("sh", "-c", script).output == b""
