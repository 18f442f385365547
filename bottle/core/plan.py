"""Plan: one agent's manifest entry compiled for one host, as data.

A plan holds no secret and does nothing: the engine executes it, posture compares with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bottle.core import members
from bottle.core.allowlist import Allowlist, HostPattern
from bottle.core.manifest import DEMO, Agent, Bottle, Manifest, variables
from bottle.core.members import Host
from bottle.core.parts import ContainerPlan, NetworkPlan
from bottle.core.place import nearest
from bottle.core.secret import Secret
from bottle.core.slot import Slot
from bottle.errors import UsageError

INSIDE: Final = "create the network inside"
OUTSIDE: Final = "create the network outside"
KEEPER: Final = "start the agent's container, held by its PID 1"
WATCH: Final = "start the watcher in the engine's network"
STANDIN: Final = "start the stand-in"
SIDECAR: Final = "start the sidecar"
CONTENTS: Final = "put the contents through the pipe of PID 1"
PROOF: Final = "prove the walls"

API_HOST: Final = "api.anthropic.com"
BUILT_IN_HOSTS: Final = {"claude": (API_HOST,), "demo": (API_HOST,), "shell": ()}
"""The hosts that an adapter's program needs with its optional traffic off (measured)."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a start adds to the manifest: what the files it names hold, and the person's words."""

    arguments: tuple[str, ...] = ()
    """Further words for the agent's program, beside those of the manifest."""
    skills: Mapping[str, str] = field(default_factory=dict)
    """Name to the digest of what it holds."""
    dockerfile: str = ""
    """The digest of the bottle's own Dockerfile."""
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A stand-in's name at its address: the one exemption from the sidecar's address rule."""

    host: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An allowlist entry and where it comes from."""

    pattern: HostPattern
    source: str
    short: str
    """The source in a few words."""
    built_in: bool = False
    """The agent's program needs it, whatever the manifest says."""
    client: str = ""
    """A package client of whose registries it lets one through."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An environment variable of the agent's and where it comes from."""

    name: str
    text: str
    """Empty for a secret."""
    secret: str
    """The launcher's variable with the value; empty for plain text."""
    optional: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that the engine does at a start, once everything that it needs is done."""

    name: str
    needs: tuple[str, ...] = ()
    alone: bool = False
    """The launcher itself does it, and lets no signal interrupt it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything one start does, as data."""

    session: str
    agent: Agent
    bottle: Bottle
    given: Given
    slot: Slot
    inside: NetworkPlan
    outside: NetworkPlan
    keeper: ContainerPlan
    """The agent's container, held open by its PID 1; the agent itself is executed in it."""
    sidecar: ContainerPlan
    standin: ContainerPlan | None
    pins: tuple[Pin, ...]
    listed: tuple[Listed, ...]
    settings: tuple[Setting, ...]
    steps: tuple[Step, ...]
    """In an order in which they can be done one by one."""
    images: Mapping[str, str]

    @property
    def allowlist(self) -> Allowlist:
        return Allowlist.of(entry.pattern for entry in self.listed)

    @property
    def networks(self) -> tuple[NetworkPlan, NetworkPlan]:
        return (self.inside, self.outside)

    @property
    def containers(self) -> tuple[ContainerPlan, ...]:
        everyone = (self.keeper, self.sidecar, self.standin)
        return tuple(container for container in everyone if container)

    @property
    def sidecar_address(self) -> str:
        return self.sidecar.attachments[1].address


def choose(manifest: Manifest, name: str) -> Agent:
    """Find an agent by name; raise UsageError that suggests the nearest."""
    if name in manifest.agents:
        return manifest.agents[name]
    known = ", ".join(sorted(manifest.agents)) or "none"
    suggestion = nearest(name, manifest.agents)
    remedy = f"{suggestion} " if suggestion else ""
    raise UsageError(f"there is no agent {name!r}", f"{remedy}the manifest declares: {known}")


