"""Contents: one archive of plain files, and skills that are exactly what the user has there."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bottle.errors import UsageError
from bottle.session import contents
from bottle.session.contents import Contents, find_skills


def members(skills: dict[str, Path] | None = None) -> dict[str, tarfile.TarInfo]:
    return {m.name: m for m in opened(skills).getmembers()}


def opened(skills: dict[str, Path] | None = None) -> tarfile.TarFile:
    """Read an archive as `hold` does: a count of bytes, and so many bytes of tar."""
    made = Contents(
        environment={"A": "1", "ä": "ß\n"},
        home={".claude.json": "{}", "deep/er/file": "text"},
        certificate="PEM",
        skills=skills or {},
    )
    count, _, rest = made.archive().partition(b"\n")
    assert len(rest) == int(count)
    return tarfile.open(fileobj=io.BytesIO(rest))


def text(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    assert file
    return file.read().decode()


def skill(folder: Path, name: str = "one") -> Path:
    path = folder / name
    (path / "scripts").mkdir(parents=True)
    (path / "SKILL.md").write_text("# Skill\n")
    (path / "scripts" / "run").write_text("#!/bin/sh\n")
    (path / "scripts" / "run").chmod(0o700)
    return path


def test_the_archive_holds_environment_home_and_certificate() -> None:
    archive = opened()
    assert archive.getnames() == [
        "run/bottle/env.json",
        "run/bottle/ca.pem",
        "run/bottle/home/.claude.json",
        "run/bottle/home/deep/er/file",
    ]
    assert json.loads(text(archive, "run/bottle/env.json")) == {"A": "1", "ä": "ß\n"}
    assert text(archive, "run/bottle/ca.pem") == "PEM"
    assert text(archive, "run/bottle/home/deep/er/file") == "text"


def test_skills_are_plain_files_of_nobody(tmp_path: Path) -> None:
    found = members({"one": skill(tmp_path)})
    script = found["run/bottle/skills/one/scripts/run"]
    assert found["run/bottle/skills/one/SKILL.md"].mode == 0o644
    assert script.mode == 0o755
    for member in found.values():
        assert member.isreg()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.mtime == 0


def test_a_file_with_two_names_has_its_content_under_both(tmp_path: Path) -> None:
    path = skill(tmp_path)
    os.link(path / "SKILL.md", path / "again.md")
    archive = opened({"one": path})
    assert text(archive, "run/bottle/skills/one/again.md") == "# Skill\n"
    assert text(archive, "run/bottle/skills/one/SKILL.md") == "# Skill\n"


def test_what_is_no_file_stays_out(tmp_path: Path) -> None:
    path = skill(tmp_path)
    os.mkfifo(path / "pipe")
    (path / "link").symlink_to("SKILL.md")
    names = members({"one": path})
    assert "run/bottle/skills/one/pipe" not in names
    assert "run/bottle/skills/one/link" not in names


def test_named_skills_are_found(tmp_path: Path) -> None:
    skill(tmp_path, "one")
    skill(tmp_path, "two")
    assert find_skills(("two",), tmp_path) == {"two": (tmp_path / "two").resolve()}
    assert find_skills((), tmp_path / "nowhere") == {}


def test_an_unknown_skill_is_refused_with_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no skill 'one'") as caught:
        find_skills(("one",), tmp_path)
    assert str(tmp_path / "one" / "SKILL.md") in caught.value.remedy


@pytest.mark.parametrize("place", ["link", "scripts/link"])
@pytest.mark.parametrize("target", ["SKILL.md", "/etc/passwd", "nowhere", "/"])
def test_links_are_refused_wherever_they_lead(tmp_path: Path, place: str, target: str) -> None:
    (skill(tmp_path) / place).symlink_to(target)
    with pytest.raises(UsageError, match="holds links"):
        find_skills(("one",), tmp_path)


def test_a_skill_that_is_itself_a_link_is_refused(tmp_path: Path) -> None:
    skill(tmp_path / "elsewhere")
    (tmp_path / "one").symlink_to(tmp_path / "elsewhere" / "one")
    with pytest.raises(UsageError, match="holds links"):
        find_skills(("one",), tmp_path)


@pytest.mark.parametrize("place", ["SKILL.md", "scripts/run", "scripts"])
def test_what_cannot_be_read_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    refused = skill(tmp_path) / place
    opened, scanned = Path.open, os.scandir

    def refuse(path: Path) -> None:
        if path == refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def open_unless(path: Path, *words: Any) -> Any:
        refuse(path)
        return opened(path, *words)

    def scan_unless(path: Any) -> Any:
        refuse(Path(path))
        return scanned(path)

    monkeypatch.setattr(Path, "open", open_unless)
    monkeypatch.setattr(os, "scandir", scan_unless)
    with pytest.raises(UsageError, match=f"{refused} cannot be read: Permission denied"):
        find_skills(("one",), tmp_path)


def test_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_LARGEST_SKILLS", 100)
    (skill(tmp_path, "one") / "more").write_bytes(bytes(60))
    (skill(tmp_path, "two") / "more").write_bytes(bytes(60))
    assert find_skills(("one",), tmp_path)
    with pytest.raises(UsageError, match="the skills hold 156 bytes"):
        find_skills(("one", "two"), tmp_path)
