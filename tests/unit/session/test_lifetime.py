"""Lifetime: whatever goes wrong, and at whichever step, nothing of the bottle is left."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bottle.core.plan import Plan
from bottle.core.slot import SLOTS
from bottle.errors import NotRemoved, TimeLimit, Unavailable, WallDiffers
from bottle.session import lifetime, lock
from bottle.session.contents import Contents
from bottle.session.lifetime import Lifetime, Order
from bottle.session.signals import Interrupted, Signals
from bottle.session.standin import Standin
from tests.support.fake_engine import CERTIFICATE, FakeEngine, until
from tests.support.plans import SESSION, plan
from tests.support.starts import heeding

STEPS = (
    "network inside",
    "network outside",
    "create agent",
    "start agent",
    "start watch",
    "create standin",
    "start standin",
    "send standin",
    "line standin",
    "create sidecar",
    "start sidecar",
    "send sidecar",
    "line sidecar",
    "send agent",
    "line agent",
    "prove",
)
CHANGES = tuple(step for step in STEPS if step.split()[0] in ("network", "create", "start"))


def order(
    *, slots: tuple[int, ...] = (7, 8, 9), names: tuple[str, ...] = ("example.com",)
) -> Order:
    return Order(
        plan_in=lambda slot: plan(slot.number, adapter="shell", standin_names=names),
        slots=slots,
        sidecar=lambda planned, upstream: json.dumps([planned.session, upstream]).encode(),
        standin=Standin(names=names).configuration,
        contents=lambda certificate: Contents(environment={}, home={}, certificate=certificate),
    )


class Once:
    """Does something at the first of a kind of step."""

    def __init__(self, step: str, act: Callable[[], None]) -> None:
        self.step, self.act = step, act
        self.happened = False

    def __call__(self, step: str) -> None:
        if step == self.step and not self.happened:
            self.happened = True
            self.act()


@pytest.mark.parametrize("step", ["send agent", "prove"])
def test_no_signal_interrupts_the_launchers_own_steps(
    tmp_path: Path, make: Make, step: str
) -> None:
    """A client that looks into a bottle may hang for long once its container is taken away."""
    ended: list[str] = []

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)  # in which a launcher that waits elsewhere would begin to remove
        ended.append("let go" if any(pipe.over for pipe in engine.pipes) else "held")

    engine = FakeEngine(before=Once(step, interrupted))
    with pytest.raises(Interrupted), make(engine):
        pass
    assert ended == ["held"]
    assert_gone(engine, tmp_path)


def fail() -> None:
    raise Unavailable("trouble")


def err() -> None:
    raise RuntimeError("a mistake of ours")


def ask_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the proof as one step; what it compares is not the lifetime's business."""

    def prove(engine: FakeEngine, *_: object) -> None:
        engine.note("prove")

    monkeypatch.setattr(lifetime, "prove", prove)
    monkeypatch.setattr(lifetime, "_POLL", 0.002)


@pytest.fixture
def signals() -> Iterator[Signals]:
    with heeding(), Signals().caught() as caught:
        yield caught


Make = Callable[..., Lifetime]


@pytest.fixture
def make(tmp_path: Path, signals: Signals) -> Make:
    def lifetime_of(engine: FakeEngine, wanted: Order | None = None) -> Lifetime:
        return Lifetime(engine, wanted or order(), tmp_path, signals)

    return lifetime_of


