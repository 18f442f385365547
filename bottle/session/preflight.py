"""Preflight: what the person says yes to, as rows of text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bottle.core import consent
from bottle.core.consent import Change
from bottle.core.grade import Grade, grade
from bottle.core.lookalike import reading
from bottle.core.plan import Listed, Plan
from bottle.session.consents import Consent
from bottle.session.findings import Finding, Severity, of_declaration, of_host, of_hosts, ssh_text
from bottle.session.start import Prepared

_SHOWN: Final = 60
_WIDEST_HOST: Final = 40
_ALARMING: Final = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


@dataclass(frozen=True)
class Row:
    """A line of the preflight: a label, empty where the one above goes on, and a text."""

    label: str
    text: str
    style: str = ""


def findings(prepared: Prepared) -> tuple[Finding, ...]:
    """Give everything that is to be known before the yes."""
    return (
        *of_declaration(prepared.declared),
        *of_host(prepared.declared, prepared.engine),
        *of_hosts(prepared.form.listed),
    )


def changes(prepared: Prepared, before: Consent | None) -> tuple[Change, ...]:
    """Give what differs from the last yes; nothing where there was none."""
    return consent.changes(before.facts, prepared.facts) if before else ()


def change_rows(prepared: Prepared, before: Consent | None) -> Iterator[Row]:
    """Give what changed since the last yes to this agent of this manifest."""
    if before is None:
        yield Row("consent", "new: nobody said yes to this agent of this manifest here", "yellow")
        return
    if before.digest == prepared.digest:
        yield Row("consent", f"unchanged since your yes of {_when(before)}")
        return
    label = "changed"
    for change in changes(prepared, before):
        yield Row(label, _changed(change), "yellow" if change.widens else "")
        label = ""
    yield Row(label, f"since your yes of {_when(before)}; all that it may do now is below")


def _when(before: Consent) -> str:
    return before.when.replace("T", " ").replace("+00:00", " UTC")


def _changed(change: Change) -> str:
    what = " ".join((change.topic, change.name)).strip()
    values = " → ".join(value for value in (change.before, change.now) if value)
    note = "   (more than before)" if change.widens else ""
    return f"{change.sign} {what}: {values}{note}"


def rows(prepared: Prepared) -> Iterator[Row]:
    """Give everything that the yes is about, in the order of reading."""
    plan = prepared.form
    yield Row("agent", f"{plan.agent.name} ({plan.agent.adapter}) in bottle {plan.bottle.name}")
    yield Row("manifest", str(prepared.source))
    yield Row("plan", prepared.digest[:16])
    yield Row("runtime", _runtime(plan))
    yield Row("engine", f"Docker {prepared.engine.version}")
    yield Row("images", _images(prepared))
    yield Row("sidecar", f"{plan.bottle.egress.proxy}: reads all that passes, TLS to the hosts too")
    yield Row("egress", "everything is denied" + (" but" if plan.listed else ""))
    yield from _hosts(plan)
    if plan.standin:
        names = ", ".join(pin.host for pin in plan.pins)
        told = f"{names}\nplayed by a container here; nothing reaches the Internet"
        yield Row("stand-in", told)
    yield Row("secrets", _secrets(plan))
    yield Row("env", ", ".join(s.name for s in plan.settings if not s.secret) or "none")
    yield Row("ssh", "\n".join(map(ssh_text, plan.bottle.ssh)) or "none")
    yield Row("skills", _skills(prepared))
    yield Row("prompt", _prompt(plan.agent.prompt))
    yield Row("runs", _command(prepared))
    yield Row("limits", _limits(plan))
    yield Row("workspace", "/workspace, in memory; gone at the end")
    label = "findings"
    for finding in findings(prepared):
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        text = f"{finding.severity}: {finding.what}{remedy}"
        yield Row(label, text, _ALARMING[finding.severity])
        label = ""


def _runtime(plan: Plan) -> str:
    if plan.bottle.runtime == "runsc":
        return "runsc (gVisor: a kernel of its own)"
    return "runc (shares this host's kernel)"


def _images(prepared: Prepared) -> str:
    used = ((c.role, c.image) for c in prepared.form.containers)
    shown = "  ".join(f"{role} {_short(image)}" for role, image in used)
    bottle = prepared.form.bottle
    added = (
        *bottle.image.packages,
        *([bottle.image.dockerfile] if bottle.image.dockerfile else []),
    )
    if not added:
        return shown
    when = "is built after your yes" if prepared.missing else "is there"
    return f"{shown}\nagent's own with {', '.join(added)}: {when}"


def _short(image: str) -> str:
    return image.removeprefix("sha256:").removeprefix("claude-bottle/agent-extra:")[:12]


def _hosts(plan: Plan) -> Iterator[Row]:
    width = min(max((len(str(entry.pattern)) for entry in plan.listed), default=0), _WIDEST_HOST)
    for entry in plan.listed:
        graded = grade(entry.pattern, registry=entry.client)
        where = _source(plan, entry)
        style = "" if graded.grade is Grade.READS else "yellow"
        yield Row("", f"  {entry.pattern!s:<{width}}  {where:<22}  {graded.grade}", style)
        if graded.grade is not Grade.UNKNOWN:
            yield Row("", f"      {graded.why}", "dim")
        if read := reading(entry.pattern.host):
            yield Row("", f"      reads {read.unicode}", "dim")


def _source(plan: Plan, entry: Listed) -> str:
    if entry.built_in:
        return f"built in for {plan.agent.adapter}"
    if entry.client:
        return f"registry of {entry.client}"
    name = entry.source.split(".")[1]
    return f"bottle {name}" if name == plan.bottle.name else f"extended bottle {name}"


def _secrets(plan: Plan) -> str:
    told = (f"{s.name} ({s.source})\n  {s.kept}" for s in plan.given.secrets)
    return "\n".join(told) or "none"


def _skills(prepared: Prepared) -> str:
    found = prepared.declared.referents.skills
    return "\n".join(f"{skill.name} from {skill.folder.parent}" for skill in found) or "none"


def _prompt(prompt: str) -> str:
    if not prompt:
        return "none"
    text = " ".join(prompt.split())
    rest = f"… ({len(prompt)} characters)" if len(text) > _SHOWN else ""
    return text[:_SHOWN] + rest


def _command(prepared: Prepared) -> str:
    """Give the words of the agent's program, with its prompt left out."""
    prompt = prepared.form.agent.prompt
    words = (word if word != prompt or not prompt else None for word in prepared.declared.command)
    shown = " ".join("…" if word is None else shlex.quote(word) for word in words)
    return shown.replace("\n", "\\n")  # a line of its own could pass for one of ours


def _limits(plan: Plan) -> str:
    limits = plan.bottle.limits
    cpus = f"{limits.cpus:g} processors" if limits.cpus else "all processors"
    return f"{limits.memory} MiB memory, {cpus}, {limits.pids} processes, /tmp {limits.tmp} MiB"
