"""Wheels: the Python packages of the sidecar, for the image's Python and not for this machine's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from bottle.provision import cache, pip
from bottle.provision.machine import Machine
from bottle.provision.progress import Progress, lively

PYTHON: Final = "3.13"
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC: Final = ("_2_34", "_2_28", "_2_17", "2014", "_2_12", "_2_5", "1")
"""manylinux levels that Debian trixie's glibc satisfies, newest first."""


def pin(architecture: str) -> str:
    """Name exactly what an image contains: the digest of the list of hashes."""
    listed = (pip.REQUIREMENTS / "sidecar.txt").read_bytes()
    return f"site {PYTHON} {architecture} {hashlib.sha256(listed).hexdigest()}"


def fetch(machine: Machine, progress: Progress, architecture: str) -> Path:
    """Give a folder with the unpacked packages, from the cache or fetched."""
    short = hashlib.sha256(pin(architecture).encode()).hexdigest()[:16]
    target = cache.folder() / "site" / short
    if not cache.sealed(target):
        with lively(progress, "fetch the sidecar's Python packages"), cache.filling(target) as new:
            pip.install(machine, new / "site", "sidecar", flags(architecture))
            cache.make_readable(new)
    return target / "site"


def flags(architecture: str) -> tuple[str, ...]:
    """Give pip's flags for the image's Python; its own version must not be compared."""
    machine = _MACHINES[architecture]
    platforms = [f"--platform=manylinux{level}_{machine}" for level in _GLIBC]
    return (
        f"--python-version={PYTHON}",
        "--implementation=cp",
        "--ignore-requires-python",
        *platforms,
    )
