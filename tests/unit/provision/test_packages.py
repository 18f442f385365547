"""Packages: the sets, the script that downloads them, and what is taken out of an archive."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bottle.provision import packages


def test_each_set_holds_what_every_image_needs() -> None:
    base = set(packages.SETS["base"])
    assert all(base <= set(names) for names in packages.SETS.values())


def test_the_script_downloads_each_set_and_installs_nothing() -> None:
    lines = packages.download_script("/debs").splitlines()
    downloads = [line for line in lines if line.startswith("apt-get")]
    assert len(downloads) == len(packages.SETS)
    assert all("--download-only --no-install-recommends" in line for line in downloads)
    assert downloads[0].endswith("install ca-certificates openssl python3 tini")


def _archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"deb"))
    return stream.getvalue()


def test_only_packages_of_known_sets_are_unpacked(tmp_path: Path) -> None:
    names = ("./base/a.deb", "./agent/b.deb", "../base/c.deb", "./base/../d.deb", "./x/e.deb")
    packages.unpack(_archive(*names, "/base/f.deb", "./base/notes.txt"), tmp_path)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["agent/b.deb", "base/a.deb"]
    assert not packages.complete(tmp_path)


def test_one_folder_of_another_name_is_unpacked_when_asked_for(tmp_path: Path) -> None:
    packages.unpack(_archive("./extra/a.deb", "./base/b.deb"), tmp_path, (packages.EXTRA,))
    assert [path.name for path in tmp_path.rglob("*.deb")] == ["a.deb"]


def _run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where apt knows two packages and notes what it is asked for."""
    cache, get = path / "apt-cache", path / "apt-get"
    cache.write_text("#!/bin/sh\nprintf '%s\\n' jq jq-doc g++ | grep \"^$2\"\n")
    get.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{path}/asked\n')
    for program in (cache, get):
        program.chmod(0o755)
    environment = {"PATH": f"{path}:{os.environ['PATH']}"}
    command = ["sh", "-euc", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_packages_are_downloaded_by_their_exact_names(tmp_path: Path) -> None:
    done = _run(packages.extra_script(str(tmp_path / "debs"), ["g++", "jq"]), tmp_path)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-4:] == ["install", "--", "g++", "jq"]
    assert "--download-only" in asked
    assert list((tmp_path / "debs" / packages.EXTRA).iterdir()) == []


@pytest.mark.parametrize("name", ["jq-", "j.", "jq-do", "g+", "--help", "$(id)", "x; id"])
def test_a_name_that_is_no_packages_is_told_before_anything_is_asked(
    tmp_path: Path, name: str
) -> None:
    done = _run(packages.extra_script(str(tmp_path / "debs"), ["jq", name]), tmp_path)
    assert (done.returncode, done.stdout) == (packages.NOT_KNOWN, "")
    assert done.stderr == f"E: Unable to locate package {name}\n"
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("errors", "name"),
    [
        ("E: Unable to locate package nosuch\n", "nosuch"),
        ("Reading...\nE: Unable to locate package g++x.1\nmore\n", "g++x.1"),
        ("E: Package 'awk' has no installation candidate\n", "awk"),
        ("E: Failed to fetch http://somewhere/jq.deb\n", ""),
        ("", ""),
    ],
)
def test_apts_complaint_about_a_name_is_understood(errors: str, name: str) -> None:
    assert packages.unknown(errors.encode()) == name


def test_other_names_give_another_key() -> None:
    before = packages.key()
    packages.SETS["base"] = (*packages.SETS["base"], "zsh")
    try:
        assert packages.key() != before
    finally:
        packages.SETS["base"] = packages.SETS["base"][:-1]
