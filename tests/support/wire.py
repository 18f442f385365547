"""Wire: a client that speaks CONNECT, TLS and HTTP byte by byte, also wrongly.

Runs inside a container as `python3 -` with this file and a call of `main` on stdin, so it needs
nothing but Python's library. `source()`, `Case` and `Outcome` serve the host's side too.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 5.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One conversation with the proxy; texts are sent as Latin-1."""

    name: str
    opening: str = ""
    """Sent first as it is; empty: CONNECT for `target`."""
    target: str = ""
    after: str = ""
    """Sent in the tunnel instead of a TLS handshake."""
    server_name: str | None = "same"
    """`same`: the target's host; None: no SNI."""
    hello: str = "whole"
    """`whole`, `records` (of 20 bytes), `segments` (of 7 bytes) or `slow`."""
    newest: str = ""
    """`1.2` for TLS 1.2."""
    protocols: list[str] = field(default_factory=list)
    """ALPN."""
    requests: list[str] = field(default_factory=list)
    """Sent one after the other inside TLS, each answered before the next."""
    upload: int = 0
    """Bytes of body sent after the last request's head."""
    later: str = ""
    """Sent after the first answer's head, as for an upgraded connection."""


@dataclass
class Outcome:
    """What the client saw; times are of the machine-wide monotonic clock."""

    name: str
    began: float = 0
    ended: float = 0
    connect: str = ""
    """Status of the answer to the opening, `closed` or `silent`."""
    tunnel: str = ""
    """Empty, `established`, `closed` or `silent`."""
    protocol: str = ""
    statuses: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Heads and bodies of the last answers, the refusal of CONNECT included; cut at 4 KiB."""
    first: float = 0
    """Seconds from the request to the first byte of its body."""
    received: int = 0
    """Bytes of the last body."""


def source() -> str:
    """Give this program's text."""
    return Path(__file__).read_text(encoding="utf-8")


class Closed(Exception):
    """The other side closed."""


class Stream:
    """Bytes in both directions, plain or inside TLS, with a limit to every wait."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.pending = b""

    def close(self) -> None:
        self._socket.close()

    def send(self, sent: bytes) -> None:
        if self._tls is None:
            self._socket.sendall(sent)
            return
        self._tls.write(sent)
        self._socket.sendall(self._outgoing.read())

    def receive(self) -> bytes:
        if self.pending:
            held, self.pending = self.pending, b""
            return held
        if self._tls is None:
            return self._raw()
        while True:
            try:
                got = self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._incoming.write(self._raw())
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                raise Closed from None
            if not got:
                raise Closed
            return got

    def _raw(self) -> bytes:
        try:
            got = self._socket.recv(1 << 16)
        except (ConnectionError, BrokenPipeError):
            raise Closed from None
        if not got:
            raise Closed
        return got

    def secure(self, context: ssl.SSLContext, name: str | None, hello: str) -> str:
        """Do the handshake with a ClientHello cut as `hello` says; give the protocol agreed on."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        pieces = first_flight(tls, self._outgoing, hello)
        for piece in pieces:
            self._socket.sendall(piece)
            if len(pieces) > 1:
                time.sleep(0.3 if hello == "slow" else 0.002)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._socket.sendall(self._outgoing.read())
                self._incoming.write(self._raw())
        self._socket.sendall(self._outgoing.read())
        self._tls = tls
        return tls.selected_alpn_protocol() or ""


def first_flight(tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, hello: str) -> list[bytes]:
    """Give the ClientHello in the pieces that `hello` asks for."""
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    whole = outgoing.read()
    if hello == "records":
        body = whole[5:]
        cut = [body[at : at + 20] for at in range(0, len(body), 20)]
        return [b"".join(b"\x16\x03\x01" + struct.pack(">H", len(c)) + c for c in cut)]
    if hello == "segments":
        return [whole[at : at + 7] for at in range(0, len(whole), 7)]
    return [whole[:1], whole[1:3], whole[3:]] if hello == "slow" else [whole]


