"""Lifeline: stdin, held open by the launcher alone; its end is the end of this process."""

from __future__ import annotations

import os
import queue
import threading
from typing import Final

_STDIN: Final = 0
_CHUNK: Final = 65536
_LONGEST_LINE: Final = 4 * 1024 * 1024
DEAD_LAUNCHER: Final = 1

_first: queue.SimpleQueue[bytes] = queue.SimpleQueue()


def hold() -> None:
    """Watch stdin from now on, in a thread; at its end the process is gone at once."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def configuration() -> str:
    """Wait for the first line; raise ValueError when it is too long or no UTF-8."""
    line = _first.get()
    if len(line) > _LONGEST_LINE:
        raise ValueError("the configuration is longer than 4 MiB")
    return line.decode()


def _watch() -> None:
    try:
        _first.put(_read_line())
        while os.read(_STDIN, _CHUNK):
            pass  # nothing is said here after the first line
    finally:
        os._exit(DEAD_LAUNCHER)


def _read_line() -> bytes:
    line = b""
    while b"\n" not in line and len(line) <= _LONGEST_LINE:
        chunk = os.read(_STDIN, _CHUNK)
        if not chunk:
            os._exit(DEAD_LAUNCHER)
        line += chunk
    return line.partition(b"\n")[0] if b"\n" in line else line
