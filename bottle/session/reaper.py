"""Reaper: removes what dead sessions of this owner left; a live session is never touched."""

from __future__ import annotations

import re
from pathlib import Path

from bottle.engine.port import Engine, Labelled
from bottle.session import lock

_SESSION = re.compile(r"[0-9a-f]{12}")


def reap(engine: Engine, folder: Path) -> tuple[Labelled, ...]:
    """Remove every labelled thing of this owner whose session is dead; give what was removed."""
    owner = lock.owner_key(folder)
    ours = [thing for thing in engine.labelled() if thing.owner == owner]
    dead = {
        s for s in {t.session for t in ours} if _SESSION.fullmatch(s) and lock.is_dead(folder, s)
    }
    left = tuple(thing for thing in ours if thing.session in dead)
    remove(engine, left)
    for session in dead:
        lock.forget(folder, session)
    _forget_unused(folder)
    return left


def remove(engine: Engine, things: tuple[Labelled, ...]) -> None:
    """Remove labelled things at once, containers before the networks that they are on."""
    names = {kind: [t.name for t in things if t.kind == kind] for kind in _KINDS}
    engine.remove(names["container"], names["network"], names["volume"])


_KINDS = ("container", "network", "volume")


def _forget_unused(folder: Path) -> None:
    for path in (folder / "sessions").glob("*.lock"):
        if lock.is_dead(folder, path.stem):
            lock.forget(folder, path.stem)
