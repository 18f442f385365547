"""The egress sidecar alone: what passes, what is refused and why, and whether anybody noticed.

Every case is seen from three sides: by the client, in the audit lines, and by the server. Allowed
names are pinned, since a test's networks are private; refused answers come from the test's own DNS.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import sidecar
from tests.support.launcher import until
from tests.support.sidecar import Running, Seen, Stage, Talk
from tests.support.wire import Case
from tests.unit.core.test_addresses import PUBLIC, SPECIAL

OPEN = "open.example"
BROKERED = "brokered.example"
NAMES = (OPEN, BROKERED, "a.wild.example", "other.example", "hooks.example", "*.hooks.example")
TABLE = {
    "private.dns.example": ["10.1.2.3"],
    "metadata.dns.example": ["169.254.169.254"],
    "loopback.dns.example": ["127.0.0.1"],
    "azure.dns.example": ["168.63.129.16"],
    "documentation.dns.example": ["198.51.100.7"],
    "mixed.dns.example": ["198.51.100.7", "10.1.2.3"],
    "empty.dns.example": [],
}
ALLOWLIST = [OPEN, BROKERED, "other.example", "*.wild.example", "*.dns.example", "*.hooks.example"]
GET = f"GET /small?q=1 HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with sidecar.stage(NAMES, TABLE) as made:
        yield made


@dataclass(frozen=True)
class Brokered:
    """A placeholder and what it stands for, both made for this run."""

    placeholder: str
    value: str


@pytest.fixture(scope="module")
def brokered() -> Brokered:
    return Brokered(
        "sk-ant-oat01-" + secrets.token_hex(40), "sk-ant-oat01-" + secrets.token_hex(40)
    )


@pytest.fixture(scope="module")
def running(stage: Stage, brokered: Brokered) -> Iterator[tuple[Running, Talk]]:
    pinned = (OPEN, BROKERED, "other.example", "a.wild.example")
    credential = {
        "host": BROKERED,
        "placeholder": brokered.placeholder,
        "value": brokered.value,
    }
    with stage.sidecar(
        allowlist=[*ALLOWLIST, f"{OPEN}:8443"],
        pins=dict.fromkeys(pinned, stage.upstream_address),
        credentials=[credential],
    ) as found:
        yield found


@pytest.fixture(scope="module")
def talk(running: tuple[Running, Talk]) -> Talk:
    return running[1]


def _assert_refused(seen: Seen, stage: str, reason: str) -> None:
    assert [(d["stage"], d["reason"]) for d in seen.denials] == [(stage, reason)]
    assert seen.contacts == 0


# -- what passes

DOORS = (
    Case(name="plain", target=f"{OPEN}:443", requests=[GET]),
    Case(name="TLS 1.2", target=f"{OPEN}:443", newest="1.2", requests=[GET]),
    Case(name="upper case", target="OPEN.example:443", requests=[GET]),
    Case(name="trailing dot", target=f"{OPEN}.:443", server_name=OPEN, requests=[GET]),
    Case(name="server name in upper case", target=f"{OPEN}:443", server_name="OPEN.example",
         requests=[GET]),
    Case(name="records", target=f"{OPEN}:443", hello="records", requests=[GET]),
    Case(name="segments", target=f"{OPEN}:443", hello="segments", requests=[GET]),
    Case(name="slow", target=f"{OPEN}:443", hello="slow", requests=[GET]),
    Case(name="wildcard", target="a.wild.example:443",
         requests=[GET.replace(OPEN, "a.wild.example")]),
    Case(name="listed port", target=f"{OPEN}:8443",
         requests=[GET.replace(OPEN, f"{OPEN}:8443")]),
    Case(name="host with port", target=f"{OPEN}:443", requests=[GET.replace(OPEN, f"{OPEN}:443")]),
    Case(name="both protocols", target=f"{OPEN}:443", protocols=["h2", "http/1.1"],
         requests=[GET]),
)  # fmt: skip


@pytest.fixture(scope="module")
def doors(talk: Talk) -> Mapping[str, Seen]:
    return talk.run(DOORS)


class TestDoors:
    @pytest.mark.parametrize("name", [case.name for case in DOORS])
    def test_lets_a_listed_host_through(self, doors: Mapping[str, Seen], name: str) -> None:
        seen = doors[name]
        assert seen.outcome.connect == "200"
        assert seen.outcome.statuses == ["200"]
        assert seen.answer.endswith("hello from upstream")
        assert seen.contacts == 1
        stages = [(line["stage"], line["allowed"]) for line in seen.lines]
        assert stages == [("connect", True), ("request", True)]

    def test_tells_what_was_let_through(self, doors: Mapping[str, Seen]) -> None:
        told = doors["wildcard"].lines[1]
        assert told["host"] == "a.wild.example"
        assert told["pattern"] == "*.wild.example"
        assert (told["port"], told["method"], told["path"]) == (443, "GET", "/small")
        assert told["reason"] == "listed"

    def test_speaks_http_1_1_alone(self, doors: Mapping[str, Seen]) -> None:
        assert doors["both protocols"].outcome.protocol == "http/1.1"

    def test_nobody_else_says_denied_in_our_name(self, doors: Mapping[str, Seen]) -> None:
        assert "x-claude-bottle" not in doors["plain"].answer.lower()

    def test_several_requests_in_one_tunnel(self, talk: Talk) -> None:
        seen = talk.run([Case(name="two", target=f"{OPEN}:443", requests=[GET, GET])])["two"]
        assert seen.outcome.statuses == ["200", "200"]
        assert seen.contacts == 1

    def test_websocket(self, talk: Talk) -> None:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        upgrade = (
            f"GET /upgrade HTTP/1.1\r\nHost: {OPEN}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        frame = "\x81\x81\x00\x00\x00\x00x"
        case = Case(name="ws", target=f"{OPEN}:443", requests=[upgrade], later=frame)
        seen = talk.run([case])["ws"]
        assert seen.outcome.statuses == ["101"]
        assert seen.answer.endswith("\x81\x01x")

    def test_events_arrive_as_they_are_sent(self, talk: Talk) -> None:
        request = f"GET /events HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"
        seen = talk.run([Case(name="sse", target=f"{OPEN}:443", requests=[request])])["sse"]
        assert seen.answer.endswith("data: first\n\ndata: last\n\n")
        assert seen.outcome.first < 0.8  # what the server waits after each

    def test_a_client_may_wait_for_leave_to_send(self, talk: Talk) -> None:
        request = f"POST /sink HTTP/1.1\r\nHost: {OPEN}\r\nContent-Length: 1\r\n"
        request += "Expect: 100-continue\r\n\r\n"
        case = Case(name="expect", target=f"{OPEN}:443", requests=[request], later="x")
        seen = talk.run([case])["expect"]
        assert seen.outcome.statuses == ["100"]
        assert "HTTP/1.1 200 OK" in seen.answer

    def test_trailers_are_left_out(self, talk: Talk) -> None:
        request = f"GET /trailers HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"
        case = Case(name="trailers", target=f"{OPEN}:443", requests=[request, GET])
        seen = talk.run([case])["trailers"]
        assert seen.outcome.statuses == ["200", "200"]


# -- the way there

NOT_LISTED = "host is not on the allowlist"
NO_NAME = "not a plain host name"
ADDRESS = "an IP address, not a host name"
CONNECTS = (
    ("evil.example:443", NOT_LISTED),
    ("wild.example:443", NOT_LISTED),
    ("notwild.example:443", NOT_LISTED),
    ("a.open.example:443", NOT_LISTED),
    (f"{OPEN}.evil.example:443", NOT_LISTED),
    (f"{OPEN}:22", "port is not listed for this host"),
    (f"{OPEN}:2525", "port is not listed for this host"),
    ("other.example:8443", "port is not listed for this host"),
    ("198.51.100.1:443", ADDRESS),
    ("3325256705:443", ADDRESS),
    ("0306.063.0144.01:443", ADDRESS),
    ("0xc6336401:443", ADDRESS),
    ("[::1]:443", ADDRESS),
    ("[::ffff:198.51.100.1]:443", ADDRESS),
    ("localhost:443", NO_NAME),
)
UNREADABLE = (
    ("user information", f"u:p@{OPEN}:443"),
    ("user information with another host", f"{OPEN}@evil.example:443"),
    ("no port", OPEN),
    ("port out of range", f"{OPEN}:65979"),
    ("NUL", f"{OPEN}\x00.evil.example:443"),
    ("space", f"{OPEN} .evil.example:443"),
)
PLAINLY = (
    ("listed, whole URL", f"GET http://{OPEN}/small HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"),
    ("unlisted, whole URL", "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ("https in the clear", f"GET https://{OPEN}/small HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"),
    ("origin form", f"GET / HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"),
    ("the proxy's own page", "GET http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\n\r\n"),
)
BARE = (
    ("a request in the clear", GET),
    ("SSH", "SSH-2.0-OpenSSH_9\r\n"),
    ("noise", "\x00\x01\x02\x03hello world"),
)
HELLOS = (
    ("unlisted name", "evil.example", "whole"),
    ("another listed name", "other.example", "whole"),
    ("unlisted name in records", "evil.example", "records"),
    ("unlisted name in segments", "evil.example", "segments"),
)


@pytest.fixture(scope="module")
def ways(talk: Talk) -> Mapping[str, Seen]:
    cases = [Case(name=target, target=target) for target, _ in CONNECTS]
    cases += [Case(name=name, target=target) for name, target in UNREADABLE]
    cases += [Case(name=name, opening=opening) for name, opening in PLAINLY]
    cases += [Case(name=name, target=f"{OPEN}:443", after=after) for name, after in BARE]
    tunnel = f"{OPEN}:443"
    cases += [
        Case(name=name, target=tunnel, server_name=sni, hello=hello, requests=[GET])
        for name, sni, hello in HELLOS
    ]
    cases.append(Case(name="no name", target=tunnel, server_name=None, requests=[GET]))
    preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    cases.append(Case(name="HTTP/2", target=tunnel, protocols=["h2"], requests=[preface]))
    return talk.run(cases)


class TestWays:
    @pytest.mark.parametrize(("target", "reason"), CONNECTS)
    def test_connect_elsewhere(self, ways: Mapping[str, Seen], target: str, reason: str) -> None:
        seen = ways[target]
        assert seen.outcome.connect == "403"
        assert "x-claude-bottle: denied" in seen.answer
        assert json.loads(seen.answer.partition("\r\n\r\n")[2])["denied"] == reason
        _assert_refused(seen, "connect", reason)
        assert seen.queries == []
        assert seen.outcome.ended - seen.outcome.began < 2  # the resolver's time-out, the shortest

    @pytest.mark.parametrize("name", [name for name, _ in UNREADABLE])
    def test_unreadable_connect(self, ways: Mapping[str, Seen], name: str) -> None:
        seen = ways[name]
        assert seen.outcome.connect == "400"
        assert "x-claude-bottle: denied" in seen.answer
        _assert_refused(seen, "request", "the request is malformed")

    @pytest.mark.parametrize("name", [name for name, _ in PLAINLY])
    def test_no_proxying_without_a_tunnel(self, ways: Mapping[str, Seen], name: str) -> None:
        assert ways[name].outcome.connect == "403"
        _assert_refused(ways[name], "request", "only CONNECT is served here")

    @pytest.mark.parametrize("name", [name for name, _ in BARE])
    def test_only_tls_in_a_tunnel(self, ways: Mapping[str, Seen], name: str) -> None:
        assert ways[name].outcome.tunnel == "closed"
        _assert_refused(ways[name], "tunnel", "only TLS is let through a tunnel")

    @pytest.mark.parametrize("name", [name for name, *_ in HELLOS])
    def test_other_server_name(self, ways: Mapping[str, Seen], name: str) -> None:
        assert ways[name].outcome.tunnel == "closed"
        assert ways[name].outcome.statuses == []
        reason = "the TLS server name differs from the tunnel's host"
        _assert_refused(ways[name], "client_hello", reason)

    def test_no_server_name(self, ways: Mapping[str, Seen]) -> None:
        assert ways["no name"].outcome.tunnel == "closed"
        _assert_refused(ways["no name"], "client_hello", "TLS without a server name")

    def test_http_2(self, ways: Mapping[str, Seen]) -> None:
        seen = ways["HTTP/2"]
        assert seen.outcome.protocol == ""
        assert seen.outcome.statuses == ["403"]
        assert seen.denials[0]["reason"] == "the request is not HTTP/1.1"
        assert seen.contacts == 0


# -- the request

ELSEWHERE = "the request's host differs from the tunnel's"
MALFORMED = "the request is malformed"
REQUESTS = (
    ("other host", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", ELSEWHERE),
    ("other listed host", "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", ELSEWHERE),
    ("other port", f"GET / HTTP/1.1\r\nHost: {OPEN}:8443\r\n\r\n", ELSEWHERE),
    ("no host", "GET / HTTP/1.1\r\n\r\n", ELSEWHERE),
    (
        "two hosts",
        f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nHost: evil.example\r\n\r\n",
        ELSEWHERE,
    ),
    ("same host twice", f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nhost: {OPEN}\r\n\r\n", ELSEWHERE),
    (
        "whole URL of another host",
        f"GET https://evil.example/ HTTP/1.1\r\nHost: {OPEN}\r\n\r\n",
        "the request names a whole URL inside a tunnel",
    ),
    (
        "whole URL of the host",
        f"GET https://{OPEN}/ HTTP/1.1\r\nHost: {OPEN}\r\n\r\n",
        "the request names a whole URL inside a tunnel",
    ),
    ("HTTP/1.0", f"GET / HTTP/1.0\r\nHost: {OPEN}\r\n\r\n", "the request is not HTTP/1.1"),
    (
        "folded header",
        f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nX-A: b\r\n X-C: d\r\n\r\n",
        MALFORMED,
    ),
    ("bare CR", f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nX-A: b\rX-C: d\r\n\r\n", MALFORMED),
    ("NUL", f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nX-A: b\x00\r\n\r\n", MALFORMED),
    ("an echo", f"TRACE / HTTP/1.1\r\nHost: {OPEN}\r\n\r\n", "the request is malformed"),
    (
        "endless head",
        f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nX-A: {'a' * 70000}\r\n\r\n",
        "the request's head is longer than 64 KiB",
    ),
)
UNREADABLE_REQUESTS = (
    ("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"),
    (
        "length and chunks",
        f"POST / HTTP/1.1\r\nHost: {OPEN}\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    ),
    (
        "two lengths",
        f"POST / HTTP/1.1\r\nHost: {OPEN}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ),
    ("space before the colon", f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nX-A : b\r\n\r\n"),
    ("no version", "GET /\r\n\r\n"),
    ("path without a slash", f"GET x HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"),
)


@pytest.fixture(scope="module")
def requests(talk: Talk) -> Mapping[str, Seen]:
    sent = [(name, request) for name, request, _ in REQUESTS]
    sent += UNREADABLE_REQUESTS
    cases = [Case(name=name, target=f"{OPEN}:443", requests=[request]) for name, request in sent]
    cases.append(Case(name="not HTTP", target=f"{OPEN}:443", requests=["\x00\x01SSH-like\r\n\r\n"]))
    codings = f"POST / HTTP/1.1\r\nHost: {OPEN}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    cases.append(Case(name="codings", target=f"{OPEN}:443", requests=[codings + "0\r\n\r\n"]))
    large = "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9000000\r\n\r\n"
    cases.append(Case(name="large", target=f"{OPEN}:443", requests=[large], upload=9_000_000))
    return talk.run(cases)


class TestRequests:
    @pytest.mark.parametrize(("name", "reason"), [(name, why) for name, _, why in REQUESTS])
    def test_refuses(self, requests: Mapping[str, Seen], name: str, reason: str) -> None:
        assert requests[name].outcome.statuses == ["403"]
        assert "x-claude-bottle: denied" in requests[name].answer
        _assert_refused(requests[name], "request", reason)
        assert requests[name].denials[0]["host"] == OPEN

    @pytest.mark.parametrize("name", [name for name, _ in UNREADABLE_REQUESTS])
    def test_unreadable(self, requests: Mapping[str, Seen], name: str) -> None:
        assert requests[name].outcome.statuses == ["400"]
        _assert_refused(requests[name], "request", MALFORMED)

    def test_only_http_inside_tls(self, requests: Mapping[str, Seen]) -> None:
        assert requests["not HTTP"].outcome.statuses == []
        reason = "only HTTP/1.1 is let through inside TLS"
        _assert_refused(requests["not HTTP"], "tunnel", reason)

    def test_a_list_of_codings_is_read_in_one_way_only(self, requests: Mapping[str, Seen]) -> None:
        assert requests["codings"].outcome.statuses == []
        _assert_refused(requests["codings"], "request", MALFORMED)

    def test_a_large_refused_body_is_not_read(self, requests: Mapping[str, Seen]) -> None:
        assert requests["large"].outcome.statuses == []
        _assert_refused(requests["large"], "request", ELSEWHERE)

    def test_an_unfinished_head_is_not_read_for_ever(self, talk: Talk) -> None:
        head = f"GET / HTTP/1.1\r\nHost: {OPEN}\r\nX-A: "
        case = Case(name="endless", target=f"{OPEN}:443", requests=[head], upload=600_000)
        seen = talk.run([case])["endless"]
        assert seen.outcome.tunnel == "closed"
        assert seen.contacts == 0

    def test_requests_ahead_of_time_are_not_held_for_ever(self, talk: Talk) -> None:
        request = f"GET /events HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"
        case = Case(name="ahead", target=f"{OPEN}:443", requests=[request], upload=600_000)
        assert talk.run([case])["ahead"].outcome.tunnel == "closed"

    def test_an_upgrade_to_something_else_is_closed(self, talk: Talk) -> None:
        upgrade = (
            f"GET /upgrade HTTP/1.1\r\nHost: {OPEN}\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
        )
        case = Case(name="h2c", target=f"{OPEN}:443", requests=[upgrade], later="through?")
        seen = talk.run([case])["h2c"]
        assert "switched" not in seen.answer
        assert seen.outcome.tunnel == "closed"


# -- names

RESOLUTIONS = (
    ("private.dns.example", "private use"),
    ("metadata.dns.example", "link-local"),
    ("loopback.dns.example", "loopback"),
    ("azure.dns.example", "cloud platform service"),
    ("documentation.dns.example", "documentation"),
    ("mixed.dns.example", "documentation"),
)


@pytest.fixture(scope="module")
def resolutions(talk: Talk) -> Mapping[str, Seen]:
    names = [name for name, _ in RESOLUTIONS] + ["empty.dns.example", "nowhere.dns.example"]
    return talk.run([Case(name=name, target=f"{name}:443") for name in names])


class TestResolution:
    @pytest.mark.parametrize(("name", "special"), RESOLUTIONS)
    def test_special_addresses(
        self, resolutions: Mapping[str, Seen], name: str, special: str
    ) -> None:
        seen = resolutions[name]
        assert seen.outcome.connect == "403"
        reason = f"the host name leads to an address that is not public ({special})"
        _assert_refused(seen, "resolve", reason)

    @pytest.mark.parametrize("name", [name for name, _ in RESOLUTIONS])
    def test_asks_once_for_the_absolute_name(
        self, resolutions: Mapping[str, Seen], name: str
    ) -> None:
        assert resolutions[name].queries == [name]

    @pytest.mark.parametrize("name", ["empty.dns.example", "nowhere.dns.example"])
    def test_names_without_address(self, resolutions: Mapping[str, Seen], name: str) -> None:
        assert resolutions[name].outcome.connect == "502"
        assert "x-claude-bottle: failed" in resolutions[name].answer
        _assert_refused(resolutions[name], "resolve", "the host name does not resolve")

    def test_a_pinned_name_is_never_asked_for(self, doors: Mapping[str, Seen]) -> None:
        assert doors["plain"].queries == []

    def test_a_pin_is_for_one_name(self, stage: Stage) -> None:
        pins = {"a.wild.example": stage.upstream_address}
        with stage.sidecar(allowlist=["*.wild.example"], pins=pins) as (_, talk):
            case = Case(name="b", target="b.wild.example:443")
            _assert_refused(talk.run([case])["b"], "resolve", "the host name does not resolve")


# -- credentials

FOREIGN = "a credential that is not this bottle's own"
IN_URL = "a credential in the URL"


def _credentials(brokered: Brokered) -> tuple[tuple[str, str, str], ...]:
    """Name, header lines or path, reason."""
    foreign = "sk-ant-api03-" + secrets.token_hex(40)
    own = brokered.placeholder
    return (
        ("other bearer", f"Authorization: Bearer {foreign}", FOREIGN),
        ("other scheme", f"Authorization: Basic {own}", FOREIGN),
        ("no scheme", f"Authorization: {own}", FOREIGN),
        ("placeholder and more", f"Authorization: Bearer {own}{foreign}", FOREIGN),
        ("other key", f"x-api-key: {foreign}", FOREIGN),
        ("own and other", f"Authorization: Bearer {own}\r\nX-Api-Key: {foreign}", FOREIGN),
        ("other and own", f"Authorization: Bearer {foreign}\r\nX-Api-Key: {own}", FOREIGN),
        ("twice", f"Authorization: Bearer {own}\r\nauthorization: Bearer {own}", FOREIGN),
        ("folded", f"Authorization: Bearer {own}\r\n {foreign}", MALFORMED),
        ("proxy", f"Proxy-Authorization: Bearer {foreign}", FOREIGN),
        ("cookie", f"Cookie: sessionKey={secrets.token_hex(8)}", FOREIGN),
        ("other header", f"X-Auth-Token: {secrets.token_hex(8)}", FOREIGN),
        ("any header", f"X-Harmless: {foreign}", FOREIGN),
        ("query", f"/v1?key={secrets.token_hex(8)}", IN_URL),
        ("second parameter", f"/v1?beta=true&access_token={secrets.token_hex(8)}", IN_URL),
        ("encoded parameter", f"/v1?acc%65ss_token={secrets.token_hex(8)}", IN_URL),
        ("in the path", f"/v1/{foreign}", IN_URL),
    )


@pytest.fixture(scope="module")
def carried(talk: Talk, brokered: Brokered) -> Mapping[str, Seen]:
    def case(name: str, carried: str) -> Case:
        path = carried if carried.startswith("/") else "/v1?beta=true"
        lines = "" if carried.startswith("/") else carried + "\r\n"
        request = f"GET {path} HTTP/1.1\r\nHost: {BROKERED}\r\n{lines}\r\n"
        return Case(name=name, target=f"{BROKERED}:443", requests=[request])

    cases = [case(name, carried) for name, carried, _ in _credentials(brokered)]
    cases.append(case("own bearer", f"authorization: bearer {brokered.placeholder}"))
    cases.append(case("own key", f"X-Api-Key: {brokered.placeholder}"))
    cases.append(case("none", "/v1?beta=true"))
    elsewhere = f"GET / HTTP/1.1\r\nHost: {OPEN}\r\n"
    elsewhere += f"Authorization: Bearer {brokered.placeholder}\r\n\r\n"
    cases.append(Case(name="elsewhere", target=f"{OPEN}:443", requests=[elsewhere]))
    return talk.run(cases)


def _arrived(seen: Seen, name: str) -> list[str]:
    requests = [entry for entry in seen.heard if entry["kind"] == "request"]
    assert len(requests) == 1
    return [value for found, value in requests[0]["headers"] if found.lower() == name]


class TestCredentials:
    @pytest.mark.parametrize(
        ("name", "reason"), [(name, why) for name, _, why in _credentials(Brokered("", ""))]
    )
    def test_refuses_any_other(self, carried: Mapping[str, Seen], name: str, reason: str) -> None:
        assert carried[name].outcome.statuses == ["403"]
        _assert_refused(carried[name], "request", reason)

    def test_the_placeholder_becomes_the_value(
        self, carried: Mapping[str, Seen], brokered: Brokered
    ) -> None:
        assert _arrived(carried["own bearer"], "authorization") == [f"Bearer {brokered.value}"]
        assert _arrived(carried["own key"], "x-api-key") == [brokered.value]

    def test_no_credential_passes_without_one(self, carried: Mapping[str, Seen]) -> None:
        assert carried["none"].outcome.statuses == ["200"]
        assert _arrived(carried["none"], "authorization") == []

    def test_elsewhere_the_placeholder_stays_one(
        self, carried: Mapping[str, Seen], brokered: Brokered
    ) -> None:
        arrived = _arrived(carried["elsewhere"], "authorization")
        assert arrived == [f"Bearer {brokered.placeholder}"]

    def test_the_value_is_in_no_line_and_no_file(
        self, running: tuple[Running, Talk], brokered: Brokered, carried: Mapping[str, Seen]
    ) -> None:
        assert carried
        assert brokered.value not in json.dumps(running[0].lines.seen)
        words = ["docker", "exec", running[0].name, "sh", "-c"]
        look = "cat /run/sidecar/* /proc/*/environ /proc/*/cmdline 2>/dev/null; true"
        done = subprocess.run([*words, look], capture_output=True, check=True)
        assert done.stdout
        assert brokered.value.encode() not in done.stdout


# -- bodies


def _resident(container: str) -> int:
    """Give the peak resident size of the largest process, in MiB."""
    look = "cat /proc/[0-9]*/status | sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' | sort -n"
    done = subprocess.run(
        ["docker", "exec", container, "sh", "-c", look], capture_output=True, check=True
    )
    return int(done.stdout.split()[-1]) // 1024


class TestBodies:
    SIZE = 200_000_000

    def test_stream_both_ways_at_bounded_memory(self, running: tuple[Running, Talk]) -> None:
        before = _resident(running[0].name)
        down = f"GET /bytes/{self.SIZE} HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"
        up = f"POST /sink HTTP/1.1\r\nHost: {OPEN}\r\nContent-Length: {self.SIZE}\r\n\r\n"
        seen = running[1].run(
            [
                Case(name="down", target=f"{OPEN}:443", requests=[down]),
                Case(name="up", target=f"{OPEN}:443", requests=[up], upload=self.SIZE),
            ]
        )
        assert seen["down"].outcome.received == self.SIZE
        assert seen["up"].answer.endswith(str(self.SIZE))
        assert _resident(running[0].name) < before + 40


# -- faults

HOOKS = (
    "http_connect",
    "next_layer",
    "tls_clienthello",
    "tls_start_client",
    "requestheaders",
    "server_connect",
    "tls_start_server",
    "responseheaders",
)
BREAK = """
import sys
sys.path[:0] = ["/opt/sidecar", "/opt/sidecar/site"]
import edge, authority, main, policy
from mitmproxy.proxy.layers.http import HttpStream

