"""Check: everything about a manifest that can be told with nothing started and no engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bottle.core import plan
from bottle.core.allowlist import HostPattern
from bottle.core.grade import grade
from bottle.core.manifest import Agent, variables
from bottle.core.place import Place
from bottle.core.plan import Listed
from bottle.core.variables import plain_text
from bottle.errors import BottleError, ManifestError
from bottle.session import findings, manifests, referents, registries
from bottle.session.declared import Declared
from bottle.session.findings import Finding, Severity
from bottle.session.manifests import Found


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A valid agent: its hosts as they resolve here, and what is to be known before a start."""

    declared: Declared
    listed: tuple[Listed, ...]
    findings: tuple[Finding, ...]

    @property
    def settings(self) -> tuple[tuple[str, str, str], ...]:
        """What is set, as (name, value, path at which it was said); of secrets the source."""
        return tuple(_settings(self.declared))


def check(found: Found, agents: tuple[str, ...]) -> tuple[Checked, ...]:
    """Check these agents, or all of them and all bottles; raise ManifestError with every problem,
    or UsageError for an agent that is not there.
    """
    manifest, where, at = found.manifest, manifests.whereabouts(found.path), Place()
    chosen = [plan.choose(manifest, name) for name in agents or sorted(manifest.agents)]
    read = [(agent, referents.look(manifest, agent, where, at)) for agent in chosen]
    if not agents:
        referents.look_at_all(manifest, where, at)
    if at.problems:
        raise ManifestError(tuple(dict.fromkeys(at.problems)), str(found.path))
    answers = _Answers()
    return tuple(_checked(found, agent, named, answers) for agent, named in read)


def _checked(found: Found, agent: Agent, named: referents.Referents, answers: _Answers) -> Checked:
    clients = found.manifest.bottles[agent.bottle].egress.clients
    resolved = {client.name: answers.of(client.name) for client in clients}
    declared = Declared.of(found.manifest, agent, named, resolved)
    listed = plan.listed(agent, declared.bottle, resolved)
    return Checked(
        declared=declared,
        listed=listed,
        findings=(
            *(answers.trouble[client.name] for client in clients if client.name in answers.trouble),
            *findings.of_declaration(declared),
            *findings.of_build(declared.bottle.image.dockerfile),
            *findings.of_hosts(listed),
            *findings.of_environment(declared, found.variables),
        ),
    )


class _Answers:
    """What the package clients answered, each asked once; one that cannot be would stop a start."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[HostPattern, ...]] = {}
        self.trouble: dict[str, Finding] = {}

    def of(self, client: str) -> tuple[HostPattern, ...]:
        """Give the hosts that a client asks; none, with a note, when it cannot be asked."""
        if client not in self._known:
            try:
                self._known |= registries.resolve([client])
            except BottleError as error:
                self._known[client] = ()
                what = f"registries: {error.happened}"
                trouble = Finding(severity=Severity.ERROR, what=what, remedy=error.remedy)
                self.trouble[client] = trouble
        return self._known[client]


def _settings(declared: Declared) -> Iterator[tuple[str, str, str]]:
    bottle, own = declared.bottle, f"agents.{declared.agent.name}"
    values = {
        "runtime": bottle.runtime,
        "egress.proxy": bottle.egress.proxy,
        "limits.memory": f"{bottle.limits.memory} MiB",
        "limits.cpus": f"{bottle.limits.cpus:g}",
        "limits.pids": str(bottle.limits.pids),
        "limits.tmp": f"{bottle.limits.tmp} MiB",
        "image.dockerfile": bottle.image.dockerfile,
    }
    yield from ((n, text, bottle.origins[n]) for n, text in values.items() if n in bottle.origins)
    if bottle.image.packages:
        said = (path for name, path in bottle.origins.items() if name.startswith("image.packages["))
        yield "image.packages", " ".join(bottle.image.packages), ", ".join(said)
    for name, variable, path in variables(declared.manifest, declared.agent):
        text = f"from {variable.secret}" if variable.secret else plain_text(name, variable.text)
        yield f"env.{name}", text, path
    for entry in bottle.ssh:
        yield "ssh", findings.ssh_text(entry), entry.origin
    for skill in declared.referents.skills:
        yield "skill", f"{skill.name} from {skill.folder.parent}", f"{own}.skills"


def as_values(found: Found, checked: tuple[Checked, ...]) -> dict[str, Any]:
    """Give a valid manifest's report for JSON."""
    return {
        "manifest": str(found.path),
        "valid": True,
        "problems": [],
        "agents": {one.declared.agent.name: _values(one) for one in checked},
    }


def _values(one: Checked) -> Mapping[str, Any]:
    agent, bottle = one.declared.agent, one.declared.bottle
    return {
        "bottle": bottle.name,
        "adapter": agent.adapter,
        "runtime": bottle.runtime,
        "startable": not findings.errors(one.findings),
        "allowlist": [
            {
                "host": str(entry.pattern),
                "source": entry.source,
                "grade": grade(entry.pattern, registry=entry.client).grade,
            }
            for entry in one.listed
        ],
        "settings": [
            {"name": name, "value": value, "source": source} for name, value, source in one.settings
        ],
        "findings": [asdict(finding) for finding in one.findings],
    }


def lines(found: Found, checked: tuple[Checked, ...]) -> Iterator[tuple[str, str]]:
    """Give the report as (text, style) lines."""
    bottles = len(found.manifest.bottles)
    yield f"{found.path} is valid: {_count(bottles, 'bottle')}, {_count(len(checked), 'agent')}", ""
    for one in checked:
        yield "", ""
        yield from _agent_lines(one)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _agent_lines(one: Checked) -> Iterator[tuple[str, str]]:
    agent, bottle = one.declared.agent, one.declared.bottle
    refused = ", and cannot be started yet" if findings.errors(one.findings) else ""
    yield f"{agent.name}: {agent.adapter} in {bottle.name}, {bottle.runtime}{refused}", "bold"
    for entry in one.listed:
        graded = grade(entry.pattern, registry=entry.client).grade
        yield f"  {entry.pattern!s:<28}  {graded:<9}  {entry.source}", ""
    if not one.listed:
        yield "  nothing can be reached", ""
    for name, value, source in one.settings:
        yield f"  {name} = {value}  ({source})", "dim"
    for finding in one.findings:
        yield f"  {finding}", findings.ALARMING[finding.severity]
