"""Check: everything about a manifest that can be told with nothing started and no engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bottle.core import plan
from bottle.core.allowlist import HostPattern
from bottle.core.manifest import Agent, Manifest
from bottle.core.place import Place
from bottle.core.plan import Listed
from bottle.errors import BottleError, ManifestError
from bottle.session import findings, manifests, referents, registries
from bottle.session.declared import Declared
from bottle.session.findings import Finding, Severity
from bottle.session.manifests import Found


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A valid agent: its hosts as they resolve here, and what is to be known before a start."""

    agent: Agent
    manifest: Manifest
    listed: tuple[Listed, ...]
    findings: tuple[Finding, ...]


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
    return tuple(_checked(manifest, agent, named) for agent, named in read)


def _checked(manifest: Manifest, agent: Agent, named: referents.Referents) -> Checked:
    resolved, trouble = _registries(manifest, agent)
    declared = Declared.of(manifest, agent, named, resolved)
    listed = plan.listed(agent, declared.bottle, resolved)
    return Checked(
        agent=agent,
        manifest=manifest,
        listed=listed,
        findings=(
            *trouble,
            *findings.of_declaration(declared),
            *findings.of_hosts(listed),
            *findings.of_environment(declared, {n for n, text in os.environ.items() if text}),
        ),
    )


def _registries(manifest: Manifest, agent: Agent) -> tuple[registries.Resolved, list[Finding]]:
    """Ask the clients; one that cannot be asked would stop a start."""
    resolved: dict[str, tuple[HostPattern, ...]] = {}
    trouble: list[Finding] = []
    for client in manifest.bottles[agent.bottle].egress.clients:
        try:
            resolved |= registries.resolve([client.name])
        except BottleError as error:
            resolved[client.name] = ()
            what = f"{client.origin}: {error.happened}"
            finding = Finding(severity=Severity.ERROR, what=what, remedy=error.remedy)
            trouble.append(finding)
    return resolved, trouble


def as_values(found: Found, checked: tuple[Checked, ...]) -> dict[str, Any]:
    """Give a valid manifest's report for JSON."""
    return {
        "manifest": str(found.path),
        "valid": True,
        "problems": [],
        "agents": {one.agent.name: _values(one) for one in checked},
    }


def _values(one: Checked) -> Mapping[str, Any]:
    bottle = one.manifest.bottles[one.agent.bottle]
    return {
        "bottle": bottle.name,
        "adapter": one.agent.adapter,
        "runtime": bottle.runtime,
        "allowlist": [{"host": str(e.pattern), "source": e.source} for e in one.listed],
        "origins": dict(bottle.origins),
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
    bottle = one.manifest.bottles[one.agent.bottle]
    yield f"{one.agent.name}: {one.agent.adapter} in {bottle.name}, {bottle.runtime}", "bold"
    for entry in one.listed:
        yield f"  {entry.pattern!s:<32}  {entry.source}", ""
    for name, origin in sorted(bottle.origins.items()):
        if not name.startswith("egress.allowlist"):
            yield f"  {name:<32}  {origin}", "dim"
    for finding in one.findings:
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        yield f"  {finding.severity}: {finding.what}{remedy}", "yellow"