def client_of(subject):
    for name in ("client_conn", "client"):
        if hasattr(subject, name):
            return getattr(subject, name)
    return subject.context.client

class Broken(Exception):
    pass

def breaks(kind, hook):
    real = getattr(kind, hook)
    def broken(self, subject):
        known = policy.Policy.granted_host(WATCHED[0], client_of(subject).id) or ""
        if hook == "http_connect":
            known = subject.request.host
        if known.startswith(hook.replace("_", "-") + "."):
            raise Broken
        return real(self, subject)
    setattr(kind, hook, broken)

WATCHED = []
begin = policy.Policy.__init__
def watched(self, *rest):
    WATCHED.append(self)
    begin(self, *rest)
policy.Policy.__init__ = watched
start = HttpStream.start_request_stream
def crashes(self):
    if self.flow.request.host.startswith("crash."):
        raise Broken
    yield from start(self)
HttpStream.start_request_stream = crashes
for hook in sys.argv[1:]:
    kind = authority.Tls if hook.startswith("tls_start") else policy.Policy
    breaks(kind, hook)
main.main()
"""


@pytest.fixture(scope="module")
def broken(stage: Stage) -> Iterator[Mapping[str, Seen]]:
    """Have one conversation for each hook, with a sidecar where just this hook raises."""
    hosts = {hook: f"{hook.replace('_', '-')}.hooks.example" for hook in (*HOOKS, "none")}
    cases = [
        Case(name=hook, target=f"{host}:443", requests=[GET.replace(OPEN, host)])
        for hook, host in hosts.items()
    ]
    upload = "POST /sink HTTP/1.1\r\nHost: crash.hooks.example\r\nContent-Length: 1\r\n\r\nx"
    cases.append(Case(name="crash", target="crash.hooks.example:443", requests=[upload]))
    words = ("tini", "--", "python3", "-IS", "-c", BREAK, *HOOKS)
    with stage.sidecar(
        words,
        allowlist=ALLOWLIST,
        pins=dict.fromkeys((*hosts.values(), "crash.hooks.example"), stage.upstream_address),
    ) as (_, talk):
        yield talk.run(cases)


class TestFaults:
    def test_the_door(self, broken: Mapping[str, Seen]) -> None:
        assert broken["none"].outcome.statuses == ["200"]
        assert broken["none"].contacts == 1

    @pytest.mark.parametrize("hook", HOOKS)
    def test_a_raising_hook_denies(self, broken: Mapping[str, Seen], hook: str) -> None:
        seen = broken[hook]
        assert seen.outcome.statuses == []
        faults = [line for line in seen.lines if line["event"] == "fault"]
        assert [(fault["hook"], fault["error"]) for fault in faults] == [(hook, "Broken")]

    @pytest.mark.parametrize("hook", HOOKS)
    def test_nothing_reaches_the_server(self, broken: Mapping[str, Seen], hook: str) -> None:
        heard = [entry["kind"] for entry in broken[hook].heard]
        if hook == "responseheaders":
            assert heard == ["contact", "request"]  # it was allowed; its answer was not
        elif hook == "tls_start_server":
            assert "request" not in heard
        else:
            assert heard == []

    def test_a_crash_of_protocol_code_closes(self, broken: Mapping[str, Seen]) -> None:
        seen = broken["crash"]
        assert seen.outcome.tunnel == "closed"
        assert seen.outcome.statuses == []
        assert ("connection", "Broken") in [(f.get("hook"), f.get("error")) for f in seen.lines]
        assert seen.contacts == 0


# -- the process

BAD = (
    ("no JSON", "{"),
    ("another version", {"version": 2}),
    ("an address in the allowlist", {"allowlist": ["198.51.100.1"]}),
    ("a pin to a name", {"pins": {OPEN: "localhost"}}),
    ("no certificate", {"upstream_ca": "-----BEGIN CERTIFICATE-----\nAAAA\n"}),
    ("an unknown key", {"unsafe": True}),
    ("an address that is not here", {"listen": "198.51.100.1"}),
)


class TestProcess:
    @pytest.mark.parametrize(("name", "changed"), BAD, ids=[name for name, _ in BAD])
    def test_bad_configuration(
        self, stage: Stage, name: str, changed: str | dict[str, Any]
    ) -> None:
        running = Running([stage.inside], sidecar.COMMAND, stage.upstream_address)
        try:
            good = stage.configuration(running.address(stage.inside))
            line = changed if isinstance(changed, str) else json.dumps(good | changed)
            running.tell(line)
            assert running.process.wait(10) == 3, name
            assert running.process.stderr is not None
            told = running.process.stderr.read().decode()
            assert "sidecar: " in told
            assert "Traceback" not in told
            assert running.lines.seen == []
        finally:
            running.remove()

    def test_dies_with_its_launcher(self, stage: Stage) -> None:
        with stage.sidecar() as (running, _):
            running.close()
            assert running.process.wait(5) == 1

    def test_dies_with_its_launcher_when_nothing_was_said(self, stage: Stage) -> None:
        running = Running([stage.inside], sidecar.COMMAND, stage.upstream_address)
        try:
            running.close()
            assert running.process.wait(5) == 1
        finally:
            running.remove()

    def test_dies_with_its_launcher_when_busy(self, stage: Stage) -> None:
        pins = {OPEN: stage.upstream_address}
        with stage.sidecar(allowlist=[OPEN], pins=pins) as (running, talk):
            endless = f"GET /bytes/{10**11} HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"
            case = Case(name="endless", target=f"{OPEN}:443", requests=[endless])
            client = _in_background(talk, case)
            running.lines.wait("decision")
            time.sleep(0.5)
            running.close()
            assert running.process.wait(5) == 1
            client.communicate(timeout=10)

    def test_tells_a_flood_as_a_number(self, stage: Stage) -> None:
        with stage.sidecar() as (running, talk):
            talk.run([Case(name=str(n), target=f"{n}.example:443") for n in range(700)], pause=0)
            running.lines.wait("dropped")
            until(lambda: sum(_told(running)) >= 700, 10, lambda: str(_told(running)))
            decisions, dropped = _told(running)
            assert 100 < decisions == 700 - dropped

    def test_no_flood_of_denials_hides_what_went_out(self, stage: Stage) -> None:
        pins = {OPEN: stage.upstream_address}
        flood = [Case(name=str(n), target=f"{n}.example:443") for n in range(700)]
        last = Case(name="last", target=f"{OPEN}:443", requests=[GET])
        with stage.sidecar(allowlist=[OPEN], pins=pins) as (running, talk):
            talk.run([*flood, last], pause=0)
            running.lines.wait("dropped")
            let_out = [line for line in running.lines.seen if line.get("allowed") is True]
        assert [line["stage"] for line in let_out] == ["connect", "request"]

    def test_lines_are_bounded(self, talk: Talk) -> None:
        path = "/" + "p" * 3000
        request = f"GET {path} HTTP/1.1\r\nHost: {OPEN}\r\n\r\n"
        seen = talk.run([Case(name="long", target=f"{OPEN}:443", requests=[request])])["long"]
        assert seen.lines[-1]["path"] == path[:256]

    def test_an_untrusted_upstream_is_refused(self, stage: Stage) -> None:
        pins = {OPEN: stage.upstream_address}
        with stage.sidecar(allowlist=[OPEN], pins=pins, upstream_ca=None) as (_, talk):
            case = Case(name="untrusted", target=f"{OPEN}:443", requests=[GET])
            seen = talk.run([case])["untrusted"]
        assert seen.outcome.statuses == ["502"]
        assert [d["reason"] for d in seen.denials] == ["the host's certificate is not trusted"]
        assert not [entry for entry in seen.heard if entry["kind"] == "request"]

    def test_a_certificate_for_another_name_is_refused(self, stage: Stage) -> None:
        pins = {"stranger.example": stage.upstream_address}
        with stage.sidecar(allowlist=["stranger.example"], pins=pins) as (_, talk):
            request = GET.replace(OPEN, "stranger.example")
            case = Case(name="stranger", target="stranger.example:443", requests=[request])
            seen = talk.run([case])["stranger"]
        assert seen.outcome.statuses == ["502"]
        assert not [entry for entry in seen.heard if entry["kind"] == "request"]


def _told(running: Running) -> tuple[int, int]:
    """Count what was told: decisions, and those that were dropped."""
    seen = list(running.lines.seen)
    dropped = sum(line["count"] for line in seen if line["event"] == "dropped")
    return sum(line["event"] == "decision" for line in seen), dropped


def _in_background(talk: Talk, case: Case) -> subprocess.Popen[bytes]:
    return talk.start([replace(case)])


class TestImage:
    def test_judges_addresses_as_the_host_does(self) -> None:
        sidecar.need_image()
        program = (
            "import json\nfrom bottle.core.addresses import refused\n"
            "print(json.dumps([refused(a) for a in json.loads(sys.argv[1])]))"
        )
        vectors = [*(address for address, _ in SPECIAL), *PUBLIC]
        found = json.loads(sidecar.in_image(program, json.dumps(vectors)))
        assert found == [*(name for _, name in SPECIAL), *(None for _ in PUBLIC)]

    def test_runs_the_rules_of_this_checkout(self) -> None:
        sidecar.need_image()
        root = Path(__file__).parents[2]
        names = [f"bottle/core/{name}.py" for name in ("allowlist", "addresses", "egress")]
        program = (
            "import hashlib, pathlib\nfor name in sys.argv[1:]:\n"
            "    print(hashlib.sha256(pathlib.Path('/opt/sidecar', name).read_bytes()).hexdigest())"
        )
        found = sidecar.in_image(program, *names).split()
        assert found == [hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names]

    def test_dials_nothing_that_was_not_granted(self) -> None:
        sidecar.need_image()
        program = """
import asyncio, dial
async def main():
    dial.Resolver(asyncio.get_running_loop(), {})
    try:
        await asyncio.open_connection("localhost", 9)
    except OSError as error:
        print(error)
asyncio.run(main())
"""
        assert sidecar.in_image(program).strip() == "no address was granted"

    def test_has_nothing_with_more_rights(self) -> None:
        sidecar.need_image()
        program = (
            "import os\nfor folder, _, names in os.walk('/usr'):\n"
            "    for name in names:\n"
            "        at = os.path.join(folder, name)\n"
            "        if os.lstat(at).st_mode & 0o6000 and os.path.isfile(at): print(at)"
        )
        assert sidecar.in_image(program) == ""
