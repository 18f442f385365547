"""Answers: what an agent is told when something is refused; no more than it needs."""

from __future__ import annotations

import json
from typing import Final

from mitmproxy import http

MARK: Final = "x-claude-bottle"
DENIED: Final = "denied by policy"


def denial(reason: str, host: str = "", *, status: int = 403) -> http.Response:
    """Make the answer that an agent gets: the reason, and the host that it asked for."""
    denied = status < 500
    body = json.dumps({"denied" if denied else "failed": reason, "host": host[:256]})
    headers = {"content-type": "application/json", MARK: "denied" if denied else "failed"}
    return http.Response.make(status, body + "\n", headers)
