"""Secrets: the token is in launcher and sidecar alone, and goes to the model's API alone."""

from __future__ import annotations

import hashlib
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from bottle.core.egress import Refusal
from bottle.core.secret import TOKEN
from tests.support import bottles, launcher
from tests.support.bottles import API, LISTED, Live
from tests.support.hunt import LOOK_INSIDE, canary, hunting, lacks
from tests.support.launcher import Place

PREFIX: Final = "-".join(("sk", "ant"))
QUICK: Final = 2.0


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# -- SEC-1


@pytest.mark.claim("SEC-1")
class TestTheTokenIsNowhereElse:
    """Nowhere but in the memory of launcher and sidecar: each look finds a decoy, and no token."""

    @pytest.mark.parametrize("runtime", bottles.RUNTIMES)
    def test_while_the_bottle_lives_and_after(self, runtime: str, tmp_path: Path) -> None:
        engine = bottles.need(runtime)
        with hunting(engine, tmp_path) as hunt:
            with bottles.live(runtime, adapter="claude", token=hunt.token) as bottle:
                _use(bottle, hunt.decoy)
                during = hunt.look(bottle.lifetime.plan.keeper.name)
                reversed_ = {name: text[::-1] for name, text in hunt.needles.items()}
                inside = bottle.python(LOOK_INSIDE, reversed_)
                heard = bottle.wait_for("request", path="/v1/messages?beta=true")
            after = hunt.look()
        assert heard["token_sha256"] == digest(hunt.token)
        assert during["token"] == after["token"] == inside["token"] == []
        hunt.require_found(during, after)
        assert lacks(during["decoy"], ["memory:"]) == []
        assert "/tmp/decoy" in inside["decoy"]
        assert any(path.endswith("/environ") for path in inside["decoy"])

    def test_through_the_real_launcher(self, tmp_path: Path) -> None:
        engine = bottles.need()
        place = Place(folder=tmp_path)
        with hunting(engine, tmp_path) as hunt:
            given = {TOKEN: hunt.token}
            with launcher.start(place, "--agent", "demo", environment=given) as running:
                running.wait_started()
                running.send(signal.SIGSTOP)  # its bottle stays, for as long as we look
                during = hunt.look(f"cb-{running.session}-agent")
                running.send(signal.SIGCONT)
                assert running.ended() == 0
            after = hunt.look()
        # as the kernel goes on showing it: what the launcher was started with
        assert during["token"] == [f"environ:{running.pid}:invoke"]
        assert after["token"] == []
        hunt.require_found(during, after)
        asked = [r for r in running.records() if r.get("path", "").startswith("/v1/messages")]
        assert {r["token_sha256"] for r in asked if "token_sha256" in r} == {digest(hunt.token)}
        assert hunt.token not in running.told()


def _use(bottle: Live, decoy: str) -> None:
    """Ask the model with the token in use; leave the decoy in a file and a process inside."""
    asked = bottle.run("claude", "--dangerously-skip-permissions", "-p", "hi")
    assert asked.output.decode().strip() == "hello"
    left = "cat >/tmp/decoy; X=$(cat /tmp/decoy) setsid sleep 300 >/dev/null 2>&1 </dev/null &"
    bottle.run("bash", "-c", f"{left} sleep 0.2", stdin=decoy.encode())


# -- SEC-2

ASK: Final = r"""
import http.client, os, ssl, time
from urllib.parse import urlsplit

def main(request):
    proxy = urlsplit(os.environ["HTTPS_PROXY"])
    link = http.client.HTTPSConnection(
        proxy.hostname, proxy.port, context=ssl.create_default_context(), timeout=20
    )
    link.set_tunnel(request["host"], 443)
    begun = time.monotonic()
    link.putrequest("GET", request["path"])
    for name, value in request["headers"]:
        link.putheader(name, value)
    link.endheaders()
    answer = link.getresponse()
    answer.read()
    mark = answer.getheader("X-Claude-Bottle", "")
    return {"status": answer.status, "mark": mark, "seconds": time.monotonic() - begun}
"""


@dataclass(frozen=True, kw_only=True)
class Paying:
    """A bottle with a token, and both of its spellings."""

    bottle: Live
    token: str
    placeholder: str

    def ask(self, host: str, path: str, *headers: tuple[str, str]) -> Mapping[str, Any]:
        request = {"host": host, "path": path, "headers": headers}
        told: Mapping[str, Any] = self.bottle.python(ASK, request)
        return told

    def arrived(self, path: str) -> list[Mapping[str, Any]]:
        """Give what the stand-in heard of requests to a path."""
        heard = [r for r in self.bottle.records if r.get("event") == "request"]
        return [r for r in heard if str(r["path"]).startswith(path)]


@pytest.fixture(scope="class")
def paying() -> Iterator[Paying]:
    """Give one under runc: the sidecar is the same under both; test_claude asks under both."""
    token = canary()
    with bottles.live(adapter="claude", token=token) as bottle:
        held = bottle.sh("printf %s $CLAUDE_CODE_OAUTH_TOKEN").output.decode()
        assert held != token
        yield Paying(bottle=bottle, token=token, placeholder=held)


