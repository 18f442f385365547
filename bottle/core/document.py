"""Document: the JSON5 text of a manifest, as plain values or refused with line and column."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from bottle.errors import ManifestError, Problem

LARGEST = 64 * 1024
"""Bytes of the largest manifest; json5 takes 9 ms per KiB."""

_DEEPEST = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON5_PLACE = re.compile(r"<string>:(\d+) (.*?)(?: at column (\d+))?$", re.DOTALL)
_SHOWN = 60


class _Unacceptable(Exception):
    """Raised by the hooks of the parsers; no ValueError, which json5 would reword."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.found)
        self.problem = problem


def read(content: bytes) -> object:
    """Parse a manifest's bytes as JSON5 (UTF-8); raise ManifestError with one problem otherwise."""
    text = _text(content)
    try:
        value = _parse(text)
    except _Unacceptable as refusal:
        raise ManifestError((refusal.problem,)) from None
    except RecursionError:
        raise ManifestError((_too_deep(),)) from None
    _examine(value)
    return value


def _parse(text: str) -> object:
    hooks: dict[str, Any] = {
        "object_pairs_hook": _members,
        "parse_constant": _no_constant,
        "parse_float": _finite,
        "parse_int": _whole,
    }
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError:
        pass
    import json5  # 20 ms to import, and needed only when the text is no plain JSON

    try:
        return json5.loads(text, **hooks)
    except _Unacceptable:
        raise
    except ValueError as error:
        raise _Unacceptable(_syntax(str(error))) from None


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        _refuse(f"{len(content)} bytes", f"at most {LARGEST} bytes", "split or shorten it")
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        _refuse("a byte order mark", "UTF-8 without a mark", "save it as plain UTF-8")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(
            f"byte {content[error.start]:#04x} at offset {error.start}",
            "UTF-8 text",
            "save it as UTF-8",
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        _refuse(f"a NUL character in line {line}", "text", "remove it")
    return text


def _refuse(found: str, wanted: str, remedy: str) -> NoReturn:
    raise ManifestError((Problem(path="", found=found, wanted=wanted, remedy=remedy),))


def _syntax(message: str) -> Problem:
    place = _JSON5_PLACE.match(message)
    if place is None:
        return Problem(path="", found=message[:_SHOWN], wanted="JSON5", remedy="correct the syntax")
    line, what, column = place.groups()
    where = f"line {line}" + (f", column {column}" if column else "")
    return Problem(path=where, found=what[:_SHOWN], wanted="JSON5", remedy="correct the syntax")


def _too_deep() -> Problem:
    return Problem(path="", found="very deep nesting", wanted=f"at most {_DEEPEST} levels")


def _unacceptable(found: str, wanted: str, remedy: str = "") -> NoReturn:
    raise _Unacceptable(Problem(path="", found=found, wanted=wanted, remedy=remedy))


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            _unacceptable(f"the key {_safe(name)!r} twice", "each key once", "remove one of them")
        members[name] = value
    return members


def _safe(text: str) -> str:
    return _SURROGATE.sub("?", text)[:_SHOWN]


def _no_constant(name: str) -> NoReturn:
    _unacceptable(name, "a finite number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _unacceptable(text[:_SHOWN], "a finite number")
    return number


def _whole(text: str, base: int = 10) -> int:
    if len(text) > _SHOWN:
        _unacceptable(f"a number of {len(text)} characters", "a shorter number")
    return int(text, base)


def _examine(value: object) -> None:
    """Refuse what no string or nesting of a manifest may be."""
    pending = [(value, 1)]
    while pending:
        item, level = pending.pop()
        if level > _DEEPEST:
            raise ManifestError((_too_deep(),))
        if isinstance(item, dict):
            pending.extend((name, level) for name in item)
            pending.extend((child, level + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, level + 1) for child in item)
        elif isinstance(item, str) and _SURROGATE.search(item):
            _refuse("half of a surrogate pair", "whole characters", "write the character itself")
