"""Stage: shows an agent that speaks in lines, each tool call with the sidecar's answer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from bottle.agents import stream
from bottle.core.plan import API_HOST
from bottle.engine.port import Attached
from bottle.errors import TimeLimit
from bottle.session.audit import Record
from bottle.session.lifetime import LOOK_AT_LOAD, Lifetime

_POLL: Final = 0.1
_END: Final = 10.0
_LATE: Final = 0.5
_WIDTH: Final = 52
_QUOTE: Final = 44
_MOST: Final = 100
"""Open calls, and decisions about them, that are remembered."""


class Lines(Protocol):
    """What the stage needs of the console."""

    def say(self, text: str, style: str = "") -> None:
        """Show a line of ours."""

    def result(self, text: str, style: str = "") -> None:
        """Show lines of the agent's."""


def play(front: Lines, bottle: Lifetime, command: Sequence[str], check: Callable[[], None]) -> int:
    """Run the agent, show what it does as it does it, and give its exit code."""
    show = _Show(front)
    bottle.audit.listeners.append(show.heard)
    pipe = bottle.stream(command)
    while (line := _next(pipe, check)) is not None:
        for event in stream.parse(line):
            show.event(event)
    code = _end(pipe)
    if code:
        front.say(pipe.errors())
    return code


def _next(pipe: Attached, check: Callable[[], None]) -> str | None:
    while True:
        check()
        try:
            return pipe.line(_POLL)
        except TimeLimit:
            continue


def _end(pipe: Attached) -> int:
    try:
        return pipe.wait(_END)
    except TimeLimit:
        raise TimeLimit(
            f"the agent did not end within {_END:g} s of its last line", LOOK_AT_LOAD
        ) from None


class _Show:
    """Pairs the agent's tool calls with the sidecar's decisions made meanwhile.

    Calls that are open together share their decisions: nothing says whose each one is.
    """

    def __init__(self, front: Lines) -> None:
        self._front = front
        self._calls: dict[str, str] = {}
        self._decisions: deque[Record] = deque(maxlen=_MOST)
        self._decided = threading.Condition()

    def heard(self, record: Record) -> None:
        """Take a decision about a host that is not the model's own."""
        of_interest = record.get("event") == "decision" and record.get("host") != API_HOST
        if of_interest and record.get("stage") != "request":
            with self._decided:
                self._decisions.append(record)
                self._decided.notify_all()

    def event(self, event: stream.Event) -> None:
        """Show one event of the agent's."""
        if isinstance(event, stream.ToolCall):
            self._forget()
            if len(self._calls) < _MOST:
                self._calls[event.id] = event.summary
        elif isinstance(event, stream.ToolResult):
            self._answer(event)
        elif isinstance(event, stream.Text):
            # marked, or its words could look like the lines that tell of the sidecar
            self._front.result("\n".join(f"| {line}" for line in event.text.split("\n")))

    def _answer(self, result: stream.ToolResult) -> None:
        call = self._calls.pop(result.id, "")
        with self._decided:  # the agent's line may be here before the sidecar's
            self._decided.wait_for(lambda: self._decisions, _LATE)
            decisions = list(self._decisions)
        answer = "; ".join(map(_told, decisions)) or _unasked(result)
        style = "green" if any(d.get("allowed") for d in decisions) else "red"
        self._front.result(f"  $ {call:<{_WIDTH}}  {answer}", style)
        self._forget()

    def _forget(self) -> None:
        with self._decided:
            if not self._calls:
                self._decisions.clear()


def _unasked(result: stream.ToolResult) -> str:
    """Tell of a call that the sidecar knows nothing of; a failure in its own words."""
    failed = [line for line in result.text.splitlines() if line.startswith("curl: ")]
    return f"not asked: {failed[0][:_QUOTE]}" if failed else "not asked"


def _told(decision: Record) -> str:
    verdict = "allowed" if decision.get("allowed") else "denied"
    return f"{verdict}: {decision.get('host')} ({decision.get('reason')})"
