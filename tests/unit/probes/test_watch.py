"""Watch: it hears what carries the mark and nothing else, and says so only when asked."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bottle.probes import watch

LOOPBACK = "127.0.0.1"
MARKED = watch.NONCE + b"broadcast"


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Sockets as it has them, on loopback alone."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        socket.create_server((LOOPBACK, 0)) as accepting,
    ):
        for sock in (one, two):
            sock.bind((LOOPBACK, 0))
        yield [one, two, accepting]


def send(target: socket.socket, text: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(text, target.getsockname())


def test_silence_is_silence(sockets: list[socket.socket]) -> None:
    assert watch.heard(sockets) == []


def test_only_what_is_marked_counts(sockets: list[socket.socket]) -> None:
    send(sockets[0], b"somebody else's")
    send(sockets[1], b"somebody else's")
    send(sockets[1], MARKED)
    assert watch.heard(sockets) == ["udp on the bridge"]


def test_each_socket_has_its_name(sockets: list[socket.socket]) -> None:
    send(sockets[0], MARKED)
    send(sockets[1], MARKED)
    with socket.create_connection(sockets[2].getsockname()):
        assert watch.heard(sockets) == ["udp", "udp on the bridge", "tcp"]


def test_marked_frames_are_counted() -> None:
    wire, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with wire, other:
        for frame in (b"header" + MARKED, b"a resolver's question", b"more" + MARKED):
            other.send(frame)
        assert watch.frames(wire) == 2
        assert watch.frames(wire) == 0


def test_the_rule_is_what_nft_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout="a listing", returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    assert watch.rule() == "a listing"
    assert commands == [["nft", "--json", "list", "table", "inet", "claude_bottle"]]


@pytest.mark.parametrize("word", ["now\n", ""])
def test_it_says_what_it_saw_only_when_asked(
    word: str,
    sockets: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wire, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(watch, "listening_sockets", lambda _: sockets)
    monkeypatch.setattr(watch, "wire_of", lambda _: wire)
    monkeypatch.setattr(watch, "rule", lambda: "a listing")
    monkeypatch.setattr(sys, "stdin", io.StringIO(word))
    with wire, other:
        other.send(MARKED)
        send(sockets[0], MARKED)
        watch.main("cb-0")
    listening, *seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ports = [sock.getsockname()[1] for sock in sockets]
    assert listening == {
        "event": "listening",
        "udp": ports[:2],
        "tcp": ports[2:],
        "rule": "a listing",
    }
    assert seen == ([{"event": "seen", "wire": 1, "heard": ["udp"]}] if word else [])
