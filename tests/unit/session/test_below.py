"""Below: a plain file below the folder is read, and nothing is reached through a link."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bottle.session import below
from bottle.session.below import Unreadable

LONGEST = 100
TEXT = b"text\x00\xff\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a file in it and one deeper, and a secret beside it."""
    place = tmp_path / "project"
    (place / "a" / "b").mkdir(parents=True)
    for path in (place / "file", place / "a" / "b" / "file"):
        path.write_bytes(TEXT)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"not for a manifest")
    return place


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def refused(folder: Path, relative: str) -> Unreadable:
    """Read what cannot be read, and see that no descriptor stays open."""
    before = descriptors()
    with pytest.raises(Unreadable) as caught:
        below.read(folder, relative, LONGEST)
    assert descriptors() == before
    return caught.value


@pytest.mark.parametrize("relative", ["file", "a/b/file"])
def test_a_plain_file_is_read_as_it_is(folder: Path, relative: str) -> None:
    before = descriptors()
    assert below.read(folder, relative, LONGEST) == TEXT
    assert descriptors() == before


def test_the_manifests_own_folder_may_be_reached_by_a_link(folder: Path) -> None:
    """It was named by the person, or is where they stand."""
    (folder.parent / "link").symlink_to(folder)
    assert below.read(folder.parent / "link", "a/b/file", LONGEST) == TEXT


def test_the_current_folder_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert below.read(Path(), "a/b/file", LONGEST) == TEXT


@pytest.mark.parametrize("target", ["file", "../outside/file", "/etc/hostname", "nowhere", "link"])
def test_a_link_at_the_end_is_refused_wherever_it_leads(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    assert refused(folder, "link").found == "a link"


@pytest.mark.parametrize("target", ["b", "../../outside", "/etc", "."])
@pytest.mark.parametrize("place", ["link", "a/link"])
def test_a_link_on_the_way_is_refused_wherever_it_leads(
    folder: Path, place: str, target: str
) -> None:
    (folder / place).symlink_to(target)
    assert "on the way" in refused(folder, f"{place}/file").found
    assert below.read(folder, "a/b/file", LONGEST) == TEXT


def test_a_link_that_takes_a_folders_place_meanwhile_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def swapping(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "b":
            (folder / "a" / "b").rename(folder / "was")
            (folder / "a" / "b").symlink_to(folder.parent / "outside")
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    assert "on the way" in refused(folder, "a/b/file").found


def test_a_folder_that_is_moved_meanwhile_is_still_the_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def swapping(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "file":
            (folder / "a").rename(folder / "was")
            (folder / "a").symlink_to(folder.parent / "outside")
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    assert below.read(folder, "a/b/file", LONGEST) == TEXT


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        # from within its folder: the name of a socket holds 107 bytes
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (str, "no such file"),
    "a pipe": (os.mkfifo, "something else than a file"),
    "a folder": (Path.mkdir, "something else than a file"),
    "a socket": (_socket, "something else than a file"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "a link"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_file_is_refused_without_waiting(folder: Path, name: str) -> None:
    make, found = ODD[name]
    make(folder / "odd")
    error = refused(folder, "odd")
    assert error.found == found
    assert "a regular file" in error.wanted


def test_a_device_is_no_file() -> None:
    error = refused(Path("/dev"), "zero")
    assert error.found == "something else than a file"


def test_a_file_is_no_folder_on_the_way(folder: Path) -> None:
    assert "no folder" in refused(folder, "file/file").found
    assert refused(folder, "none/file").found == "no such file"


def test_a_folder_that_is_gone_is_a_reason_too(folder: Path) -> None:
    assert refused(folder / "none", "file").found == "no such file"


def test_what_may_not_be_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refusing(path: Path | str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "file":
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    assert refused(folder, "a/b/file").found == "Permission denied"


@pytest.mark.parametrize(("size", "fits"), [(0, True), (LONGEST, True), (LONGEST + 1, False)])
def test_the_size_is_bounded(folder: Path, size: int, fits: bool) -> None:
    (folder / "sized").write_bytes(bytes(size))
    if fits:
        assert below.read(folder, "sized", LONGEST) == bytes(size)
    else:
        error = refused(folder, "sized")
        assert (error.found, error.wanted) == (f"more than {LONGEST} bytes", "at most 100 bytes")


def test_a_huge_file_is_not_read_to_its_end(folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert refused(folder, "huge").found == f"more than {LONGEST} bytes"
