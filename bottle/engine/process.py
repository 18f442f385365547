"""Pipe: a running client program whose stdin we hold and whose lines we read."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from bottle.errors import TimeLimit, Unavailable

_LONGEST_LINE = 1 << 20
_MOST_WAITING = 16 << 20
_PRICE_OF_A_LINE = 1 << 10
_MOST_ERRORS = 8 * 1024
_LAST_WORDS = 1.0
_POLL = 0.1


class _Lines(queue.Queue[str | None]):
    """Lines that wait to be read; each counts as its length and 1 KiB, all together as 16 MiB."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._taken = 0

    def _qsize(self) -> int:
        return self._taken

    def _put(self, item: str | None) -> None:
        super()._put(item)
        self._taken += _price(item)

    def _get(self) -> str | None:
        item: str | None = super()._get()
        self._taken -= _price(item)
        return item


def _price(line: str | None) -> int:
    return _PRICE_OF_A_LINE + len(line or "")


class Pipe:
    """A client started in its own process group, so that ^C at the terminal does not reach it.

    Only this process holds the writing end of its stdin: when we die, it reads end of file.
    Lines beyond 16 MiB of unread ones wait in the pipe; a line ends at 1 MiB, its rest is lost.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._lines = _Lines(_MOST_WAITING)
        self._errors = bytearray()
        self._readers = (
            threading.Thread(target=self._read_errors, daemon=True),
            threading.Thread(target=self._read_lines, daemon=True),
        )
        for reader in self._readers:
            reader.start()

    def send(self, text: bytes) -> None:
        """Write to its stdin; raise Unavailable when it has ended."""
        stdin = _open(self._process.stdin)
        try:
            stdin.write(text)
            stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            if isinstance(error, BrokenPipeError):
                self._hear_last_words()
            raise Unavailable(f"the container ended: {self.errors().strip()}") from None

    def line(self, seconds: float) -> str | None:
        """Give its next line, None at the end; raise TimeLimit after `seconds`."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeLimit(f"no line came within {seconds:g} s") from None
        if line is None:
            self._lines.put(None)
        return line

    def errors(self) -> str:
        """Give what it wrote to stderr so far, at most 8 KiB, without Docker's DNS remark."""
        text = bytes(self._errors).decode(errors="replace")
        lines = [
            line for line in text.splitlines() if not line.startswith("WARNING: Localhost DNS")
        ]
        return "\n".join(lines)

    def wait(self, seconds: float) -> int:
        """Wait for its end and give its exit code; raise TimeLimit after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeLimit(f"it did not end within {seconds:g} s") from None

    def close(self) -> None:
        """Let go of its stdin: it, and PID 1 behind it, read end of file."""
        with suppress(BrokenPipeError):
            _open(self._process.stdin).close()

    def end(self) -> None:
        """Close, and kill the client when it has not ended after two seconds."""
        self.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_lines(self) -> None:
        stdout = _open(self._process.stdout)
        while line := stdout.readline(_LONGEST_LINE):
            self._lines.put(line.decode(errors="replace").rstrip("\n"))
            while line and not line.endswith(b"\n"):
                line = stdout.readline(_LONGEST_LINE)
        stdout.close()
        self._hear_last_words()
        self._lines.put(None)

    def _hear_last_words(self) -> None:
        """Wait until all of its stderr is read: why it ended stands there, often at the end."""
        self._readers[0].join(_LAST_WORDS)

    def _read_errors(self) -> None:
        stderr = _open(self._process.stderr)
        while chunk := stderr.read1(4096) if hasattr(stderr, "read1") else stderr.read(4096):
            self._errors += chunk[: max(0, _MOST_ERRORS - len(self._errors))]
        stderr.close()


def last_lines(text: bytes | str, count: int = 3) -> str:
    """Give the end of what a program wrote, in one line."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return " ".join(line.strip() for line in words.strip().splitlines()[-count:])


def hand_over(command: Sequence[str], meanwhile: Callable[[], None]) -> int:
    """Run a client on our own terminal or pipes; give its exit code.

    `meanwhile` is called ten times a second and at the end; when it raises, the client is killed.
    A signal that ends the client is 128 and its number, as in a shell.
    """
    process = subprocess.Popen(command)
    over = threading.Event()

    def wait() -> None:
        process.wait()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    try:
        while not over.wait(_POLL):
            meanwhile()
        meanwhile()  # ^C may have ended the client, which shares our terminal, before we looked
    except BaseException:
        process.kill()
        over.wait()
        raise
    code = process.returncode
    return code if code >= 0 else 128 - code


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("all three streams are pipes")
    return stream