def head(stream: Stream) -> bytes:
    """Read to the end of a head; keep what came after it."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += stream.receive()
    found, _, stream.pending = got.partition(b"\r\n\r\n")
    return found + b"\r\n\r\n"


def body(stream: Stream, found: bytes, outcome: Outcome, asked: float) -> bytes:
    """Read a body by its length or its chunks; give its first 4 KiB and count the rest."""
    lowered = found.lower()
    if b"chunked" in lowered:
        return chunks(stream, outcome, asked)
    if b"content-length:" not in lowered:
        return b""
    left = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
    kept = b""
    while left > 0:
        got = stream.receive()
        outcome.first = outcome.first or time.monotonic() - asked
        got, stream.pending = got[:left], got[left:]
        left -= len(got)
        outcome.received += len(got)
        kept += got[: max(0, 4096 - len(kept))]
    return kept


def chunks(stream: Stream, outcome: Outcome, asked: float) -> bytes:
    """Read chunks to the last one."""
    kept = b""
    while True:
        while b"\r\n" not in stream.pending:
            stream.pending = stream.pending + stream_more(stream)
        size, _, rest = stream.pending.partition(b"\r\n")
        length = int(size, 16)
        while len(rest) < length + 2:
            stream.pending = b""
            rest += stream.receive()
        outcome.first = outcome.first or time.monotonic() - asked
        outcome.received += length
        kept += rest[:length][: max(0, 4096 - len(kept))]
        stream.pending = rest[length + 2 :]
        if not length:
            return kept


def stream_more(stream: Stream) -> bytes:
    """Read on behind what is pending."""
    held, stream.pending = stream.pending, b""
    got = stream.receive()
    stream.pending = held
    return got


def context_for(case: Case, authority: str) -> ssl.SSLContext:
    """Trust the bottle's authority alone, as strictly as Python can."""
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if case.server_name is None:
        context.check_hostname = False
    if case.newest == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if case.protocols:
        context.set_alpn_protocols(case.protocols)
    return context


def status(found: bytes) -> str:
    """Give the status code of a head."""
    words = found.split(b" ", 2)
    return words[1].decode("latin-1") if len(words) > 1 else "unreadable"


def run(case: Case, proxy: tuple[str, int], authority: str) -> Outcome:
    """Have one conversation and say what was seen."""
    outcome = Outcome(name=case.name, began=time.monotonic())
    stream = Stream(proxy)
    try:
        converse(case, stream, authority, outcome)
    except (Closed, ConnectionError, ssl.SSLError):
        mark(outcome, "closed")
    except TimeoutError:
        mark(outcome, "silent")
    finally:
        stream.close()
    outcome.ended = time.monotonic()
    return outcome


def mark(outcome: Outcome, how: str) -> None:
    """Note where the conversation ended."""
    if not outcome.connect:
        outcome.connect = how
    elif outcome.tunnel in {"", "established"}:
        outcome.tunnel = how


def converse(case: Case, stream: Stream, authority: str, outcome: Outcome) -> None:
    """Open the tunnel, secure it, ask."""
    opening = case.opening or f"CONNECT {case.target} HTTP/1.1\r\nHost: {case.target}\r\n\r\n"
    asked = time.monotonic()
    stream.send(opening.encode("latin-1"))
    found = head(stream)
    outcome.connect = status(found)
    if case.opening or outcome.connect != "200":
        outcome.answers.append((found + body(stream, found, outcome, asked)).decode("latin-1"))
        return
    if case.after:
        stream.send(case.after.encode("latin-1"))
        stream.receive()
        outcome.tunnel = "answered"
        return
    name = case.target.partition(":")[0] if case.server_name == "same" else case.server_name
    outcome.protocol = stream.secure(context_for(case, authority), name, case.hello)
    outcome.tunnel = "established"
    for request in case.requests:
        ask(case, stream, request, outcome)


def ask(case: Case, stream: Stream, request: str, outcome: Outcome) -> None:
    """Send one request and read its answer."""
    asked, outcome.first, outcome.received = time.monotonic(), 0.0, 0
    stream.send(request.encode("latin-1"))
    piece, left = bytes(1 << 16), case.upload
    while left > 0:
        stream.send(piece[: min(left, len(piece))])
        left -= len(piece)
    found = head(stream)
    answer = found + body(stream, found, outcome, asked)
    if case.later:
        stream.send(case.later.encode("latin-1"))
        answer += stream.receive()
    outcome.statuses.append(status(found))
    outcome.answers.append(answer[:4096].decode("latin-1"))


def main(cases: str) -> None:
    """Run the cases, given as JSON, in order and a moment apart."""
    asked: dict[str, Any] = json.loads(cases)
    outcomes = []
    for members in asked["cases"]:
        outcomes.append(
            asdict(run(Case(**members), (asked["proxy"], asked["port"]), asked["authority"]))
        )
        time.sleep(asked.get("pause", 0.02))
    print(json.dumps(outcomes))  # noqa: T201  # this is its answer
