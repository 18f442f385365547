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
_MOST: Final = 2000
"""Files and folders of one skill."""


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


def read(
    names: Sequence[str], folders: Sequence[Path], at: Place, known: dict[str, Skill]
) -> tuple[Skill, ...]:
    """Read named skills out of these folders; note each that is missing, double or not plain.

    The first folder is the person's own, and may be a link; the others are a manifest's.
    What is in `known` is not read again; what was read is put there.
    """
    found = []
    room = _LARGEST
    for index, name in enumerate(names):
        if not name:
            continue  # it was refused already
        try:
            skill = known[name] if name in known else _skill(name, folders, room)
        except _Unusable as error:
            at.item(index).refuse(*error.args)
            continue
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            at.item(index).refuse(what, "files that you may read", "make it readable for yourself")
            continue
        known[name] = skill
        size = sum(len(file.content) for file in skill.files)
        if size > room:
            at.item(index).refuse(*_too_much(skill.folder))
            continue
        room -= size
        found.append(skill)
    return tuple(found)


def _too_much(folder: Path) -> tuple[str, str, str]:
    return str(folder), f"skills of at most {_LARGEST} bytes together", "leave some out"


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
    return Skill(
        name=name,
        folder=folder,
        files=tuple(sorted(_files(folder, room), key=lambda file: file.path)),
    )


@functools.cache
def _names(folders: tuple[Path, ...]) -> tuple[str, ...]:
    """List once what there is: a manifest can name a thousand skills that are not there."""
    return tuple(path.name for folder in folders if folder.is_dir() for path in folder.iterdir())


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _files(folder: Path, room: int) -> Iterator[SkillFile]:
    for path in _walk(folder):
        mode, content = _read(_target(path, folder) if path.is_symlink() else path, room)
        room -= len(content)
        if room < 0:
            raise _Unusable(*_too_much(folder))
        yield SkillFile(path=path.relative_to(folder).as_posix(), mode=mode, content=content)


def _read(path: Path, room: int) -> tuple[int, bytes]:
    """Read a plain file, and no other that was put in its place meanwhile; give its mode too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise _Unusable(str(path), "plain files and folders", "remove it")
        return 0o755 if seen.st_mode & stat.S_IXUSR else 0o644, file.read(room + 1)


def _walk(folder: Path) -> Iterator[Path]:
    """Give what is in a folder and those below, but the folders; raise OSError, unlike rglob."""
    waiting, count = [folder], 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            count += 1
            if count > _MOST:
                raise _Unusable(str(folder), f"at most {_MOST} files and folders", "remove some")
            if not path.name.isprintable():
                raise _Unusable(repr(path.name), "names of printable characters", "rename it")
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            else:
                yield path


def _target(path: Path, folder: Path) -> Path:
    """Give the file of the skill that a link leads to."""
    target = Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for a link to itself
    if not target.is_relative_to(folder.resolve()) or not target.is_file():
        raise _Unusable(f"{path}, a link", "links to files of the skill only", "put the file there")
    return target
