"""Run: the use case behind `invoke start`, from the preflight to the agent's exit code."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from bottle.core import form
from bottle.core.secret import Value
from bottle.engine.port import Engine
from bottle.errors import NotRemoved
from bottle.provision import extra, images
from bottle.session import agreement, audit, lock, manifests, reaper, stage
from bottle.session.agreement import Answers, Asks
from bottle.session.declared import Request
from bottle.session.lifetime import Lifetime
from bottle.session.manifests import Found
from bottle.session.signals import Signals
from bottle.session.start import Prepared, Secrets, prepare, preview

_TERMINAL: Final = ("TERM", "COLORTERM")


class Front(Asks, Protocol):
    """What a start needs of the console, beside what its agreement needs."""

    def result(self, text: str, style: str = "") -> None:
        """Show lines of the agent's."""

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
    answers: Answers = Answers()  # noqa: RUF009  # a frozen value


def start(engine: Engine, front: Front, asked: Asked, token: Value | None) -> int:
    """Run one agent from preflight to teardown; give its exit code.

    Raise a BottleError for everything that is expected to go wrong, after the teardown.
    """
    signals = Signals()
    with signals.caught():
        state = lock.state_folder()
        found = manifests.find(asked.manifest, asked.agent)
        values = Secrets(token=token, variables=found.variables)
        request = request_for(found, asked, state)
        prepared = _prepared(engine, front, asked, request, values)
        agreement.obtain(front, prepared, found, state, asked.answers)
        order = prepared.making.order(_build_own_image(engine, front, prepared))
        _tidy(engine, front, state)
        lifetime = Lifetime(engine, order, state, signals)
        try:
            with _shown(front, lifetime):
                return _agent(front, prepared, lifetime, signals)
        finally:
            if prepared.declared.adapter.interactive:
                front.forget_input()
            _name_record(front, lifetime.audit)


def _build_own_image(engine: Engine, front: Front, prepared: Prepared) -> str:
    """Build the bottle's own image where it is missing, and give its identity; empty for none."""
    if prepared.missing is None:
        return prepared.making.identity or ""
    return extra.build(engine, front, prepared.missing, prepared.making.images["agent"])


def _tidy(engine: Engine, front: Front, state: Path) -> None:
    """Remove what dead sessions left; what cannot be removed is told and hinders nobody."""
    try:
        reaper.reap(engine, state)
    except NotRemoved as error:
        front.say(f"of dead sessions, {error.happened}")
    audit.forget_old(state)


def _prepared(
    engine: Engine, front: Front, asked: Asked, request: Request, values: Secrets
) -> Prepared:
    """Prepare a start; images that are not of this version of the program are built first."""
    try:
        return prepare(engine, request, values)
    except images.ImagesDiffer:
        agreement.require_asking(front, asked.answers)  # building takes long, and would be in vain
        images.rebuild(engine, front)
        return prepare(engine, request, values)


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


def _agent(front: Front, prepared: Prepared, bottle: Lifetime, signals: Signals) -> int:
    command = prepared.declared.command
    if prepared.declared.adapter.interactive:
        terminal = front.interactive
        environment = {n: os.environ[n] for n in _TERMINAL if terminal and n in os.environ}
        with front.lent():
            return bottle.run(command, terminal=terminal, environment=environment)
    return stage.play(front, bottle, command, signals.check)


def request_for(found: Found, asked: Asked, state: Path) -> Request:
    """Say what was asked for, with where things of the person's are."""
    return Request(
        agent=asked.agent,
        manifest=found.manifest,
        source=found.path,
        skills=manifests.whereabouts(found.path).skills,
        state=state,
        runtime=asked.runtime,
        arguments=asked.args,
    )


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan for people and scripts, the same for equal input."""

    values: Mapping[str, Any]

    def lines(self) -> Iterator[str]:
        """Give what it is about, and what the engine would be told."""
        agent, bottle = self.values["agent"], self.values["bottle"]
        yield f"plan       {self.values['digest']}"
        yield f"agent      {agent['name']} ({agent['adapter']}) in bottle {bottle['name']}"
        for entry in self.values["egress"]["allowlist"]:
            yield f"egress     {entry['host']}  ({entry['source']})"
        for name, setting in self.values["environment"].items():
            yield f"env        {name}  ({setting['source']})"
        for network in self.values["networks"]:
            yield ""
            yield from _command("docker network create", network["arguments"])
        for container in self.values["containers"]:
            yield ""
            yield from _command("docker create", container["arguments"])
            for network, address in list(container["networks"].items())[1:]:
                words = [f"--ip={address}", network, container["name"]]
                yield from _command("docker network connect", words)
        yield ""
        for number, step in enumerate(self.values["steps"], 1):
            after = f"   (after: {', '.join(step['needs'])})" if step["needs"] else ""
            yield f"step {number}     {step['name']}{after}"


def _command(begin: str, arguments: Sequence[str]) -> Iterator[str]:
    """Give a command, one line for each of its words."""
    *words, last = (begin, *(f"    {shlex.quote(argument)}" for argument in arguments))
    yield from (f"{word} \\" for word in words)
    yield last


def plan(engine: Engine, asked: Asked) -> Planned:
    """Plan a start and make nothing; raise as `start` does before the yes."""
    found = manifests.find(asked.manifest, asked.agent)
    prepared = preview(engine, request_for(found, asked, lock.state_folder()))
    values = form.form(prepared.form)
    return Planned(values={"digest": prepared.digest, **values})
