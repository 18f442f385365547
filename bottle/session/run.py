"""Run: the use case behind `invoke start`, from the preflight to the agent's exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bottle.core.secret import Value
from bottle.engine.port import Engine
from bottle.errors import NotRemoved, Refused, UsageError
from bottle.provision import images
from bottle.session import audit, lock, manifests, preflight, reaper, stage
from bottle.session.lifetime import Lifetime
from bottle.session.signals import Signals
from bottle.session.start import Prepared, Request, prepare

_SKILLS: Final = ".claude/skills"
_TERMINAL: Final = ("TERM", "COLORTERM")


class Front(Protocol):
    """What a start needs of the console."""

    @property
    def interactive(self) -> bool:
        """Whether a person sits at a terminal."""

    def say(self, text: str, style: str = "") -> None:
        """Show a line."""

    def result(self, text: str, style: str = "") -> None:
        """Show lines of the agent's."""

    def row(self, label: str, text: str, style: str = "") -> None:
        """Show a labelled text."""

    def ask(self, question: str) -> bool:
        """Ask yes or no; only a clear yes is True."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Show what is being done and how long it took."""

    def lent(self) -> AbstractContextManager[None]:
        """Lend the terminal to the agent, and undo what it did to it."""

    def forget_input(self) -> None:
        """Forget what waits to be read at the terminal."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The words of the command line."""

    agent: str
    manifest: str = ""
    runtime: str = ""
    args: str = ""
    yes: bool = False


def start(engine: Engine, front: Front, asked: Asked, token: Value | None) -> int:
    """Run one agent from preflight to teardown; give its exit code.

    Raise a BottleError for everything that is expected to go wrong, after the teardown.
    """
    signals = Signals()
    with signals.caught():
        state = lock.state_folder()
        prepared = _prepared(engine, front, asked, state, token)
        _agree(front, prepared, yes=asked.yes)
        _tidy(engine, front, state)
        lifetime = Lifetime(engine, prepared.order, state, signals)
        try:
            with _shown(front, lifetime):
                return _agent(front, prepared, lifetime, signals)
        finally:
            if prepared.adapter.interactive:
                front.forget_input()
            _name_record(front, lifetime.audit)


def _tidy(engine: Engine, front: Front, state: Path) -> None:
    """Remove what dead sessions left; what cannot be removed is told and hinders nobody."""
    try:
        reaper.reap(engine, state)
    except NotRemoved as error:
        front.say(f"of dead sessions, {error.happened}")
    audit.forget_old(state)


def _prepared(
    engine: Engine, front: Front, asked: Asked, state: Path, token: Value | None
) -> Prepared:
    """Prepare a start; images that are not of this version of the program are built first."""
    request = _request(asked, state)
    try:
        return prepare(engine, request, token)
    except images.ImagesDiffer:
        _require_asking(front, yes=asked.yes)  # building takes long, and would be in vain
        images.rebuild(engine, front)
        return prepare(engine, request, token)


def _name_record(front: Front, record: audit.Audit) -> None:
    """Say where it stands what the containers told, when they told something."""
    if record.told:
        lost = f"\n{record.lost} records could not be kept" if record.lost else ""
        front.row("audit", f"{record.path}{lost}")


@contextmanager
def _shown(front: Front, lifetime: Lifetime) -> Iterator[None]:
    """Enter and leave a lifetime with both shown as steps."""
    with ExitStack() as stack:
        with front.step("start the bottle and prove its walls"):
            stack.enter_context(lifetime)
        try:
            yield
        finally:
            with front.step("remove everything"):
                stack.close()


def _agree(front: Front, prepared: Prepared, *, yes: bool) -> None:
    """Show what the yes is about and get it; without a terminal only --yes is one."""
    for label, text in preflight.rows(prepared):
        front.row(label, text)
    if yes:
        return
    _require_asking(front, yes=yes)
    if not front.ask("Start it?"):
        raise Refused("not started; nothing was made")


def _require_asking(front: Front, *, yes: bool) -> None:
    if not (yes or front.interactive):
        raise UsageError("there is no terminal to ask at", "add --yes to agree to the preflight")


def _agent(front: Front, prepared: Prepared, bottle: Lifetime, signals: Signals) -> int:
    if prepared.adapter.interactive:
        terminal = front.interactive
        environment = {n: os.environ[n] for n in _TERMINAL if terminal and n in os.environ}
        with front.lent():
            return bottle.run(prepared.command, terminal=terminal, environment=environment)
    return stage.play(front, bottle, prepared.command, signals.check)


def _request(asked: Asked, state: Path) -> Request:
    found = manifests.find(asked.manifest, asked.agent)
    return Request(
        agent=asked.agent,
        manifest=found.manifest,
        source=found.path,
        skills=Path.home() / _SKILLS,
        state=state,
        runtime=asked.runtime,
        arguments=asked.args,
    )
