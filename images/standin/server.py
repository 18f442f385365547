"""Server: HTTP over TLS for every name, and a plain port that tells who reached it."""

from __future__ import annotations

import hashlib
import http.server
import json
import secrets
import socket
import socketserver
import ssl
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import certificates
import lines
import messages
import script
from settings import Settings

API_HOST: Final = "api.anthropic.com"
TLS_PORT: Final = 443
PLAIN_PORT: Final = 8080
_PATIENCE: Final = 60.0
_LARGEST_BODY: Final = 32 * 1024 * 1024
_LARGEST_RECORD: Final = 1024 * 1024
_HELLO: Final = f"The {script.MARK}: you reached {{host}}, played by a container.\n"
Body = Mapping[str, Any]


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.document = messages.error(kind, text)


class Answers(http.server.BaseHTTPRequestHandler):
    """One connection; keeps it alive between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "standin"
    sys_version = ""
    timeout = _PATIENCE
    disable_nagle_algorithm = True  # else a body waits 40 ms behind its head
    settings: ClassVar[Settings]
    steps: ClassVar[tuple[script.Step, ...]]

    def setup(self) -> None:
        super().setup()
        self._said = False

    def handle(self) -> None:
        self.connection.do_handshake()
        super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing here: the lines are written per request."""

    def do_GET(self) -> None:
        self._answer(self._page)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(self._post)

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    @property
    def _host(self) -> str:
        return self.headers.get("Host", "").partition(":")[0].lower()

    def _answer(self, work: Callable[[bytes], None]) -> None:
        self._body = b""
        self._said = False
        try:
            self._body = self._read()
            work(self._body)
        except Refusal as refusal:
            self._document(refusal.status, refusal.document)

    def _page(self, _: bytes) -> None:
        path = self.path.partition("?")[0]
        if self._host == API_HOST or path != "/":
            raise Refusal(404, "not_found_error", "Not found")
        self._send(200, "text/plain; charset=utf-8", _HELLO.format(host=self._host).encode())

    def _post(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        if self._host != API_HOST or self.command != "POST":
            raise Refusal(404, "not_found_error", "Not found")
        if path == "/v1/messages":
            self._message(_question(body, self._credential()))
        elif path == "/v1/messages/count_tokens":
            _question(body, self._credential())
            self._document(200, {"input_tokens": messages.tokens(body)})
        else:
            raise Refusal(404, "not_found_error", "Not found")

    def _message(self, question: Body) -> None:
        if self.settings.script == "answer":
            reply = script.Reply(text=self.settings.answer)
        else:
            reply = script.demo(question, self.steps)
        about = (
            str(question.get("model", "stand-in")),
            f"msg_{secrets.token_hex(12)}",
            messages.tokens(self._body),
        )
        if question.get("stream") is True:
            self._stream(messages.events(reply, *about))
        else:
            self._document(200, messages.whole(reply, *about))

    def _stream(self, events: Any) -> None:
        self._head(200, "text/event-stream; charset=utf-8", ("Transfer-Encoding", "chunked"))
        for event in events:
            piece = messages.encode(event)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _document(self, status: int, document: Body) -> None:
        self._send(status, "application/json", json.dumps(document).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self._head(status, kind, ("Content-Length", str(len(content))))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, kind: str, length: tuple[str, str]) -> None:
        self._say(status)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Request-Id", f"req_{secrets.token_hex(12)}")
        self.send_header("Cache-Control", "no-store")
        self.send_header(*length)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _say(self, status: int) -> None:
        """Testify once about this request; never with the credential itself."""
        if self._said:
            return
        self._said = True
        credential = self._credential()
        digest = hashlib.sha256(credential.encode()).hexdigest() if credential else None
        record = {}
        if self.settings.record:
            record["body"] = self._body[:_LARGEST_RECORD].decode(errors="replace")
        lines.say(
            "request",
            host=self._host[:256],
            method=self.command[:32],
            path=self.path[:1024],
            token_sha256=digest,
            status=status,
            **record,
        )

    def _credential(self) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return self.headers.get("X-Api-Key", "").strip()

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks()
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        return self._exactly(length)

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size = self.rfile.readline(64).partition(b";")[0].strip()
            try:
                length = int(size, 16)
            except ValueError:
                length = -1
            piece = self._exactly(length, so_far=len(body))
            if not length:
                break
            body += piece
            self.rfile.readline(8)
        while self.rfile.readline(65536).strip():
            pass  # trailers mean nothing here
        return body

    def _exactly(self, length: int, so_far: int = 0) -> bytes:
        if length < 0 or so_far + length > _LARGEST_BODY:
            self.close_connection = True
            status, kind = (413, "request_too_large") if length > 0 else (400, "invalid_request_error")
            raise Refusal(status, kind, "The body is too large or of no clear length")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the body ended early")
        return body


def _question(body: bytes, credential: str) -> Body:
    if not credential:
        raise Refusal(401, "authentication_error", "a credential is required")
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        question = None
    if not isinstance(question, dict):
        raise Refusal(400, "invalid_request_error", "The body is not a JSON object")
    return question


class Plain(socketserver.StreamRequestHandler):
    """Greets whoever connects in clear, and tells on them."""

    timeout = 5.0

    def handle(self) -> None:
        lines.say("tcp", port=PLAIN_PORT, peer=str(self.client_address[0]))
        content = _HELLO.format(host=f"port {PLAIN_PORT}").encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(content)}\r\n"
        self.wfile.write(head.encode() + b"Connection: close\r\n\r\n" + content)
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.recv(4096)  # a close with unread bytes would be a reset


class Threads(socketserver.ThreadingTCPServer):
    """One thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, _: object, client_address: Any) -> None:
        error = sys.exception()
        sys.stderr.write(f"{client_address[0]}: {type(error).__name__}: {str(error)[:200]}\n")


def listen(settings: Settings, certificate: certificates.Certificate) -> tuple[Threads, Threads]:
    """Bind both ports; who connects from now on is answered once the two are served."""
    listed = next((name for name in settings.names if name != API_HOST), API_HOST)
    Answers.settings = settings
    Answers.steps = script.steps(listed, settings.unlisted, settings.forbidden)
    secure = Threads((settings.listen, TLS_PORT), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    context.set_alpn_protocols(["http/1.1"])
    # the handshake belongs to the connection's own thread, under its time limit
    secure.socket = context.wrap_socket(
        secure.socket, server_side=True, do_handshake_on_connect=False
    )
    return secure, Threads((settings.listen, PLAIN_PORT), Plain)
