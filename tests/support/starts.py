"""Starts: requests for a start on a fake engine, and what a console would have shown of it."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bottle.agents import placeholder
from bottle.core.manifest import parse
from bottle.core.secret import Value
from bottle.session.declared import Request
from tests.support.plans import manifest

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""What asks a start to end."""


@contextmanager
def heeding() -> Iterator[None]:
    """Ignore none of these signals for a while, even where the tests were started by nohup."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def token() -> Value:
    """Make a token's shape up; it opens nothing."""
    return Value(placeholder(secrets.token_hex(64)))


def request(
    state: Path,
    *,
    agent: str = "",
    override: str = "",
    arguments: str = "",
    of_agent: Mapping[str, Any] | None = None,
    **declared: Any,
) -> Request:
    """Ask for the one agent of a manifest; `declared` as for `plans.manifest`.

    The manifest stands in the folder `project`, the user's skills are in `skills`.
    """
    content = manifest(**declared)
    (name,) = content["agents"]
    content["agents"][name] |= of_agent or {}
    return Request(
        agent=agent or name,
        manifest=parse(json.dumps(content).encode()),
        source=state / "project" / "claude-bottle.json",
        skills=state / "skills",
        state=state,
        runtime=override,
        arguments=arguments,
    )


def add_skill(folder: Path, name: str = "one") -> Path:
    """Put a skill with a script there."""
    path = folder / name
    (path / "scripts").mkdir(parents=True)
    (path / "SKILL.md").write_text("# Skill\n")
    (path / "scripts" / "run").write_text("#!/bin/sh\n")
    (path / "scripts" / "run").chmod(0o700)
    return path


@dataclass
class FakeFront:
    """A console that remembers, and answers what a test says."""

    interactive: bool = False
    answer: bool | None = False
    """None is the empty line: a plain Enter."""
    answers: Mapping[str, bool] = field(default_factory=dict)
    """To single questions, instead of `answer`."""
    on_step: Callable[[str], None] = lambda _: None
    rows: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    lendings: list[str] = field(default_factory=list)

    def say(self, text: str, style: str = "") -> None:  # noqa: ARG002  # the protocol
        self.said.append(text)

    def result(self, text: str, style: str = "") -> None:
        self.results.append((text, style))

    def row(self, label: str, text: str, style: str = "") -> None:  # noqa: ARG002  # the protocol
        self.rows.append((label, text))

    def ask(self, question: str, *, default: bool = False) -> bool:
        self.asked.append(question)
        answer = self.answers.get(question, self.answer)
        return default if answer is None else answer

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.steps.append(title)
        self.on_step(title)
        yield

    def forget_input(self) -> None:
        self.lendings.append("forgotten")

    @contextmanager
    def lent(self) -> Iterator[None]:
        self.lendings.append("lent")
        try:
            yield
        finally:
            self.lendings.append("back")
