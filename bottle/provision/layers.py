"""Layers: what the layers of a saved image do to a bottle's guard, read without running anything.

An archive of `docker save` is read as a stream, in both of its layouts. A layer is known by the
SHA-256 of its content, which the engine reports too: its name in the archive is not believed.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from tarfile import InvalidHeaderError, ReadError  # type: ignore[attr-defined]  # untyped, public
from typing import IO, Final, Self, cast

_CHUNK: Final = 1 << 20
_MOST_WORDS: Final = 8
"""How many wrongs of one layer are told."""
_LONGEST_PATH: Final = 200
_GZIP: Final = b"\x1f\x8b"
_CAPABILITY: Final = "SCHILY.xattr.security.capability"
_ACCOUNTS: Final = {
    "etc/passwd": "bottle{0}:x:{0}:{0}::/home/agent:/bin/bash",
    "etc/group": "bottle{0}:x:{0}:",
}
"""The line of each user id that a bottle can be given, as images/agent/Dockerfile writes it."""
_UIDS: Final = range(60100, 61000)
_MOST_ACCOUNTS: Final = 1 << 20
_UNREADABLE: Final = (tarfile.TarError, EOFError, OSError, zlib.error)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What layers may not touch; paths without the first slash."""

    files: tuple[str, ...]
    """Not these, nor anything at their place."""
    folders: tuple[str, ...]
    """Nothing below these, and they stay folders."""
    kept: tuple[str, ...]
    """What is in these is free, but they stay folders."""
    free: tuple[str, ...] = ()
    """Only below these there may be anything new but folders; empty for everywhere."""

    def forbids(self, path: str, *, folder: bool) -> bool:
        """Judge one change: a `folder` with other attributes, or anything else, a removal too."""
        if _within(path, self.files) or _below(path, self.folders):
            return True
        if self.free and not folder and not _within(path, self.free):
            return True
        stay = (*self.folders, *self.kept)
        return not folder and (path in stay or _above(path, (*stay, *self.files, *_ACCOUNTS)))


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path.startswith(f"{root}/") for root in roots)


def _within(path: str, roots: tuple[str, ...]) -> bool:
    return path in roots or _below(path, roots)


def _above(path: str, roots: tuple[str, ...]) -> bool:
    return not path or any(root.startswith(f"{path}/") for root in roots)


OURS: Final = Guard(
    files=("usr/local/bin/claude",),
    folders=("etc/claude-code", "opt/bottle"),
    kept=("etc/ssl/certs", "home/agent", "run/bottle", "tmp", "workspace"),
)
"""What Debian's own packages leave alone."""

_HOLD_RUNS: Final = ("cat", "cp", "grep", "head", "openssl", "rm", "tar", "tini", "wc")
"""By name, and /usr/local/bin comes first on the path of PID 1; python3 is the probes'."""

SYSTEM: Final = Guard(
    files=(
        *OURS.files,
        *("bin", "lib", "lib32", "lib64", "libx32", "sbin"),
        *("etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.preload", "etc/ssl/openssl.cnf"),
        *(f"usr/local/bin/{name}" for name in (*_HOLD_RUNS, "python3")),
    ),
    folders=(
        *OURS.folders,
        *("etc/ld.so.conf.d", "etc/python3", "etc/python3.13", "usr/bin", "usr/sbin"),
        *("usr/lib", "usr/lib32", "usr/lib64", "usr/libexec", "usr/libx32"),
    ),
    kept=(*OURS.kept, "etc/ssl"),
    free=(
        *("etc", "home", "media", "mnt", "opt", "root", "run", "srv", "tmp", "var", "workspace"),
        *("usr/games", "usr/include", "usr/local", "usr/share", "usr/src"),
    ),
)
"""What a stranger's layers leave alone: also the programs and libraries that hold and enter,
and the probes of a start, are made of. With another libc or python3 they would say anything, and
so they would by files that these look for at a place where there is none (`/usr/pyvenv.cfg`)."""


