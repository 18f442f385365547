"""Audit: one JSON object a line on stdout for every decision; bounded, and never in the way.

Lines are written by a thread of their own: a launcher that stops reading stops the lines, not
the proxy. What is over the rate, or finds the queue full, is counted and told as a number.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from contextlib import suppress
from typing import Final

_STDOUT: Final = 1
_LONGEST_TEXT: Final = 256
_A_SECOND: Final = 200.0
_BURST: Final = 400.0
_WAITING: Final = 2000

Value = str | int | bool
Line = dict[str, Value]


class _Budget:
    """A number of lines that grows with time up to a burst; what is over it is dropped."""

    def __init__(self) -> None:
        self._credit = _BURST
        self._counted_at = time.monotonic()

    def spend(self) -> bool:
        """Take one line, if there is one."""
        now = time.monotonic()
        earned = (now - self._counted_at) * _A_SECOND
        self._credit = min(_BURST, self._credit + earned)
        self._counted_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


class Audit:
    """Tells what was decided; texts are cut at 256 characters, lines at 200 a second.

    What was let out has a budget and half of the queue to itself: no flood of denials hides it.
    """

    def __init__(self) -> None:
        self._lines: queue.Queue[Line] = queue.Queue(_WAITING)
        self._guard = threading.Lock()
        self._budgets = {True: _Budget(), False: _Budget()}
        self._dropped = 0
        threading.Thread(target=self._write, name="audit", daemon=True).start()

    def ready(self, certificate: str) -> None:
        """Say, before anything else, that the proxy listens; the certificate is not cut."""
        self._lines.put_nowait({"event": "ready", "ca": certificate})

    def decision(self, stage: str, *, allowed: bool, reason: str, **known: str | int) -> None:
        """Tell a decision, with what is known of host, port, pattern, method and path."""
        fields = {name: value for name, value in known.items() if value not in ("", 0)}
        line: Line = {"event": "decision", "stage": stage, "allowed": allowed, "reason": reason}
        self._tell(line | fields)

    def fault(self, hook: str, error: BaseException | type[BaseException]) -> None:
        """Tell that something of ours raised; only the error's type, its text may be hostile."""
        kind = error if isinstance(error, type) else type(error)
        self._tell({"event": "fault", "hook": hook, "error": kind.__name__})

    def _tell(self, line: Line) -> None:
        let_out = line.get("allowed") is True
        room = _WAITING if let_out else _WAITING // 2
        with self._guard:  # only this method fills the queue from now on
            if self._lines.qsize() >= room or not self._budgets[let_out].spend():
                self._dropped += 1
            else:
                self._lines.put_nowait(line)

    def _write(self) -> None:
        while True:
            with suppress(queue.Empty):
                _print(self._lines.get(timeout=1))
            if self._lines.empty() and (count := self._take_dropped()):
                _print({"event": "dropped", "count": count})

    def _take_dropped(self) -> int:
        with self._guard:
            count, self._dropped = self._dropped, 0
            return count


def _print(line: Line) -> None:
    whole = line.get("event") == "ready"
    cut = {
        name: value[:_LONGEST_TEXT] if isinstance(value, str) and not whole else value
        for name, value in line.items()
    }
    rest = json.dumps(cut).encode() + b"\n"
    while rest:
        rest = rest[os.write(_STDOUT, rest) :]
