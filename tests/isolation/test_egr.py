"""Egress: what the proxy lets out of a real bottle; the stand-in outside says what arrived."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import bottles, sinks
from tests.support.bottles import LISTED, UNLISTED, Live
from tests.support.launcher import until

PROGRAM = sinks.program("tunnel")
PLAYED = (bottles.API, LISTED, UNLISTED, "below.example.org", "example.org")
FAST = 1.0


@pytest.fixture(scope="module", params=bottles.RUNTIMES)
def bottle(request: pytest.FixtureRequest) -> Iterator[Live]:
    """A bottle whose outside answers to unlisted names as well: only the list keeps it away."""
    allowlist = [LISTED, f"{LISTED}:8443", "*.example.org"]
    with bottles.live(request.param, allowlist=allowlist, names=PLAYED) as running:
        yield running


def get(host: str, path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


def connect(target: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


def attempt(bottle: Live, first: str, **more: str | None) -> dict[str, Any]:
    """Make one attempt as the agent; its word is only supporting evidence."""
    before = len(bottle.records)
    told = bottle.python(PROGRAM, {"first": first, **more})
    assert isinstance(told, dict)
    return {**told, "before": before}


def arrived(bottle: Live, path: str) -> list[Any]:
    """Give what the stand-in heard of a path, after a request that is known to arrive."""
    last = f"/{secrets.token_hex(8)}"
    attempt(bottle, connect(f"{LISTED}:443"), name=LISTED, inner=get(LISTED, last))
    bottle.wait_for("request", path=last)
    heard = [r for r in bottle.records if r.get("source") == "standin"]
    return [r for r in heard if path in str(r.get("path"))]


def require_denied(bottle: Live, told: dict[str, Any], reason: str, path: str, host: str) -> None:
    """Require that nothing of this attempt arrived, for this reason, without a time-out.

    What the sidecar could not read as a request has no host.
    """
    assert arrived(bottle, path) == []
    assert told["seconds"] < FAST, told

    def denials() -> list[tuple[str, str]]:
        since = bottle.records[told["before"] :]
        return [
            (str(r.get("host", "")), str(r.get("reason")))
            for r in since
            if r.get("allowed") is False
        ]

    def denied() -> bool:
        return any(where in (host, "") and reason in why for where, why in denials())

    until(denied, 5, lambda: f"{host} {reason}: {told} {denials()}")


@pytest.mark.claim("EGR-1")
class TestOnlyListedPairsOfHostAndPort:
    """Only listed pairs of host and port are reachable; everything else is denied."""

    @pytest.mark.parametrize("host", [LISTED, "EXAMPLE.com", "below.example.org"])
    def test_a_listed_host_is_reached(self, bottle: Live, host: str) -> None:
        path = f"/{secrets.token_hex(8)}"
        told = attempt(bottle, connect(f"{host}:443"), name=host, inner=get(host, path))
        assert "HTTP/1.1 404" in told["host"]
        bottle.wait_for("request", path=path, host=host.lower())

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            (f"{UNLISTED}:443", "not on the allowlist"),
            ("example.org:443", "not on the allowlist"),  # a wildcard is not for its apex
            (f"sub.{LISTED}:443", "not on the allowlist"),
            (f"{LISTED}.example.net:443", "not on the allowlist"),
            (f"not{LISTED}:443", "not on the allowlist"),
            (f"{LISTED}:22", "port is not listed"),
            (f"{LISTED}:80", "port is not listed"),
            ("127.0.0.1:443", "an IP address"),
            ("2130706433:443", "an IP address"),
            ("0x7f.1:443", "an IP address"),
            ("0177.0.0.1:443", "an IP address"),
            ("[::1]:443", "an IP address"),
            ("[::ffff:127.0.0.1]:443", "an IP address"),
            ("localhost:443", "not a plain host name"),
            (f"user@{LISTED}:443", "malformed"),
            (f"{LISTED}%00.example.net:443", "malformed"),
        ],
    )
    def test_anything_else_is_denied(self, bottle: Live, target: str, reason: str) -> None:
        path = f"/{secrets.token_hex(8)}"
        name = target.rpartition(":")[0].strip("[]")
        told = attempt(bottle, connect(target), name=name, inner=get(name, path))
        assert told["proxy"].startswith(("HTTP/1.1 403", "HTTP/1.1 400")), told
        shown = target if target.startswith("[") else name  # what is unreadable is told whole
        require_denied(bottle, told, reason, path, shown)

    @pytest.mark.parametrize("place", ["sidecar", "standin"])
    def test_the_bottles_own_addresses_are_denied(self, bottle: Live, place: str) -> None:
        container = getattr(bottle.lifetime.plan, place)
        address = str(container.attachments[0].address)
        told = attempt(bottle, connect(f"{address}:8080"), raw="GET / HTTP/1.0\r\n\r\n")
        require_denied(bottle, told, "an IP address", "/nothing", address)
        assert not [r for r in bottle.records if r.get("event") == "tcp"]

    def test_the_unlisted_host_would_answer(self, bottle: Live) -> None:
        """Its own control: with the host on the list, the same attempt arrives."""
        path = f"/{secrets.token_hex(8)}"
        with bottles.live(bottle.runtime, allowlist=[UNLISTED], names=PLAYED) as other:
            attempt(other, connect(f"{UNLISTED}:443"), name=UNLISTED, inner=get(UNLISTED, path))
            other.wait_for("request", path=path, host=UNLISTED)


INNER: dict[str, tuple[dict[str, str | None], str]] = {
    "another server name": (
        {"name": UNLISTED, "inner": get(UNLISTED, "/PATH")},
        "server name differs",
    ),
    "a listed other server name": (
        {"name": "below.example.org", "inner": get("below.example.org", "/PATH")},
        "server name differs",
    ),
    "no server name": ({"name": None, "inner": get(LISTED, "/PATH")}, "without a server name"),
    "plain HTTP": ({"raw": get(LISTED, "/PATH")}, "only TLS"),
    "an SSH greeting": ({"raw": "SSH-2.0-OpenSSH_9.2\r\n/PATH\r\n"}, "only TLS"),
    "another Host": ({"name": LISTED, "inner": get(UNLISTED, "/PATH")}, "host differs"),
    "a whole URL": (
        {"name": LISTED, "inner": get(LISTED, f"https://{UNLISTED}/PATH")},
        "a whole URL inside a tunnel",
    ),
    "two Hosts": (
        {"name": LISTED, "inner": get(f"{LISTED}\r\nHost: {UNLISTED}", "/PATH")},
        "host differs",
    ),
    "length and chunks": (
        {
            "name": LISTED,
            "inner": f"POST /PATH HTTP/1.1\r\nHost: {LISTED}\r\nContent-Length: 4\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        },
        "malformed",
    ),
    "no HTTP": ({"name": LISTED, "inner": "\0\1\2\3/PATH\r\n\r\n"}, "only HTTP/1.1"),
    "HTTP/2": ({"name": LISTED, "inner": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, "HTTP/1.1"),
}


@pytest.mark.claim("EGR-2")
class TestATunnelCarriesOnlyItsHost:
    """In a tunnel there is only TLS for exactly its host, and in it only HTTP for exactly it."""

    @pytest.mark.parametrize("case", INNER)
    def test_anything_else_in_a_tunnel_is_refused(self, bottle: Live, case: str) -> None:
        path = secrets.token_hex(8)
        said, reason = INNER[case]
        words = {k: v and v.replace("PATH", path) for k, v in said.items()}
        told = attempt(bottle, connect(f"{LISTED}:443"), **words)
        assert told["proxy"].startswith("HTTP/1.1 200"), told
        require_denied(bottle, told, reason, path, LISTED)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_proxying_without_a_tunnel_is_refused(self, bottle: Live, scheme: str) -> None:
        path = secrets.token_hex(8)
        told = attempt(bottle, get(LISTED, f"{scheme}://{LISTED}/{path}"))
        require_denied(bottle, told, "only CONNECT", path, LISTED)

    def test_a_second_request_in_a_tunnel_is_judged_too(self, bottle: Live) -> None:
        first, second = secrets.token_hex(8), secrets.token_hex(8)
        kept = get(LISTED, f"/{first}").replace("Connection: close\r\n", "")
        inner = kept + get(UNLISTED, f"/{second}")
        told = attempt(bottle, connect(f"{LISTED}:443"), name=LISTED, inner=inner)
        require_denied(bottle, told, "host differs", second, LISTED)
        assert arrived(bottle, first)


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def rebinding(bottle: Live) -> Iterator[str]:
    """A name below a listed wildcard that resolves, for the sidecar, to a private address."""
    name = f"r{secrets.token_hex(4)}.example.org"
    outside = bottle.lifetime.plan.outside.name
    image = bottle.lifetime.plan.images["standin"]
    words = ["--cap-drop=ALL", "--user=60999:60999", f"--network={outside}"]
    words += [f"--network-alias={name}", "--entrypoint=python3", "--interactive"]
    listener = "import socket;s=socket.create_server(('',443));print(s.accept())"
    container = docker("run", "--detach", "--rm", *words, image, "-c", listener)
    try:
        yield name
    finally:
        docker("rm", "--force", container)


@pytest.mark.claim("EGR-3")
class TestSpecialAddressesAreRefused:
    """A listed name that leads to a special address is refused."""

    def test_a_listed_name_with_a_private_address(self, bottle: Live, rebinding: str) -> None:
        resolved = docker(
            *("exec", bottle.lifetime.plan.sidecar.name, "python3", "-c"),
            f"import socket;print(socket.gethostbyname('{rebinding}.'))",
        )
        assert resolved.startswith("10.231.")  # the sidecar could go there
        told = attempt(bottle, connect(f"{rebinding}:443"), name=rebinding, inner="GET / HTTP/1.1")
        assert told["proxy"].startswith("HTTP/1.1 403"), told
        require_denied(bottle, told, "an address that is not public", rebinding, rebinding)


@pytest.mark.claim("EGR-4")
class TestADeadSidecarIsAClosedDoor:
    """The sidecar fails closed: when it dies, the only way out is gone."""

    @pytest.mark.parametrize("runtime", bottles.RUNTIMES)
    def test_nothing_goes_out_without_it(self, runtime: str) -> None:
        url, before, after = f"https://{LISTED}/", "before", "after"
        with bottles.live(runtime) as bottle:
            assert bottle.sh(f"curl -sS {url}{before}").code == 0
            bottle.wait_for("request", path=f"/{before}")
            docker("kill", "--signal=KILL", bottle.lifetime.plan.sidecar.name)
            done = bottle.sh(
                f"curl -sS -m 2 {url}{after}; curl -sS -m 2 --noproxy '*' {url}{after}"
            )
            assert done.code != 0
            heard = [r.get("path") for r in bottle.records if r.get("source") == "standin"]
            assert f"/{after}" not in heard
