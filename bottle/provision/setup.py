"""Setup: brings a machine from nothing to ready, and changes nothing on one that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bottle.engine.port import Engine
from bottle.provision import consent, daemon, hostrule, images, runsc
from bottle.provision import gvisor as gvisors
from bottle.provision.daemon import State
from bottle.provision.machine import Machine, ThisMachine
from bottle.provision.progress import Progress

_BUILD: Final = (
    "build images from Debian, PyPI and npm packages, fetched by this machine's own tools "
    "(mmdebstrap is installed where Debian's published image cannot be pulled)"
)
_RULE: Final = (
    "set one nftables table, claude_bottle: it drops what a bottle's bridge sends to this host, "
    "and does not track its connections"
)


def provision(
    engine_factory: Callable[[], Engine],
    progress: Progress,
    words: Sequence[str],
    *,
    gvisor: bool = False,
    machine: Machine | None = None,
) -> None:
    """Find or start an engine, build the images, set the host rule; with `gvisor` that as well.

    `words` is the whole command line, in which a consent may stand. What would change is
    announced before anything does; when nothing would, nothing is asked.
    """
    here = machine or ThisMachine()
    state = daemon.look(here)
    changes = _changes(engine_factory, here, state, with_gvisor=gvisor)
    if not changes:
        progress.say("engine, images and host rule are in place")
        return
    yes = consent.consented(words)
    consent.obtain(progress, changes, yes=yes, terminal=here.terminal)
    daemon.ensure(here, progress, state)
    _fill(engine_factory(), here, progress, with_gvisor=gvisor)


def _changes(
    engine_factory: Callable[[], Engine], machine: Machine, state: State, *, with_gvisor: bool
) -> tuple[str, ...]:
    """Say everything that will change; an engine that does not answer yet lacks all the rest."""
    further = runsc.changes(machine) if with_gvisor else ()
    if state is not State.ANSWERS:
        lacking = "" if state is State.MISSING else "where it is missing: "
        rest = [f"{lacking}{change}" for change in (_BUILD, _RULE)]
        return (*daemon.changes(machine, state), *rest, *further)
    engine = engine_factory()
    if with_gvisor:
        runsc.refuse_elsewhere(engine, machine)
    stale = images.outdated(engine)
    if stale:
        return (_BUILD, _RULE, *further)
    rule = () if hostrule.present(engine) else (_RULE,)
    return (*rule, *(() if with_gvisor and gvisors.is_working(engine) else further))


def _fill(engine: Engine, machine: Machine, progress: Progress, *, with_gvisor: bool) -> None:
    images.build(engine, progress, install=True, machine=machine)
    if not hostrule.present(engine):
        with progress.step("set the host rule"):
            hostrule.insert(engine)
    if with_gvisor and not gvisors.is_working(engine):
        runsc.provision(engine, machine, progress)
