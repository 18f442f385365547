"""Document: the JSON5 text of a manifest, as plain values or refused with line and column.

Not by the package json5: it takes up to 2.7 s for 64 KiB and knows no place of a repeated key
(docs/adr/0011). The tests compare with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final, NoReturn

from bottle.core.tokens import Token, Unreadable, named, place, scan, unquoted
from bottle.errors import ManifestError, Problem

LARGEST: Final = 64 * 1024
"""Bytes of the largest manifest."""

DEEPEST: Final = 32
"""Levels of objects and lists in each other, at most."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SHOWN: Final = 60
_LITERALS: Final = {"null": None, "true": True, "false": False}


def read(content: bytes) -> object:
    """Parse a manifest's bytes as JSON5 (UTF-8); raise ManifestError with one problem otherwise."""
    text = _text(content)
    try:
        return _Reader(scan(text)).document()
    except Unreadable as error:
        where = place(text, error.offset)
        raise ManifestError((_problem(where, error.found, error.wanted, error.remedy),)) from None


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        _refuse(f"{len(content)} bytes", f"at most {LARGEST} bytes", "split or shorten it")
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        _refuse("a byte order mark", "UTF-8 without a mark", "save it as plain UTF-8", "line 1")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        found = f"the byte {content[error.start]:#04x}"
        _refuse(found, "UTF-8 text", "save it as UTF-8", place(before, len(before)))
    if "\0" in text:
        _refuse("a NUL character", "text", "remove it", place(text, text.index("\0")))
    return text


def _refuse(found: str, wanted: str, remedy: str, where: str = "") -> NoReturn:
    raise ManifestError((_problem(where, found, wanted, remedy),))


def _problem(where: str, found: str, wanted: str, remedy: str) -> Problem:
    return Problem(path=where, found=found, wanted=wanted, remedy=remedy)


class _Reader:
    """Reads tokens as one value, by the grammar of JSON5."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        self._tokens = tokens
        self._depth = 0

    def document(self) -> object:
        value = self._value(next(self._tokens))
        rest = next(self._tokens)
        if rest.kind != "end":
            raise _odd(rest, "nothing after the manifest")
        return value

    def _value(self, token: Token) -> object:
        if token.kind == "text":
            return _string(token)
        if token.kind == "number" or token.written in ("Infinity", "NaN"):
            return _number(token)
        if token.kind == "word" and token.written in _LITERALS:
            return _LITERALS[token.written]
        if token.written in ("{", "["):
            return self._nested(token)
        raise _odd(token, "a value")

    def _nested(self, token: Token) -> object:
        self._depth += 1
        if self._depth > DEEPEST:
            wanted = f"at most {DEEPEST} levels"
            raise Unreadable("deep nesting", wanted, token.offset, "nest it less deeply")
        value = self._object() if token.written == "{" else self._list()
        self._depth -= 1
        return value

    def _list(self) -> list[object]:
        items: list[object] = []
        while (token := next(self._tokens)).written != "]":
            items.append(self._value(token))
            if not self._goes_on("]"):
                break
        return items

    def _object(self) -> dict[str, object]:
        members: dict[str, object] = {}
        while (token := next(self._tokens)).written != "}":
            name = _key(token)
            if name in members:
                found = f"the key {name[:_SHOWN]!r} twice"
                raise Unreadable(found, "each key once", token.offset, "remove one of them")
            colon = next(self._tokens)
            if colon.written != ":":
                raise _odd(colon, "a colon after the key")
            members[name] = self._value(next(self._tokens))
            if not self._goes_on("}"):
                break
        return members

    def _goes_on(self, end: str) -> bool:
        token = next(self._tokens)
        if token.kind != "mark" or token.written not in (",", end):
            raise _odd(token, f"a comma or {end}")
        return token.written == ","


def _odd(token: Token, wanted: str) -> Unreadable:
    found = repr(token.written[:_SHOWN]) if token.written else "the end of the text"
    return Unreadable(found, wanted, token.offset, "correct the syntax")


def _key(token: Token) -> str:
    if token.kind == "text":
        return _string(token)
    if token.kind == "word" or token.written in ("Infinity", "NaN"):
        return named(token)
    raise _odd(token, "a key")


def _string(token: Token) -> str:
    text = unquoted(token)
    if _SURROGATE.search(text):
        found, remedy = "half of a surrogate pair", "write the character itself"
        raise Unreadable(found, "whole characters", token.offset, remedy)
    if "\0" in text:
        raise Unreadable("a NUL character", "text", token.offset, "remove it")
    return text


def _number(token: Token) -> int | float:
    written = token.written
    if len(written) > _SHOWN:
        found = f"a number of {len(written)} characters"
        raise Unreadable(found, "a shorter number", token.offset)
    if "x" in written.lower():
        return int(written, 16)
    if written.lstrip("+-").isdecimal():
        return int(written)
    number = float(written)
    if not math.isfinite(number):
        raise Unreadable(written, "a finite number", token.offset)
    return number
