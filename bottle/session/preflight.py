"""Preflight: what the person says yes to, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator

from bottle.core.plan import Plan
from bottle.session.start import Prepared

Row = tuple[str, str]


def rows(prepared: Prepared) -> Iterator[Row]:
    """Give everything that the yes is about, as (label, text) in the order of reading."""
    plan = prepared.plan
    yield "agent", f"{plan.agent.name} ({plan.agent.adapter}) in bottle {plan.bottle.name}"
    yield "manifest", str(prepared.source)
    yield "runtime", _runtime(plan)
    yield "images", _images(plan)
    yield "egress", f"{plan.bottle.egress.proxy}: everything is denied but"
    for entry in plan.listed:
        yield "", f"  {entry.pattern!s:<34}  {entry.source}"
    if plan.standin:
        names = ", ".join(pin.host for pin in plan.pins)
        yield "stand-in", f"{names}\nplayed by a container here; nothing reaches the Internet"
    yield "secrets", _secrets(prepared)
    yield "env", ", ".join(sorted(plan.bottle.env)) or "none"
    yield "skills", ", ".join(plan.agent.skills) or "none"
    yield "workspace", "/workspace, in memory; gone at the end"


def _runtime(plan: Plan) -> str:
    if plan.bottle.runtime == "runsc":
        return "runsc (gVisor: a kernel of its own)"
    return "runc (shares this host's kernel)"


def _images(plan: Plan) -> str:
    used = ["agent", "sidecar"] + (["standin"] if plan.standin else [])
    return "  ".join(f"{role} {plan.images[role].removeprefix('sha256:')[:12]}" for role in used)


def _secrets(prepared: Prepared) -> str:
    secret = prepared.secret
    if secret is None:
        return "none"
    return f"{secret.name} from {secret.source}\n{secret.kept}"
