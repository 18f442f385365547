"""Place: where in a manifest a value stands, with the notes about all of it and their words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from bottle.errors import Problem

_SHOWN: Final = 60
_SUGGESTED: Final = 50
_PLAIN: Final = re.compile(rf"[A-Za-z0-9_$-]{{1,{_SHOWN}}}")


@dataclass(frozen=True, kw_only=True)
class Later:
    """Something declared that is understood and not supported yet."""

    path: str
    reason: str


@dataclass(frozen=True)
class Place:
    """Where in the manifest a value stands, and the notes about all of it."""

    path: str = ""
    problems: list[Problem] = field(default_factory=list)
    later: list[Later] = field(default_factory=list)

    def key(self, name: str) -> Place:
        """Give the place of a member."""
        plain = _PLAIN.fullmatch(name)
        step = f".{name}" if plain else f"[{shown(name)}]"
        return Place((self.path + step).removeprefix("."), self.problems, self.later)

    def item(self, index: int) -> Place:
        """Give the place of an item of a list."""
        return Place(f"{self.path}[{index}]", self.problems, self.later)

    def refuse(self, found: str, wanted: str, remedy: str = "") -> None:
        """Note that what stands here is not what was wanted; without a remedy, write that."""
        todo = remedy or f"write {wanted}"
        problem = Problem(path=self.path, found=found, wanted=wanted, remedy=todo)
        self.problems.append(problem)


def shown(text: str) -> str:
    """Give a foreign text in quotes, cut and with what is not printable escaped."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def kind(value: object) -> str:
    """Say what a plain value is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return "a list" if isinstance(value, list) else "an object"


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name most like `name`, as a sentence, or nothing."""
    close = difflib.get_close_matches(name[:_SHOWN], list(known), n=1, cutoff=0.65)
    return f"did you mean {close[0]!r}?" if close else ""


def few(known: Collection[str], at: Place) -> Collection[str]:
    """Give the names to suggest from: none when comparing each with each would take seconds."""
    return known if len(known) <= _SUGGESTED and len(at.problems) <= _SUGGESTED else ()
