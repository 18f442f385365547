"""Tokens: a JSON5 text cut into its words, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BLANKS: Final = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_LINE_END: Final = "\n\r\u2028\u2029"
_TOKEN: Final = re.compile(
    rf"""
    (?P<blank> [{_BLANKS}]++ | //[^{_LINE_END}]*+ | /\*.*?\*/ )
  | (?P<mark> [{{}}\[\]:,] )
  | (?P<text> "(?:[^"\\\n\r]|\\(?:\r\n|.))*+" | '(?:[^'\\\n\r]|\\(?:\r\n|.))*+' )
  | (?P<number> [+-]?(?:0[xX][0-9a-fA-F]+|(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?
                  |\.[0-9]++(?:[eE][+-]?[0-9]++)?|Infinity|NaN)(?![\w$.\\]) )
  | (?P<word> (?:[^\W\d]|\$|\\u[0-9a-fA-F]{{4}})(?:[\w$]|\\u[0-9a-fA-F]{{4}})*+ )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the text: `mark`, `text` (a string in its quotes), `number`, `word` or `end`."""

    kind: str
    written: str
    offset: int
    """Of its first character."""


class Unreadable(Exception):
    """What stands somewhere and what was wanted there."""

    def __init__(self, found: str, wanted: str, offset: int, remedy: str = "") -> None:
        super().__init__(found)
        self.found, self.wanted, self.offset = found, wanted, offset
        self.remedy = remedy or f"write {wanted}"


def scan(text: str) -> Iterator[Token]:
    """Give each token, without comments and white space, and `end` last; raise Unreadable."""
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise _unreadable(text, offset)
        if match.lastgroup and match.lastgroup != "blank":
            yield Token(match.lastgroup, match.group(), offset)
        offset = match.end()
    yield Token("end", "", offset)


def place(text: str, offset: int) -> str:
    """Give an offset as people count: `line 3, column 14`, both from 1."""
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _unreadable(text: str, offset: int) -> Unreadable:
    rest = text[offset : offset + 2]
    if rest == "/*":
        return Unreadable("a comment that does not end", "*/", offset, "close the comment")
    if rest[0] in "\"'":
        return Unreadable("text that does not end", f"{rest[0]} in the same line", offset)
    return Unreadable(repr(rest[0]), "JSON5", offset, "correct the syntax")


_NAME: Final = re.compile(r"(?:[^\W\d]|\$)[\w$]*+")


def named(token: Token) -> str:
    """Give the key that a bare word means; raise Unreadable when its escapes make it no word."""
    name = re.sub(r"\\u(....)", lambda match: chr(int(match[1], 16)), token.written)
    if not _NAME.fullmatch(name):
        raise Unreadable(repr(token.written), "a key", token.offset, "put it in quotes")
    return name


_ESCAPES: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
    **dict.fromkeys(("\n", "\u2028", "\u2029", "\r\n", "\r"), ""),
}
_ESCAPE: Final = re.compile(
    r"\\(?:u(?P<pair>[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<long>[0-9a-fA-F]{4})|x(?P<short>[0-9a-fA-F]{2})|(?P<other>\r\n|0(?![0-9])|[^1-9ux0]))",
    re.DOTALL,
)


def unquoted(token: Token) -> str:
    """Give the characters that a string means; raise Unreadable for an escape that means none."""
    inner = token.written[1:-1]
    if "\\" not in inner:
        return inner
    parts, offset = [], 0
    while (at := inner.find("\\", offset)) >= 0:
        match = _ESCAPE.match(inner, at)
        if match is None:
            found = f"the escape {inner[at : at + 2]!r}"
            raise Unreadable(found, "an escape of JSON5", token.offset + 1 + at)
        parts += [inner[offset:at], _meant(match)]
        offset = match.end()
    return "".join([*parts, inner[offset:]])


def _meant(match: re.Match[str]) -> str:
    if pair := match["pair"]:
        return bytes.fromhex(pair.replace("\\u", "")).decode("utf-16-be")
    if number := match["long"] or match["short"]:
        return chr(int(number, 16))
    return _ESCAPES.get(match["other"], match["other"])
