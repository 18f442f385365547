"""Setup: what is announced, asked and done; a second run changes nothing."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bottle.engine.port import Engine
from bottle.errors import Refused
from bottle.provision import gvisor, hostrule, images, runsc, setup
from bottle.provision.recipes import RECIPES
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done

WORKING = {"docker", "dockerd", "apt-get"}


class Ready:
    """What of a machine is in place, and what was done to it."""

    def __init__(self) -> None:
        self.images = self.rule = self.gvisor = True
        self.done: list[str] = []


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> Ready:
    it = Ready()

    def does(name: str, **wanted: object) -> Any:
        def do(*_: object, **named: object) -> None:
            assert named.items() >= wanted.items()
            it.done.append(name)

        return do

    monkeypatch.setattr(images, "outdated", lambda _: () if it.images else RECIPES)
    monkeypatch.setattr(images, "build", does("images", install=True))
    monkeypatch.setattr(hostrule, "present", lambda _: it.rule)
    monkeypatch.setattr(hostrule, "insert", does("rule"))
    monkeypatch.setattr(runsc, "refuse_elsewhere", lambda *_: None)
    monkeypatch.setattr(gvisor, "is_working", lambda _: it.gvisor)
    monkeypatch.setattr(runsc, "provision", does("gvisor"))
    return it


def _provision(machine: FakeMachine, progress: FakeProgress, line: str = "") -> None:
    if "docker" in machine.programs:
        machine.when("docker version", done("28.5.1"))
    words = line.split()
    setup.provision(
        lambda: cast("Engine", object()),
        progress,
        words,
        gvisor="--gvisor" in words,
        machine=machine,
    )


@pytest.mark.parametrize("line", ["", "--gvisor"])
@pytest.mark.usefixtures("ready")
def test_a_second_run_asks_and_changes_nothing(line: str) -> None:
    machine, progress = FakeMachine(programs=WORKING, terminal=True), FakeProgress()
    _provision(machine, progress, line)
    assert progress.asked == []
    assert len(progress.said) == 1
    assert machine.lines == ["docker version --format {{.Server.Version}}"]


def test_a_bare_machine_hears_all_of_it_before_anything_is_done(ready: Ready) -> None:
    ready.images = ready.rule = ready.gvisor = False
    machine = FakeMachine(programs={"apt-get"}, processes={"dockerd": (7,)})
    progress = FakeProgress()
    _provision(machine, progress, "--gvisor")
    text = "\n".join(progress.said)
    wanted = ("docker.io iptables iproute2", "start the Docker", "images", "nftables", "runsc")
    assert [w for w in wanted if w not in text] == []
    assert ready.done == ["images", "rule", "gvisor"]


@pytest.mark.parametrize(("answer", "line"), [(True, ""), (False, "start --agent demo --yes")])
def test_a_person_agrees_by_word_or_by_flag(ready: Ready, answer: bool, line: str) -> None:
    ready.rule = False
    progress = FakeProgress(answer=answer)
    _provision(FakeMachine(programs=WORKING, terminal=True), progress, line)
    assert ready.done == ["images", "rule"]
    assert len(progress.asked) == (1 if not line else 0)


def test_no_changes_nothing(ready: Ready) -> None:
    ready.rule = False
    with pytest.raises(Refused):
        _provision(FakeMachine(programs=WORKING, terminal=True), FakeProgress())
    assert ready.done == []


def test_gvisor_only_when_asked_for(ready: Ready) -> None:
    ready.gvisor = False
    _provision(FakeMachine(programs=WORKING), FakeProgress())
    assert ready.done == []
