"""Manifests: finds the file that a start uses and reads it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle.core import document
from bottle.core.manifest import DEMO, Manifest, parse
from bottle.errors import ManifestError, ManifestMissing, UsageError

FILE: Final = "claude-bottle.json"
_SHIPPED: Final = Path(__file__).resolve().parents[2] / "manifests"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A manifest and the file that it came from."""

    path: Path
    manifest: Manifest


def find(named: str, agent: str) -> Found:
    """Read the named file, else the demo's own for the agent `demo`, else the current folder's.

    Raise ManifestMissing or ManifestError (every problem at once), or UsageError when a
    named one lacks the demo.
    """
    path = Path(named) if named else _SHIPPED / "demo.json" if agent == DEMO else Path(FILE)
    try:
        _require_file(path)
        with path.open("rb") as file:
            content = file.read(document.LARGEST + 1)
    except OSError as error:
        raise ManifestMissing(
            f"no manifest at {path}: {error.strerror or error}",
            f"write {FILE} here (manifests/ has examples), name one with --manifest, "
            "or try --agent demo",
        ) from None
    try:
        manifest = parse(content)
    except ManifestError as error:
        raise ManifestError(error.problems, str(path)) from None
    if agent == DEMO and DEMO not in manifest.agents:
        raise UsageError(
            f"{path} declares no demo", "leave --manifest out: the demo brings its own"
        )
    return Found(path=path, manifest=manifest)


def _require_file(path: Path) -> None:
    """Raise OSError for what is no regular file: opening a named pipe may wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "not a regular file")
