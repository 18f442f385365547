"""Run: from the preflight to the agent's exit code; without a yes nothing is made."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from bottle.core.secret import Value
from bottle.engine import host as host_reader
from bottle.engine.port import Labelled
from bottle.errors import BottleError, ManifestMissing, NotRemoved, Refused, UsageError
from bottle.provision import images
from bottle.session import lifetime, lock, reaper, run
from bottle.session.run import Asked
from bottle.session.signals import Interrupted
from tests.support.fake_engine import FakeEngine, FakePipe, until
from tests.support.starts import ENDING, FakeFront, heeding, token

MANIFEST = '{bottles: {default: {}}, agents: {default: {bottle: "default", adapter: "%s"}}}'
HANDLED = ENDING


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    with heeding():
        yield


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a shell's manifest, with a home and a state folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(host_reader, "routed_subnets", tuple)
    monkeypatch.setattr(lifetime, "prove", lambda engine, *_: engine.note("prove"))
    declare("shell")
    return tmp_path


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine().have_images()


def declare(adapter: str) -> None:
    Path("claude-bottle.json").write_text(MANIFEST % adapter)


def start(
    engine: FakeEngine, front: FakeFront, asked: Asked | None = None, value: Value | None = None
) -> int:
    """Start, and see that it leaves nothing, not even its own treatment of signals."""
    before = [signal.getsignal(number) for number in HANDLED]
    try:
        return run.start(engine, front, asked or Asked(agent="default", yes=True), value)
    finally:
        assert engine.things == {}
        assert all(pipe.ended for pipe in engine.pipes)
        assert [signal.getsignal(number) for number in HANDLED] == before


class TestTheYes:
    def test_the_flag_is_one(self, engine: FakeEngine) -> None:
        front = FakeFront(interactive=True)
        assert start(engine, front) == 0
        assert front.asked == []
        assert "prove" in engine.calls

    def test_a_person_says_yes(self, engine: FakeEngine) -> None:
        front = FakeFront(interactive=True, answer=True)
        assert start(engine, front, Asked(agent="default")) == 0
        assert front.asked == ["Start it?"]

    def test_a_person_says_no(self, engine: FakeEngine) -> None:
        front = FakeFront(interactive=True)
        with pytest.raises(Refused) as caught:
            start(engine, front, Asked(agent="default"))
        assert caught.value.code == 77
        assert engine.calls == []

    def test_without_a_terminal_nobody_can(self, engine: FakeEngine) -> None:
        front = FakeFront(answer=True)
        with pytest.raises(UsageError) as caught:
            start(engine, front, Asked(agent="default"))
        assert caught.value.code == 64
        assert "--yes" in caught.value.remedy
        assert (front.asked, engine.calls) == ([], [])

    @pytest.mark.parametrize("yes", [True, False])
    def test_what_it_is_about_is_shown_before(self, engine: FakeEngine, yes: bool) -> None:
        front = FakeFront(interactive=True, answer=True)
        engine.before = lambda _: seen.append(len(front.rows))
        seen: list[int] = []
        start(engine, front, Asked(agent="default", yes=yes))
        assert seen[0] == len(front.rows) > 5

    def test_leftovers_wait_for_it_too(self, engine: FakeEngine) -> None:
        dead = Labelled(
            kind="network",
            name="cb-left",
            session="00000000dead",
            owner=lock.owner_key(lock.state_folder()),
        )
        engine.things["cb-left"] = dead
        with pytest.raises(Refused):
            run.start(engine, FakeFront(interactive=True), Asked(agent="default"), None)
        assert engine.things == {"cb-left": dead}
        assert start(engine, FakeFront()) == 0

    def test_leftovers_that_stay_are_named_and_hinder_nobody(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise NotRemoved("still there: cb-left")

        monkeypatch.setattr(reaper, "reap", fail)
        front = FakeFront()
        assert start(engine, front) == 0
        assert "of dead sessions, still there: cb-left" in "\n".join(front.said)


class TestTheAgent:
    def test_its_exit_code_is_ours(self, engine: FakeEngine) -> None:
        engine.agent = lambda _: 42
        assert start(engine, FakeFront()) == 42

    def test_a_person_lends_the_terminal_and_gets_it_back(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("COLORTERM", raising=False)
        monkeypatch.setenv("PRIVATE", "x")
        front = FakeFront(interactive=True)
        engine.agent = _telling(lambda: front.lendings.append("runs"))
        start(engine, front)
        assert front.lendings == ["lent", "runs", "back", "forgotten"]
        assert engine.commands[-1][2] == "terminal"
        assert engine.environment == {"TERM": "xterm"}

    def test_without_a_terminal_it_gets_pipes_and_no_variable(self, engine: FakeEngine) -> None:
        start(engine, FakeFront(), Asked(agent="default", args="-c 'a b'", yes=True))
        assert engine.commands[-1][2:] == ("pipes", "/opt/bottle/enter", "bash", "-c", "a b")
        assert engine.environment == {}

    def test_the_demo_speaks_in_lines(self, engine: FakeEngine) -> None:
        text = {"type": "assistant", "message": {"content": [{"type": "text", "text": "hello"}]}}
        engine.spoken = lambda: FakePipe([json.dumps(text)], code=3, said="oops")
        front = FakeFront()
        assert start(engine, front, Asked(agent="demo", yes=True)) == 3
        assert front.results == [("| hello", "")]
        assert front.said == ["oops"]
        assert front.lendings == []

    def test_the_start_and_the_removal_are_steps(self, engine: FakeEngine) -> None:
        front = FakeFront()
        seen: dict[str, int] = {}
        front.on_step = lambda title: seen.update({title: len(engine.things)})
        start(engine, front)
        assert front.steps == ["start the bottle and prove its walls", "remove everything"]
        assert seen["start the bottle and prove its walls"] == 0
        assert seen["remove everything"] > 0

    @pytest.mark.parametrize("fails", [True, False])
    def test_where_the_record_is_stands_at_the_end(
        self, engine: FakeEngine, place: Path, fails: bool
    ) -> None:
        def agent(_: Callable[[], None]) -> int:
            (sidecar,) = (p for name, p in engine.pipe_of.items() if name.endswith("sidecar"))
            sidecar.say('{"event":"decision","host":"a"}')
            (record,) = (place / "state" / "claude-bottle" / "audit").iterdir()
            until(lambda: "decision" in record.read_text())
            if fails:
                raise BottleError("trouble")
            return 0

        engine.agent = agent
        front = FakeFront()
        with pytest.raises(BottleError) if fails else nullcontext():
            start(engine, front)
        (path,) = (place / "state" / "claude-bottle" / "audit").iterdir()
        assert front.rows[-1] == ("audit", str(path))

    def test_where_nothing_was_recorded_none_is_named(self, engine: FakeEngine) -> None:
        front = FakeFront()
        start(engine, front)
        assert "audit" not in dict(front.rows)

    def test_old_records_go(self, engine: FakeEngine, place: Path) -> None:
        folder = place / "state" / "claude-bottle" / "audit"
        folder.mkdir(parents=True)
        for number in range(60):
            (folder / f"{number:012x}.jsonl").touch()
        start(engine, FakeFront())
        assert len(list(folder.iterdir())) == 51

    def test_the_token_is_the_one_that_was_given(self, engine: FakeEngine) -> None:
        declare("claude")
        value = token()
        sent: list[bytes] = []
        engine.agent = _telling(lambda: sent.extend(_sent(engine, "sidecar")))
        start(engine, FakeFront(), value=value)
        assert value.reveal().encode() in b"".join(sent)


def _telling(look: Callable[[], object]) -> Callable[[Callable[[], None]], int]:
    """Give an agent that looks around once and ends well."""

    def agent(_: Callable[[], None]) -> int:
        look()
        return 0

    return agent


def _sent(engine: FakeEngine, role: str) -> list[bytes]:
    return [t for name, pipe in engine.pipe_of.items() if name.endswith(role) for t in pipe.sent]


class TestTrouble:
    @pytest.mark.parametrize(("number", "code"), [(1, 129), (2, 130), (3, 131), (15, 143)])
    def test_a_signal_while_the_agent_runs(
        self, engine: FakeEngine, number: int, code: int
    ) -> None:
        def agent(meanwhile: Callable[[], None]) -> int:
            os.kill(os.getpid(), number)
            while True:
                meanwhile()

        engine.agent = agent
        front = FakeFront(interactive=True)
        with pytest.raises(Interrupted) as caught:
            start(engine, front)
        assert caught.value.code == code
        assert front.lendings == ["lent", "back", "forgotten"]
        assert front.steps[-1] == "remove everything"

    def test_a_signal_at_the_question(self, engine: FakeEngine) -> None:
        class Waiting(FakeFront):
            def ask(self, question: str) -> bool:
                signal.raise_signal(signal.SIGTERM)
                raise AssertionError(question)

        with pytest.raises(Interrupted):
            start(engine, Waiting(interactive=True), Asked(agent="default"))
        assert engine.calls == []

    def test_without_a_manifest(self, engine: FakeEngine) -> None:
        with pytest.raises(ManifestMissing):
            start(engine, FakeFront(), Asked(agent="default", manifest="no.json", yes=True))

    def test_whatever_is_wrong_is_told_after_the_removal(self, engine: FakeEngine) -> None:
        def broken(_: Callable[[], None]) -> int:
            raise BottleError("trouble")

        engine.agent = broken
        with pytest.raises(BottleError, match="trouble"):
            start(engine, FakeFront())

    def test_nobody_waits_for_images_where_nobody_can_be_asked(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built: list[object] = []
        monkeypatch.setattr(images, "rebuild", lambda *words: built.append(words))
        del engine.images["claude-bottle/agent:current"]
        with pytest.raises(UsageError) as caught:
            start(engine, FakeFront(), Asked(agent="default"))
        assert "--yes" in caught.value.remedy
        assert built == []

    @pytest.mark.parametrize("works", [True, False])
    def test_images_of_another_version_are_built_first(
        self, engine: FakeEngine, works: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built: list[str] = []

        def rebuild(*_: object) -> None:
            built.append("built")
            if works:
                engine.have_images()

        monkeypatch.setattr(images, "rebuild", rebuild)
        del engine.images["claude-bottle/agent:current"]
        if works:
            assert start(engine, FakeFront()) == 0
        else:
            with pytest.raises(images.ImagesDiffer):
                start(engine, FakeFront())
        assert built == ["built"]
