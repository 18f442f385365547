"""Mitmproxy: the egress sidecar built here; what it is told, and what its lines say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bottle.core.egress import VERSION
from bottle.core.members import PROXY_PORT
from bottle.core.plan import Plan

_LONGEST_LINE: Final = 64 * 1024
_LONGEST_TEXT: Final = 256
_LONGEST_CERTIFICATE: Final = 16 * 1024


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


_EVENTS: Final = ("ready", "decision", "dropped", "fault")
_KINDS: Final[Mapping[str, type]] = {
    "event": str,
    "stage": str,
    "allowed": bool,
    "host": str,
    "port": int,
    "reason": str,
    "pattern": str,
    "method": str,
    "path": str,  # without the query
    "count": int,  # of `dropped`: how many lines were not told
    "hook": str,
    "error": str,
    "ca": str,  # of `ready`: the bottle's certificate authority in PEM
}


def record(line: str) -> Mapping[str, Any] | None:
    """Read one line of the sidecar's; None when it is none of its own.

    Its texts were chosen inside the bottle: they are cut again here, and are still hostile.
    """
    if len(line) > _LONGEST_LINE:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("event") not in _EVENTS:
        return None
    known = {name: _bounded(name, value) for name, value in found.items() if name in _KINDS}
    if any(type(value) is not _KINDS[name] for name, value in known.items()):
        return None
    return known


def _bounded(name: str, value: Any) -> Any:
    longest = _LONGEST_CERTIFICATE if name == "ca" else _LONGEST_TEXT
    return value[:longest] if isinstance(value, str) else value
