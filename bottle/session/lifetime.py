"""Lifetime: a bottle from its first network to its last trace, whatever ends it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from bottle.core import plan as planning
from bottle.core.parts import ContainerPlan
from bottle.core.plan import Plan
from bottle.core.slot import SLOTS, Slot
from bottle.engine.port import Attached, Engine, SubnetTaken
from bottle.errors import TimeLimit, Unavailable, WallDiffers
from bottle.session import audit, lock, reaper
from bottle.session.audit import Audit
from bottle.session.contents import Contents
from bottle.session.signals import Signals
from bottle.session.walls import Watch, prove
from bottle.sidecars import mitmproxy

_READY: Final = 30.0
_GONE: Final = 15.0
_POLL: Final = 0.05
LOOK_AT_LOAD: Final = "look at the engine's load, then start again"
_Result = TypeVar("_Result")

Configure = Callable[[Plan, str | None], bytes]
"""Gives the sidecar's configuration line for a plan and the stand-in's certificate authority."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to start: how to plan it in a slot, and what goes through the pipes."""

    plan_in: Callable[[Slot], Plan]
    slots: Sequence[int]
    """Candidates in the order to try them; the engine decides which one is really free."""
    sidecar: Configure
    standin: Callable[[Plan], bytes] | None
    contents: Callable[[str], Contents]
    """Gives the bottle's contents for the sidecar's certificate."""


