"""Sinks: places of a test's own that would hear an escape, and the network that they are on."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bottle.core.parts import NetworkPlan
from bottle.engine import host
from bottle.engine.docker import DockerEngine
from bottle.engine.port import SubnetTaken
from bottle.engine.process import Pipe
from tests.support.bottles import Live

NUMBER: Final = 3
"""The place of the sink on its network."""
LABEL: Final = "claude-bottle-test"
IMAGE: Final = "claude-bottle/hostrule:current"
PROBES: Final = Path(__file__).parent.parent / "isolation" / "probes"
ANSWER: Final = "203.0.113.253"
"""What a sink's name server says of every name; nobody connects to it."""
_DOCUMENTATION: Final = ("198.51.100.0/24", "203.0.113.0/24")
_PATIENCE: Final = 20.0
_EAR: Final = (
    f"--label={LABEL}",
    "--runtime=runc",
    "--user=0:0",
    "--cap-drop=ALL",
    "--cap-add=NET_RAW",
    "--cap-add=NET_ADMIN",
    "--cap-add=NET_BIND_SERVICE",
    "--read-only",
    "--entrypoint=python3",
)
_IPV6: Final = (
    "--sysctl=net.ipv6.conf.all.disable_ipv6=0",
    "--sysctl=net.ipv6.conf.eth0.accept_dad=0",  # else a new address waits for a second
)


def program(name: str) -> str:
    """Give the text of a program that runs inside."""
    return (PROBES / f"{name}.py").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class _Plain(NetworkPlan):
    """A bridge as Docker makes it: the host has an address on it."""

    @property
    def options(self) -> dict[str, str]:
        return {"com.docker.network.bridge.name": self.bridge}


@dataclass(frozen=True, kw_only=True)
class Place:
    """An internal network of the test's own whose addresses nobody routes."""

    name: str
    subnet: ipaddress.IPv4Network
    subnet6: ipaddress.IPv6Network
    """Not known to the engine, which would turn on IPv6 forwarding: members take addresses."""

    @property
    def host(self) -> str:
        """The host's own address there; the bridge has the name of the network."""
        return str(self.subnet[1])


@contextlib.contextmanager
def place(engine: DockerEngine) -> Iterator[Place]:
    """Make such a network where the engine and this host's routes have room; remove it."""
    made = _created(engine)
    try:
        yield made
    finally:
        engine.remove([], [made.name])


def _created(engine: DockerEngine) -> Place:
    name = f"sink-{secrets.token_hex(4)}"
    unique = ipaddress.IPv6Network((b"\xfd" + secrets.token_bytes(5) + bytes(10), 64))
    for subnet in _free(engine):
        plan = _Plain(name=name, bridge=name, subnet=str(subnet), internal=True, labels={LABEL: ""})
        with contextlib.suppress(SubnetTaken):
            engine.create_network(plan)
            return Place(name=name, subnet=subnet, subnet6=unique)
    raise AssertionError("this host has no room in the documentation networks")


def _free(engine: DockerEngine) -> Iterator[ipaddress.IPv4Network]:
    known = (ipaddress.ip_network(text) for text in (*engine.subnets(), *host.routed_subnets()))
    taken = [network for network in known if isinstance(network, ipaddress.IPv4Network)]
    for wide in map(ipaddress.IPv4Network, _DOCUMENTATION):
        for subnet in wide.subnets(new_prefix=28):
            if not any(subnet.overlaps(network) for network in taken):
                yield subnet


@dataclass(frozen=True, kw_only=True)
class Testimony:
    """What an ear heard and saw so far."""

    heard: frozenset[str]
    """Marks that reached a socket, and `connection ADDRESS` for each that was accepted."""
    seen: frozenset[tuple[str, str]]
    """Mark and bridge (or device), for each frame with a mark, whatever a rule made of it."""
    lost: int
    """Frames that came too fast to be looked at: who missed some cannot testify."""

    def bridges(self, mark: str) -> set[str]:
        """Name the bridges where a mark passed."""
        return {bridge for found, bridge in self.seen if found == mark}


