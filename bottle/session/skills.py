"""Skills: folders with a SKILL.md that a manifest names, read whole before anything is made."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bottle.core.place import Place, nearest

_LARGEST: Final = 32 * 1024 * 1024
_NAME: Final = "SKILL.md"


@dataclass(frozen=True, kw_only=True)
class SkillFile:
    """One file of a skill."""

    path: str
    """Below the skill's folder."""
    mode: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A skill as it was read: what is shown, agreed to and put into the bottle is this."""

    name: str
    folder: Path
    files: tuple[SkillFile, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over names, modes and contents."""
        total = hashlib.sha256()
        for file in self.files:
            content = hashlib.sha256(file.content).hexdigest()
            total.update(f"{file.mode:o} {content} {file.path}\0".encode())
        return total.hexdigest()


class _Unusable(Exception):
    """A skill cannot be used: what was found, what was wanted, what to do."""


def read(names: Sequence[str], folders: Sequence[Path], at: Place) -> tuple[Skill, ...]:
    """Read named skills out of these folders; note each that is missing, double or not plain.

    The first folder is the person's own, and may be a link; the others are a manifest's.
    """
    found = []
    room = _LARGEST
    for index, name in enumerate(names):
        if not name:
            continue  # it was refused already
        try:
            skill = _skill(name, folders, room)
        except _Unusable as error:
            at.item(index).refuse(*error.args)
            continue
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            at.item(index).refuse(what, "files that you may read", "make it readable for yourself")
            continue
        room -= sum(len(file.content) for file in skill.files)
        found.append(skill)
    return tuple(found)


def _skill(name: str, folders: Sequence[Path], room: int) -> Skill:
    found = [folder / name for folder in folders if _is_there(folder / name)]
    if not found:
        places = " or ".join(map(str, folders))
        remedy = nearest(name, _names(tuple(folders))) or f"add {folders[0] / name / _NAME}"
        raise _Unusable(repr(name), f"a folder of this name in {places}", remedy)
    if len(found) > 1:
        raise _Unusable(f"{found[0]} and {found[1]}", "one skill of this name", "rename one")
    (folder,) = found
    if folder.is_symlink() or not (folder / _NAME).is_file():
        raise _Unusable(str(folder), f"a folder, and no link, with {_NAME}", f"add {_NAME} there")
    if folder.parent.is_symlink() and folder.parent != folders[0]:
        raise _Unusable(f"{folder.parent}, a link", "a folder", "put the skills there themselves")
    return Skill(name=name, folder=folder, files=tuple(_files(folder, room)))


@functools.cache
def _names(folders: tuple[Path, ...]) -> tuple[str, ...]:
    """List once what there is: a manifest can name a thousand skills that are not there."""
    return tuple(path.name for folder in folders if folder.is_dir() for path in folder.iterdir())


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _files(folder: Path, room: int) -> Iterator[SkillFile]:
    for path in _walk(folder):
        if path.is_symlink():
            _require_inside(path, folder)
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            raise _Unusable(str(path), "plain files and folders", "remove it")
        with path.open("rb") as file:
            content = file.read(room + 1)
        room -= len(content)
        if room < 0:
            raise _Unusable(str(folder), f"skills of at most {_LARGEST} bytes together")
        mode = 0o755 if seen.st_mode & stat.S_IXUSR else 0o644
        yield SkillFile(path=path.relative_to(folder).as_posix(), mode=mode, content=content)


def _walk(folder: Path) -> Iterator[Path]:
    """Give what is in a folder and those below, but the folders; raise OSError, unlike rglob."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _require_inside(path: Path, folder: Path) -> None:
    target = Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for a link to itself
    if not target.is_relative_to(folder.resolve()) or not target.is_file():
        raise _Unusable(f"{path}, a link", "links to files of the skill only", "put the file there")
