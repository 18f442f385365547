"""Network: what a bottle's agent can reach; everybody who could hear it testifies.

Each row is tried from a bottle, where nobody may hear it, and from a leaky bottle on the same
host, where somebody must.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from bottle.core.allowlist import Reason
from bottle.core.members import PROXY_PORT
from bottle.session.standin import PLAIN_PORT
from tests.support import sinks
from tests.support.bottles import LISTED, Live
from tests.support.storm import FAST, NO_ROUTE, SILENCE, Row, Scene, Storm, blow, scene

RUNC = ("runc",)
BOTH = ("runc", "runsc")
NO_RIGHT = frozenset({"EPERM"})
NO_IPV6 = frozenset({"EADDRNOTAVAIL", "ENETUNREACH"})
NO_NAME = frozenset({"EAI -2", "EAI -3", "EAI -5"})
DROPPED = NO_ROUTE | {"silence"}
NOBODY_LISTENS = DROPPED | {"ECONNREFUSED"}

OUTWARD = (
    Row(name="tcp", way="tcp", to="sink", refusals=NO_ROUTE),
    Row(name="tcp-mapped", way="tcp", to="mapped", refusals=NO_ROUTE),
    Row(name="tcp-unrouted", way="tcp_unrouted", to="sink", refusals=DROPPED),
    Row(name="udp", way="udp", to="sink"),
    Row(name="udp-unrouted", way="udp_unrouted", to="sink"),
    Row(name="udp-pktinfo", way="udp_pktinfo", to="sink"),
    Row(name="udp-source-routed", way="udp_source_routed", to="sink", refusals=NO_RIGHT | SILENCE),
    Row(name="icmp", way="ping", to="sink", refusals=DROPPED),
    Row(name="icmp-unrouted", way="ping_unrouted", to="sink", refusals=DROPPED),
    # without its option --net-raw, gVisor gives nobody such sockets
    Row(name="icmp-raw", way="ping_raw", to="sink", refusals=NO_RIGHT, leaks=RUNC),
    Row(name="frame", way="frame", to="sink", refusals=NO_RIGHT, leaks=RUNC),
    Row(name="standin", way="tcp", to="standin", refusals=NO_ROUTE),
    Row(name="standin-unrouted", way="tcp_unrouted", to="standin", refusals=DROPPED),
    Row(name="outer-sidecar", way="tcp", to="outer sidecar", refusals=NO_ROUTE),
    # Linux answers on one wire for its address on another; the engine's rules may drop it first
    Row(name="outer-sidecar-unrouted", way="tcp_unrouted", to="outer sidecar",
        refusals=NOBODY_LISTENS),
)  # fmt: skip

# gVisor does not know SO_DONTROUTE: under runsc what is sent to one host dies at the gateway
HOSTWARD = (
    Row(name="host-tcp", way="tcp", to="host", refusals=NO_ROUTE),
    Row(name="host-tcp-unrouted", way="tcp_unrouted", to="host", refusals=DROPPED),
    Row(name="host-udp", way="udp", to="host"),
    Row(name="host-udp-unrouted", way="udp_unrouted", to="host", passes=RUNC),
    Row(name="host-pktinfo", way="udp_pktinfo", to="host", passes=RUNC),
    Row(name="host-icmp", way="ping", to="host", refusals=DROPPED),
    Row(name="host-icmp-unrouted", way="ping_unrouted", to="host", refusals=DROPPED, passes=RUNC),
    Row(name="gateway-tcp", way="tcp", to="gateway", refusals=NO_ROUTE),
    Row(name="gateway-udp", way="udp", to="gateway"),
    Row(name="gateway-unrouted", way="udp_unrouted", to="gateway"),
    Row(name="gateway-pktinfo", way="udp_pktinfo", to="gateway"),
    Row(name="gateway-icmp", way="ping", to="gateway", refusals=DROPPED),
    Row(name="outer-gateway-tcp", way="tcp", to="outer gateway", refusals=NO_ROUTE),
    Row(name="outer-gateway-unrouted", way="udp_unrouted", to="outer gateway"),
    Row(name="broadcast", way="udp", to="everyone", passes=BOTH),
    Row(name="broadcast-unrouted", way="udp_unrouted", to="everyone", passes=BOTH),
    Row(name="broadcast-pktinfo", way="udp_pktinfo", to="everyone", passes=BOTH),
    Row(name="network-broadcast", way="udp", to="network", passes=BOTH),
    Row(name="multicast", way="udp", to="all hosts", passes=BOTH),
    Row(name="multicast-unrouted", way="udp_unrouted", to="all hosts", passes=BOTH),
    Row(name="multicast-pktinfo", way="udp_pktinfo", to="all hosts", passes=BOTH),
    Row(name="multicast-icmp", way="ping", to="all hosts", refusals=DROPPED, passes=BOTH),
)

NAMES = (
    Row(name="dns-udp", way="dns_udp", to="sink"),
    Row(name="dns-tcp", way="dns_tcp", to="sink", refusals=DROPPED),
    # the engine's own resolver; it does not answer under runsc, for nobody
    Row(name="resolver-udp", way="dns_udp", to="resolver", refusals=NOBODY_LISTENS, leaks=RUNC),
    Row(name="resolver-tcp", way="dns_tcp", to="resolver", refusals=NOBODY_LISTENS, leaks=RUNC),
    # resolv.conf lets the engine's resolver take a second
    Row(name="lookup", way="lookup", to="system", refusals=NO_NAME, limit=2),
)

IPV6 = (
    Row(name="tcp6", way="tcp", to="sink6", refusals=NO_IPV6),
    Row(name="udp6", way="udp", to="sink6", refusals=NO_IPV6),
    Row(name="icmp6", way="ping", to="sink6", refusals=NO_IPV6),
    # gVisor sends these from a link-local address only, and takes none from its namespace
    Row(name="multicast6", way="udp", to="all nodes", refusals=NO_IPV6, leaks=RUNC),
    Row(name="multicast6-icmp", way="ping", to="all nodes", refusals=NO_IPV6, leaks=RUNC),
)

SIDEWARD = tuple(
    Row(name=f"{to.replace(' ', '-')}-{way.replace('_', '-')}", way=way, to=to, refusals=refusals)
    for to in ("other agent", "other sidecar", "other outer sidecar", "other standin")
    for way, refusals in (
        ("tcp", NO_ROUTE), ("tcp_unrouted", DROPPED), ("udp", SILENCE), ("udp_unrouted", SILENCE),
        ("ping", DROPPED),
    )
)  # fmt: skip

BIND = """
def main(port):
    import errno, socket
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", port))
    except OSError as error:
        return errno.errorcode[error.errno]
