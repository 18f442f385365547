"""Server: HTTP over TLS for every name, and a plain port; both testify to whoever reaches them."""

from __future__ import annotations

import hashlib
import http.server
import json
import secrets
import socket
import socketserver
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import lines
import messages
import script
from certificates import Certificate
from settings import Settings

API_HOST: Final = "api.anthropic.com"
TLS_PORT: Final = 443
PLAIN_PORT: Final = 8080
_PATIENCE: Final = 60.0
_LARGEST_BODY: Final = 32 * 1024 * 1024
_LARGEST_RECORD: Final = 1024 * 1024
_LONGEST_TEXT: Final = 1024
_HELLO: Final = f"The {script.MARK}: you reached {{host}}, played by a container.\n"
Document = Mapping[str, Any]


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.document = messages.error(kind, text)


class Threads(socketserver.ThreadingTCPServer):
    """One thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, _: object, client_address: Any) -> None:
        """Say what ended a connection, and nothing of what was sent on it."""
        error = sys.exception()
        text = f": {error}"[:200] if isinstance(error, OSError) else ""
        sys.stderr.write(f"{client_address[0]}: {type(error).__name__}{text}\n")


class Secure(Threads):
    """The API and the pages, over TLS."""

    def __init__(self, settings: Settings, certificate: Certificate) -> None:
        self.settings = settings
        pages = (n for n in settings.names if n != API_HOST and not n.startswith("*."))
        self.steps = script.steps(next(pages, ""), settings.unlisted, settings.forbidden)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.path, certificate.key)
        context.set_alpn_protocols(["http/1.1"])
        super().__init__((settings.listen, TLS_PORT), Answers)
        # the handshake belongs to the connection's own thread, under its time limit
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )


class Answers(http.server.BaseHTTPRequestHandler):
    """One connection over TLS; keeps it alive between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "standin"
    sys_version = ""
    timeout = _PATIENCE
    disable_nagle_algorithm = True  # else a body waits 40 ms behind its head
    server: Secure

    def handle(self) -> None:
        """Tell of the connection before anything is asked on it."""
        lines.say("contact", port=TLS_PORT, peer=str(self.client_address[0]))
        self.connection.do_handshake()
        super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing here: the lines are written per request."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Tell of what http.server itself refuses: no request line, or a method not below."""
        lines.say("malformed", line=self.requestline[:_LONGEST_TEXT], status=code)
        super().send_error(code, message, explain)

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._post)

    do_HEAD = do_GET  # noqa: N815  # http.server's name
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815  # http.server's names

    @property
    def _host(self) -> str:
        return self.headers.get("Host", "").partition(":")[0].lower()

    @property
    def _credential(self) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return self.headers.get("X-Api-Key", "").strip()

    # -- what is answered

    def _answer(self, work: Callable[[], None]) -> None:
        self._body = b""
        try:
            self._body = self._read()
            work()
        except Refusal as refusal:
            self._document(refusal.status, refusal.document)

    def _page(self) -> None:
        if self._host == API_HOST or self.path.partition("?")[0] != "/":
            raise Refusal(404, "not_found_error", "Not found")
        self._send(200, "text/plain; charset=utf-8", _HELLO.format(host=self._host).encode())

    def _post(self) -> None:
        path = self.path.partition("?")[0]
        if self._host != API_HOST or self.command != "POST":
            raise Refusal(404, "not_found_error", "Not found")
        if path == "/v1/messages":
            self._message(self._question())
        elif path == "/v1/messages/count_tokens":
            self._question()
            self._document(200, {"input_tokens": messages.tokens(self._body)})
        else:
            raise Refusal(404, "not_found_error", "Not found")

    def _question(self) -> Document:
        if not self._credential:
            raise Refusal(401, "authentication_error", "A credential is required")
        try:
            question = json.loads(self._body)
        except (ValueError, RecursionError):
            question = None
        if not isinstance(question, dict):
            raise Refusal(400, "invalid_request_error", "The body is not a JSON object")
        return question

    def _message(self, question: Document) -> None:
        if self.server.settings.script == "answer":
            reply = script.Reply(text=self.server.settings.answer)
        else:
            reply = script.demo(question, self.server.steps)
        about = (
            str(question.get("model", "stand-in")),
            f"msg_{secrets.token_hex(12)}",
            messages.tokens(self._body),
        )
        if question.get("stream") is True:
            self._stream(messages.events(reply, *about))
        else:
            self._document(200, messages.whole(reply, *about))

    # -- how it is sent

    def _stream(self, events: Iterable[messages.Event]) -> None:
        self._head(200, "text/event-stream; charset=utf-8", ("Transfer-Encoding", "chunked"))
        for event in events:
            piece = messages.encode(event)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _document(self, status: int, document: Document) -> None:
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

    def _say(self, status: int | None) -> None:
        """Testify to this request before it is answered; never with the credential itself."""
        credential = self._credential
        digest = hashlib.sha256(credential.encode()).hexdigest() if credential else None
        record = {}
        if self.server.settings.record:
            record["body"] = self._body[:_LARGEST_RECORD].decode(errors="replace")
        lines.say(
            "request",
            host=self._host[:256],
            method=self.command[:32],
            path=self.path[:_LONGEST_TEXT],
            token_sha256=digest,
            status=status,
            **record,
        )

    # -- how a body is read

    def _read(self) -> bytes:
        """Give the whole body; one that ends early is told without a status, for it did arrive."""
        try:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._chunks()
            return self._exactly(_number(self.headers.get("Content-Length", "0"), 10))
        except OSError:
            self._say(None)
            raise

    def _chunks(self) -> bytes:
        body = bytearray()
        while length := _number(self.rfile.readline(64).decode("latin-1").partition(";")[0], 16):
            body += self._exactly(length, so_far=len(body))
            self.rfile.readline(8)
        while self.rfile.readline(65536).strip():
            pass  # trailers mean nothing here
        return bytes(body)

    def _exactly(self, length: int, so_far: int = 0) -> bytes:
        if length < 0:
            self.close_connection = True
            raise Refusal(400, "invalid_request_error", "The body is of no clear length")
        if so_far + length > _LARGEST_BODY:
            self.close_connection = True
            raise Refusal(413, "request_too_large", "The body is too large")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the body ended early")
        return body


def _number(text: str, base: int) -> int:
    """Read a length as HTTP writes it, without sign or underscore; -1 when it is none."""
    try:
        return int(text.strip(), base) if text.strip().isalnum() else -1
    except ValueError:
        return -1


class Plain(socketserver.StreamRequestHandler):
    """Greets whoever connects in clear, and tells on them."""

    timeout = 5.0

    def handle(self) -> None:
        """Tell first: what is sent, or whether anything is, does not matter."""
        lines.say("tcp", port=PLAIN_PORT, peer=str(self.client_address[0]))
        content = _HELLO.format(host=f"port {PLAIN_PORT}").encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(content)}\r\n"
        self.wfile.write(head.encode() + b"Connection: close\r\n\r\n" + content)
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.recv(4096)  # a close with unread bytes would be a reset


def listen(settings: Settings, certificate: Certificate) -> tuple[Secure, Threads]:
    """Bind both ports; who connects from now on is answered once the two are served."""
    return Secure(settings, certificate), Threads((settings.listen, PLAIN_PORT), Plain)
