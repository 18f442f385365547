"""Storm: every way out tried at once, from a bottle and from a leaky one, and who heard it.

A row is one way at one target. The same program tries the same rows in both places; what is
compared is what the receivers tell, not what the program believes.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bottle.core.members import PROXY_PORT
from bottle.session.standin import PLAIN_PORT
from tests.support import bottles, leaky, sinks
from tests.support.bottles import RUNTIMES, Live
from tests.support.leaky import Leaky
from tests.support.sinks import Ear, Place, Testimony

FAST: Final = {"runc": 1.0, "runsc": 4.0}
"""Seconds for a refusal; gVisor looks for an absent neighbour for three (design, walls)."""
NO_ROUTE: Final = frozenset({"EHOSTUNREACH", "ENETUNREACH"})
"""Nobody has the address, or (from Engine 25 on) there is no route at all."""
SILENCE: Final = frozenset({"", "silence"}) | NO_ROUTE
"""A datagram is taken and lost, a packet is dropped without a word."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way at one target."""

    name: str
    way: str
    to: str
    """A target of `Scene.targets`."""
    refusals: frozenset[str] = SILENCE
    """How it may end in a bottle."""
    leaks: tuple[str, ...] = RUNTIMES
    """The runtimes under which it gets out of a leaky bottle; gVisor lacks some ways."""
    limit: float = 0
    """Seconds that it may take, where that is more than FAST."""
    passes: tuple[str, ...] = ()
    """The runtimes under which the bottle's own bridge must see it: it left, and was dropped."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An address with the ports where somebody listens."""

    address: str
    tcp: int
    udp: int
    door: str = "sink"
    """Who hears it there: `sink`, `host` or, in another bottle, `other`."""

    def aim(self, row: Row, through: str) -> dict[str, object]:
        """Give a row as the program wants it; `through` is a neighbour on the wire."""
        port = 53 if row.way.startswith("dns") else self.udp
        port = self.tcp if row.way.startswith("tcp") else port
        aim = {"label": row.name, "way": row.way, "to": self.address, "port": port}
        return {**aim, "through": through}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the program says of one row."""

    answered: bool
    error: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Two bottles, a leaky one, and everybody who could hear them."""

    bottle: Live
    other: Live
    leaky: Leaky
    place: Place
    sink: Ear
    host: Ear
    other_ear: Ear

    def targets(self) -> Mapping[str, Target]:
        """Give the targets as a bottle has them."""
        slot, other = self.bottle.lifetime.plan.slot, self.other.lifetime.plan
        return {
            **self._common(),
            "gateway": self._host_at(str(slot.inside[1])),
            "outer gateway": self._host_at(str(slot.outside[1])),
            "network": self._host_at(str(slot.inside.broadcast_address)),
            "standin": self._proxy_at(str(slot.outside[3]), PLAIN_PORT),
            "outer sidecar": self._proxy_at(str(slot.outside[2])),
            "other agent": Target(
                address=self.other_ear.addresses[0],
                tcp=self.other_ear.tcp,
                udp=self.other_ear.udp,
                door="other",
            ),
            "other sidecar": self._proxy_at(other.sidecar_address),
            "other outer sidecar": self._proxy_at(str(other.slot.outside[2])),
            "other standin": self._proxy_at(str(other.slot.outside[3]), PLAIN_PORT),
        }

    def leaky_targets(self) -> Mapping[str, Target]:
        """Give the same as a leaky bottle has them: its gateway is the host, the rest the sink."""
        common = self._common()
        gateways = dict.fromkeys(("gateway", "outer gateway"), common["host"])
        network = self._host_at(str(self.place.subnet.broadcast_address))
        rest = {name: common["sink"] for name in self.targets() if name not in common}
        return {**rest, **common, **gateways, "network": network}

    def _common(self) -> dict[str, Target]:
        four, six = self.sink.addresses
        return {
            "sink": self._sink_at(four),
            "sink6": self._sink_at(six),
            "mapped": self._sink_at(f"::ffff:{four}"),
            "all nodes": self._sink_at("ff02::1"),
            "resolver": self._sink_at("127.0.0.11"),
            "system": self._sink_at(""),
            "host": self._host_at(self.place.host),
            "everyone": self._host_at("255.255.255.255"),
            "all hosts": self._host_at("224.0.0.1"),
        }

    def _sink_at(self, address: str) -> Target:
        return Target(address=address, tcp=self.sink.tcp, udp=self.sink.udp)

    def _host_at(self, address: str) -> Target:
        return Target(address=address, tcp=self.host.tcp, udp=self.host.udp, door="host")

    @staticmethod
    def _proxy_at(address: str, port: int = PROXY_PORT) -> Target:
        return Target(address=address, tcp=port, udp=port, door="")


