"""Preflight: what the person says yes to, as rows of text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from bottle.core.plan import Plan
from bottle.session.start import Prepared

Row = tuple[str, str]
_SHOWN: Final = 60


def rows(prepared: Prepared) -> Iterator[Row]:
    """Give everything that the yes is about, as (label, text) in the order of reading."""
    plan = prepared.plan
    yield "agent", f"{plan.agent.name} ({plan.agent.adapter}) in bottle {plan.bottle.name}"
    yield "manifest", str(prepared.source)
    yield "runtime", _runtime(plan)
    yield "engine", f"Docker {prepared.engine.version}"
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
    yield "prompt", _prompt(plan.agent.prompt)
    yield "runs", _command(prepared)
    yield "workspace", "/workspace, in memory; gone at the end"


def _runtime(plan: Plan) -> str:
    if plan.bottle.runtime == "runsc":
        return "runsc (gVisor: a kernel of its own)"
    return "runc (shares this host's kernel)"


def _images(plan: Plan) -> str:
    used = ["agent", "sidecar"] + (["standin"] if plan.standin else [])
    return "  ".join(f"{role} {plan.images[role].removeprefix('sha256:')[:12]}" for role in used)


def _prompt(prompt: str) -> str:
    if not prompt:
        return "none"
    text = " ".join(prompt.split())
    rest = f"… ({len(prompt)} characters)" if len(text) > _SHOWN else ""
    return text[:_SHOWN] + rest


def _command(prepared: Prepared) -> str:
    """Give the words of the agent's program, with its prompt left out."""
    prompt = prepared.plan.agent.prompt
    words = (word if word != prompt or not prompt else None for word in prepared.command)
    return " ".join("…" if word is None else shlex.quote(word) for word in words)


def _secrets(prepared: Prepared) -> str:
    secret = prepared.secret
    if secret is None:
        return "none"
    return f"{secret.name} ({secret.source})\n{secret.kept}"
