"""Signals: what asks us to end does so in order, at a place where nothing is half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from bottle.errors import BottleError

_CAUGHT: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Interrupted(BottleError):
    """A signal asked us to end; the code is 128 plus its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.code = 128 + number


class Signals:
    """Catches the signals of one start: they raise at once, or wait for `check` while deferred.

    Deferred, nothing is ever interrupted half way: whoever waits calls `check` between waits.
    """

    def __init__(self) -> None:
        self._pending = 0
        self._deferred = False

    def check(self) -> None:
        """Raise Interrupted when a signal came."""
        if self._pending:
            raise Interrupted(self._pending)

    @contextmanager
    def caught(self) -> Iterator[Signals]:
        """Catch from here on, and restore what was set before at the end.

        What is ignored stays so: whoever used nohup, or sent us to the background, means it.
        """
        heeded = [n for n in _CAUGHT if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._arrive) for number in heeded}
        try:
            yield self
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def defer(self) -> None:
        """From here on signals wait for `check`; raise Interrupted when one already came."""
        self._deferred = True
        self.check()

    def _arrive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the form
        self._pending = self._pending or number
        if not self._deferred:
            raise Interrupted(number)
