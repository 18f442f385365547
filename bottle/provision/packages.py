"""Packages: the sets of Debian packages that images install, and how they are downloaded.

They are fetched once for a base image and lie in the cache: images are built without network.
"""

from __future__ import annotations

import hashlib
import io
import re
import shlex
import tarfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

_BASE: Final = ("ca-certificates", "openssl", "python3", "tini")
_AGENT: Final = ("curl", "git", "less", "openssh-client", "procps", "ripgrep")

SETS: Final = {
    "base": _BASE,
    "agent": (*_BASE, *_AGENT),
    "hostrule": (*_BASE, "nftables"),
}
"""Set name to package names; each set is downloaded with all that it needs beyond the base."""

_DOWNLOAD: Final = (
    "--option=APT::Sandbox::User=root --option=Acquire::Retries=3 --quiet "
    "--download-only --no-install-recommends --yes install"
)


def download_script(folder: str) -> str:
    """Give shell lines that download every set into `folder`, a path already quoted for a shell."""
    lines = [f"mkdir -p {folder}"]
    for name, packages in SETS.items():
        place = f"{folder}/{name}"
        lines.append(f"mkdir -p {place}/partial")
        if name != "base":
            lines.append(f"cp {folder}/base/*.deb {place}/")
        lines.append(
            f"apt-get --option=Dir::Cache::archives={place}/ {_DOWNLOAD} {shlex.join(packages)}"
        )
        lines.append(f"rm -rf {place}/partial {place}/lock")
    return "\n".join(lines)


EXTRA: Final = "extra"
"""The folder that `extra_script` downloads into, beside those of the sets."""
NOT_KNOWN: Final = 8
"""Its exit code when a name is not one of a package."""
STATUS: Final = "/var/lib/dpkg/status"


def extra_script(folder: str, names: Sequence[str]) -> str:
    """Give shell lines that download packages of these names into EXTRA below `folder`.

    Each must be a package's exact name: apt would take `name-` for a removal and `.` for any
    letter. The system that they are downloaded for is the one that STATUS tells of.
    """
    place = f"{folder}/{EXTRA}"
    known = 'apt-cache pkgnames "$name" | grep -Fxq -e "$name"'
    return "\n".join(
        (
            f"for name in {shlex.join(names)}; do",
            f'  {known} || {{ echo "E: Unable to locate package $name" >&2; exit {NOT_KNOWN}; }}',
            "done",
            f"mkdir -p {place}/partial",
            f"apt-get --option=Dir::Cache::archives={place}/ {_DOWNLOAD} -- {shlex.join(names)}",
            f"rm -rf {place}/partial {place}/lock",
        )
    )


_UNKNOWN: Final = re.compile(r"E: (?:Unable to locate package |Package ')([a-z0-9][a-z0-9+.-]+)")


def unknown(errors: bytes) -> str:
    """Give the name of a package that cannot be had, as apt told; empty when it told of none."""
    found = _UNKNOWN.search(errors.decode(errors="replace"))
    return found[1] if found else ""


def unpack(archive: bytes, into: Path, folders: Collection[str] = SETS) -> None:
    """Take `FOLDER/NAME.deb` members out of a tar archive; anything else in it is left alone."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            parts = Path(member.name).parts
            source = tar.extractfile(member) if member.isreg() else None
            if source is None or len(parts) != 2 or parts[0] not in folders:
                continue
            if not parts[1].endswith(".deb"):
                continue
            place = into / parts[0]
            place.mkdir(exist_ok=True)
            (place / parts[1]).write_bytes(source.read())


def key() -> str:
    """Name what the sets contain: other names, other key."""
    listed = "\n".join(f"{name}: {' '.join(names)}" for name, names in SETS.items())
    return hashlib.sha256(listed.encode()).hexdigest()[:8]


def complete(folder: Path) -> bool:
    """Say whether every set has packages in `folder`."""
    return all(any((folder / name).glob("*.deb")) for name in SETS)
