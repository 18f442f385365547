"""Lock: the sign that a session lives, a file lock held by its launcher until it ends or dies."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import platformdirs

from bottle.errors import Unavailable

_KEY: Final = re.compile(r"[0-9a-f]{16}")


def state_folder() -> Path:
    """Give the folder of locks and audit records, made when missing, for this user alone."""
    folder = Path(platformdirs.user_state_dir("claude-bottle"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def owner_key(folder: Path) -> str:
    """Give the label of what launchers with this state folder made: they alone may reap it.

    It is random and kept in the folder: launchers that see each other's lock files have the same
    one. No name of a machine does that, since two containers may share an engine and a name.
    """
    path = folder / "owner"
    if not path.exists():
        _make_key(path)
    key = path.read_text(errors="replace")
    if not _KEY.fullmatch(key):
        raise Unavailable(f"{path} is damaged", "remove it, and what `docker ps` shows of cb-*")
    return key


def _make_key(path: Path) -> None:
    """Write a file aside and give it its name when it is whole; the first launcher's counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f"owner-{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(8))
        with suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()


@contextmanager
def hold(folder: Path, session: str) -> Iterator[None]:
    """Hold a session's lock; taken before anything of the session is made, gone when it is over."""
    path = _path(folder, session)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = _locked(path)
    try:
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    """Open and lock a file that still has its name then: a reaper may have just removed it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)


def is_dead(folder: Path, session: str) -> bool:
    """Say whether nobody holds the session's lock; a session without a lock file is dead."""
    with _if_dead(folder, session) as dead:
        return dead


def forget(folder: Path, session: str) -> None:
    """Remove the lock file of a dead session; that of a live one stays."""
    with _if_dead(folder, session) as dead:
        if dead:
            _path(folder, session).unlink(missing_ok=True)


@contextmanager
def _if_dead(folder: Path, session: str) -> Iterator[bool]:
    try:
        descriptor = os.open(_path(folder, session), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _locks(descriptor)
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(folder: Path, session: str) -> Path:
    return folder / "sessions" / f"{session}.lock"
