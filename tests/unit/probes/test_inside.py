"""Inside: what it tells is what it met; that it gets out of a leaky place is shown elsewhere."""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bottle.probes import inside, watch

LOOPBACK = "127.0.0.1"


def test_both_probes_know_each_other_by_the_same_mark() -> None:
    assert inside.NONCE == watch.NONCE


def test_a_file_is_read_or_the_error_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text \xff\n")
    assert inside.read(str(tmp_path / "file")) == "text \ufffd\n"
    assert inside.read(str(tmp_path / "none")) == "ENOENT"
    assert inside.read(str(tmp_path)) == "EISDIR"


@pytest.mark.parametrize(
    ("number", "name"), [(errno.EPERM, "EPERM"), (errno.EROFS, "EROFS"), (None, "OSError")]
)
def test_what_should_fail_is_named_by_its_error(number: int | None, name: str) -> None:
    def fail() -> None:
        raise OSError(number, "text") if number else OSError("text")

    assert inside.outcome(fail) == name
    assert inside.outcome(lambda: None) == "worked"


def test_the_powers_of_a_process_are_read() -> None:
    powers = inside.status("self")
    assert {"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapEff", "CapBnd"} <= set(powers)
    assert len(powers["CapEff"]) == 16
    assert "Name" not in powers
    assert inside.status("0") == {}


def test_mounts_are_path_type_and_options() -> None:
    places = {path: (kind, options.split(",")) for path, kind, options in inside.mounts()}
    assert places["/proc"][0] == "proc"
    assert {"ro", "rw"} & set(places["/"][1])


def test_every_way_past_the_routes_is_aimed_at_every_host() -> None:
    aims = inside.aims(["10.0.0.1", "10.0.0.2"])
    assert ("broadcast", "255.255.255.255", "") in aims
    assert ("multicast", "224.0.0.1", "eth0") in aims
    assert [address for name, address, _ in aims if name == "dontroute"] == ["10.0.0.1", "10.0.0.2"]


class Recorder:
    """Stands where a socket would; nothing leaves this process."""

    def __init__(self, sent: list[tuple[Any, ...]]) -> None:
        self._sent = sent

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setsockopt(self, *_: object) -> None:
        pass

    def setblocking(self, _: bool) -> None:
        pass

    def sendto(self, text: bytes, where: tuple[str, int]) -> None:
        self._sent.append((text, where))

    def sendmsg(self, parts: list[bytes], _: object, __: int, where: tuple[str, int]) -> None:
        self._sent.append((b"".join(parts), where))

    def connect_ex(self, where: tuple[str, int]) -> int:
        self._sent.append((b"", where))
        return errno.EINPROGRESS


def test_what_is_sent_carries_the_mark_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(inside, "plain_socket", lambda _: Recorder(sent))
    monkeypatch.setattr(socket, "socket", lambda *_: Recorder(sent))
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: 2)
    told = inside.send_tricks([5], [6], ["10.0.0.1"])
    assert told == ["broadcast", "multicast", "dontroute", "pktinfo", "tcp"]
    assert len(sent) == len(told)
    datagrams = [text for text, where in sent if where[1] == 5]
    assert len(datagrams) == 4
    assert all(text.startswith(inside.NONCE) for text in datagrams)


def test_what_cannot_be_sent_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(inside, "plain_socket", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    assert inside.send_tricks([5], [6], ["10.0.0.1"]) == []


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[list[object], list[bytes]]]:
    """Listen on loopback and give one answer; give the address and what was asked."""
    asked: list[bytes] = []
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield [LOOPBACK, server.getsockname()[1]], asked
        thread.join(5)


def test_a_refused_tunnel_is_told_with_its_head() -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nx-claude-bottle: denied\r\n\r\nrest"
    with answering(answer) as (proxy, asked):
        told = inside.way(proxy, "unlisted.invalid")
    assert str(told["tunnel"]).startswith("HTTP/1.1 403 Forbidden\r\nx-claude-bottle: denied\r\n")
    assert asked[0].startswith(b"CONNECT unlisted.invalid:443 HTTP/1.1\r\n")


def test_an_open_tunnel_that_speaks_no_tls_is_an_error() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (proxy, _):
        assert "error" in inside.way(proxy, "listed.invalid")


def test_a_proxy_that_is_not_there_is_an_error() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    assert str(inside.way([LOOPBACK, port], "x")["error"]).startswith("ConnectionRefusedError")


def test_a_head_ends_at_its_end_or_at_a_bound() -> None:
    for sent, got in (
        (b"a\r\n\r\nbody", "a\r\n\r\nbody"),
        (b"cut", "cut"),
        (b"", ""),
        (b"x" * 20000, "x" * 8192),
    ):
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                theirs.sendall(sent)
            assert inside.head(ours)[:8192] == got


def test_it_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inside, "observe", lambda request: {"asked": request, "text": "a\nb"})
    inside.main('{"udp": []}')
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"asked": {"udp": []}, "text": "a\nb"}
