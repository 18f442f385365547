"""Manifests: finds the file that a start uses and reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from bottle.core import document, secret
from bottle.core.manifest import DEMO, Manifest, secret_sources, survey
from bottle.core.place import Place
from bottle.core.secret import Value
from bottle.errors import ManifestError, ManifestMissing, Problem, UsageError
from bottle.session import referents
from bottle.session.referents import Whereabouts

FILE: Final = "claude-bottle.json"
SHIPPED: Final = Path(__file__).resolve().parents[2] / "manifests"
_ADVICE: Final = (
    f"write {FILE} here with `invoke init`, name one with --manifest, or try --agent demo"
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A manifest and the file that it came from."""

    path: Path
    manifest: Manifest
    stumbled_on: bool = False
    """It lay in the current folder: nobody named it, and it may be a stranger's."""
    variables: Mapping[str, Value] = field(default_factory=dict)
    """The host's variables that it names as secrets, taken out of our environment."""


def find(named: str, agent: str) -> Found:
    """Read the named file, else the demo's own for the agent `demo`, else the first that is there
    of the current folder's and the one in the user's configuration folder.

    Raise ManifestMissing, or ManifestError with every problem at once, those of the files that it
    names too, or UsageError when a named one lacks the demo.
    """
    path = Path(named) if named else SHIPPED / "demo.json" if agent == DEMO else _usual()
    manifest, problems = _survey(path)
    # before any program is started for what it names
    taken = secret.take_named(os.environ, secret_sources(manifest))
    _require_valid(manifest, problems, path)
    if agent == DEMO and DEMO not in manifest.agents:
        raise UsageError(
            f"{path} declares no demo", "leave --manifest out: the demo brings its own"
        )
    return Found(
        path=path,
        manifest=manifest,
        stumbled_on=path == Path(FILE) and not named,
        variables=taken,
    )


def _survey(path: Path) -> tuple[Manifest, tuple[Problem, ...]]:
    try:
        return survey(_content(path))
    except ManifestError as error:
        raise ManifestError(error.problems, str(path)) from None


def _require_valid(manifest: Manifest, problems: tuple[Problem, ...], path: Path) -> None:
    if problems:
        at = Place()
        referents.look_at_all(manifest, whereabouts(path), at)
        raise ManifestError((*problems, *dict.fromkeys(at.problems)), str(path))


def whereabouts(manifest: Path) -> Whereabouts:
    """Say where what a manifest names is looked for."""
    return Whereabouts(folder=manifest.parent, skills=Path.home() / ".claude" / "skills")


def usual_places() -> tuple[Path, ...]:
    """Give where a manifest is looked for when none is named, in this order."""
    return (Path(FILE), Path(platformdirs.user_config_dir("claude-bottle")) / FILE)


def _usual() -> Path:
    """Give the first place where something is, whatever it is: a broken one is not passed over."""
    for path in usual_places():
        if path.is_symlink() or path.exists():
            return path
    places = " or ".join(map(str, usual_places()))
    raise ManifestMissing(f"no manifest at {places}", _ADVICE)


def _content(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(0, "not a regular file")
            return file.read(document.LARGEST + 1)
    except OSError as error:
        raise ManifestMissing(f"no manifest at {path}: {error.strerror}", _ADVICE) from None
