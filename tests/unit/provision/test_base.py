"""Base: pulled where it can be, else bootstrapped in one run that also downloads packages."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from bottle.engine.port import Completed, Engine, ImageFacts
from bottle.errors import TimeLimit, Unavailable
from bottle.provision import base, packages
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done


class Offline:
    """An engine that reaches no registry."""

    def pull(self, *_: Any) -> str:
        raise TimeLimit("docker pull took longer than 20 s")


def test_one_run_makes_the_base_and_downloads_everything() -> None:
    words = base.bootstrap_command(Path("/room/base.tar"), Path("/room/out"))
    hooks = [word for word in words if word.startswith("--customize-hook=")]
    assert words[0] == "mmdebstrap"
    assert words[-2:] == ("trixie", "/room/base.tar")
    assert "--download-only" in hooks[0]
    assert hooks[1] == "--customize-hook=copy-out /debs /room/out"
    assert "sources.list" in hooks[2]


@pytest.mark.parametrize("root", [True, False])
def test_what_bootstrapping_needs_is_installed_first(root: bool) -> None:
    machine = FakeMachine(root=root, programs={"apt-get", "sudo"})
    machine.when("mmdebstrap --variant", done(errors="no mirror answers", code=1))
    progress = FakeProgress()
    with pytest.raises(Unavailable, match="no mirror answers"):
        base.renew(cast("Engine", Offline()), machine, progress, install=True)
    install = next(line for line in machine.lines if " install " in line)
    wanted = "--no-install-recommends mmdebstrap debian-archive-keyring"
    assert install.endswith(wanted + " uidmap" * (not root))


def test_nothing_is_installed_that_was_not_announced() -> None:
    machine = FakeMachine(root=False, programs={"apt-get", "sudo", "mmdebstrap"})
    with pytest.raises(Unavailable, match="debian-archive-keyring uidmap: missing") as error:
        base.renew(cast("Engine", Offline()), machine, FakeProgress())
    assert (error.value.code, machine.ran) == (69, [])
    assert "run ./setup" in error.value.remedy


def test_without_apt_the_pull_must_work() -> None:
    with pytest.raises(Unavailable, match="could not be pulled") as error:
        base.renew(cast("Engine", Offline()), FakeMachine(system="Darwin"), FakeProgress())
    assert "registry" in error.value.remedy


# -- packages for an image that is made of this base


class Based:
    """An engine that has the base, from somewhere, and whose one-shot containers answer."""

    def __init__(self, source: str, answer: Completed | None = None) -> None:
        self.source, self.answer = source, answer or done()
        self.ran: list[tuple[str, str, bytes]] = []

    def image(self, reference: str) -> ImageFacts | None:
        assert reference == base.REFERENCE
        labels = {base.SOURCE_LABEL: self.source} if self.source else {}
        return ImageFacts(reference=reference, identity="sha256:b", labels=labels)

    def run_once(
        self,
        image: str,
        command: Sequence[str],
        *,
        flags: Sequence[str],
        stdin: bytes = b"",
        seconds: float = 60,
    ) -> Completed:
        assert "--runtime=runc" in flags
        assert seconds > 60
        self.ran.append((image, command[-1], stdin))
        return self.answer


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _machine() -> FakeMachine:
    keyring = {"/usr/share/keyrings/debian-archive-keyring.gpg": ""}
    return FakeMachine(programs={"apt-get", "mmdebstrap"}, files=keyring)


def _fetch(engine: Based, machine: FakeMachine, into: Path, *names: str) -> FakeProgress:
    progress = FakeProgress()
    base.fetch(cast("Engine", engine), machine, progress, names, b"Package: x\n", into)
    return progress


def _archive(*names: str) -> Completed:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return Completed(code=0, output=stream.getvalue(), errors=b"")


def test_packages_for_a_pulled_base_come_into_a_container_of_it(tmp_path: Path) -> None:
    engine = Based("debian@sha256:1", _archive("./extra/jq_1.deb", "./base/tini_1.deb"))
    machine, into = _machine(), tmp_path / "into"
    into.mkdir()
    progress = _fetch(engine, machine, into, "jq", "make")
    ((image, script, stdin),) = engine.ran
    assert (image, stdin) == (base.REFERENCE, b"Package: x\n")
    assert f"cat >{packages.STATUS}" in script
    assert "-- jq make" in script
    assert [path.name for path in into.iterdir()] == ["jq_1.deb"]
    assert machine.ran == []
    assert progress.steps == ["download jq make"]


def test_packages_for_a_bootstrapped_base_come_by_this_machines_tools(tmp_path: Path) -> None:
    engine, machine, into = Based(base.BOOTSTRAPPED), _machine(), tmp_path / "into"
    into.mkdir()

    def bootstrap(words: tuple[str, ...]) -> Completed:
        hooks = [word.removeprefix("--customize-hook=") for word in words if "-hook=" in word]
        verb, status, place = hooks[0].split()
        assert (verb, place) == ("copy-in", "/var/lib/dpkg")
        assert Path(status).read_bytes() == b"Package: x\n"
        assert Path(status).name == "status"
        out = Path(hooks[2].removeprefix("copy-out /debs ")) / "debs" / packages.EXTRA
        out.mkdir(parents=True)
        (out / "jq_1.deb").touch()
        return done()

    machine.answers.append(("mmdebstrap", bootstrap))
    _fetch(engine, machine, into, "jq")
    assert [path.name for path in into.iterdir()] == ["jq_1.deb"]
    assert "--variant=custom --format=null" in machine.lines[0]
    assert engine.ran == []


def test_that_nothing_is_missing_is_no_failure(tmp_path: Path) -> None:
    _fetch(Based("debian@sha256:1", _archive()), _machine(), tmp_path, "git")
    _fetch(Based(base.BOOTSTRAPPED), _machine(), tmp_path, "git")
    assert list(tmp_path.glob("*.deb")) == []


@pytest.mark.parametrize("source", ["debian@sha256:1", base.BOOTSTRAPPED])
@pytest.mark.parametrize(
    ("errors", "happened", "remedy"),
    [
        ("E: Unable to locate package nosuch", "Debian trixie has no package nosuch", "`packages`"),
        ("E: Unable to locate package other", "jq nosuch: could not be downloaded", "mirror"),
        ("W: no mirror answers", "could not be downloaded: W: no mirror answers", "mirror"),
    ],
)
def test_packages_that_do_not_come_are_named(
    tmp_path: Path, source: str, errors: str, happened: str, remedy: str
) -> None:
    answer = done(errors=errors, code=8)
    machine = _machine()
    machine.when("mmdebstrap", answer)
    with pytest.raises(Unavailable, match=happened) as error:
        _fetch(Based(source, answer), machine, tmp_path, "jq", "nosuch")
    assert remedy in error.value.remedy
    assert list(tmp_path.glob("*.deb")) == []


def test_without_a_base_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not built yet") as error:
        _fetch(Based(""), _machine(), tmp_path, "jq")
    assert "./setup" in error.value.remedy


def test_nothing_is_installed_for_a_bottles_packages(tmp_path: Path) -> None:
    machine = FakeMachine(programs={"apt-get"})
    with pytest.raises(Unavailable, match="missing here"):
        _fetch(Based(base.BOOTSTRAPPED), machine, tmp_path, "jq")
    assert machine.ran == []
