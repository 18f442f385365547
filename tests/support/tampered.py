"""Tampered: an engine with somebody's hand in what it is told, or in what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bottle.engine.docker import DockerEngine
from bottle.engine.port import Completed
from bottle.engine.process import Pipe

Words = list[str]
Tamper = Callable[[Words], Words]


def without(flag: str) -> Tamper:
    return lambda words: [word for word in words if not word.startswith(flag)]


def with_(flag: str) -> Tamper:
    return lambda words: [words[0], flag, *words[1:]]


def instead(old: str, new: str) -> Tamper:
    return lambda words: [re.sub(old, new, word) for word in words]


@dataclass
class Tampered(DockerEngine):
    """The engine, with somebody's hand in one of the words that it is given."""

    where: str = ""
    """Which command, as a pattern of its words."""
    change: Tamper = list
    after: Callable[[Tampered, str], None] | None = None
    """What is done once that command has made the thing of this name."""
    report: Callable[[dict[str, Any]], None] | None = None
    """What the engine says otherwise than it is, of each container."""
    entered: list[str] = field(default_factory=list)
    """Every program of the agent's that was begun."""
    touched: int = 0

    def _run(
        self, words: Sequence[str], *, stdin: bytes = b"", seconds: float | None = 60
    ) -> Completed:
        hit = bool(self.where) and bool(re.search(self.where, " ".join(words)))
        self.touched += hit
        done = super()._run(
            self.change(list(words)) if hit else words, stdin=stdin, seconds=seconds
        )
        if hit and self.after:
            self.after(self, next(w for w in words if re.search(r"cb-\w+-\w+$", w)).split("=")[-1])
        return done

    def inspect_container(self, name: str) -> Mapping[str, object]:
        seen = dict(super().inspect_container(name))
        if self.report:
            self.report(seen)
        return seen

    def stream(self, name: str, command: Sequence[str], *, user: str) -> Pipe:
        self.entered.append(" ".join(command))
        return super().stream(name, command, user=user)


@dataclass(frozen=True, kw_only=True)
class Hand:
    """What somebody does at the engine at once: to which command, and the field that tells each."""

    where: str
    does: Mapping[str, Tamper]
    runtimes: tuple[str, ...] = ()
    """What has to be there for it, besides the bottle's own."""

    def change(self, words: Words) -> Words:
        for change in self.does.values():
            words = change(words)
        return words
