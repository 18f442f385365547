"""Manifest: what the JSON5 file `claude-bottle.json` declares, as frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bottle.core import document, inheritance
from bottle.core.allowlist import HostPattern
from bottle.core.inheritance import Said, Tree
from bottle.core.language import MANIFEST, SSH_LATER
from bottle.core.place import Later, Place, few, nearest, shown
from bottle.core.rules import Prompt, Registries, Variable
from bottle.errors import ManifestError, Problem

DEMO: Final = "demo"
"""The reserved agent: only it runs the demo adapter, against a stand-in of the API."""

LEAST_PIDS_OF_GVISOR: Final = 1024
"""gVisor's own threads count too."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A host of an allowlist, and the path at which it was listed."""

    pattern: HostPattern
    origin: str


@dataclass(frozen=True, kw_only=True)
class Client:
    """A package client whose configured hosts are listed, and the path at which that was said."""

    name: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Egress:
    """What may leave a bottle, and the sidecar that guards it."""

    allowlist: tuple[Entry, ...] = ()
    clients: tuple[Client, ...] = ()
    proxy: str = "mitmproxy"


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """A host that is reached by SSH with a key of the person's."""

    host: str
    key: str
    known_hosts: str
    port: int = 22
    user: str = "git"
    repositories: tuple[str, ...] = ()
    access: str = ""
    origin: str = ""

    @property
    def name(self) -> str:
        """The host as known_hosts files write it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    @property
    def use(self) -> str:
        """What may be done there, for people."""
        return " ".join((self.access, *self.repositories)).strip() or "everything there"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of the host a bottle may use; sizes in MiB."""

    memory: int = 4096
    cpus: float = 0
    """Processors; 0 is no limit."""
    pids: int = 1024
    tmp: int = 512


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a bottle's image has beside what every agent's has."""

    packages: tuple[str, ...] = ()
    dockerfile: str = ""
    """Path below the manifest's folder."""


@dataclass(frozen=True, kw_only=True)
class Bottle:
    """A named kind of container, with all that it has from the bottles that it extends."""

    name: str
    runtime: str = "runc"
    env: Mapping[str, Variable] = field(default_factory=dict)
    ssh: tuple[Ssh, ...] = ()
    egress: Egress = field(default_factory=Egress)
    limits: Limits = field(default_factory=Limits)
    image: Image = field(default_factory=Image)
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each of its settings was said: `limits.memory` to `bottles.base.limits.memory`."""
    later: tuple[Later, ...] = ()
    """What it asks for that is not supported yet."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A named entry to start: a bottle, what runs in it, its skills and its prompt."""

    name: str
    bottle: str
    adapter: str = "claude"
    skills: tuple[str, ...] = ()
    prompt: str = ""
    prompt_file: str = ""
    """Where the prompt stands, below the manifest's folder; it is read apart from the manifest."""
    args: tuple[str, ...] = ()
    env: Mapping[str, Variable] = field(default_factory=dict)
    later: tuple[Later, ...] = ()
    """What it asks for that is not supported yet."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Every bottle and agent by name; each agent's bottle exists."""

    bottles: Mapping[str, Bottle]
    agents: Mapping[str, Agent]

    def environment(self, agent: Agent) -> Mapping[str, Variable]:
        """Give an agent's variables: its bottle's, and over them its own."""
        return {**self.bottles[agent.bottle].env, **agent.env}


def parse(content: bytes) -> Manifest:
    """Read a manifest; raise ManifestError with every problem at once."""
    manifest, problems = survey(content)
    if problems:
        raise ManifestError(problems)
    return manifest


def survey(content: bytes) -> tuple[Manifest, tuple[Problem, ...]]:
    """Read a manifest as far as it goes, with every problem; only without any is it one.

    Raise ManifestError when its text is no JSON5 at all.
    """
    at = Place()
    declared = MANIFEST.read(document.read(content), at)
    bottles = _bottles(declared.get("bottles", {}), at)
    agents = _agents(declared.get("agents", {}), bottles, at)
    return Manifest(bottles=bottles, agents=agents), tuple(dict.fromkeys(at.problems))


# -- bottles


def _bottles(declared: Mapping[str, Mapping[str, Any]], at: Place) -> dict[str, Bottle]:
    place = at.key("bottles")
    trees = inheritance.resolved(declared, place)
    later = inheritance.by_owner(at.later)
    return {name: _bottle(name, tree, later, place.key(name)) for name, tree in trees.items()}


def _bottle(
    name: str, tree: Mapping[str, Tree], later: Mapping[str, list[Later]], at: Place
) -> Bottle:
    origins = dict(inheritance.origins(tree))
    whole = (entry for entry in tree.get("ssh", ()) if _is_whole(entry))
    ssh = tuple(Ssh(**entry.value, origin=entry.path) for entry in whole)
    bottle = Bottle(
        name=name,
        **_values(tree, "runtime"),
        env=_values(tree.get("env", {})),
        ssh=ssh,
        egress=_egress(tree.get("egress", {})),
        limits=Limits(**_values(tree.get("limits", {}))),
        image=_image(tree.get("image", {})),
        origins=origins,
        later=(
            *(Later(path=entry.origin, reason=SSH_LATER) for entry in ssh),
            *inheritance.in_effect(later, origins.values()),
        ),
    )
    _check_limits(bottle, at)
    _check_ssh(bottle, at)
    return bottle


