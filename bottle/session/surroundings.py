"""Surroundings: what `invoke init` sees of a folder: git remotes, and files of package clients."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from bottle.errors import BottleError, UsageError
from bottle.provision.machine import SYSTEM_PATH, Machine

CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "pip": (
        *("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt"),
        *("Pipfile", "uv.lock", "poetry.lock"),
    ),
    "npm": ("package.json",),
}
"""Client to the files that call for its registries."""

BY_HAND: Final = (
    *("go.mod", "Cargo.toml", "Gemfile", "composer.json", "mix.exs"),
    *("pom.xml", "build.gradle", "build.gradle.kts", ".npmrc", "pip.conf", "uv.toml"),
)
"""Files whose clients are not asked for their registries."""

_KEYS: Final = r"^remote\..*\.(url|pushurl)$"
_GIT_ENVIRONMENT: Final = {
    "PATH": SYSTEM_PATH,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
_SECONDS: Final = 10
_LARGEST: Final = 1 << 20
_LONGEST_PATH: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A remote of a git repository, in its own words."""

    name: str
    url: str = field(repr=False)
    """It may hold a password."""


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What is seen of a folder: its repository's remotes, the package files that it holds."""

    remotes: tuple[Remote, ...] = ()
    files: tuple[str, ...] = ()
    unread: str = ""
    """Why a repository's remotes are not known."""


class _Unread(Exception):
    """A repository whose remotes cannot be read, and why."""


def look(folder: Path, machine: Machine) -> Workspace:
    """See what there is in a folder; of package files only the names are of interest."""
    known = (*(p for patterns in CLIENTS.values() for p in patterns), *BY_HAND)
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  # names are all that is wanted
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read: {error.strerror or error}", "name a folder of yours"
        ) from None
    files = tuple(n for n in names if any(fnmatchcase(n, pattern) for pattern in known))
    try:
        return Workspace(files=files, remotes=_remotes(folder.resolve(), machine))
    except _Unread as reason:
        return Workspace(files=files, unread=str(reason))
    except (OSError, ValueError):  # ValueError: a NUL in a path
        return Workspace(files=files, unread="its .git cannot be read")


def _remotes(folder: Path, machine: Machine) -> tuple[Remote, ...]:
    places = (place / ".git" for place in (folder, *folder.parents))
    git = next((place for place in places if os.path.lexists(place)), None)
    if git is None:
        return ()
    _require_own(git, folder)
    return _read(_config(git), machine)


def _require_own(git: Path, folder: Path) -> None:
    """Refuse a stranger's: in a shared place above the folder, anyone can put a `.git`."""
    if git.is_symlink():
        raise _Unread("its .git is a link")
    if not {git.lstat().st_uid, git.stat().st_uid} <= {os.geteuid(), folder.stat().st_uid}:
        raise _Unread("it belongs to somebody else")


def _config(git: Path) -> Path:
    """Find a repository's configuration, which is a plain file of a sensible size."""
    path = (git if git.is_dir() else _of_worktree(git)) / "config"
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
        raise _Unread("its configuration is no plain file")
    return path


def _of_worktree(link: Path) -> Path:
    """Give the repository of a worktree that both sides know of: `gitdir:` here, a path there.

    A `.git` file alone is only a claim: it could name anyone's repository.
    """
    place = Path(_first_line(link).removeprefix("gitdir: "))
    known = place.is_absolute() and place.parent.name == "worktrees"
    if not known or Path(_first_line(place / "gitdir")) != link:
        raise _Unread("its .git is a file that leads elsewhere")
    return place.parent.parent


def _first_line(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise _Unread("its .git is no plain file")
    with path.open("rb") as file:
        return os.fsdecode(file.read(_LONGEST_PATH)).partition("\n")[0]


def _read(config: Path, machine: Machine) -> tuple[Remote, ...]:
    """Ask git, which knows its own syntax; what a configuration includes is left alone."""
    words = ("git", "config", "--file", str(config), "--no-includes", "--null")
    try:
        done = machine.run(
            (*words, "--get-regexp", _KEYS),
            seconds=_SECONDS,
            environment=_GIT_ENVIRONMENT,
            folder=Path("/"),
        )
    except (BottleError, OSError):
        raise _Unread("git is missing here, or does not answer") from None
    if done.code not in (0, 1):  # 1: there are none
        raise _Unread("git cannot read its configuration")
    return read_remotes(done.output)


def read_remotes(output: bytes) -> tuple[Remote, ...]:
    """Read git's answer: `remote.NAME.url`, a line feed, the URL and a NUL, for each."""
    found = []
    for entry in output.decode(errors="replace").split("\0"):
        key, line_feed, url = entry.partition("\n")
        if line_feed:
            name = key.removeprefix("remote.").rpartition(".")[0]
            found.append(Remote(name=name, url=url))
    return tuple(dict.fromkeys(found))
