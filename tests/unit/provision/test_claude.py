"""Claude: the pinned package, or nothing."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from bottle.engine.port import Completed
from bottle.errors import Unavailable
from bottle.provision import claude
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Npm(FakeMachine):
    """A machine whose npm delivers a package."""

    package = b""

    def run(self, *words: object, folder: Path | None = None, **_: object) -> Completed:
        self.ran.append(words[0])  # type: ignore[arg-type]
        assert folder is not None
        (folder / "package.tgz").write_bytes(self.package)
        return done()


def _package(tmp_path: Path, **files: bytes) -> Path:
    path = tmp_path / "made.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_another_package_is_refused_and_not_kept(tmp_path: Path) -> None:
    machine = Npm(programs={"npm", "node"})
    machine.package = b"tampered"
    for _ in range(2):
        with pytest.raises(Unavailable, match="is not the pinned one"):
            claude.fetch(machine, FakeProgress(), "amd64")
    assert not list((tmp_path / "cache").rglob("*.tgz"))


def test_the_pinned_package_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = _package(tmp_path, claude=b"program")
    monkeypatch.setitem(claude._INTEGRITY, "amd64", claude.integrity(package))
    machine = Npm(programs={"npm", "node"})
    machine.package = package.read_bytes()
    first = claude.fetch(machine, FakeProgress(), "amd64")
    assert claude.fetch(machine, FakeProgress(), "amd64") == first
    assert len(machine.ran) == 1
    first.write_bytes(b"changed on the disk")
    claude.fetch(machine, FakeProgress(), "amd64")
    assert len(machine.ran) == 2


def test_only_the_program_is_unpacked(tmp_path: Path) -> None:
    package = _package(tmp_path, claude=b"program", other=b"x")
    (tmp_path / "room").mkdir()
    claude.unpack(package, tmp_path / "room" / "claude")
    assert [path.name for path in (tmp_path / "room").iterdir()] == ["claude"]
    assert (tmp_path / "room" / "claude").read_bytes() == b"program"
    assert (tmp_path / "room" / "claude").stat().st_mode & 0o777 == 0o755


def test_an_architecture_without_a_pin() -> None:
    with pytest.raises(Unavailable, match="not pinned for riscv64"):
        claude.pin("riscv64")


def test_the_name_holds_version_and_digest() -> None:
    assert claude.pin("arm64").startswith("claude 2.1.330 arm64 sha512-V4yanAY5")