"""
MAKE = """
def main(families):
    import socket
    for family in families:
        socket.socket(family, socket.SOCK_DGRAM).close()
"""
SHARED = ("abstract socket", "System V memory", "POSIX memory", "temporary file")
ALL = (*OUTWARD, *HOSTWARD, *NAMES, *IPV6, *SIDEWARD)


@pytest.fixture(scope="module")
def around(bottle: Live) -> Iterator[Scene]:
    with scene(bottle) as found:
        yield found


@pytest.fixture(scope="module")
def storm(around: Scene) -> Storm:
    return blow(around, ALL)


def rows(of: tuple[Row, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", of, ids=[row.name for row in of])


def through_proxy(bottle: Live, url: str) -> str:
    """Ask for a page; give the status of the tunnel."""
    asked = f"curl -s -m 5 -o /dev/null -w '%{{http_connect}}' {url}"
    return bottle.sh(asked).output.decode()


def answered_by_sidecar(bottle: Live) -> dict[str, bool]:
    """Use the same program at the one address that must answer."""
    own = {"to": bottle.lifetime.plan.sidecar_address, "port": PROXY_PORT}
    aims = [{"label": way, "way": way, **own} for way in ("tcp", "ping")]
    told = bottle.python(sinks.program("escape"), {"nonce": secrets.token_hex(4), "aims": aims})
    return {way: outcome["answered"] for way, outcome in told.items()}


def listeners(table: str) -> set[tuple[str, int]]:
    """Read /proc/net/tcp and udp: who listens (0A) or waits (07), but the engine's resolver."""
    found = re.findall(r"^ *\d+: (\w{8,32}):(\w{4}) \S+ (?:0A|07) ", table, re.MULTILINE)
    places = {(address_of(word), int(port, 16)) for word, port in found}
    return {place for place in places if place[0] != "127.0.0.11"}


