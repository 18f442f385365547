"""Pip: hash-pinned wheels put into a folder, by the pip of our own virtual environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bottle.engine.process import last_lines
from bottle.errors import Unavailable
from bottle.provision.machine import Machine

REQUIREMENTS: Final = Path(__file__).parents[2] / "requirements"
_SECONDS: Final = 600


def install(machine: Machine, place: Path, name: str, flags: Sequence[str] = ()) -> None:
    """Put what requirements/NAME.txt lists into `place`: wheels only, every hash checked.

    The list is complete, so pip resolves nothing: what this machine's Python would need
    beyond it is of no interest.
    """
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    words += ["--target", str(place), "--no-deps", "--no-compile", "--require-hashes"]
    words += ["--only-binary", ":all:", *flags, "-r", str(REQUIREMENTS / f"{name}.txt")]
    done = machine.run(words, seconds=_SECONDS)
    if done.code:
        raise Unavailable(
            f"pip could not fetch requirements/{name}.txt: {last_lines(done.errors)}",
            "check that this machine reaches its Python package index, then run this again",
        )