class Lifetime:
    """A running bottle; entering proves its walls, leaving removes all of it.

    Signals are deferred throughout: they come through between steps and while the agent runs,
    never during the removal.
    """

    def __init__(self, engine: Engine, order: Order, folder: Path, signals: Signals) -> None:
        self._engine = engine
        self._order = order
        self._folder = folder
        self._signals = signals
        self._stack = ExitStack()
        self._pipes: list[Attached] = []
        self._steps: dict[str, Future[Any]] = {}
        self._watch: Watch | None = None
        self._stopping = threading.Event()
        self.plan = order.plan_in(Slot(number=order.slots[0]))
        self._pool = ThreadPoolExecutor(8, thread_name_prefix=f"start of {self.plan.session}")
        self.audit = Audit(folder, self.plan.session)

    def __enter__(self) -> Lifetime:
        try:
            self._build()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._take_down()

    def run(self, command: Sequence[str], *, terminal: bool, environment: Mapping[str, str]) -> int:
        """Hand the terminal to the agent and give its exit code."""
        return self._engine.interact(
            self.plan.keeper.name,
            self._entered(command),
            user=self._agent_user,
            terminal=terminal,
            environment=environment,
            meanwhile=self._signals.check,
        )

    def stream(self, command: Sequence[str]) -> Attached:
        """Run the agent with its lines coming to us."""
        pipe = self._engine.stream(
            self.plan.keeper.name, self._entered(command), user=self._agent_user
        )
        self._pipes.append(pipe)
        return pipe

    @property
    def _agent_user(self) -> str:
        return f"{self.plan.slot.agent_uid}:{self.plan.slot.agent_uid}"

    @staticmethod
    def _entered(command: Sequence[str]) -> list[str]:
        return ["/opt/bottle/enter", *command]

    # -- up

    def _build(self) -> None:
        self._stack.enter_context(self.audit)
        self._signals.defer()
        self._stack.enter_context(lock.hold(self._folder, self.plan.session))
        self._take_slot()
        actions = self._actions()
        for step in self.plan.steps:
            needed = [self._steps[name] for name in step.needs]
            if step.alone:
                for future in needed:
                    self._await(future)
                self._steps[step.name] = _done(actions[step.name]())
            else:
                self._steps[step.name] = self._start(partial(_after, needed, actions[step.name]))
        self.audit.note({"event": "started", "runtime": self.plan.bottle.runtime})
        self._signals.check()

    def _actions(self) -> Mapping[str, Callable[[], Any]]:
        """Give what is done at each step of the plan."""
        return {
            planning.INSIDE: lambda: None,  # taken with the slot, before anything else
            planning.OUTSIDE: self._outside,
            planning.KEEPER: partial(self._open, self.plan.keeper),
            planning.WATCH: self._begin_watch,
            planning.STANDIN: self._standin,
            planning.SIDECAR: self._sidecar,
            planning.CONTENTS: self._fill,
            planning.PROOF: self._prove,
        }

    def _result(self, step: str) -> Any:
        """Give what a step gave that is done."""
        return self._steps[step].result()

    def _take_slot(self) -> None:
        """Take the first slot whose inside subnet is free: creating it is the arbiter."""
        for number in self._order.slots:
            self.plan = self._order.plan_in(Slot(number=number))
            try:
                return self._engine.create_network(self.plan.inside)
            except SubnetTaken:
                self._signals.check()
        raise Unavailable(f"all {SLOTS} places for bottles are taken", "run invoke reap")

    def _begin_watch(self) -> Watch:
        self._watch = Watch(self._engine, self.plan)
        return self._watch

    def _outside(self) -> None:
        try:
            self._engine.create_network(self.plan.outside)
        except SubnetTaken as error:
            raise Unavailable(f"the subnet {error} was taken meanwhile", "start again") from None

    def _sidecar(self) -> str:
        standin = self._result(planning.STANDIN) if self.plan.standin else None
        pipe = self._open(self.plan.sidecar)
        pipe.send(self._order.sidecar(self.plan, standin))
        certificate = _ready(pipe, "sidecar")
        self.audit.follow("sidecar", pipe, mitmproxy.record)
        return certificate

    def _standin(self) -> str:
        plan, configure = self.plan.standin, self._order.standin
        if plan is None or configure is None:
            raise AssertionError("a plan with a stand-in comes with its configuration")
        pipe = self._open(plan)
        pipe.send(configure(self.plan))
        certificate = _ready(pipe, "stand-in")
        self.audit.follow("standin", pipe, audit.as_is)
        return certificate

    def _open(self, plan: ContainerPlan) -> Attached:
        if self._stopping.is_set():
            raise Unavailable("the start was given up")
        self._engine.create_container(plan)
        pipe = self._engine.start(plan.name)
        self._pipes.append(pipe)
        if self._stopping.is_set():  # after the others were closed: nobody else closes this one
            pipe.close()
        return pipe

    def _fill(self) -> None:
        keeper: Attached = self._result(planning.KEEPER)
        keeper.send(self._order.contents(self._result(planning.SIDECAR)).archive())
        answer = _first_line(keeper, "bottle's first process")
        if answer != "ready":
            raise WallDiffers(f"the bottle did not take its contents: {keeper.errors()[-500:]}")

    def _prove(self) -> None:
        watch: Watch = self._result(planning.WATCH)
        try:
            prove(self._engine, self.plan, watch, self._pool)
        except TimeLimit as error:
            raise TimeLimit(
                f"the walls were not proved in time: {error.happened}", LOOK_AT_LOAD
            ) from None
        finally:
            watch.end()

    def _start(self, action: Callable[[], _Result]) -> Future[_Result]:
        return self._pool.submit(action)

    def _await(self, future: Future[_Result]) -> _Result:
        """Wait for a step; a signal that came meanwhile ends the wait."""
        while not wait([future], timeout=_POLL).done:
            self._signals.check()
        self._signals.check()  # a step that failed may have failed of the same ^C
        return future.result()

    # -- down

    def _take_down(self) -> None:
        """Do all of it, each part whatever the others come to; the last failure is told."""
        self._stopping.set()
        with ExitStack() as parts:  # from the last to the first
            parts.push(self._stack)
            parts.callback(self._end_pipes)
            parts.callback(self.audit.note, {"event": "ended"})
            parts.callback(self._remove_all)
            parts.callback(self._end_watch)
            parts.callback(self._pool.shutdown, wait=True)
            for pipe in list(self._pipes):
                parts.callback(pipe.close)

    def _end_watch(self) -> None:
        if self._watch:
            self._watch.end()  # its client may not have made its container yet

    def _end_pipes(self) -> None:
        with ExitStack() as parts:
            for pipe in self._pipes:
                parts.callback(pipe.end)

    def _remove_all(self) -> None:
        """Remove by name at once, then look for what is still there; the engine may lag behind."""
        deadline = time.monotonic() + _GONE
        named = [c.name for c in self.plan.containers], [n.name for n in self.plan.networks]
        self._try_until(deadline, partial(self._engine.remove, *named))
        look = partial(self._engine.labelled, self.plan.session)
        while left := self._try_until(deadline, look):
            if time.monotonic() > deadline:
                raise reaper.left_behind(left)
            time.sleep(_POLL)
            self._try_until(deadline, partial(reaper.remove, self._engine, left))

    def _try_until(self, deadline: float, action: Callable[[], _Result]) -> _Result:
        """Ask again while the engine does not answer: a busy one may do so in a moment."""
        while True:
            try:
                return action()
            except (Unavailable, TimeLimit):
                if time.monotonic() > deadline:
                    raise
            time.sleep(_POLL)


def _done(result: _Result) -> Future[_Result]:
    future: Future[_Result] = Future()
    future.set_result(result)
    return future


def _after(needed: Sequence[Future[Any]], action: Callable[[], _Result]) -> _Result:
    """Do something once what it needs is done; what failed there fails here."""
    for future in needed:
        future.result()
    return action()


def _first_line(pipe: Attached, who: str) -> str | None:
    try:
        return pipe.line(_READY)
    except TimeLimit:
        said = f": {pipe.errors()[-500:]}" if pipe.errors() else ""
        raise TimeLimit(
            f"the {who} was not ready within {_READY:g} s{said}", LOOK_AT_LOAD
        ) from None


def _ready(pipe: Attached, who: str) -> str:
    """Read the first line of a sidecar or stand-in: it listens, and this is its certificate."""
    line = _first_line(pipe, who)
    try:
        first: dict[str, Any] = json.loads(line or "")
        return str(first["ca"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unavailable(f"the {who} did not start: {pipe.errors()[-500:]}") from None
