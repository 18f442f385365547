"""Contents: one archive of plain files, whatever is put into it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from bottle.session.contents import Contents
from bottle.session.skills import Skill, SkillFile

SKILL = Skill(
    name="one",
    folder=Path("/nonexistent"),
    files=(
        SkillFile(path="SKILL.md", mode=0o644, content=b"# Skill\n"),
        SkillFile(path="scripts/run", mode=0o755, content=b"\0\xff"),
        SkillFile(path="empty", mode=0o644, content=b""),
    ),
)


def made(*skills: Skill) -> Contents:
    return Contents(
        environment={"A": "1", "ä": "ß\n", "MINE": "the value of a secret"},
        home={".claude.json": "{}", "deep/er/file": "text"},
        certificate="PEM",
        skills=skills,
    )


def opened(*skills: Skill) -> tarfile.TarFile:
    """Read an archive as `hold` does: a count of bytes, and so many bytes of tar."""
    count, _, rest = made(*skills).archive().partition(b"\n")
    assert len(rest) == int(count)
    return tarfile.open(fileobj=io.BytesIO(rest))


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file
    return file.read()


def test_the_archive_holds_environment_home_and_certificate() -> None:
    archive = opened()
    assert archive.getnames() == [
        "run/bottle/env.json",
        "run/bottle/ca.pem",
        "run/bottle/home/.claude.json",
        "run/bottle/home/deep/er/file",
    ]
    assert json.loads(content(archive, "run/bottle/env.json")) == dict(made().environment)
    assert content(archive, "run/bottle/ca.pem") == b"PEM"
    assert content(archive, "run/bottle/home/deep/er/file") == b"text"


def test_skills_are_as_they_were_read() -> None:
    archive = opened(SKILL)
    for file in SKILL.files:
        name = f"run/bottle/skills/one/{file.path}"
        assert content(archive, name) == file.content
        assert archive.getmember(name).mode == file.mode


def test_everything_is_a_plain_file_of_nobody() -> None:
    members = opened(SKILL).getmembers()
    assert len(members) == 7
    for member in members:
        assert member.isreg()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.mtime == 0


def test_a_long_and_foreign_path_arrives() -> None:
    path = "/".join(["ä" * 60] * 5)
    file = SkillFile(path=path, mode=0o644, content=b"text")
    skill = Skill(name="one", folder=Path("/nonexistent"), files=(file,))
    assert content(opened(skill), f"run/bottle/skills/one/{path}") == b"text"


def test_no_value_is_in_its_repr() -> None:
    assert "the value of a secret" in json.dumps(dict(made().environment))
    assert "the value of a secret" not in repr(made(SKILL))