def compile(  # noqa: A001  # the word of the design; the builtin is not used here
    manifest: Manifest,
    agent: str,
    host: Host,
    given: Given = Given(),
    *,
    standin_names: tuple[str, ...] = (),
) -> Plan:
    """Decide every network, container, flag and label of one agent's bottle on one host.

    `standin_names` are served by a stand-in on an `outside` that is internal too: the demo's own,
    or a test's. No manifest can ask for them.
    """
    chosen = choose(manifest, agent)
    bottle = manifest.bottles[chosen.bottle]
    if chosen.adapter == DEMO:
        listed_hosts = (entry.pattern for entry in bottle.egress.allowlist)
        standin_names = (API_HOST, *(p.host for p in listed_hosts if not p.below))
    inside, outside = members.networks(host, closed=bool(standin_names))
    standin = members.standin(host, outside) if standin_names else None
    return Plan(
        session=host.session,
        agent=chosen,
        bottle=bottle,
        given=given,
        slot=host.slot,
        inside=inside,
        outside=outside,
        keeper=members.keeper(host, bottle, inside),
        sidecar=members.sidecar(host, inside, outside),
        standin=standin,
        pins=_pins(standin, standin_names),
        listed=listed(chosen, bottle, host.registries),
        settings=tuple(
            Setting(name=n, text=v.text, secret=v.secret, optional=v.optional, source=origin)
            for n, v, origin in variables(manifest, chosen)
        ),
        steps=_steps(with_standin=standin is not None),
        images=dict(host.images),
    )


def _pins(standin: ContainerPlan | None, names: Iterable[str]) -> tuple[Pin, ...]:
    if standin is None:
        return ()
    address = standin.attachments[0].address
    return tuple(Pin(host=name, address=address) for name in dict.fromkeys(names))


def listed(
    agent: Agent, bottle: Bottle, registries: Mapping[str, tuple[HostPattern, ...]]
) -> tuple[Listed, ...]:
    """Give the resolved allowlist of an agent, each entry with its source, sorted.

    `registries` has the hosts of each package client that the bottle names.
    """
    found: dict[HostPattern, Listed] = {}
    for entry in _listings(agent, bottle, registries):
        found.setdefault(entry.pattern, entry)
    named = [found[pattern] for pattern in sorted(found)]
    return tuple(replace(e, client=_client_at(e.pattern, registries)) for e in named)


def _client_at(pattern: HostPattern, registries: Mapping[str, tuple[HostPattern, ...]]) -> str:
    """Name a client of whose registries an entry lets one through, however it came to be listed."""
    hosts = ((name, host) for name, found in registries.items() for host in found)
    return next((name for name, host in hosts if pattern.matches(host.host)), "")


def _listings(
    agent: Agent, bottle: Bottle, registries: Mapping[str, tuple[HostPattern, ...]]
) -> Iterator[Listed]:
    """Give all that is listed; of what is listed more than once, the first source counts."""
    for name in BUILT_IN_HOSTS[agent.adapter]:
        source = f"built in for {agent.adapter}"
        yield Listed(pattern=HostPattern.parse(name), source=source, short=source, built_in=True)
    for entry in bottle.egress.allowlist:
        owner = entry.origin.split(".")[1]
        short = f"bottle {owner}" if owner == bottle.name else f"extended bottle {owner}"
        yield Listed(pattern=entry.pattern, source=entry.origin, short=short)
    for client in bottle.egress.clients:
        source = f"{client.name}'s configuration, for {client.origin}"
        for pattern in registries[client.name]:
            short = f"registry of {client.name}"
            yield Listed(pattern=pattern, source=source, short=short)


def _steps(*, with_standin: bool) -> tuple[Step, ...]:
    """Give the steps of a start; what does not need each other is done at once."""
    standin = (Step(name=STANDIN, needs=(OUTSIDE,)),) if with_standin else ()
    return (
        Step(name=INSIDE),
        Step(name=OUTSIDE, needs=(INSIDE,)),
        Step(name=KEEPER, needs=(INSIDE,)),
        Step(name=WATCH, needs=(INSIDE,)),
        *standin,
        Step(name=SIDECAR, needs=(OUTSIDE, *(step.name for step in standin))),
        Step(name=CONTENTS, needs=(KEEPER, SIDECAR), alone=True),
        Step(name=PROOF, needs=(CONTENTS, WATCH), alone=True),
    )
