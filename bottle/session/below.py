"""Below: reads a file that a manifest names below its own folder, through no link."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A named pipe that somebody put there is opened without waiting for its other end."""


class Unreadable(Exception):
    """The file cannot be used: what was found and what was wanted there."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found)
        self.found, self.wanted = found, wanted


def read(folder: Path, relative: str, longest: int) -> bytes:
    """Read a regular file of at most so many bytes; raise Unreadable.

    Each part of the way is opened by itself, so that no link is followed, not even one that is
    put there meanwhile. `relative` holds no `..` (bottle/core/language.py).
    """
    *parts, name = relative.split("/")
    try:
        with ExitStack() as opened:
            place = _opened(opened, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for part in parts:
                place = _opened(opened, part, _FOLDER, place)
            return _content(_opened(opened, name, _FILE, place), longest)
    except OSError as error:
        raise Unreadable(_told(error), "a regular file, reached through no link") from None


def _opened(opened: ExitStack, path: Path | str, flags: int, place: int | None = None) -> int:
    descriptor = os.open(path, flags, dir_fd=place)
    opened.callback(os.close, descriptor)
    return descriptor


def _content(descriptor: int, longest: int) -> bytes:
    seen = os.fstat(descriptor)
    if not stat.S_ISREG(seen.st_mode):
        raise Unreadable("something else than a file", "a regular file")
    with os.fdopen(os.dup(descriptor), "rb") as file:
        content = file.read(longest + 1)
    if len(content) > longest:
        raise Unreadable(f"more than {longest} bytes", f"at most {longest} bytes")
    return content


def _told(error: OSError) -> str:
    known = {
        errno.ENOENT: "no such file",
        errno.ELOOP: "a link",
        errno.ENOTDIR: "a link, or no folder, on the way",
        errno.ENXIO: "something else than a file",
    }
    return known.get(error.errno or 0, error.strerror or str(error))
