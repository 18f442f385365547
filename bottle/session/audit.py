"""Audit: what the sidecar decided during one session, kept as JSON lines for this user alone."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from bottle.engine.port import Attached
from bottle.errors import TimeLimit

_LARGEST_RECORD: Final = 64 * 1024 * 1024
_PATIENCE: Final = 3600.0

Record = Mapping[str, Any]


class Audit:
    """Writes a session's records as they come; the file is bounded at 64 MiB."""

    def __init__(self, folder: Path, session: str) -> None:
        self.path = folder / "audit" / f"{session}.jsonl"
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._guard = threading.Lock()
        self._written = 0
        self.listeners: list[Callable[[Record], None]] = []

    def __enter__(self) -> Audit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._guard:
            self._file.close()

    def note(self, record: Record) -> None:
        """Keep one record of our own or of the sidecar's."""
        self._write(json.dumps({**record, "time": round(time.time(), 3)}) + "\n")
        for listener in self.listeners:
            listener(record)

    def _write(self, line: str) -> None:
        with self._guard:
            if self._file.closed or self._written + len(line) > _LARGEST_RECORD:
                return
            self._file.write(line)
            self._file.flush()
            self._written += len(line)

    def follow(self, source: str, pipe: Attached) -> None:
        """Keep every line of a container's, in a thread of its own, until the container ends."""
        name = f"audit of {self.path.stem}"
        threading.Thread(target=self._follow, args=(source, pipe), name=name, daemon=True).start()

    def _follow(self, source: str, pipe: Attached) -> None:
        while (line := _next(pipe)) is not None:
            record = _parsed(line)
            if record:
                self.note({**record, "source": source})


def _next(pipe: Attached) -> str | None:
    while True:
        try:
            return pipe.line(_PATIENCE)
        except TimeLimit:
            continue


def _parsed(line: str) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {"event": "unreadable", "text": line[:200]}
    return record if isinstance(record, dict) else {}