@contextlib.contextmanager
def scene(bottle: Live) -> Iterator[Scene]:
    """Set everything up around a running bottle."""
    engine, runtime = bottle.engine, bottle.runtime
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(sinks.place(engine))
        sink = stack.enter_context(sinks.sink(engine, place))
        resolver = sink.addresses[0]
        loose = stack.enter_context(leaky.unsafe_bottle(engine, runtime, place, resolver))
        bridges = [bottle.lifetime.plan.inside.bridge, place.name]
        other = stack.enter_context(bottles.live(runtime))
        yield Scene(
            bottle=bottle,
            other=other,
            leaky=loose,
            place=place,
            sink=sink,
            host=stack.enter_context(sinks.host_ear(engine, bridges, place.host)),
            other_ear=stack.enter_context(sinks.ear_of(other)),
        )


@dataclass(frozen=True, kw_only=True)
class Storm:
    """What came of it."""

    scene: Scene
    walled_word: str
    leaked_word: str
    walled: Mapping[str, Outcome]
    leaked: Mapping[str, Outcome]
    testimonies: Mapping[str, Testimony]
    """`sink`, `host` and `other`, asked after everything was sent."""

    def assert_held(self, row: Row) -> None:
        """Nobody heard it from the bottle, no other wire saw it, and it was refused rightly."""
        mark, runtime = _mark(self.walled_word, row), self.scene.bottle.runtime
        inside = {self.scene.bottle.lifetime.plan.inside.bridge}
        heard = {who for who, told in self.testimonies.items() if mark in told.heard}
        assert not heard, f"{row.name} of the bottle reached {heard}"
        seen = {bridge for told in self.testimonies.values() for bridge in told.bridges(mark)}
        assert seen <= inside, f"{row.name} of the bottle passed {seen - inside}"
        assert seen == inside or runtime not in row.passes, f"{row.name} was never on the wire"
        self._assert_refused(row, self.walled[row.name])

    def _assert_refused(self, row: Row, outcome: Outcome) -> None:
        limit = max(row.limit, FAST[self.scene.bottle.runtime])
        assert not outcome.answered, f"{row.name}: somebody answered"
        assert outcome.error in row.refusals, f"{row.name}: {outcome}"
        assert outcome.seconds < limit, f"{row.name}: {outcome}"

    def assert_leaked(self, row: Row) -> None:
        """The same way got out of the leaky bottle, where gVisor has it."""
        if self.scene.bottle.runtime not in row.leaks:
            return
        mark, door = _mark(self.leaked_word, row), self.scene.leaky_targets()[row.to].door
        told = self.testimonies[door]
        arrived = mark in told.heard or (door == "sink" and told.bridges(mark))
        assert arrived, f"{row.name} did not get out of a leaky bottle: {self.leaked[row.name]}"


def _mark(word: str, row: Row) -> str:
    return f"cbx{word}-{row.name}-xbc"


def blow(scene: Scene, rows: Sequence[Row]) -> Storm:
    """Try all rows in both places, then ask who heard what."""
    program, words = sinks.program("escape"), (secrets.token_hex(4), secrets.token_hex(4))
    beside, sidecar = scene.sink.addresses[0], scene.bottle.lifetime.plan.sidecar_address
    loose = {"nonce": words[0], "aims": _patient(rows, scene.leaky_targets(), beside)}
    leaked = scene.leaky.python(program, loose)
    strict = {"nonce": words[1], "aims": _aims(rows, scene.targets(), sidecar)}
    walled = scene.bottle.python(program, strict)
    ears = {"sink": scene.sink, "host": scene.host, "other": scene.other_ear}
    return Storm(
        scene=scene,
        leaked_word=words[0],
        walled_word=words[1],
        leaked={name: Outcome(**outcome) for name, outcome in leaked.items()},
        walled={name: Outcome(**outcome) for name, outcome in walled.items()},
        testimonies={name: ear.testify() for name, ear in ears.items()},
    )


def _aims(
    rows: Sequence[Row], targets: Mapping[str, Target], through: str
) -> list[dict[str, object]]:
    return [targets[row.to].aim(row, through) for row in rows]


def _patient(
    rows: Sequence[Row], targets: Mapping[str, Target], through: str
) -> list[dict[str, object]]:
    """Give aims that are to be reached, however busy the machine is."""
    return [{**aim, "patience": 5.0} for aim in _aims(rows, targets, through)]
