"""Lifeline: stdin, held open by the launcher alone; its end is the end of this process."""

from __future__ import annotations

import os
import queue
import threading
from typing import Final

_STDIN: Final = 0
_CHUNK: Final = 65536
_LONGEST_LINE: Final = 1024 * 1024
DEAD_LAUNCHER: Final = 1

_first: queue.SimpleQueue[bytes] = queue.SimpleQueue()


def hold() -> None:
    """Watch stdin from now on, in a thread; at its end the process is gone at once."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def first_line() -> bytes:
    """Wait for the first line; more than 1 MiB of it is never given."""
    return _first.get()


def _watch() -> None:
    line: bytes | None = b""
    try:
        while chunk := os.read(_STDIN, _CHUNK):
            if line is None:
                continue  # nothing is said here after the first line
            line += chunk
            if b"\n" in line or len(line) > _LONGEST_LINE:
                _first.put(line.partition(b"\n")[0])
                line = None
    finally:
        os._exit(DEAD_LAUNCHER)
