"""gVisor: judging a trial by what the container reads and what the host runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bottle.engine.port import Engine
from bottle.errors import Unavailable
from bottle.provision import gvisor

SAID = "Linux version 4.19.0-gvisor #1 SMP\n[    0.000000] Starting gVisor..."
RUNSC = ("runsc",)
SANDBOX = b"runsc-sandbox\0--root=/run\0"


def test_gvisor_is_gvisor() -> None:
    assert gvisor.doubts(SAID, SANDBOX) == ()


@pytest.mark.parametrize(
    ("said", "command", "reason"),
    [
        (SAID, b"sh\0-c\0", "the host runs 'sh'"),
        (SAID, b"", "nothing readable"),
        (SAID, b"sh\0runsc-sandbox\0", "the host runs 'sh'"),
        (SAID, b"runsc-sandbox-not\0", "not gVisor's sandbox"),
        ("Linux version 6.18\nStarting gVisor", SANDBOX, "/proc/version"),
        ("Linux version 4.19.0-gvisor", SANDBOX, "kernel log"),
    ],
)
def test_each_doubt_is_named(said: str, command: bytes, reason: str) -> None:
    found = gvisor.doubts(said, command)
    assert len(found) == 1
    assert reason in found[0]


class Told:
    """A started container that says what a test gives it."""

    def __init__(self, *lines: str) -> None:
        self._lines = [*lines]
        self.ended = False

    def line(self, _: float) -> str | None:
        return self._lines.pop(0) if self._lines else None

    def errors(self) -> str:
        return "cannot run with network enabled in root network namespace"

    def end(self) -> None:
        self.ended = True


class FakeEngine:
    """An engine with a runtime registered, whose containers are a process of the test's choice."""

    def __init__(
        self, told: Told, *, desktop: bool = False, runtimes: tuple[str, ...] = ("runsc",)
    ):
        self.told = told
        self.name = ""
        self.removed: list[str] = []
        self._facts = SimpleNamespace(desktop=desktop, runtimes=dict.fromkeys(runtimes, "/x"))

    def facts(self) -> Any:
        return self._facts

    def start_once(self, _image: str, _words: Any, flags: tuple[str, ...]) -> Told:
        self.name = flags[0].removeprefix("--name=")
        return self.told

    def remove(self, containers: list[str], networks: list[str]) -> None:
        assert (self.told.ended, networks) == (True, [])
        self.removed += containers

    def inspect_container(self, _: str) -> Any:
        return {"State": {"Pid": 1}}


def _works(engine: FakeEngine) -> None:
    """Hold a trial; whatever comes of it, its container is gone."""
    try:
        gvisor.works(cast("Engine", engine))
    finally:
        assert engine.removed == ([engine.name] if engine.name else [])


def test_it_works_when_container_and_host_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gvisor, "_command_line", lambda _: SANDBOX)
    told = Told(*SAID.splitlines(), "ready")
    _works(FakeEngine(told))
    assert told.ended


def test_runc_under_its_name_is_found_out() -> None:
    told = Told(*SAID.splitlines(), "ready")
    with pytest.raises(Unavailable, match="runsc is not gVisor: the host runs"):
        _works(FakeEngine(told))
    assert told.ended


def test_registered_is_not_working() -> None:
    with pytest.raises(Unavailable, match="does not work: cannot run with network") as error:
        _works(FakeEngine(Told()))
    assert "./setup --gvisor" in error.value.remedy


def test_not_registered() -> None:
    with pytest.raises(Unavailable, match="knows no runtime 'runsc'"):
        _works(FakeEngine(Told(), runtimes=("runc",)))


def test_docker_desktop_is_refused_with_the_reason() -> None:
    with pytest.raises(Unavailable, match="Docker Desktop"):
        _works(FakeEngine(Told(), desktop=True))
