"""Cache: what was fetched once, in the user's own folder, and checked before it is used again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs

from bottle.errors import Unavailable

_SEAL: Final = "SHA256SUMS"
_ROOM: Final = "work-"


def folder() -> Path:
    """Give the cache folder, made when missing, for this user alone."""
    path = Path(platformdirs.user_cache_dir("claude-bottle"))
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise Unavailable(
            f"the cache folder {path} belongs to somebody else",
            "remove it, or run this as its owner; what lies there becomes part of the images",
        )
    path.chmod(0o700)
    return path


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Wait until no other setup or build of this user works in the cache; clear what one left."""
    with (cache / "lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for left in cache.glob(f"{_ROOM}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextmanager
def workspace(cache: Path) -> Iterator[Path]:
    """Give an empty folder on the cache's own disk, gone at the end."""
    with tempfile.TemporaryDirectory(prefix=_ROOM, dir=cache) as path:
        yield Path(path)


@contextmanager
def filling(target: Path) -> Iterator[Path]:
    """Give a folder to fill; at the end it is sealed and takes its place, its siblings go.

    Nothing takes its place when an exception leaves the block.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with workspace(target.parent.parent) as room:
        fresh = room / "fresh"
        fresh.mkdir()
        yield fresh
        (fresh / _SEAL).write_text(_sums(fresh))
        for old in target.parent.iterdir():
            shutil.rmtree(old)
        fresh.rename(target)


def make_readable(root: Path) -> None:
    """Give everything the modes it shall have in an image, whatever the person's umask is."""
    for path in root.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def sealed(target: Path) -> bool:
    """Say whether a filled folder is there and still holds exactly what it was filled with."""
    seal = target / _SEAL
    return seal.is_file() and seal.read_text() == _sums(target)


def _sums(root: Path) -> str:
    files = sorted(p for p in root.rglob("*") if not p.is_dir() and p != root / _SEAL)
    return "".join(f"{sha256(path)}  {path.relative_to(root)}\n" for path in files)


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
