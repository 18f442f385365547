"""Audit: what the sidecar decided during one session, kept as JSON lines for this user alone."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from bottle.engine.port import Attached
from bottle.errors import TimeLimit
from bottle.session import lock

_LARGEST_RECORD: Final = 64 * 1024 * 1024
_PATIENCE: Final = 3600.0
_KEPT: Final = 50

Record = Mapping[str, Any]
Read = Callable[[str], Record | None]
"""Reads a line of a container's; None when it is none that such a container says."""


class Audit:
    """Writes a session's records as they come; the file is bounded at 64 MiB.

    What cannot be kept, on a full disk or beyond the bound, is counted; keeping never raises.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self.path = folder / "audit" / f"{session}.jsonl"
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._guard = threading.Lock()
        self._written = 0
        self._torn = False
        self.told = 0
        """How many records containers told so far."""
        self.lost = 0
        """How many records could not be kept."""
        self.listeners: list[Callable[[Record], None]] = []

    def __enter__(self) -> Audit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._guard, suppress(OSError):
            self._file.close()

    def note(self, record: Record) -> None:
        """Keep one record of our own or of the sidecar's."""
        line = json.dumps({**record, "time": round(time.time(), 3)}) + "\n"
        with self._guard:
            if not self._file.closed:
                self._write(line.encode())
        for listener in self.listeners:
            listener(record)

    def _write(self, line: bytes) -> None:
        whole = b"\n" * self._torn + line
        if self._written + len(whole) > _LARGEST_RECORD:
            self.lost += 1
            return
        written = 0
        with suppress(OSError):
            written = self._file.write(whole) or 0
        self._written += written
        self.lost += written < len(whole)
        self._torn = 0 < written < len(whole) or (self._torn and not written)

    def follow(self, source: str, pipe: Attached, read: Read) -> None:
        """Keep every line of a container's, in a thread of its own, until the container ends."""
        name = f"audit of {self.path.stem}"
        words = (source, pipe, read)
        threading.Thread(target=self._follow, args=words, name=name, daemon=True).start()

    def _follow(self, source: str, pipe: Attached, read: Read) -> None:
        while (line := _next(pipe)) is not None:
            record = read(line)
            if record is None:
                record = {"event": "unreadable", "text": line[:200]}
            if record:
                self.told += 1
                self.note({**record, "source": source})


def forget_old(folder: Path) -> None:
    """Remove all but the newest 50 records; those of living sessions stay."""
    dated = []
    for path in (folder / "audit").glob("*.jsonl"):
        with suppress(FileNotFoundError):  # another launcher forgets too
            dated.append((path.stat().st_mtime, path))
    for _, path in sorted(dated, reverse=True)[_KEPT:]:
        if lock.is_dead(folder, path.stem):
            path.unlink(missing_ok=True)


def _next(pipe: Attached) -> str | None:
    while True:
        try:
            return pipe.line(_PATIENCE)
        except TimeLimit:
            continue


def as_is(line: str) -> Record | None:
    """Read any record, as the stand-in's are: it is ours and meets nobody but our own tests."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else {}
