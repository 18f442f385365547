"""gVisor: merging the engine's configuration, judging a trial, and the build's environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bottle.errors import Unavailable
from bottle.provision import gvisor
from tests.unit.provision.fakes import FakeMachine, done

OURS = {"path": "/usr/local/bin/runsc"}
SAID = "Linux version 4.19.0-gvisor #1 SMP\n[    0.000000] Starting gVisor..."
SANDBOX = b"runsc-sandbox\0--root=/run\0"


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_merged_into_nothing(text: str) -> None:
    assert json.loads(gvisor.merged(text)) == {"runtimes": {"runsc": OURS}}


def test_merging_keeps_everything_else_in_its_order() -> None:
    before = {
        "log-opts": {"max-size": "10m"},
        "runtimes": {"kata": {"path": "/k", "runtimeArgs": ["é"]}, "runsc": {"path": "/old"}},
        "bip": "198.51.100.1/24",
    }
    after = json.loads(gvisor.merged(json.dumps(before)))
    assert list(after) == list(before)
    assert after == {**before, "runtimes": {**before["runtimes"], "runsc": OURS}}  # type: ignore[dict-item]


def test_merging_twice_changes_nothing_the_second_time() -> None:
    once = gvisor.merged('{"debug": true}')
    assert gvisor.merged(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"runtimes": []}',
        '{"debug": true, "debug": false}',
        '{"a": {"b": 1, "b": 2}}',
        "// comment\n{}",
    ],
)
def test_what_cannot_be_merged_is_an_error(text: str) -> None:
    with pytest.raises(Unavailable, match=r"daemon\.json cannot be added to"):
        gvisor.merged(text)


def test_a_file_that_cannot_be_merged_stays() -> None:
    machine = FakeMachine()
    machine.when("cat", done('{"debug": '))
    with pytest.raises(Unavailable):
        gvisor._register(machine)
    assert len(machine.ran) == 1


def test_a_file_that_root_cannot_read_stays() -> None:
    machine = FakeMachine(root=False, programs={"sudo"})
    machine.when("cat", done(errors="sudo: a password is required", code=1))
    with pytest.raises(Unavailable, match="password"):
        gvisor._register(machine)
    assert len(machine.ran) == 1


def test_an_entry_that_is_there_is_not_written_again() -> None:
    machine = FakeMachine()
    machine.when("cat", done(gvisor.merged("")))
    assert not gvisor._register(machine)


def test_gvisor_is_gvisor() -> None:
    assert gvisor.doubts(SAID, SANDBOX) == ()


@pytest.mark.parametrize(
    ("said", "command", "reason"),
    [
        (SAID, b"sh\0-c\0", "the host runs 'sh'"),
        (SAID, b"", "nothing readable"),
        (SAID, b"sh\0runsc-sandbox\0", "the host runs 'sh'"),
        (SAID, b"runsc-sandbox-not\0", "not gVisor's sandbox"),
        ("Linux version 6.18\nStarting gVisor", SANDBOX, "/proc/version"),
        ("Linux version 4.19.0-gvisor", SANDBOX, "kernel log"),
    ],
)
def test_each_doubt_is_named(said: str, command: bytes, reason: str) -> None:
    found = gvisor.doubts(said, command)
    assert len(found) == 1
    assert reason in found[0]


def test_the_build_writes_nowhere_else_and_sees_no_secret() -> None:
    person = {
        "CLAUDE_BOTTLE_OAUTH_TOKEN": "canary",
        "GOFLAGS": "-mod=vendor",
        "GOOS": "darwin",
        "GOPROXY": "https://proxy",
    }
    environment = gvisor.build_environment(person, Path("/room"))
    assert environment["GOPROXY"] == "https://proxy"
    assert environment["GOFLAGS"] == "-modcacherw"
    assert not {"GOOS", "CLAUDE_BOTTLE_OAUTH_TOKEN"} & environment.keys()
    places = {environment[name] for name in ("GOBIN", "GOPATH", "GOCACHE")}
    assert all(place.startswith("/room/") for place in places)


@pytest.mark.parametrize(
    ("version", "own"), [("go1.26.8", True), ("go1.21.0", True), ("go1.20.14", False), ("x", False)]
)
def test_an_old_go_is_not_used(version: str, own: bool) -> None:
    machine = FakeMachine(programs={"go"})
    machine.when("version", done(f"go version {version} linux/amd64"))
    assert bool(gvisor._own_go(machine)) is own
    assert ("PyPI" in gvisor.changes(machine)[0]) is not own
