"""Packages: the sets, the script that downloads them, and what is taken out of an archive."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

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


def test_other_names_give_another_key() -> None:
    before = packages.key()
    packages.SETS["base"] = (*packages.SETS["base"], "zsh")
    try:
        assert packages.key() != before
    finally:
        packages.SETS["base"] = packages.SETS["base"][:-1]