class Ear:
    """A container that listens, on a place or in the engine's own network namespace."""

    def __init__(self, pipe: Pipe, name: str, addresses: Sequence[str]) -> None:
        self._pipe = pipe
        self.name = name
        self.addresses = tuple(addresses)
        ready = self._next()
        assert ready["held"] == list(addresses), f"it holds {ready['held']}, not {addresses}"
        self.tcp: int = ready["tcp"]
        self.udp: int = ready["udp"]

    def testify(self) -> Testimony:
        """Ask what it heard; what was sent before is waited for."""
        self._pipe.send(b"now\n")
        told = self._next()
        seen = frozenset((mark, bridge) for mark, bridge in told["seen"])
        return Testimony(heard=frozenset(told["heard"]), seen=seen, lost=told["lost"])

    def _next(self) -> Mapping[str, Any]:
        line = self._pipe.line(_PATIENCE)
        assert line is not None, f"the ear ended: {self._pipe.errors()}"
        found: Mapping[str, Any] = json.loads(line)
        return found


@contextlib.contextmanager
def sink(
    engine: DockerEngine, where: Place, number: int = NUMBER, *, resolver: str = ""
) -> Iterator[Ear]:
    """Listen on a place as its member of this number; without a resolver it is one itself."""
    addresses = [str(where.subnet[number]), str(where.subnet6[number])]
    asked = {"take": addresses[1:], "bridges": [], "answer": "" if resolver else ANSWER}
    flags = [*_EAR, *_IPV6, f"--network={where.name}", f"--ip={addresses[0]}"]
    flags.append(f"--dns={resolver or addresses[0]}")
    with _listening(engine, flags, asked, addresses) as ear:
        yield ear


@contextlib.contextmanager
def host_ear(engine: DockerEngine, bridges: Sequence[str], holding: str) -> Iterator[Ear]:
    """Listen as a service of the host would, also bound to these bridges; see all its devices."""
    asked = {"take": [], "bridges": list(bridges), "answer": ""}
    with _listening(engine, [*_EAR, "--network=host"], asked, [holding]) as ear:
        yield ear


@contextlib.contextmanager
def _listening(
    engine: DockerEngine, flags: Sequence[str], asked: Mapping[str, object], addresses: list[str]
) -> Iterator[Ear]:
    name = f"ear-{secrets.token_hex(4)}"
    words = _words({**asked, "rights": True, "addresses": addresses})
    pipe = engine.start_once(IMAGE, words, [*flags, f"--name={name}"])
    try:
        yield Ear(pipe, name, addresses)
    finally:
        pipe.end()
        engine.remove([name], [])


@contextlib.contextmanager
def ear_of(bottle: Live) -> Iterator[Ear]:
    """Listen as a bottle's agent, with an agent's rights."""
    address = bottle.lifetime.plan.keeper.attachments[0].address
    asked = {"take": [], "bridges": [], "answer": "", "rights": False, "addresses": [address]}
    pipe = begin(bottle, _words(asked))
    try:
        yield Ear(pipe, bottle.lifetime.plan.keeper.name, [address])
    finally:
        pipe.end()


def begin(bottle: Live, words: Sequence[str]) -> Pipe:
    """Start Python as a bottle's agent, with its stdin and lines in our hands."""
    plan = bottle.lifetime.plan
    user = f"{plan.slot.agent_uid}:{plan.slot.agent_uid}"
    entered = [plan.keeper.name, "/opt/bottle/enter", "python3", *words]
    return Pipe(["docker", "exec", "--interactive", f"--user={user}", *entered])


def _words(asked: Mapping[str, object]) -> list[str]:
    return ["-I", "-c", program("ear"), json.dumps(asked)]
