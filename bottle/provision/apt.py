"""Apt: packages of the machine's own distribution, Debian or Ubuntu."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bottle.engine.process import last_lines
from bottle.errors import Unavailable
from bottle.provision.machine import Machine, as_root, clean
from bottle.provision.progress import Progress, lively

_UPDATE_SECONDS: Final = 300
_INSTALL_SECONDS: Final = 1200
_CANDIDATE: Final = re.compile(r"Candidate: (?!\(none\))\S")
_WAIT: Final = "DPkg::Lock::Timeout=120"


def usable(machine: Machine) -> bool:
    """Say whether this machine installs packages with apt."""
    return machine.system == "Linux" and machine.find("apt-get") is not None


def update(machine: Machine, progress: Progress) -> str:
    """Renew the package lists; give what went wrong, for a package that is then not found."""
    with lively(progress, "renew the package lists"):
        done = _apt_get(machine, ["update"], _UPDATE_SECONDS)
    return last_lines(done[1]) if done[0] else ""


def has(machine: Machine, package: str) -> bool:
    """Say whether the distribution can install a package of this name."""
    done = machine.run(["apt-cache", "policy", package])
    return bool(_CANDIDATE.search(done.output.decode(errors="replace")))


def install(machine: Machine, progress: Progress, packages: Sequence[str], trouble: str) -> None:
    """Install packages without what they only recommend; raise Unavailable with the reason.

    `trouble` is what renewing the lists reported.
    """
    title = f"install {' '.join(packages)}"
    with lively(progress, title if machine.root else f"{title} (through sudo)"):
        words = ["install", "--yes", "--no-install-recommends", *packages]
        code, text = _apt_get(machine, words, _INSTALL_SECONDS)
    if code:
        raise Unavailable(
            f"apt-get could not install {' '.join(packages)}: {last_lines(text) or trouble}",
            f"look at `apt-get update`: {trouble}" if trouble else "install them by hand",
        )


def _apt_get(machine: Machine, words: Sequence[str], seconds: float) -> tuple[int, bytes]:
    """Run apt-get in a clean environment, since a package's scripts may start a daemon."""
    environment = clean(machine.environment)
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "-o", _WAIT, *words]
    keep = sorted(environment.keys() - {"PATH", "HOME"})
    done = machine.run(as_root(machine, command, keep), seconds=seconds, environment=environment)
    return done.code, done.errors or done.output