def _values(tree: Mapping[str, Tree], *names: str) -> dict[str, Any]:
    """Give the values of a map's leaves, of these names or of all."""
    return {name: tree[name].value for name in names or tree if name in tree}


def _is_whole(entry: Said) -> bool:
    return {"host", "key", "known_hosts"} <= set(entry.value)


def _egress(tree: Mapping[str, Tree]) -> Egress:
    listed = tree.get("allowlist", ())
    hosts = {e.value: e.path for e in reversed(listed) if isinstance(e.value, HostPattern)}
    clients = {
        name: entry.path
        for entry in reversed(listed)
        if isinstance(entry.value, Registries)
        for name in entry.value.clients
    }
    return Egress(
        allowlist=tuple(Entry(pattern=p, origin=o) for p, o in sorted(hosts.items())),
        clients=tuple(Client(name=n, origin=o) for n, o in sorted(clients.items())),
        **_values(tree, "proxy"),
    )


def _image(tree: Mapping[str, Tree]) -> Image:
    names = {item.value for item in tree.get("packages", ())}
    return Image(packages=tuple(sorted(names)), **_values(tree, "dockerfile"))


def _check_limits(bottle: Bottle, at: Place) -> None:
    """Note limits that do not fit together, where they were said: extended bottles share them.

    By themselves the usual limits fit whatever the others are.
    """
    limits, said = bottle.limits, bottle.origins
    if limits.tmp > limits.memory:
        place = Place(said["limits.tmp"], at.problems)
        remedy = "what lies in /tmp counts into the memory"
        place.refuse(f"{limits.tmp}m", f"at most the memory, {limits.memory}m", remedy)
    if bottle.runtime == "runsc" and limits.pids < LEAST_PIDS_OF_GVISOR:
        wanted = f"at least {LEAST_PIDS_OF_GVISOR} with runsc"
        place = Place(said["limits.pids"], at.problems)
        place.refuse(f"the number {limits.pids}", wanted, "gVisor's own threads count too")


def _check_ssh(bottle: Bottle, at: Place) -> None:
    seen: dict[str, str] = {}
    for entry in bottle.ssh:
        if entry.name in seen:
            wanted = f"each host once; {seen[entry.name]} names it too"
            place = Place(entry.origin, at.problems)
            place.refuse(shown(entry.name), wanted, "remove one of them")
        seen.setdefault(entry.name, entry.origin)


# -- agents


def _agents(
    declared: Mapping[str, Mapping[str, Any]], bottles: Mapping[str, Bottle], at: Place
) -> dict[str, Agent]:
    place = at.key("agents")
    later = inheritance.by_owner(at.later)
    agents = {
        name: _agent(name, members, later.get(place.key(name).path, ()))
        for name, members in declared.items()
    }
    for name, members in declared.items():
        _check_bottle(members, bottles, place.key(name).key("bottle"))
        _check_adapter(agents[name], place.key(name).key("adapter"))
    return agents


def _agent(name: str, members: Mapping[str, Any], later: Iterable[Later]) -> Agent:
    known = dict(members)
    prompt = known.pop("prompt", Prompt())
    return Agent(
        name=name,
        bottle=known.pop("bottle", ""),
        prompt=prompt.text,
        prompt_file=prompt.file,
        later=tuple(later),
        **known,
    )


def _check_bottle(members: Mapping[str, Any], bottles: Mapping[str, Bottle], at: Place) -> None:
    name = members.get("bottle")
    if name is not None and name not in bottles:
        remedy = nearest(name, few(bottles, at)) or "declare it under bottles"
        at.refuse(shown(name), "the name of a bottle", remedy)


def _check_adapter(agent: Agent, at: Place) -> None:
    if agent.adapter == DEMO and agent.name != DEMO:
        at.refuse(shown(DEMO), "another adapter", "only the agent of that name is the demo")
    if agent.name == DEMO and agent.adapter != DEMO:
        remedy = "that name is the demo's: rename the agent, or add adapter: 'demo'"
        at.refuse(shown(agent.adapter), "the adapter 'demo'", remedy)


def secret_sources(manifest: Manifest) -> frozenset[str]:
    """Name every variable of the host's that a manifest reads a secret from."""
    tables = [b.env for b in manifest.bottles.values()] + [a.env for a in manifest.agents.values()]
    return frozenset(v.secret for table in tables for v in table.values() if v.secret)


def variables(manifest: Manifest, agent: Agent) -> Iterator[tuple[str, Variable, str]]:
    """Give each variable of an agent's with its name and the path at which it was said."""
    origins = manifest.bottles[agent.bottle].origins
    for name, variable in sorted(manifest.environment(agent).items()):
        own = f"agents.{agent.name}.env.{name}"
        yield name, variable, own if name in agent.env else origins[f"env.{name}"]