def unique() -> str:
    return f"/{secrets.token_hex(8)}"


FOREIGN: Final = {
    "another token": [("Authorization", "Bearer {foreign}")],
    "the real token, were it known": [("Authorization", "Bearer {token}")],
    "another scheme": [("Authorization", "Basic {placeholder}")],
    "no scheme": [("Authorization", "{placeholder}")],
    "something after the placeholder": [("Authorization", "Bearer {placeholder}A")],
    "two in one": [("Authorization", "Bearer {placeholder}, Bearer {foreign}")],
    "twice": [("Authorization", "Bearer {placeholder}"), ("Authorization", "Bearer {foreign}")],
    "another key": [("X-Api-Key", "{foreign}")],
    "a key beside the placeholder": [
        ("Authorization", "Bearer {placeholder}"),
        ("X-Api-Key", "{foreign}"),
    ],
    "a cookie": [("Cookie", "sessionKey={foreign}")],
    "a cookie of no known shape": [("Cookie", "a=b")],
    "a header that speaks of tokens": [("X-Auth-Token", "abc")],
    "the proxy's": [("Proxy-Authorization", "Basic abc")],
    "any header with the vendor's prefix": [("X-Note", "{prefix}-x")],
}
"""Headers of requests to the API that carry a credential which is not the bottle's own."""
QUERIES: Final = ("api_key=x", "access_token=x", "a=b&token=x", "x-api-key=x", "%61pi_key=x")


@pytest.mark.claim("SEC-2")
class TestTheTokenGoesToTheApiAlone:
    """The token goes to api.anthropic.com alone, and no other credential is accepted there."""

    @pytest.mark.parametrize(
        ("name", "form"),
        [("Authorization", "Bearer {}"), ("authorization", "bearer {}"), ("X-Api-Key", "{}")],
    )
    def test_the_placeholder_arrives_as_the_token(
        self, paying: Paying, name: str, form: str
    ) -> None:
        path = unique()
        paying.ask(API, path, (name, form.format(paying.placeholder)))
        assert _digests(paying, API, path) == [digest(paying.token)]

    def test_without_a_credential_none_arrives(self, paying: Paying) -> None:
        path = unique()
        paying.ask(API, path)
        assert _digests(paying, API, path) == [None]

    @pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
    def test_to_another_host_the_placeholder_stays(self, paying: Paying, name: str) -> None:
        path = unique()
        value = paying.placeholder if name == "X-Api-Key" else f"Bearer {paying.placeholder}"
        paying.ask(LISTED, path, (name, value))
        assert _digests(paying, LISTED, path) == [digest(paying.placeholder)]

    @pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
    def test_a_foreign_credential_is_denied(
        self, paying: Paying, headers: list[tuple[str, str]]
    ) -> None:
        words = {"foreign": canary(), "token": paying.token, "placeholder": paying.placeholder}
        filled = [(name, value.format(prefix=PREFIX, **words)) for name, value in headers]
        _require_denied(paying, unique(), "", filled, Refusal.FOREIGN_CREDENTIAL)

    @pytest.mark.parametrize("query", QUERIES)
    def test_a_credential_in_the_query_is_denied(self, paying: Paying, query: str) -> None:
        own = [("Authorization", f"Bearer {paying.placeholder}")]
        _require_denied(paying, unique(), f"?{query}", own, Refusal.CREDENTIAL_IN_URL)

    def test_a_credential_in_the_path_is_denied(self, paying: Paying) -> None:
        _require_denied(paying, unique(), f"/{PREFIX}-x", [], Refusal.CREDENTIAL_IN_URL)

    def test_what_is_foreign_there_may_go_elsewhere(self, paying: Paying) -> None:
        path, foreign = unique(), canary()
        paying.ask(LISTED, path, ("Authorization", f"Bearer {foreign}"))
        assert _digests(paying, LISTED, path) == [digest(foreign)]


def _digests(paying: Paying, host: str, path: str) -> list[str | None]:
    paying.bottle.wait_for("request", host=host, path=path)
    return [r["token_sha256"] for r in paying.arrived(path)]


def _require_denied(
    paying: Paying, path: str, more: str, headers: list[tuple[str, str]], reason: Refusal
) -> None:
    told = paying.ask(API, path + more, *headers)
    assert (told["status"], told["mark"]) == (403, "denied")
    assert told["seconds"] < QUICK
    known: dict[str, Any] = {"host": API, "path": (path + more).partition("?")[0], "allowed": False}
    decision = paying.bottle.wait_for("decision", stage="request", **known)
    assert decision["reason"] == str(reason)
    # the same connection's worth of waiting later, the stand-in has still heard nothing
    door = unique()
    paying.ask(API, door)
    paying.bottle.wait_for("request", path=door)
    assert paying.arrived(path) == []
