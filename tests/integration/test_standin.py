"""The stand-in alone, on an internal network: what it answers, what it testifies, when it ends."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bottle.core.parts import ContainerPlan
from bottle.core.plan import API_HOST
from bottle.engine.port import Attached
from bottle.errors import TimeLimit
from bottle.session.standin import PLAIN_PORT, UNLISTED, Standin
from tests.support import ground
from tests.support.ground import PAGE, Ground, last_words

CLIENT = """
import http.client, json, socket, ssl, sys

asked = json.load(sys.stdin)

def talk(request):
    context = ssl.create_default_context(cadata=request.get("ca", asked["ca"]))
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with socket.create_connection((asked["address"], 443), timeout=10) as plain:
            name = request.get("name", request["host"])
            with context.wrap_socket(plain, server_hostname=name) as secure:
                protocol = secure.selected_alpn_protocol()
                secure.sendall(request["text"].encode())
                return {"protocol": protocol, "answers": answers(secure, request)}
    except OSError as error:
        return {"error": type(error).__name__, "text": str(error)}

def answers(secure, request):
    found = []
    for method in request["methods"]:
        response = http.client.HTTPResponse(secure, method=method)
        response.begin()
        body = response.read().decode()
        found.append([response.status, dict(response.getheaders()), body])
    return found

print(json.dumps([talk(request) for request in asked["requests"]]))
"""
PLAIN = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as sock:
    sock.sendall(sys.argv[3].encode())
    sock.settimeout(2)
    print(b"".join(iter(lambda: sock.recv(4096), b"")).decode())
"""


@dataclass(frozen=True)
class Answer:
    """One answer of the stand-in."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Talk:
    """A running stand-in, and a neighbour on its network who asks it."""

    ground: Ground
    pipe: Attached
    authority: str
    lines: list[str] = field(default_factory=list)
    """Everything it said after `ready`, as it was said."""

    @property
    def address(self) -> str:
        return _container(self.ground).attachments[0].address

    def ask(self, *texts: str, host: str = API_HOST, **more: Any) -> list[Answer]:
        """Send requests on one connection and give their answers."""
        methods = [text.split(" ", 1)[0] for text in texts]
        request = {"host": host, "text": "".join(texts), "methods": methods, **more}
        (seen,) = self.raw([request])
        assert "answers" in seen, seen
        assert seen["protocol"] == "http/1.1"
        return [Answer(*answer) for answer in seen["answers"]]

    def raw(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Have conversations, each on a connection of its own."""
        asked = {"address": self.address, "ca": self.authority, "requests": list(requests)}
        done = self._neighbour("python3", "-c", CLIENT, stdin=json.dumps(asked).encode())
        return list(json.loads(done))

    def plain(self, text: str) -> str:
        """Send a text to the port without TLS and give what comes back."""
        words = ("python3", "-c", PLAIN, self.address, str(PLAIN_PORT), text)
        return self._neighbour(*words).decode()

    def heard(self, event: str) -> list[dict[str, Any]]:
        """Take the lines that came since the last time, and give those of an event."""
        new = []
        while True:
            try:
                line = self.pipe.line(0.1)
            except TimeLimit:
                break
            assert line is not None
            new.append(line)
        self.lines += new
        return [line for line in map(json.loads, new) if line["event"] == event]

    def _neighbour(self, *command: str, stdin: bytes = b"") -> bytes:
        container = self.ground.neighbour
        done = self.ground.execute(container, container.uid, *command, stdin=stdin)
        assert done.code == 0, done.errors
        return done.output


@pytest.fixture(scope="module")
def place() -> Iterator[Ground]:
    with ground.ground() as made, made.running(made.neighbour):
        yield made


@pytest.fixture(scope="module")
def aside(place: Ground) -> Ground:
    """Give the same ground with its stand-in at another address, for a second one."""
    first = _container(place)
    attachment = replace(first.attachments[0], address=str(place.plan.slot.outside[4]))
    second = replace(first, name=f"{first.name}-2", attachments=(attachment,))
    return replace(place, plan=replace(place.plan, standin=second))


def _container(place: Ground) -> ContainerPlan:
    assert place.plan.standin
    return place.plan.standin


@contextmanager
def _talk(place: Ground, standin: Standin) -> Iterator[Talk]:
    with place.running(_container(place)) as pipe:
        pipe.send(standin.configuration(place.plan))
        first = json.loads(pipe.line(30) or "{}")
        assert first["event"] == "ready", pipe.errors()
        yield Talk(place, pipe, first["ca"])