def read(stream: IO[bytes], guard: Guard) -> dict[str, tuple[str, ...]]:
    """Give each layer of an archive by its digest, with what is wrong about it.

    What cannot be read is not in the answer: who misses a layer there must refuse the image.
    """
    found = {}
    with suppress(*_UNREADABLE), tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as archive:
        for member in _members(archive):
            content = archive.extractfile(member) if _may_be_layer(member) else None
            if content is not None:
                with suppress(*_UNREADABLE):
                    digest, wrongs = _layer(content, guard)
                    found[digest] = wrongs
    return found


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Give one member after the other, and keep none of them."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # a list that only grows
        yield member


def _may_be_layer(member: tarfile.TarInfo) -> bool:
    """`<id>/layer.tar` up to Docker 24, `blobs/sha256/<digest>` since; JSON is told apart later."""
    return member.isreg() and (
        member.name.endswith("/layer.tar") or member.name.startswith("blobs/sha256/")
    )


class _Hashed:
    """A stream whose content is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._hash.update(chunk)
        return chunk

    def digest(self) -> str:
        """Read to the end, which tar does not, and give the digest of everything."""
        while self.read(_CHUNK):
            pass
        return f"sha256:{self._hash.hexdigest()}"


class _Strict(tarfile.TarInfo):
    """A member; one whose head is broken is an error, which tarfile takes for the end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except InvalidHeaderError as error:
            raise ReadError(str(error)) from None


def _layer(content: IO[bytes], guard: Guard) -> tuple[str, tuple[str, ...]]:
    """Judge one layer; raise what tarfile and gzip raise for what is none."""
    packed = content.peek(len(_GZIP)).startswith(_GZIP)  # type: ignore[attr-defined]  # buffered
    plain = _Hashed(cast("IO[bytes]", gzip.GzipFile(fileobj=content)) if packed else content)
    wrongs: list[str] = []
    stream = cast("IO[bytes]", plain)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, tarinfo=_Strict) as layer:
        for member in _members(layer):
            wrong = _wrong(layer, member, guard)
            if wrong and len(wrongs) < _MOST_WORDS:
                wrongs.append(f"{_shown(member.name)} {wrong}")
    return plain.digest(), tuple(wrongs)


def _shown(name: str) -> str:
    return "/" + name.encode(errors="backslashreplace").decode().lstrip("./")[:_LONGEST_PATH]


def _wrong(layer: tarfile.TarFile, member: tarfile.TarInfo, guard: Guard) -> str:
    """Say what is wrong about one member; empty when nothing is."""
    path, gone = _place(member.name)
    if ".." in path.split("/"):
        return "leads out of the image"
    if member.mode & 0o6000 and not member.isdir() and not member.issym():
        return "is setuid or setgid"
    if _CAPABILITY in member.pax_headers:
        return "has a capability"
    if member.ischr() or member.isblk():
        return "is a device"
    if guard.forbids(path, folder=member.isdir() and not gone):
        return "is of the bottle's guard, and is changed"
    if path in _ACCOUNTS and (gone or not _keeps_accounts(layer, member, path)):
        return "has not the accounts of bottles as they were"
    return ""


def _place(name: str) -> tuple[str, bool]:
    """Give the path that a member changes, and whether it takes away what is there.

    `.wh.NAME` removes NAME, `.wh..wh..opq` empties its folder; other marks count as that too.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or not parts[-1].startswith(".wh."):
        return "/".join(parts), False
    last = parts.pop().removeprefix(".wh.")
    parts += [] if last.startswith(".wh.") else [last]
    return "/".join(parts), True


def _keeps_accounts(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bool:
    """Compare the lines that speak of bottles; others may come and go.

    A name that is a number would be taken for a user id: Docker looks for names first.
    """
    content = layer.extractfile(member) if member.isreg() else None
    if content is None or member.size > _MOST_ACCOUNTS:
        return False
    lines = content.read().decode("latin-1").split("\n")
    wanted = [_ACCOUNTS[path].format(uid) for uid in _UIDS]
    return sorted(line for line in lines if _is_of_bottles(line)) == sorted(wanted)


def _is_of_bottles(line: str) -> bool:
    words = [word.strip() for word in re.split("[:,]", line)]
    return words[0].isdigit() or any(_names_bottle(word) for word in words)


def _names_bottle(word: str) -> bool:
    number = re.fullmatch(r"(?:bottle|\+)?0*(\d{1,9})", word)
    return number is not None and int(number[1]) in _UIDS
