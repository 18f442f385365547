"""Demo: the real Claude Code without a person, against a stand-in; it speaks in lines of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bottle.agents import claude

needs_token: Final = True
invents_token: Final = True
interactive: Final = False

_QUESTION: Final = "Show what this bottle lets you reach, and what it does not."

home = claude.home
environment = claude.environment


def command(extra: Sequence[str], prompt: str) -> tuple[str, ...]:
    """Give `claude -p` with its events as lines, and the demo's question."""
    lines = ("-p", "--output-format", "stream-json", "--verbose")
    return (*claude.command((), prompt), *lines, *extra, _QUESTION)
