"""Ssh: looks at the key and the known hosts that a manifest names, and shows nothing of them."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle.core.manifest import Ssh
from bottle.core.place import Place
from bottle.errors import TimeLimit, Unavailable
from bottle.provision.machine import Machine, ThisMachine

_PRIVATE: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_LARGEST: Final = 256 * 1024
_OF_OTHERS: Final = 0o077


@dataclass(frozen=True)
class _File:
    """The beginning of a file, with its mode."""

    mode: int
    begin: bytes


def check(entry: Ssh, folder: Path, at: Place, machine: Machine | None = None) -> None:
    """Note what is wrong with an entry's files; relative paths are below the manifest's folder."""
    _check_key(_path(folder, entry.key), at.key("key"))
    known = _path(folder, entry.known_hosts)
    if _read(known, at.key("known_hosts")):
        _check_known(entry, known, at.key("known_hosts"), machine or ThisMachine())


def _path(folder: Path, written: str) -> Path:
    """Read `~/` as the person's home; `~somebody` is a name like any other."""
    return folder / (Path.home() / written[2:] if written.startswith("~/") else written)


def _check_key(path: Path, at: Place) -> None:
    file = _read(path, at)
    if file is None:
        return
    if not _PRIVATE.match(file.begin):
        at.refuse(f"{path}, no private key", "a private key", "name the key, not its .pub")
    if file.mode & _OF_OTHERS:
        found = f"{path} with mode {stat.S_IMODE(file.mode):04o}"
        at.refuse(found, "a key that you alone may read", f"chmod 600 {path}")


def _read(path: Path, at: Place) -> _File | None:
    """Read the beginning of a regular file; note and give None when it is none."""
    try:
        if not path.is_file():  # a device is not even opened
            found = f"{path}, no file" if path.exists() else f"no {path}"
            at.refuse(found, "a file", "create it, or correct the path")
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > _LARGEST:
                at.refuse(str(path), f"a file of at most {_LARGEST} bytes", "name a smaller one")
                return None
            return _File(seen.st_mode, file.read(256))
    except OSError as error:
        remedy = "make it readable for yourself"
        at.refuse(f"{path}: {error.strerror}", "a file that you may read", remedy)
        return None


def _check_known(entry: Ssh, path: Path, at: Place, machine: Machine) -> None:
    """Ask ssh-keygen, which knows hashed names, patterns and marks."""
    words = ["ssh-keygen", "-F", entry.name, "-f", str(path)]
    try:
        found = machine.run(words, seconds=10)
    except (Unavailable, TimeLimit) as error:
        at.refuse(error.happened, "ssh-keygen's word on the file", "install openssh-client")
        return
    if found.code or not _has_key(found.output):
        remedy = f"ssh-keyscan -p {entry.port} {entry.host}, and compare what it gives"
        at.refuse(f"{path} without {entry.name}", f"the public key of {entry.name}", remedy)


def _has_key(found: bytes) -> bool:
    """Say whether a line of the answer holds a key that is not revoked."""
    lines = found.splitlines()
    return any(line and not line.startswith((b"#", b"@revoked")) for line in lines)
