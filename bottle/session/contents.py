"""Contents: what is put into a bottle through the pipe of its PID 1, as one archive in memory."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bottle.errors import UsageError

_LARGEST_SKILLS = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Files of a bottle: environment, home, certificate and skills; all read-only for the agent."""

    environment: Mapping[str, str]
    home: Mapping[str, str]
    """Path below the home folder to text; copied there by the first command that runs inside."""
    certificate: str
    """The bottle's own certificate authority, PEM."""
    skills: Mapping[str, Path] = field(default_factory=dict)

    def archive(self) -> bytes:
        """Give one line with the count of bytes, then so many bytes of tar."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            _add(tar, "run/bottle/env.json", json.dumps(dict(self.environment)).encode())
            _add(tar, "run/bottle/ca.pem", self.certificate.encode())
            for path, text in self.home.items():
                _add(tar, f"run/bottle/home/{path}", text.encode())
            for name, folder in self.skills.items():
                _add_files(tar, f"run/bottle/skills/{name}", folder)
        tar_bytes = buffer.getvalue()
        return f"{len(tar_bytes)}\n".encode() + tar_bytes


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _add_files(tar: tarfile.TarFile, place: str, folder: Path) -> None:
    """Add the plain files below a folder, readable by all and owned by nobody of the host."""
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        if stat.S_ISREG(seen.st_mode):
            mode = 0o755 if seen.st_mode & stat.S_IXUSR else 0o644
            _add(tar, f"{place}/{path.relative_to(folder)}", path.read_bytes(), mode)


def find_skills(names: tuple[str, ...], folder: Path) -> dict[str, Path]:
    """Find named skills in the user's folder; raise UsageError for one that is not usable there."""
    try:
        found = {name: _skill(folder, name) for name in names}
        size = sum(_readable_size(path) for path in found.values())
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read: {error.strerror}", "make it readable for yourself"
        ) from None
    if size > _LARGEST_SKILLS:
        raise UsageError(
            f"the skills hold {size} bytes", f"at most {_LARGEST_SKILLS} can be copied"
        )
    return found


def _readable_size(folder: Path) -> int:
    """Open everything below a folder once, before anything is made; raise OSError."""
    size = 0
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            os.scandir(path).close()
        elif path.is_file():
            with path.open("rb") as file:
                size += os.fstat(file.fileno()).st_size
    return size


def _skill(folder: Path, name: str) -> Path:
    path = folder / name
    if not (path / "SKILL.md").is_file():
        raise UsageError(f"there is no skill {name!r} in {folder}", f"add {path / 'SKILL.md'}")
    outside = [p for p in path.rglob("*") if p.is_symlink()]
    if path.is_symlink() or outside:
        raise UsageError(
            f"the skill {name!r} holds links, which would be left out", "replace them with files"
        )
    return path.resolve()
