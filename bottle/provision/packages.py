"""Packages: the sets of Debian packages that images install, and how they are downloaded.

They are fetched once for a base image and lie in the cache: images are built without network.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import tarfile
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


def unpack(archive: bytes, into: Path) -> None:
    """Take `SET/NAME.deb` members out of a tar archive; anything else in it is left alone."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            parts = Path(member.name).parts
            source = tar.extractfile(member) if member.isreg() else None
            if source is None or len(parts) != 2 or parts[0] not in SETS:
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
