"""Runsc: merging the engine's configuration, and the environment of the build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bottle.errors import Unavailable
from bottle.provision import runsc
from tests.unit.provision.fakes import FakeMachine, done

OURS = {"path": "/usr/local/bin/runsc"}


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_merged_into_nothing(text: str) -> None:
    assert json.loads(runsc.merged(text)) == {"runtimes": {"runsc": OURS}}


def test_merging_keeps_everything_else_in_its_order() -> None:
    before = {
        "log-opts": {"max-size": "10m"},
        "runtimes": {"kata": {"path": "/k", "runtimeArgs": ["é"]}, "runsc": {"path": "/old"}},
        "bip": "198.51.100.1/24",
    }
    after = json.loads(runsc.merged(json.dumps(before)))
    assert list(after) == list(before)
    assert after == {**before, "runtimes": {**before["runtimes"], "runsc": OURS}}  # type: ignore[dict-item]


def test_merging_twice_changes_nothing_the_second_time() -> None:
    once = runsc.merged('{"debug": true}')
    assert runsc.merged(once) == once


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
        runsc.merged(text)


def test_a_file_that_cannot_be_merged_stays() -> None:
    machine = FakeMachine()
    machine.when("cat", done('{"debug": '))
    with pytest.raises(Unavailable):
        runsc._register(machine)
    assert len(machine.ran) == 1


def test_a_file_that_root_cannot_read_stays() -> None:
    machine = FakeMachine(root=False, programs={"sudo"})
    machine.when("cat", done(errors="sudo: a password is required", code=1))
    with pytest.raises(Unavailable, match="password"):
        runsc._register(machine)
    assert len(machine.ran) == 1


def test_an_entry_that_is_there_is_not_written_again() -> None:
    machine = FakeMachine()
    machine.when("cat", done(runsc.merged("")))
    assert not runsc._register(machine)


def test_the_build_writes_nowhere_else_and_sees_no_secret() -> None:
    person = {
        "CLAUDE_BOTTLE_OAUTH_TOKEN": "canary",
        "GOFLAGS": "-mod=vendor",
        "GOOS": "darwin",
        "GOPROXY": "https://proxy",
    }
    environment = runsc.build_environment(person, Path("/room"))
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
    assert bool(runsc._own_go(machine)) is own
    assert ("PyPI" in runsc.changes(machine)[0]) is not own