def events(folder: Path) -> list[str]:
    lines = (folder / "audit" / f"{SESSION}.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def assert_gone(engine: FakeEngine, folder: Path) -> None:
    assert engine.things == {}
    assert all(pipe.over for pipe in engine.pipes)
    assert list((folder / "sessions").glob("*")) == []
    assert events(folder)[-1] == "ended"
    until(lambda: not [t for t in threading.enumerate() if SESSION in t.name])


def test_a_whole_life(tmp_path: Path, make: Make) -> None:
    engine = FakeEngine()
    with make(engine) as bottle:
        assert not lock.is_dead(tmp_path, SESSION)
        assert set(engine.things) >= {c.name for c in bottle.plan.containers}
        assert set(engine.things) >= {n.name for n in bottle.plan.networks}
        assert f"cb-{SESSION}-watch" not in engine.things
    assert set(engine.calls) == set(STEPS), "STEPS is the list that the tests below go through"
    assert_gone(engine, tmp_path)
    assert all(pipe.ended for pipe in engine.pipes)
    assert events(tmp_path)[:1] == ["started"]


def test_what_needs_another_waits_for_it(make: Make) -> None:
    engine = FakeEngine()
    with make(engine):
        pass
    at = engine.calls.index
    assert at("network inside") == 0
    assert at("network outside") < min(at("create standin"), at("create sidecar"))
    assert at("line standin") < at("send sidecar")
    assert at("line sidecar") < at("send agent") < at("line agent") < at("prove")


def test_the_pipes_carry_what_was_ordered(make: Make) -> None:
    engine = FakeEngine()
    with make(engine) as bottle:
        sent = {name.rpartition("-")[2]: pipe.sent for name, pipe in engine.pipe_of.items()}
        expected = order().contents(CERTIFICATE).archive()
        assert sent["agent"] == [expected]
        assert sent["sidecar"] == [json.dumps([SESSION, CERTIFICATE]).encode()]
        assert sent["standin"] == [Standin(names=("example.com",)).configuration(bottle.plan)]


def test_without_a_stand_in_the_sidecar_is_told_of_none(tmp_path: Path, make: Make) -> None:
    engine = FakeEngine()
    with make(engine, order(names=())):
        assert engine.pipe_of[f"cb-{SESSION}-sidecar"].sent == [
            json.dumps([SESSION, None]).encode()
        ]
        assert "create standin" not in engine.calls
    assert_gone(engine, tmp_path)


class TestAHalfFailedStart:
    """Each step of a start, failing before or after it took effect."""

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize(("act", "failure"), [(fail, Unavailable), (err, RuntimeError)])
    def test_a_step_that_fails(
        self,
        tmp_path: Path,
        make: Make,
        step: str,
        act: Callable[[], None],
        failure: type[Exception],
    ) -> None:
        trouble = Once(step, act)
        engine = FakeEngine(before=trouble)
        with pytest.raises(failure), make(engine):
            raise AssertionError("nobody may use it")
        assert trouble.happened
        assert_gone(engine, tmp_path)
        assert all(pipe.ended for pipe in engine.pipes)

    @pytest.mark.parametrize("step", CHANGES)
    def test_a_step_that_fails_although_it_took_effect(
        self, tmp_path: Path, make: Make, step: str
    ) -> None:
        trouble = Once(step, fail)
        engine = FakeEngine(after=trouble)
        with pytest.raises(Unavailable), make(engine):
            raise AssertionError("nobody may use it")
        assert trouble.happened
        assert_gone(engine, tmp_path)

    @pytest.mark.parametrize("step", STEPS)
    def test_a_signal_during_a_step(self, tmp_path: Path, make: Make, step: str) -> None:
        trouble = Once(step, ask_to_end)
        engine = FakeEngine(before=trouble)
        with pytest.raises(Interrupted, match="SIGTERM") as caught, make(engine):
            raise AssertionError("nobody may use it")
        assert caught.value.code == 143
        assert trouble.happened
        assert_gone(engine, tmp_path)

    @pytest.mark.parametrize("step", CHANGES)
    def test_what_starts_while_the_start_is_given_up(
        self, tmp_path: Path, make: Make, step: str
    ) -> None:
        def slowly() -> None:
            ask_to_end()
            time.sleep(0.05)

        trouble = Once(step, slowly)
        engine = FakeEngine(before=trouble)
        with pytest.raises(Interrupted), make(engine):
            raise AssertionError("nobody may use it")
        assert_gone(engine, tmp_path)
        assert all(pipe.ended for pipe in engine.pipes)

    @pytest.mark.parametrize("role", ["standin", "sidecar"])
    def test_nobody_waits_for_a_container_that_started_too_late(
        self, tmp_path: Path, make: Make, role: str
    ) -> None:
        def slowly() -> None:
            ask_to_end()
            time.sleep(0.05)

        engine = FakeEngine(before=Once(f"start {role}", slowly), mute=frozenset({role}))
        begin = time.monotonic()
        with pytest.raises(Interrupted), make(engine):
            raise AssertionError("nobody may use it")
        assert time.monotonic() - begin < 5
        assert_gone(engine, tmp_path)

    def test_a_signal_before_the_first_step(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine()
        bottle = make(engine)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Interrupted), bottle:
            raise AssertionError("nobody may use it")
        assert engine.calls == []
        assert_gone(engine, tmp_path)

    @pytest.mark.parametrize("role", ["standin", "sidecar"])
    @pytest.mark.parametrize("first", ["no JSON", "{}", "[]", "null"])
    def test_a_first_line_that_is_none(
        self, tmp_path: Path, make: Make, role: str, first: str
    ) -> None:
        engine = FakeEngine(answers={role: lambda _: (first,)})
        with pytest.raises(Unavailable, match="did not start"), make(engine):
            raise AssertionError("nobody may use it")
        assert_gone(engine, tmp_path)

    @pytest.mark.parametrize(
        ("role", "who"),
        [("standin", "stand-in"), ("sidecar", "sidecar"), ("agent", "bottle's first process")],
    )
    def test_a_first_line_that_does_not_come(
        self, tmp_path: Path, make: Make, role: str, who: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifetime, "_READY", 0.01)
        engine = FakeEngine(mute=frozenset({role}))
        late = f"the {who} was not ready within 0.01 s"
        with pytest.raises(TimeLimit, match=late) as caught, make(engine):
            raise AssertionError("nobody may use it")
        assert caught.value.code == 124
        assert "start again" in caught.value.remedy
        assert_gone(engine, tmp_path)

    def test_a_proof_that_does_not_come(self, tmp_path: Path, make: Make) -> None:
        def late() -> None:
            raise TimeLimit("no line came within 20 s")

        engine = FakeEngine(before=Once("prove", late))
        with pytest.raises(TimeLimit, match="the walls were not proved in time") as caught:
            make(engine).__enter__()
        assert caught.value.code == 124
        assert "start again" in caught.value.remedy
        assert_gone(engine, tmp_path)

    @pytest.mark.parametrize("step", ["start sidecar", "start agent", "start watch"])
    def test_a_step_that_fails_of_the_signal_itself(
        self, tmp_path: Path, make: Make, step: str
    ) -> None:
        def both() -> None:
            ask_to_end()
            fail()

        engine = FakeEngine(before=Once(step, both))
        with pytest.raises(Interrupted, match="SIGTERM"), make(engine):
            raise AssertionError("nobody may use it")
        assert_gone(engine, tmp_path)

    def test_contents_that_are_not_taken(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine(answers={"agent": lambda _: ("hold: odd",)})
        with pytest.raises(WallDiffers, match="did not take its contents"), make(engine):
            raise AssertionError("nobody may use it")
        assert_gone(engine, tmp_path)


class TestSlots:
    def test_a_taken_one_is_passed_over(self, tmp_path: Path, make: Make) -> None:
        taken = {str(plan(7).slot.inside), str(plan(8).slot.inside)}
        engine = FakeEngine(taken=taken)
        with make(engine) as bottle:
            assert bottle.plan.slot.number == 9
        assert_gone(engine, tmp_path)

    def test_all_taken(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine(taken={str(plan(number).slot.inside) for number in range(SLOTS)})
        with pytest.raises(Unavailable, match="all 225 places"), make(engine):
            raise AssertionError("nobody may use it")
        assert engine.calls == ["network inside"] * 3
        assert_gone(engine, tmp_path)

    def test_an_outside_that_was_taken_meanwhile(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine(taken={str(plan(7).slot.outside)})
        with pytest.raises(Unavailable, match="taken meanwhile"), make(engine):
            raise AssertionError("nobody may use it")
        assert_gone(engine, tmp_path)

    def test_a_signal_between_two(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine(
            taken={str(plan(7).slot.inside)}, before=Once("network inside", ask_to_end)
        )
        with pytest.raises(Interrupted), make(engine):
            raise AssertionError("nobody may use it")
        assert engine.calls == ["network inside"]
        assert_gone(engine, tmp_path)


class TestTheAgent:
    def test_its_code_passes_through_by_its_own_door(self, make: Make) -> None:
        engine = FakeEngine(agent=lambda _: 42)
        with make(engine) as bottle:
            uid = bottle.plan.slot.agent_uid
            code = bottle.run(("x", "y"), terminal=True, environment={"TERM": "t"})
        assert code == 42
        door = (f"cb-{SESSION}-agent", f"{uid}:{uid}", "terminal", "/opt/bottle/enter", "x", "y")
        assert engine.commands[-1] == door
        assert engine.environment == {"TERM": "t"}

    def test_a_signal_ends_it_and_the_bottle(self, tmp_path: Path, make: Make) -> None:
        def forever(meanwhile: Callable[[], None]) -> int:
            ask_to_end()
            while True:
                meanwhile()

        engine = FakeEngine(agent=forever)
        with pytest.raises(Interrupted) as caught, make(engine) as bottle:
            bottle.run(("x",), terminal=False, environment={})
        assert caught.value.code == 143
        assert_gone(engine, tmp_path)

    def test_one_that_speaks_in_lines_ends_with_the_bottle(
        self, tmp_path: Path, make: Make
    ) -> None:
        engine = FakeEngine()
        with make(engine) as bottle:
            pipe = bottle.stream(("x",))
            assert engine.commands[-1][2:] == ("/opt/bottle/enter", "x")
        assert pipe in engine.pipes
        assert all(p.ended for p in engine.pipes)
        assert_gone(engine, tmp_path)

    def test_what_it_does_to_us_ends_the_bottle(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine()
        with pytest.raises(KeyError), make(engine):
            raise KeyError
        assert_gone(engine, tmp_path)


class TestRemoval:
    def test_an_engine_that_lags_behind_is_asked_again(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine(lag=3)
        with make(engine):
            pass
        assert_gone(engine, tmp_path)

    def test_what_stays_is_named(
        self, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifetime, "_GONE", 0.02)
        engine = FakeEngine(lag=10**9)
        with pytest.raises(NotRemoved, match=f"cb-{SESSION}-agent") as caught, make(engine):
            pass
        assert caught.value.code == 70
        assert "reap" in caught.value.remedy
        assert all(pipe.ended for pipe in engine.pipes)
        assert lock.is_dead(tmp_path, SESSION), "or nobody could reap it"

    def test_an_engine_that_is_gone_leaves_a_dead_session(
        self, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = FakeEngine()

        def gone(*_: object) -> None:
            raise Unavailable("the Docker engine does not answer")

        monkeypatch.setattr(lifetime, "_GONE", 0.02)
        with pytest.raises(Unavailable), make(engine):
            monkeypatch.setattr(engine, "remove", gone)
        assert all(pipe.ended for pipe in engine.pipes)
        assert lock.is_dead(tmp_path, SESSION)
        assert events(tmp_path)[-1] == "ended"

    @pytest.mark.parametrize("operation", ["labelled", "remove"])
    @pytest.mark.parametrize("failure", [Unavailable, TimeLimit])
    def test_an_engine_that_is_busy_is_asked_again(
        self,
        tmp_path: Path,
        make: Make,
        monkeypatch: pytest.MonkeyPatch,
        operation: str,
        failure: type[Exception],
    ) -> None:
        engine = FakeEngine(lag=1)
        works = getattr(engine, operation)
        busy = [1, 2, 3]

        def sometimes(*words: object) -> object:
            if busy:
                busy.pop()
                raise failure("busy")
            return works(*words)

        with make(engine):
            monkeypatch.setattr(engine, operation, sometimes)
        assert_gone(engine, tmp_path)

    def test_a_part_that_fails_keeps_no_other_from_its_work(
        self, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise OSError("trouble")

        engine = FakeEngine()
        bottle = make(engine)
        with suppress(OSError), bottle:
            monkeypatch.setattr(bottle._watch, "end", broken)
            monkeypatch.setattr(bottle.audit, "note", broken)
            monkeypatch.setattr(bottle._pipes[-1], "close", broken)
            assert engine.things
        assert engine.things == {}
        assert [pipe.ended for pipe in engine.pipes].count(False) == 1
        assert bottle.audit._file.closed
        assert lock.is_dead(tmp_path, SESSION)

    def test_signals_do_not_disturb_it(self, tmp_path: Path, make: Make) -> None:
        engine = FakeEngine(lag=2)
        engine.on_remove = ask_to_end
        with make(engine):
            pass
        assert_gone(engine, tmp_path)

    def test_the_containers_hear_it_first(self, make: Make) -> None:
        engine = FakeEngine()
        closed: list[bool] = []
        engine.on_remove = lambda: closed.append(all(pipe.closed for pipe in engine.pipes))
        with make(engine):
            pass
        assert closed[0], "each PID 1 reads the end of its stdin before anything is removed"


def test_the_plan_is_the_one_that_runs(make: Make) -> None:
    seen: list[Plan] = []
    wanted = order()
    engine = FakeEngine(taken={str(plan(7).slot.inside)})
    with make(engine, wanted) as bottle:
        seen.append(bottle.plan)
        assert engine.things[bottle.plan.inside.name].session == bottle.plan.session
    assert seen[0].slot.number == 8
