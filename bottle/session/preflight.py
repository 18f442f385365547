"""Preflight: what the person says yes to, as rows of text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bottle.core import consent
from bottle.core.consent import Change
from bottle.core.grade import Grade, grade
from bottle.core.lookalike import reading
from bottle.core.plan import Plan
from bottle.core.variables import in_one_line, plain_text
from bottle.session.consents import Consent
from bottle.session.findings import (
    ALARMING,
    Finding,
    of_build,
    of_declaration,
    of_host,
    of_hosts,
    ssh_text,
)
from bottle.session.start import Prepared

_WIDEST_HOST: Final = 40
_ALL: Final = "all processors"
_ELIDED: Final = "…"
_DIGEST: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")


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
        *of_build(prepared.to_build),
        *of_host(prepared.declared, prepared.engine),
        *of_hosts(prepared.form.listed),
    )


def changes(prepared: Prepared, before: Consent | None) -> tuple[Change, ...]:
    """Give what differs from the last yes; nothing where there was none, or nothing differs."""
    if before is None or before.digest == prepared.digest:
        return ()
    return consent.changes(before.facts, prepared.facts) or (consent.OTHER,)


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
    values = " → ".join(_shortened(value) for value in (change.before, change.now) if value)
    note = "   (more than before)" if change.widens else ""
    return f"{change.sign} {change.subject}: {values}{note}"


def _shortened(value: str) -> str:
    """Cut digests to what a person compares."""
    return _DIGEST.sub(r"\1…", value)


def rows(prepared: Prepared) -> Iterator[Row]:
    """Give everything that the yes is about, in the order of reading."""
    plan = prepared.form
    yield Row("agent", f"{plan.agent.name} ({plan.agent.adapter}) in bottle {plan.bottle.name}")
    yield Row("manifest", str(prepared.subject.manifest))
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
    yield Row("env", "\n".join(_variables(plan)) or "none")
    yield Row("ssh", "\n".join(map(ssh_text, plan.bottle.ssh)) or "none")
    yield Row("skills", _skills(prepared))
    yield Row("prompt", in_one_line(plan.agent.prompt) or "none")
    yield Row("runs", _command(prepared))
    yield Row("limits", _limits(plan))
    yield Row("workspace", "/workspace, in memory; gone at the end")
    label = "findings"
    for finding in findings(prepared):
        yield Row(label, str(finding), ALARMING[finding.severity])
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
        style = "" if graded.grade is Grade.READS else "yellow"
        yield Row("", f"  {entry.pattern!s:<{width}}  {entry.short:<22}  {graded.grade}", style)
        if graded.grade is not Grade.UNKNOWN:
            yield Row("", f"      {graded.why}", "dim")
        if read := reading(entry.pattern.host):
            yield Row("", f"      reads {read.unicode}", "dim")


def _secrets(plan: Plan) -> str:
    told = (f"{s.name} ({s.source})\n  {s.kept}" for s in plan.given.secrets)
    return "\n".join(told) or "none"


def _variables(plan: Plan) -> Iterator[str]:
    """Give each plain variable with its text, unless that is long or looks like a secret."""
    for setting in plan.settings:
        if not setting.secret:
            yield f"{setting.name}={plain_text(setting.name, setting.text)}"


def _skills(prepared: Prepared) -> str:
    found = prepared.declared.referents.skills
    return "\n".join(f"{skill.name} from {skill.folder.parent}" for skill in found) or "none"


def _command(prepared: Prepared) -> str:
    """Give the words of the agent's program, with … where its prompt stands."""
    agent, adapter = prepared.form.agent, prepared.declared.adapter
    words = (*agent.args, *prepared.form.given.arguments)
    shown = adapter.command(words, _ELIDED if agent.prompt else "")
    text = " ".join(word if word == _ELIDED else shlex.quote(word) for word in shown)
    return text.replace("\n", "\\n")  # a line of its own could pass for one of ours


def _limits(plan: Plan) -> str:
    limits = plan.bottle.limits
    cpus = f"{limits.cpus:g} processor{'s' * (limits.cpus != 1)}" if limits.cpus else _ALL
    return f"{limits.memory} MiB memory, {cpus}, {limits.pids} processes, /tmp {limits.tmp} MiB"
