"""Console: the only module that prints; calm, aligned, and safe against foreign characters."""

from __future__ import annotations

import json
import os
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from rich.console import Console as RichConsole
from rich.text import Text

from bottle.errors import BottleError, ManifestError, Refused

_RESET: Final = "\033[?1049l\033[?1000l\033[?1002l\033[?1006l\033[?2004l\033[?25h\033[0m"
"""Leave the other screen, mouse reports and bracketed paste; show the cursor; plain colours."""
_LABEL_WIDTH: Final = 11


def plain(text: str) -> str:
    """Escape what is not printable, so that a foreign string cannot speak to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Console:
    """Writes for people to stderr and results to stdout; respects NO_COLOR and pipes."""

    def __init__(self) -> None:
        self._out = RichConsole(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = RichConsole(
            stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    @property
    def interactive(self) -> bool:
        """Say whether a person sits at both ends."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def say(self, text: str, style: str = "") -> None:
        """Print lines of our own making; foreign parts in them are escaped."""
        for line in text.split("\n"):
            self._err.print(Text(plain(line), style=style))

    def row(self, label: str, text: str, style: str = "") -> None:
        """Print `label  text`, with further lines of the text below the first."""
        for index, line in enumerate(text.split("\n")):
            name = f"  {plain(label) if not index else '':<{_LABEL_WIDTH}}"
            self._err.print(Text.assemble((name, "dim"), (plain(line), style)))

    def result(self, text: str, style: str = "") -> None:
        """Print lines of a result to stdout."""
        for line in text.split("\n"):
            self._out.print(Text(plain(line), style=style))

    def result_json(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print one JSON document to stdout."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show what is being done and, when it is done, how long it took."""
        begin = time.monotonic()
        if not self._err.is_terminal:
            yield
        else:
            with self._err.status(Text(plain(title), style="dim"), spinner="dots"):
                yield
        took = time.monotonic() - begin
        self._err.print(
            Text(f"  {plain(title):<52}", style="dim") + Text(f"{took:7.2f} s", style="dim")
        )

    def ask(self, question: str) -> bool:
        """Ask yes or no; everything but a clear yes is no."""
        self._err.print(Text(f"{plain(question)} [y/N] "), end="")
        self._err.file.flush()
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            answer = ""
        return answer.strip().lower() in {"y", "yes"}

    def failure(self, error: BottleError) -> None:
        """Show an expected failure: what happened, each problem, what to do."""
        if isinstance(error, Refused):
            self.say(error.happened)
            return
        self.say(f"error: {error.happened}", style="bold red")
        for problem in error.problems if isinstance(error, ManifestError) else ():
            where = problem.path or "(the whole file)"
            self.say(f"  {where}", style="bold")
            advice = f"; {problem.remedy}" if problem.remedy else ""
            self.say(f"    found {problem.found}, wanted {problem.wanted}{advice}")
        if error.remedy:
            self.say(f"  {error.remedy}")

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the terminal to an agent; whatever it did to it is undone afterwards."""
        if not self.interactive:
            yield
            return
        before = termios.tcgetattr(sys.stdin.fileno())
        try:
            yield
        finally:
            with suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
                os.write(sys.stdout.fileno(), _RESET.encode())
