"""Stream: Claude Code's `stream-json` lines, read as events; what is not understood is left out.

The lines come from inside a bottle: nothing in them is taken on trust, no shape of them raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_LONGEST_LINE: Final = 1024 * 1024
_LONGEST_SUMMARY: Final = 200
_LONGEST_ID: Final = 128
_TELLING: Final = ("command", "url", "file_path", "pattern", "description", "prompt")


@dataclass(frozen=True, kw_only=True)
class Text:
    """Something that the model says."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool that the model calls."""

    id: str
    name: str
    summary: str
    """What tells most about the call, in one line."""


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool call gave."""

    id: str
    ok: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """The end of the run."""

    ok: bool
    text: str


Event = Text | ToolCall | ToolResult | Result


def parse(line: str) -> Iterator[Event]:
    """Read one line; give its events in their order."""
    if len(line) > _LONGEST_LINE:
        return
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(value, dict):
        return
    if value.get("type") == "result":
        yield Result(ok=value.get("is_error") is False, text=_text(value.get("result")))
    elif value.get("type") in ("assistant", "user"):
        yield from _message(value.get("message"))


def _message(message: object) -> Iterator[Event]:
    content = message.get("content") if isinstance(message, Mapping) else None
    for block in content if isinstance(content, list) else ():
        event = _block(block) if isinstance(block, Mapping) else None
        if event:
            yield event


def _block(block: Mapping[str, object]) -> Event | None:
    kind = block.get("type")
    if kind == "text":
        return Text(text=_text(block.get("text")))
    if kind == "tool_use":
        name = _text(block.get("name"))
        summary = _summary(name, block.get("input"))
        return ToolCall(id=_id(block.get("id")), name=name, summary=summary)
    if kind == "tool_result":
        return ToolResult(
            id=_id(block.get("tool_use_id")),
            ok=not block.get("is_error"),
            text=_joined(block.get("content")),
        )
    return None


def _summary(name: str, given: object) -> str:
    values = given if isinstance(given, Mapping) else {}
    told = next((_text(values[key]) for key in _TELLING if _text(values.get(key))), name)
    return " ".join(told.split())[:_LONGEST_SUMMARY]


def _joined(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(_text(part.get("text")) for part in content if isinstance(part, Mapping))
    return _text(content)


def _id(value: object) -> str:
    return _text(value)[:_LONGEST_ID]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
