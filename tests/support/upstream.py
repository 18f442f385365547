"""Upstream: a server that counts who comes to it, and a name server; for containers of tests.

Runs inside a container as `python3 -c THIS CONFIGURATION`: Python's library and openssl are all it
needs. Every contact, request and query is a line of /tmp/heard.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HEARD = Path("/tmp/heard")
_guard = threading.Lock()


def source() -> str:
    """Give this program's text."""
    return Path(__file__).read_text(encoding="utf-8")


def hear(kind: str, **known: Any) -> None:
    """Note something that arrived, with the machine-wide monotonic time."""
    line = json.dumps({"kind": kind, "time": time.monotonic(), **known}) + "\n"
    with _guard, HEARD.open("a") as stream:
        stream.write(line)


class Answers(http.server.BaseHTTPRequestHandler):
    """What the server answers, by path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms behind its head

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _heard(self) -> None:
        headers = [[name, value] for name, value in self.headers.items()]
        hear("request", method=self.command, path=self.path, headers=headers)

    def _answer(self, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Claude-Bottle", "denied")  # a lie that must not get through
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._heard()
        if self.path.startswith("/bytes/"):
            self._bytes(int(self.path.rpartition("/")[2]))
        elif self.path == "/events":
            self._events()
        elif self.path == "/upgrade":
            self._upgrade()
        elif self.path == "/trailers":
            self._trailers()
        else:
            self._answer(b"hello from upstream")

    def _bytes(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(count))
        self.end_headers()
        piece = bytes(1 << 16)
        for at in range(0, count, len(piece)):
            self.wfile.write(piece[: count - at])

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in (b"data: first\n\n", b"data: last\n\n"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.8)
        self.wfile.write(b"0\r\n\r\n")

    def _trailers(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n")

    def _upgrade(self) -> None:
        """Accept a WebSocket and send back one frame of one text byte a client sends."""
        if self.headers.get("Upgrade") != "websocket":
            self.send_response(101)
            self.send_header("Upgrade", str(self.headers.get("Upgrade")))
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(b"switched")
            return
        key = str(self.headers.get("Sec-WebSocket-Key")) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest())  # noqa: S324  # RFC 6455
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accepted.decode())
        self.end_headers()
        self.rfile.read(7)
        self.wfile.write(b"\x81\x01x")
        self.wfile.flush()
        self.close_connection = True

    def do_POST(self) -> None:
        self._heard()
        left = int(self.headers.get("Content-Length", "0"))
        got = 0
        while left > 0 and (piece := self.rfile.read(min(left, 1 << 16))):
            left -= len(piece)
            got += len(piece)
        self._answer(b"%d" % got)


class Listener(http.server.ThreadingHTTPServer):
    """Counts every connection, also those that never speak TLS."""

    daemon_threads = True
    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, peer = super().get_request()
        hear("contact", port=self.server_address[1], peer=peer[0])
        return accepted, peer

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            secured = self.context.wrap_socket(request, server_side=True)
            super().finish_request(secured, client_address)
        except OSError as error:
            hear("broken", error=type(error).__name__)


def certificates(names: list[str]) -> str:
    """Make an authority and a certificate for `names` in /tmp; give the authority's PEM."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    make += ["-nodes", "-days", "10"]
    root = ["-subj", "/CN=test root", "-keyout", "/tmp/root.key", "-out", "/tmp/root.pem"]
    leaf = ["-subj", "/CN=upstream", "-keyout", "/tmp/leaf.key", "-out", "/tmp/leaf.pem"]
    leaf += ["-CA", "/tmp/root.pem", "-CAkey", "/tmp/root.key"]
    leaf += ["-addext", "basicConstraints=critical,CA:FALSE"]
    leaf += ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)]
    for words in (root, leaf):
        subprocess.run([*make, *words], check=True, stderr=subprocess.DEVNULL)
    return Path("/tmp/root.pem").read_text()


class Names(socketserver.BaseRequestHandler):
    """Answers A queries from a table; names that are not in it do not exist."""

    table: dict[str, list[str]]

    def handle(self) -> None:
        query, sender = self.request
        name, end = _question(query)
        kind = int.from_bytes(query[end : end + 2], "big")
        hear("query", name=name, type=kind)
        found = self.table.get(name.lower().rstrip("."))
        answers = found if found and kind == 1 else []
        flags = b"\x81\x80" if found is not None else b"\x81\x83"
        counts = b"\x00\x01" + len(answers).to_bytes(2, "big") + bytes(4)
        records = b"".join(
            b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(address)
            for address in answers
        )
        sender.sendto(
            query[:2] + flags + counts + query[12 : end + 4] + records, self.client_address
        )


def _question(query: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    return ".".join(labels), at + 1


def main() -> None:
    """Serve TLS on the given ports and names on port 53 until killed."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    root = certificates(asked["names"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tmp/leaf.pem", "/tmp/leaf.key")
    context.set_alpn_protocols(["http/1.1"])
    Listener.context = context
    Names.table = asked["table"]
    servers: list[socketserver.BaseServer] = [
        Listener(("0.0.0.0", port), Answers)  # noqa: S104  # inside its own container
        for port in asked["ports"]
    ]
    servers.append(socketserver.ThreadingUDPServer(("0.0.0.0", 53), Names))  # noqa: S104
    HEARD.touch()
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(json.dumps({"ca": root}), flush=True)  # noqa: T201  # its first line
    threading.Event().wait()


if __name__ == "__main__":
    main()
