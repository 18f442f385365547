"""Contents: what is put into a bottle through the pipe of its PID 1, as one archive in memory."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from bottle.session.skills import Skill


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Files of a bottle: environment, home, certificate and skills; all read-only for the agent."""

    environment: Mapping[str, str] = field(repr=False)
    """With the values of secrets."""
    home: Mapping[str, str]
    """Path below the home folder to text; copied there by the first command that runs inside."""
    certificate: str
    """The bottle's own certificate authority, PEM."""
    skills: tuple[Skill, ...] = ()

    def archive(self) -> bytes:
        """Give one line with the count of bytes, then so many bytes of tar."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            _add(tar, "run/bottle/env.json", json.dumps(dict(self.environment)).encode())
            _add(tar, "run/bottle/ca.pem", self.certificate.encode())
            for path, text in self.home.items():
                _add(tar, f"run/bottle/home/{path}", text.encode())
            for skill in self.skills:
                for file in skill.files:
                    place = f"run/bottle/skills/{skill.name}/{file.path}"
                    _add(tar, place, file.content, file.mode)
        tar_bytes = buffer.getvalue()
        return f"{len(tar_bytes)}\n".encode() + tar_bytes


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