def address_of(word: str) -> str:
    """Read an address as /proc/net/tcp writes it; IPv6 ones stay as they are."""
    return word if len(word) > 8 else socket.inet_ntoa(int(word, 16).to_bytes(4, sys.byteorder))


def in_sidecar(bottle: Live, *command: str) -> str:
    """Run a command in the sidecar's own place, as nobody in a bottle can."""
    sidecar = bottle.lifetime.plan.sidecar
    user = f"{sidecar.uid}:{sidecar.uid}"
    done = bottle.engine.execute(sidecar.name, command, user=user, stdin=b"", seconds=10)
    assert done.code == 0, done.errors
    return done.output.decode()


@pytest.mark.claim("NET-1")
class TestNothingLeavesWithoutTheProxy:
    @rows(OUTWARD)
    def test_no_way_out_but_of_a_leaky_bottle(self, storm: Storm, row: Row) -> None:
        storm.assert_leaked(row)
        storm.assert_held(row)

    def test_the_ears_missed_nothing(self, storm: Storm) -> None:
        assert [name for name, told in storm.testimonies.items() if told.lost] == []

    def test_the_proxy_is_reached_and_is_the_way_out(self, bottle: Live) -> None:
        path = f"/{secrets.token_hex(8)}"
        assert answered_by_sidecar(bottle) == {"tcp": True, "ping": True}
        assert through_proxy(bottle, f"https://{LISTED}{path}") == "200"
        bottle.wait_for("request", source="standin", host=LISTED, path=path)

    def test_the_outside_is_reached_by_the_sidecar_alone(self, storm: Storm, bottle: Live) -> None:
        address, plan = storm.scene.targets()["standin"].address, bottle.lifetime.plan
        assert storm.walled["standin"].error, "tried before the sidecar does it"
        connect = f"import socket; socket.create_connection(({address!r}, {PLAIN_PORT}), 3)"
        in_sidecar(bottle, "python3", "-I", "-c", connect)
        bottle.wait_for("tcp", source="standin", port=PLAIN_PORT)
        visits = [r["peer"] for r in bottle.records if r.get("event") == "tcp"]
        assert visits == [plan.sidecar.attachments[0].address]

    def test_the_sidecar_forwards_no_packets_and_listens_once(self, bottle: Live) -> None:
        tables = [f"/proc/net/{name}" for name in ("tcp", "tcp6", "udp", "udp6")]
        assert in_sidecar(bottle, "cat", "/proc/sys/net/ipv4/ip_forward") == "0\n"
        listening = listeners(in_sidecar(bottle, "cat", *tables))
        assert listening == {(bottle.lifetime.plan.sidecar_address, PROXY_PORT)}


@pytest.mark.claim("NET-2")
class TestTheHostCannotBeReached:
    @rows(HOSTWARD)
    def test_the_host_hears_nothing_but_of_a_leaky_bottle(self, storm: Storm, row: Row) -> None:
        storm.assert_leaked(row)
        storm.assert_held(row)

    def test_no_connection_reaches_the_host(self, storm: Storm) -> None:
        """A first packet carries no mark: the host's sockets say who connected."""
        plan, told = storm.scene.bottle.lifetime.plan, storm.testimonies["host"]
        connections = {mark for mark in told.heard if mark.startswith("connection")}
        assert connections == {f"connection {storm.scene.leaky.address}"}
        seen = told.bridges(f"opening {plan.keeper.attachments[0].address}")
        # under runc one left, past the routes, and was dropped at the host
        assert seen == ({plan.inside.bridge} if storm.scene.bottle.runtime == "runc" else set())


@pytest.mark.claim("NET-3")
class TestNoNameResolves:
    @rows(NAMES)
    def test_no_question_arrives_but_of_a_leaky_bottle(self, storm: Storm, row: Row) -> None:
        storm.assert_leaked(row)
        storm.assert_held(row)

    def test_nobody_can_answer_in_place_of_a_resolver(self, around: Scene) -> None:
        walled = [around.bottle.python(BIND, port) for port in (53, 1053)]
        leaked = [around.leaky.python(BIND, port) for port in (53, 1053)]
        # gVisor lets every port be bound, where nobody outside its own network stack asks
        low = "EACCES" if around.bottle.runtime == "runc" else None
        assert (walled, leaked) == ([low, None], [None, None])


