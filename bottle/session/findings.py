"""Findings: what a person should know before the yes, each with what to do; an error stops."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bottle.core import lookalike
from bottle.core.allowlist import HostPattern
from bottle.core.manifest import LEAST_PIDS_OF_GVISOR, Ssh
from bottle.core.place import Later
from bottle.core.plan import Listed
from bottle.core.variables import looks_secret
from bottle.engine.port import EngineFacts
from bottle.errors import Unavailable
from bottle.session.declared import EXPOSED, Declared

_MIB = 1024 * 1024
_PLAIN_HTTP = 80


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that a check found: how much it matters, what it is, what to do."""

    severity: Severity
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.severity}: {self.what}{remedy}"


ALARMING: Final = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
"""How a finding is shown."""


class NotStartable(Unavailable):
    """What a manifest asks for cannot be had here; the findings say what."""


def of_declaration(declared: Declared) -> Iterator[Finding]:
    """Look at what is declared, wherever it is started."""
    for later in (*declared.bottle.later, *declared.agent.later):
        yield _not_yet(later)
    if declared.bottle.runtime == "runsc" and declared.bottle.limits.pids < LEAST_PIDS_OF_GVISOR:
        yield Finding(
            severity=Severity.ERROR,
            what=f"limits.pids is {declared.bottle.limits.pids}: gVisor's own threads count too",
            remedy=f"allow at least {LEAST_PIDS_OF_GVISOR}, or start it under runc",
        )
    for secret in declared.given.secrets:
        if secret.kept == EXPOSED:
            yield Finding(
                severity=Severity.WARNING,
                what=f"{secret.name}: the agent can read this secret, and send it where it may",
                remedy="give it a value that may be lost, or use none",
            )
    for name, variable in sorted(declared.manifest.environment(declared.agent).items()):
        if looks_secret(name, variable.text):
            yield Finding(
                severity=Severity.WARNING,
                what=f"{name}: it looks like a secret, and stands in the manifest",
                remedy=f'write {name}: {{from: "{name}"}}, and export it',
            )
    if declared.agent.prompt and not declared.adapter.needs_token:
        yield Finding(
            severity=Severity.NOTE,
            what=f"the prompt is not used: {declared.agent.adapter} asks no model",
            remedy="leave it out",
        )


def of_build(name: str) -> Iterator[Finding]:
    """Warn of a Dockerfile that is to be built, by its path; an empty name is none."""
    if name:
        yield Finding(
            severity=Severity.WARNING,
            what=f"{name}: what its RUN does has no walls",
            remedy="read it before you agree to its build",
        )


def _not_yet(later: Later) -> Finding:
    what = f"{later.path}: {later.reason}"
    return Finding(severity=Severity.ERROR, what=what, remedy="take it out of the manifest")


def of_hosts(listed: Iterable[Listed]) -> Iterator[Finding]:
    """Look at the names of the hosts that may be reached."""
    for entry in listed:
        yield from _of_host(entry.pattern)


def _of_host(pattern: HostPattern) -> Iterator[Finding]:
    reading = lookalike.reading(pattern.host)
    for warning in reading.warnings if reading else ():
        yield Finding(
            severity=Severity.WARNING,
            what=f"{pattern}: {warning}",
            remedy="make sure that this is the host that you mean",
        )
    if pattern.port == _PLAIN_HTTP:
        yield Finding(
            severity=Severity.WARNING,
            what=f"{pattern}: plain HTTP does not pass; TLS is spoken at every port",
            remedy="list the port at which the host speaks TLS",
        )


def of_environment(declared: Declared, names: Container[str]) -> Iterator[Finding]:
    """Look for the variables of secrets among those that are set here."""
    for name, variable in sorted(declared.manifest.environment(declared.agent).items()):
        if variable.secret and variable.secret not in names and not variable.optional:
            yield Finding(
                severity=Severity.NOTE,
                what=f"{name}: {variable.secret} is not set in this environment",
                remedy="export it before a start",
            )


def of_host(declared: Declared, engine: EngineFacts) -> Iterator[Finding]:
    """Compare what is declared with what this machine has."""
    limits = declared.bottle.limits
    if limits.cpus > engine.cpus:
        yield Finding(
            severity=Severity.ERROR,
            what=f"limits.cpus is {limits.cpus:g}, and the engine's machine has {engine.cpus}",
            remedy="lower it, or leave it out",
        )
    if limits.memory * _MIB > engine.memory:
        yield Finding(
            severity=Severity.WARNING,
            what=f"limits.memory is {limits.memory} MiB, and the engine's machine has "
            f"{engine.memory // _MIB}",
            remedy="lower limits.memory, or this host may end the bottle or others",
        )


def ssh_text(entry: Ssh) -> str:
    """Say in one line what an SSH entry opens."""
    return f"{entry.user}@{entry.name} with {entry.key}, known by {entry.known_hosts}: {entry.use}"


def stop_at_errors(findings: Iterable[Finding]) -> None:
    """Raise NotStartable when one of the findings is an error."""
    found = errors(findings)
    if found:
        told = "; ".join(finding.what for finding in found)
        raise NotStartable(f"this cannot be started: {told}", found[0].remedy)


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Give those that stop a start."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
