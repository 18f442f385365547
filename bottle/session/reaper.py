"""Reaper: removes what dead sessions of this owner left; a live session is never touched."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from bottle.engine.port import Engine, Labelled
from bottle.errors import NotRemoved
from bottle.session import lock

_SESSION = re.compile(r"[0-9a-f]{12}")
_GONE: Final = 15.0
_POLL: Final = 0.05


def reap(engine: Engine, folder: Path) -> tuple[Labelled, ...]:
    """Remove every labelled thing of this owner whose session is dead; give what was removed.

    Raise NotRemoved with what is still there then; its session's lock file stays.
    """
    owner = lock.owner_key(folder)
    ours = [thing for thing in engine.labelled() if thing.owner == owner]
    dead = {
        s for s in {t.session for t in ours} if _SESSION.fullmatch(s) and lock.is_dead(folder, s)
    }
    left = tuple(thing for thing in ours if thing.session in dead)
    still = _still_there(engine, left)
    _forget_dead(folder, {thing.session for thing in still})
    if still:
        raise left_behind(still)
    return left


def _still_there(engine: Engine, things: tuple[Labelled, ...]) -> tuple[Labelled, ...]:
    """Remove things until the engine lists none of them, or for too long; give the rest."""
    deadline = time.monotonic() + _GONE
    while things:
        remove(engine, things)
        listed = engine.labelled()
        things = tuple(thing for thing in things if thing in listed)
        if time.monotonic() > deadline:
            break
        if things:
            time.sleep(_POLL)
    return things


def left_behind(things: Iterable[Labelled]) -> NotRemoved:
    """Give the failure that names what is still there."""
    names = ", ".join(thing.name for thing in things)
    return NotRemoved(f"still there: {names}", "look at the engine; run invoke reap")


def remove(engine: Engine, things: tuple[Labelled, ...]) -> None:
    """Remove labelled things at once, containers before the networks that they are on."""
    names = {kind: [t.name for t in things if t.kind == kind] for kind in _KINDS}
    engine.remove(names["container"], names["network"], names["volume"])


_KINDS = ("container", "network", "volume")


def _forget_dead(folder: Path, kept: Collection[str]) -> None:
    for path in (folder / "sessions").glob("*.lock"):
        if path.stem not in kept:
            lock.forget(folder, path.stem)
