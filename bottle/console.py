"""Console: the only module that prints; calm, aligned, and safe against foreign characters."""

from __future__ import annotations

import json
import os
import sys
import termios
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, TextIO, cast

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.text import Text

from bottle.errors import BottleError, ManifestError, Problem, Refused

_UNDONE: Final = (
    "\033[?1049l",  # the other screen
    "\033[?1000l\033[?1002l\033[?1003l\033[?1006l\033[?1015l",  # reports of the mouse
    "\033[?1004l\033[?2004l",  # reports of focus, bracketed paste
    "\033[<u\033[>4;0m\033[?1l\033>",  # keys that are told in another way
    "\0337\033[r\0338\033[?7h",  # margins, which move the cursor; lines that do not wrap
    "\017\033(B\033[?25h\033[0m",  # other characters, a hidden cursor, colours
)
_LABEL_WIDTH: Final = 11
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters that show nothing."""


def plain(text: str) -> str:
    """Escape what is not printable, so that a foreign string cannot speak to the terminal."""
    if text.isprintable() and _BLANK.isdisjoint(text):
        return text
    seen = (c.isprintable() and c not in _BLANK for c in text)
    pairs = zip(text, seen, strict=True)
    return "".join(c if shown else c.encode("unicode_escape").decode() for c, shown in pairs)


class _Stream:
    """A standard stream as it is now; one that has gone, as with its terminal, takes no text.

    What to do then is not decided here: a session ends by its signal and removes what it made.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def now(self) -> TextIO | None:
        """The stream; None when we were started without it."""
        found = getattr(sys, self._name)
        # while Rich shows a spinner, its own proxy stands there, which would write to us again
        stream: TextIO | None = getattr(found, "rich_proxied_file", found)
        return stream

    @property
    def encoding(self) -> str:
        """As Rich asks for it."""
        return getattr(self.now, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        with suppress(OSError, ValueError):
            return self.now is not None and self.now.isatty()
        return False

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            if self.now is not None:
                self.now.write(self._writable(text))
        except OSError:
            self._let_go()
        return len(text)

    def deliver(self, text: str) -> None:
        """Write all of a result; raise OSError when it cannot be, but for a reader who has gone."""
        try:
            if self.now is not None:
                self.now.write(self._writable(text))
                self.now.flush()
        except BrokenPipeError:
            self._let_go()

    def flush(self) -> None:
        """Flush what can be flushed."""
        try:
            if self.now is not None:
                self.now.flush()
        except OSError:
            self._let_go()

    def _writable(self, text: str) -> str:
        """Escape what the stream's encoding lacks."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def _let_go(self) -> None:
        """Lead what is still in the buffer nowhere: it would fail again as Python ends."""
        with suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self.now.fileno() if self.now else -1)


class Console:
    """Writes for people to stderr and results to stdout; respects NO_COLOR and pipes."""

    def __init__(self) -> None:
        self._stdin, self._stdout = _Stream("stdin"), _Stream("stdout")
        self._out, self._err = _rich(self._stdout), _rich(_Stream("stderr"))

    @property
    def interactive(self) -> bool:
        """Say whether a person sits at all ends: questions are shown on stderr."""
        return self._stdin.isatty() and self._stdout.isatty() and self._err.file.isatty()

    def say(self, text: str, style: str = "") -> None:
        """Print lines of our own making; foreign parts in them are escaped."""
        _show(self._err, ((line, style) for line in text.split("\n")))

    def row(self, label: str, text: str, style: str = "") -> None:
        """Print `label  text`, with further lines of the text below the first.

        At a terminal, lines are broken to its width.
        """
        lines = [plain(line) for line in text.split("\n")]
        if self._err.is_terminal:
            width = self._err.width - _LABEL_WIDTH - 2
            lines = [part for line in lines for part in _broken(self._err, line, width)]
        for index, line in enumerate(lines):
            name = f"  {plain(label) if not index else '':<{_LABEL_WIDTH}}"
            self._err.print(Text.assemble((name, "dim"), (line, style)))

    def result(self, text: str, style: str = "") -> None:
        """Print lines of an agent's or a result to stdout."""
        _show(self._out, ((line, style) for line in text.split("\n")))

    def results(self, lines: Iterable[tuple[str, str]]) -> None:
        """Print lines of a result to stdout, each with its style; raise OSError as above."""
        if self._out.is_terminal:
            _show(self._out, lines)
        else:
            self._stdout.deliver("".join(f"{plain(text)}\n" for text, _ in lines))

    def result_json(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print one JSON document to stdout; raise OSError when it does not arrive whole."""
        self._stdout.deliver(json.dumps(value, indent=2) + "\n")

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

    def ask(self, question: str, *, default: bool = False) -> bool:
        """Ask yes or no; everything but a clear yes is no, or an empty line where `default` is.

        The end of the input is no empty line.
        """
        self.forget_input()  # what was typed before the question is no answer to it
        choices = "[Y/n]" if default else "[y/N]"
        self._err.print(Text(f"{plain(question)} {choices} "), end="")
        self._err.file.flush()
        try:
            answer = self._stdin.now.readline() if self._stdin.now else ""
        except (KeyboardInterrupt, OSError):
            answer = ""
        if not answer:  # the cursor still stands behind the question
            self._err.print()
        return answer.strip().lower() in {"y", "yes"} or (default and answer == "\n")

    def failure(self, error: BottleError) -> None:
        """Show an expected failure: what happened, each problem, what to do."""
        if isinstance(error, Refused):
            self.say(error.happened)
            return
        self.say(f"error: {error.happened}", style="bold red")
        if isinstance(error, ManifestError):
            _show(self._err, (line for problem in error.problems for line in _told(problem)))
        if error.remedy:
            self.say(f"  {error.remedy}")

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the terminal to an agent; whatever it did to it is undone afterwards."""
        with self._restored_input():
            try:
                yield
            finally:
                if self._stdout.isatty():
                    self._stdout.write("".join(_UNDONE))
                    self._stdout.flush()

    @contextmanager
    def _restored_input(self) -> Iterator[None]:
        if not self._stdin.isatty() or self._stdin.now is None:
            yield
            return
        number = self._stdin.now.fileno()
        before = termios.tcgetattr(number)
        try:
            yield
        finally:
            with suppress(termios.error, OSError):
                termios.tcsetattr(number, termios.TCSAFLUSH, before)

    def forget_input(self) -> None:
        """Forget what waits to be read: a terminal answers what an agent asked of it, late.

        Unread, it would be typed into the person's shell.
        """
        if self._stdin.isatty() and self._stdin.now is not None:
            with suppress(termios.error, OSError):
                termios.tcflush(self._stdin.now.fileno(), termios.TCIFLUSH)


def _told(problem: Problem) -> Iterator[tuple[str, str]]:
    yield f"  {problem.path or '(the whole file)'}", "bold"
    advice = f"; {problem.remedy}" if problem.remedy else ""
    yield f"    found {problem.found}, wanted {problem.wanted}{advice}", ""


def _show(console: RichConsole, lines: Iterable[tuple[str, str]]) -> None:
    """Print lines, each with its style; where there is none to show, all at once.

    Rich takes 0.1 s for a thousand lines, and a manifest can have thirty thousand mistakes.
    """
    shown = [(plain(text), style) for text, style in lines]
    if not console.is_terminal:
        console.file.write("".join(f"{text}\n" for text, _ in shown))
        return
    for text, style in shown:
        for part in _broken(console, text, console.width):
            console.print(Text(part, style=style))


def _broken(console: RichConsole, line: str, width: int) -> list[str]:
    """Break a line between words, its later parts two deeper than the first.

    Counted in the cells of a terminal: of some characters each takes two.
    """
    if cell_len(line) < width:
        return [line]
    deep = " " * min(len(line) - len(line.lstrip()) + 2, width // 2)
    room = max(width - len(deep) - 1, 20)
    first, *others = Text(line).wrap(console, room, overflow="fold")
    return [first.plain.rstrip(), *(deep + other.plain.strip() for other in others)]


def _rich(stream: _Stream) -> RichConsole:
    file = cast("IO[str]", stream)  # of which Rich asks no more than there is
    return RichConsole(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)
