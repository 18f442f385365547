"""A machine and a console that only remember, and an engine that has images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bottle.engine.port import Completed

Answer = Callable[[tuple[str, ...]], Completed]


def done(output: str = "", errors: str = "", code: int = 0) -> Completed:
    """A finished command."""
    return Completed(code=code, output=output.encode(), errors=errors.encode())


@dataclass
class Ran:
    """One command that was asked for."""

    words: tuple[str, ...]
    environment: Mapping[str, str] | None
    stdin: bytes

    @property
    def line(self) -> str:
        return " ".join(self.words)


@dataclass
class FakeMachine:
    """A machine whose programs answer what a test says; unknown ones succeed silently."""

    system: str = "Linux"
    root: bool = True
    terminal: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    processes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    answers: list[tuple[str, Answer]] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)

    def find(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def exists(self, path: str) -> bool:
        return path in self.files

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def running(self, program: str) -> tuple[int, ...]:
        return self.processes.get(program, ())

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: bytes = b"",
        seconds: float = 60,  # noqa: ARG002  # part of the protocol
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,  # noqa: ARG002  # part of the protocol
    ) -> Completed:
        self.ran.append(Ran(tuple(words), environment, stdin))
        line = " ".join(words)
        for part, answer in self.answers:
            if part in line:
                return answer(tuple(words))
        return done()

    def when(self, part: str, *replies: Completed) -> None:
        """Answer a command whose line contains `part`; the last reply repeats."""
        queue = list(replies)
        self.answers.append((part, lambda _: queue.pop(0) if len(queue) > 1 else queue[0]))

    @property
    def lines(self) -> list[str]:
        return [ran.line for ran in self.ran]


@dataclass
class FakeProgress:
    """A console that remembers and answers what the test says."""

    answer: bool = False
    said: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.steps.append(title)
        yield

    def say(self, text: str) -> None:
        self.said.append(text)

    def ask(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer
