"""Mitmproxy: the egress sidecar built here; what it is told, and what its lines say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from bottle.core.egress import VERSION
from bottle.core.plan import PROXY_PORT, Plan

COMMAND: Final = ("tini", "--", "/opt/sidecar/start")
"""What the image runs; it reads its configuration from stdin and lives as long as that is open."""

_LONGEST_TEXT: Final = 256


def configuration(
    plan: Plan, *, upstream_ca: str | None, credentials: Mapping[str, tuple[str, str]]
) -> bytes:
    """Give the one line that the sidecar reads from its stdin; it holds secrets.

    `upstream_ca` (PEM) replaces the public roots; `credentials` is host to placeholder and value.
    """
    values = {
        "version": VERSION,
        "listen": plan.sidecar_address,
        "port": PROXY_PORT,
        "allowlist": [str(pattern) for pattern in plan.allowlist.patterns],
        "pins": {pin.host: pin.address for pin in plan.pins},
        "upstream_ca": upstream_ca,
        "credentials": [
            {"host": host, "placeholder": placeholder, "value": value}
            for host, (placeholder, value) in credentials.items()
        ],
    }
    return json.dumps(values).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """One line of the sidecar's; what a line does not say is empty, 0 or False."""

    event: str
    """`ready`, `decision`, `dropped` or `fault`."""
    stage: str = ""
    """`connect`, `resolve`, `tunnel`, `client_hello`, `request` or `upstream`."""
    allowed: bool = False
    host: str = ""
    port: int = 0
    reason: str = ""
    pattern: str = ""
    method: str = ""
    path: str = ""
    """Without the query."""
    count: int = 0
    """Of `dropped`: how many lines were not told."""
    hook: str = ""
    error: str = ""
    ca: str = ""
    """Of `ready`: the bottle's certificate authority in PEM."""


_EVENTS: Final = ("ready", "decision", "dropped", "fault")
_KINDS: Final[Mapping[str, type]] = {
    field.name: {"str": str, "int": int, "bool": bool}[str(field.type)]
    for field in fields(AuditRecord)
}


def record(line: str | bytes) -> AuditRecord | None:
    """Read one line of the sidecar's; None when it is none of its own.

    Its texts were chosen inside the bottle: they are cut again here, and are still hostile.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("event") not in _EVENTS:
        return None
    known = {name: _bounded(name, value) for name, value in found.items() if name in _KINDS}
    if any(type(value) is not _KINDS[name] for name, value in known.items()):
        return None
    return AuditRecord(**known)


def _bounded(name: str, value: Any) -> Any:
    whole = name == "ca" or not isinstance(value, str)
    return value if whole else value[:_LONGEST_TEXT]