@pytest.fixture(scope="module")
def talk(place: Ground) -> Iterator[Talk]:
    with _talk(place, Standin(names=ground.NAMES)) as found:
        yield found


@pytest.fixture(scope="module")
def token() -> str:
    return "sk-ant-oat01-" + secrets.token_hex(40)


def _post(path: str, document: object, *headers: str, host: str = API_HOST) -> str:
    body = document if isinstance(document, str) else json.dumps(document)
    head = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", body])


def _get(path: str, host: str, method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"


def _events(answer: Answer) -> list[dict[str, Any]]:
    """Read server-sent events; the name and the type of each are the same."""
    blocks = [block.split("\n") for block in answer.body.split("\n\n") if block]
    found = [json.loads(text.removeprefix("data: ")) for _, text in blocks]
    assert [name for name, _ in blocks] == [f"event: {event['type']}" for event in found]
    return found


# -- the API

HELLO = {"model": "claude-x", "messages": [{"role": "user", "content": "hello"}]}
SHELL = [{"name": "Bash"}]


class TestApi:
    def test_a_reply_as_a_stream(self, talk: Talk, token: str) -> None:
        asked = {**HELLO, "stream": True, "tools": SHELL}
        (answer,) = talk.ask(
            _post("/v1/messages?beta=true", asked, f"Authorization: Bearer {token}")
        )
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        events = _events(answer)
        kinds = [event["type"] for event in events if event["type"] != "content_block_delta"]
        block = ["content_block_start", "content_block_stop"]
        assert kinds == ["message_start", "ping", *block * 2, "message_delta", "message_stop"]
        assert events[0]["message"]["model"] == "claude-x"
        assert events[-2]["delta"]["stop_reason"] == "tool_use"
        pieces = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        assert PAGE in "".join(piece.get("text", "") for piece in pieces)
        call = json.loads("".join(piece.get("partial_json", "") for piece in pieces))
        assert call["command"].endswith(f"https://{PAGE}/")

    def test_a_reply_as_a_document(self, talk: Talk, token: str) -> None:
        (answer,) = talk.ask(_post("/v1/messages", HELLO, f"X-Api-Key: {token}"))
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        document = answer.document
        assert (document["role"], document["model"]) == ("assistant", "claude-x")
        assert [block["type"] for block in document["content"]] == ["text"]
        assert document["stop_reason"] == "end_turn"
        assert document["usage"]["output_tokens"] > 0

    def test_tokens_are_counted(self, talk: Talk, token: str) -> None:
        asked = _post("/v1/messages/count_tokens", HELLO, f"X-Api-Key: {token}")
        (answer,) = talk.ask(asked)
        assert answer.status == 200
        assert answer.document == {"input_tokens": len(json.dumps(HELLO)) // 4}

    @pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
    @pytest.mark.parametrize(
        "header",
        ["X-Other: x", "Authorization: Bearer ", "Authorization: Basic eDp5", "X-Api-Key: "],
    )
    def test_no_answer_without_a_credential(self, talk: Talk, path: str, header: str) -> None:
        (answer,) = talk.ask(_post(path, HELLO, header))
        assert answer.status == 401
        assert answer.document["type"] == "error"
        assert answer.document["error"]["type"] == "authentication_error"

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
    def test_a_question_that_is_none(self, talk: Talk, token: str, text: str) -> None:
        (answer,) = talk.ask(_post("/v1/messages", text, f"X-Api-Key: {token}"))
        assert (answer.status, answer.document["error"]["type"]) == (400, "invalid_request_error")

    def test_many_requests_on_one_connection(self, talk: Talk, token: str) -> None:
        asked = _post("/v1/messages", {**HELLO, "stream": True}, f"X-Api-Key: {token}")
        other = _get("/api/claude_code/settings", API_HOST)
        answers = talk.ask(asked, other, asked)
        assert [answer.status for answer in answers] == [200, 404, 200]

    def test_a_chunked_question(self, talk: Talk, token: str) -> None:
        body = json.dumps(HELLO)
        halves = [body[:10], body[10:], ""]
        text = "".join(f"{len(half):x}\r\n{half}\r\n" for half in halves)
        head = f"POST /v1/messages HTTP/1.1\r\nHost: {API_HOST}\r\nX-Api-Key: {token}\r\n"
        answers = talk.ask(f"{head}Transfer-Encoding: chunked\r\n\r\n{text}")
        assert [answer.status for answer in answers] == [200]

    @pytest.mark.parametrize(
        ("length", "status"), [("-1", 400), ("1_0", 400), ("x", 400), (str(1 << 30), 413)]
    )
    def test_a_body_of_no_usable_length(self, talk: Talk, length: str, status: int) -> None:
        head = f"POST /v1/messages HTTP/1.1\r\nHost: {API_HOST}\r\nContent-Length: {length}\r\n\r\n"
        (answer,) = talk.ask(head)
        assert (answer.status, answer.headers["Connection"]) == (status, "close")


class TestDemo:
    def test_it_goes_through_its_steps_and_judges_them(self, talk: Talk, token: str) -> None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Show it."}]
        given = ["stand-in says hello", "curl: (56) response 403", "curl: (7) Failed to connect"]
        commands = []
        for text in given:
            tool = self._turn(talk, token, messages)[1]
            commands.append(tool["input"]["command"])
            failed = text.startswith("curl")
            result = {"type": "tool_result", "tool_use_id": tool["id"], "content": text}
            messages.append({"role": "user", "content": [{**result, "is_error": failed}]})
        (last,) = self._turn(talk, token, messages)
        targets = [command.split()[-1] for command in commands]
        direct = f"http://{talk.address}:{PLAIN_PORT}/"
        assert targets == [f"https://{PAGE}/", f"https://{UNLISTED}/", direct]
        assert last["text"].endswith("and nothing else.")

    @staticmethod
    def _turn(talk: Talk, token: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked = {**HELLO, "messages": messages, "tools": SHELL}
        (answer,) = talk.ask(_post("/v1/messages", asked, f"Authorization: Bearer {token}"))
        return list(answer.document["content"])


class TestAnswer:
    def test_it_says_what_it_was_told_to_and_records_bodies(
        self, aside: Ground, token: str
    ) -> None:
        told = "ä said \x1b[31m once\n"
        standin = Standin(names=ground.NAMES, script="answer", answer=told, record=True)
        with _talk(aside, standin) as talk:
            asked = {**HELLO, "tools": SHELL}
            (answer,) = talk.ask(_post("/v1/messages", asked, f"X-Api-Key: {token}"))
            (upload,) = talk.ask(_post("/in", "secret text", host=PAGE), host=PAGE)
            bodies = [line["body"] for line in talk.heard("request")]
        assert answer.document["content"] == [{"type": "text", "text": told}]
        assert upload.status == 404
        assert bodies == [json.dumps(asked), "secret text"]


# -- the pages


class TestPages:
    def test_a_page_carries_the_mark_and_the_host(self, talk: Talk) -> None:
        (answer,) = talk.ask(_get("/?q=1", PAGE), host=PAGE)
        assert answer.status == 200
        assert "stand-in says hello" in answer.body
        assert PAGE in answer.body

    def test_a_head_has_no_body(self, talk: Talk) -> None:
        answers = talk.ask(_get("/", PAGE, "HEAD"), _get("/", PAGE), host=PAGE)
        assert [(a.status, bool(a.body)) for a in answers] == [(200, False), (200, True)]

    @pytest.mark.parametrize(
        ("host", "path"), [(API_HOST, "/"), (API_HOST, "/v1/messages"), (PAGE, "/other")]
    )
    def test_elsewhere_there_is_nothing(self, talk: Talk, host: str, path: str) -> None:
        (answer,) = talk.ask(_get(path, host), host=host)
        assert (answer.status, answer.document["error"]["type"]) == (404, "not_found_error")


class TestTls:
    def test_only_its_own_authority_vouches_for_it(self, talk: Talk, aside: Ground) -> None:
        request = {"host": PAGE, "text": _get("/", PAGE), "methods": ["GET"]}
        with _talk(aside, Standin(names=ground.NAMES)) as other:
            seen = talk.raw([request, {**request, "ca": other.authority}])
        assert seen[0]["answers"][0][0] == 200
        assert seen[1]["error"] == "SSLCertVerificationError"

    @pytest.mark.parametrize("name", ["other.example", "www.example.com"])
    def test_it_has_no_certificate_for_another_name(self, talk: Talk, name: str) -> None:
        (seen,) = talk.raw([{"host": PAGE, "name": name, "text": "", "methods": []}])
        assert seen["error"] == "SSLCertVerificationError"
        assert "mismatch" in seen["text"]


# -- what it testifies


class TestLines:
    def test_a_request_with_the_digest_of_its_token(self, talk: Talk, token: str) -> None:
        talk.heard("request")
        talk.ask(_post("/v1/messages", HELLO, f"Authorization: Bearer {token}"))
        talk.ask(_post("/v1/messages", HELLO, f"x-api-key: {token}"))
        talk.ask(_get("/a?b", PAGE), host=PAGE)
        digest = hashlib.sha256(token.encode()).hexdigest()
        api = {"host": API_HOST, "method": "POST", "path": "/v1/messages", "status": 200}
        page = {"host": PAGE, "method": "GET", "path": "/a?b", "status": 404}
        assert talk.heard("request") == [
            {"event": "request", **api, "token_sha256": digest},
            {"event": "request", **api, "token_sha256": digest},
            {"event": "request", **page, "token_sha256": None},
        ]

    def test_a_connection_on_which_nothing_is_asked(self, talk: Talk) -> None:
        talk.heard("contact")
        talk.raw([{"host": PAGE, "text": "", "methods": []}])
        talk.raw([{"host": PAGE, "name": "other.example", "text": "", "methods": []}])
        peer = talk.ground.neighbour.attachments[0].address
        assert talk.heard("contact") == [{"event": "contact", "port": 443, "peer": peer}] * 2

    def test_a_request_whose_body_ends_early(self, talk: Talk) -> None:
        talk.heard("request")
        head = f"POST /leak HTTP/1.1\r\nHost: {PAGE}\r\nContent-Length: 9\r\n\r\nab"
        talk.raw([{"host": PAGE, "text": head, "methods": []}])
        seen = talk.heard("request")
        assert [(line["path"], line["status"]) for line in seen] == [("/leak", None)]

    @pytest.mark.parametrize(
        ("text", "status"), [("nonsense\r\n\r\n", 400), ("TRACE /leak HTTP/1.1\r\n\r\n", 501)]
    )
    def test_what_is_no_request_that_it_knows(self, talk: Talk, text: str, status: int) -> None:
        talk.heard("malformed")
        talk.raw([{"host": PAGE, "text": text, "methods": []}])
        line = text.split("\r\n", 1)[0]
        assert talk.heard("malformed") == [{"event": "malformed", "line": line, "status": status}]

    @pytest.mark.parametrize("text", ["", "GET / HTTP/1.0\r\n\r\n", "SSH-2.0-x\r\n"])
    def test_whoever_comes_without_tls(self, talk: Talk, text: str) -> None:
        talk.heard("tcp")
        answer = talk.plain(text or "\n")
        assert "stand-in says hello" in answer
        peer = talk.ground.neighbour.attachments[0].address
        assert talk.heard("tcp") == [{"event": "tcp", "port": PLAIN_PORT, "peer": peer}]

    def test_no_token_is_anywhere_in_its_output(self, talk: Talk, token: str) -> None:
        for header in (f"Authorization: Bearer {token}", f"X-Api-Key: {token}", f"Cookie: {token}"):
            talk.ask(_post("/v1/messages", HELLO, header))
            talk.raw([{"host": API_HOST, "text": f"GET / HTTP/1.1\r\n{header}\r\n", "methods": []}])
        talk.heard("request")
        said = "\n".join(talk.lines) + talk.pipe.errors()
        assert hashlib.sha256(token.encode()).hexdigest() in said
        assert token not in said
        assert token[-40:] not in said


# -- the process

BAD: tuple[str | dict[str, Any], ...] = (
    "",
    "{",
    "null",
    {"version": 2},
    {"names": []},
    {"names": ["a b"]},
    {"unlisted": "$(true)"},
    {"more": 1},
    {"listen": "198.51.100.1"},
)


class TestProcess:
    @pytest.mark.parametrize("changed", BAD, ids=str)
    def test_a_bad_configuration_ends_it_before_it_listens(
        self, aside: Ground, changed: str | dict[str, Any]
    ) -> None:
        good = json.loads(Standin(names=ground.NAMES).configuration(aside.plan))
        line = changed if isinstance(changed, str) else json.dumps(good | changed)
        with aside.running(_container(aside)) as pipe:
            pipe.send(line.encode() + b"\n")
            code, lines, errors = last_words(pipe)
        assert (code, lines) == (3, [])
        assert errors.startswith("standin: ")
        assert "Traceback" not in errors

    def test_it_ends_with_its_launcher(self, aside: Ground) -> None:
        with _talk(aside, Standin(names=ground.NAMES)) as talk:
            talk.pipe.close()
            assert talk.pipe.wait(5) == 1

    def test_it_ends_with_its_launcher_when_nothing_was_said(self, aside: Ground) -> None:
        with aside.running(_container(aside)) as pipe:
            pipe.close()
            assert last_words(pipe)[:2] == (1, [])