@pytest.mark.claim("NET-4")
class TestThereIsNoIpv6:
    @rows(IPV6)
    def test_no_packet_leaves_but_of_a_leaky_bottle(self, storm: Storm, row: Row) -> None:
        storm.assert_leaked(row)
        storm.assert_held(row)

    def test_the_only_address_is_loopback(self, around: Scene) -> None:
        script = "awk '$6 != \"lo\" {print $1}' /proc/net/if_inet6"
        own = ipaddress.IPv6Address(around.leaky.address6).exploded.replace(":", "")
        assert around.bottle.sh(script).output.decode().split() == []
        assert own in around.leaky.run("bash", "-c", script).output.decode().split()


@pytest.mark.claim("NET-5")
class TestVsockAndIoUringAreClosed:
    def test_every_way_to_call_is_refused_by_us(self, around: Scene) -> None:
        """The leaky bottle's kernel says anything but EPERM: it is the filter that refuses."""
        walled = around.bottle.python(sinks.program("calls"), None)
        leaked = around.leaky.python(sinks.program("calls"), None)
        forbidden = leaked.pop("io_uring_disabled") != "0"
        del walled["io_uring_disabled"]
        assert walled.keys() == leaked.keys()
        assert set(walled.values()) == {"EPERM"}, walled
        refused = {name for name, outcome in leaked.items() if outcome == "EPERM"}
        assert all(forbidden and name.startswith("io_uring") for name in refused), leaked

    def test_other_sockets_can_be_made(self, bottle: Live) -> None:
        families = [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6]
        assert bottle.python(MAKE, families) is None


@pytest.mark.claim("NET-6")
class TestBottlesCannotReachEachOther:
    @rows(SIDEWARD)
    def test_nobody_hears_but_of_a_leaky_bottle(self, storm: Storm, row: Row) -> None:
        storm.assert_leaked(row)
        storm.assert_held(row)

    def test_each_reaches_its_own(self, around: Scene) -> None:
        other, ear = around.other, around.other_ear
        aims = [
            {"label": "own", "way": way, "to": ear.addresses[0], "port": port}
            for way, port in (("tcp", ear.tcp), ("udp", ear.udp))
        ]
        for aim in aims:
            word = secrets.token_hex(4)
            other.python(sinks.program("escape"), {"nonce": word, "aims": [aim]})
            assert f"cbx{word}-own-xbc" in ear.testify().heard
        assert answered_by_sidecar(other) == {"tcp": True, "ping": True}

    @pytest.mark.parametrize("to", ["other agent", "other sidecar", "other standin"])
    def test_not_through_the_proxy(self, around: Scene, to: str) -> None:
        target = around.targets()[to]
        began = time.monotonic()
        assert through_proxy(around.bottle, f"https://{target.address}:{target.tcp}/") == "403"
        assert time.monotonic() - began < FAST[around.bottle.runtime]
        around.bottle.wait_for(
            "decision", host=target.address, port=target.tcp, reason=Reason.ADDRESS
        )
        assert [r for r in around.other.records if r.get("event") in ("tcp", "contact")] == []

    def test_nothing_of_the_kernel_is_shared(self, around: Scene) -> None:
        """What one left, its own other processes find; another bottle does not."""
        word, program = secrets.token_hex(8), sinks.program("share")
        pipe = sinks.begin(around.bottle, ["-I", "-c", program, word])
        try:
            assert pipe.line(20) == "left", pipe.errors()
            at_home = around.bottle.python(program, word)
            abroad = around.other.python(program, word)
            pipe.send(b"now\n")
            assert pipe.line(20) == '{"came": 1}'
        finally:
            pipe.end()
        # gVisor has no limit of inotify instances to use up
        quota = "EMFILE" if around.bottle.runtime == "runc" else "worked"
        assert at_home == {**dict.fromkeys(SHARED, "worked"), "inotify": quota}
        assert abroad == {
            **dict.fromkeys(SHARED, "ENOENT"),
            "abstract socket": "ECONNREFUSED",
            "inotify": "worked",
        }
