"""Life: nothing remains after any end, and a killed launcher takes its bottle along."""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from bottle.core.parts import ContainerPlan, NetworkPlan
from bottle.engine.docker import DockerEngine
from bottle.errors import TimeLimit, Unavailable
from bottle.session import lifetime
from bottle.session.contents import Contents
from bottle.session.lifetime import Order
from tests.support import bottles, launcher
from tests.support.launcher import Launcher, Place, until
from tests.support.starts import ENDING

RUNTIMES: Final = bottles.RUNTIMES
Send = Callable[[Launcher, signal.Signals], None]
SENDS: Final[tuple[Send, ...]] = (Launcher.send, Launcher.send_group)
NAMES: Final = ("to the launcher", "to its group")
SECOND: Final = 1.0
STAYING: Final = """
trap '' HUP INT TERM
kill -STOP 1
setsid nohup bash -c 'trap "" HUP INT TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 &
(trap '' HUP; while :; do sleep 0.1; done) & disown
(exec 0<&-; exec sleep 600) &
echo settled-$((40 + 2))
while :; do sleep 0.1; done
"""
"""What an agent does that wants to outlive its launcher."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


@pytest.fixture
def engine() -> DockerEngine:
    return bottles.need()


@pytest.mark.claim("LIFE-1")
class TestNothingRemains:
    """Return, exception, HUP, INT, QUIT, TERM, and a start that failed half way."""

    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_after_the_agents_own_end_which_gives_the_code(
        self, place: Place, runtime: str
    ) -> None:
        engine = bottles.need(runtime)
        with launcher.start(place, *launcher.shell(place, runtime, "sleep 1; exit 7")) as running:
            running.wait_started()
            # the same look that finds nothing below finds things now
            assert len(launcher.remains(engine, place)) >= 6
            assert running.ended() == 7
            assert launcher.remains(engine, place) == []
        assert [r["event"] for r in running.records()][-1] == "ended"

    def test_after_an_exception(self, engine: DockerEngine, place: Place) -> None:
        def fail() -> None:
            with launcher.unstarted(engine, place):
                assert launcher.remains(engine, place) != []
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert launcher.remains(engine, place) == []

    @pytest.mark.parametrize("send", SENDS, ids=NAMES)
    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_after_signals_at_random_moments(self, place: Place, runtime: str, send: Send) -> None:
        engine = bottles.need(runtime)
        words = launcher.shell(place, runtime, "sleep 60")
        with ThreadPoolExecutor(3) as together:
            told = together.map(
                lambda m: _interrupted(engine, place, words, send, *m), _moments(ENDING)
            )
            assert [text for text in told if text] == []

    @pytest.mark.parametrize("send", SENDS, ids=NAMES)
    @pytest.mark.parametrize("agent", ["shell", "demo"])
    def test_after_signals_in_the_midst_of_the_removal(
        self, engine: DockerEngine, place: Place, agent: str, send: Send
    ) -> None:
        shell = launcher.shell(place, "runc", "sleep 60")
        words = shell if agent == "shell" else ("--agent", "demo")
        with launcher.start(place, *words) as running:
            running.wait_started()
            for number in (signal.SIGINT, *ENDING, *ENDING):
                send(running, number)
                time.sleep(0.03)
            assert running.ended() == 128 + signal.SIGINT
            assert launcher.remains(engine, place) == []


def _moments(numbers: Sequence[signal.Signals]) -> list[tuple[signal.Signals, float]]:
    """Choose signals and when to send them, over a start and some of the run."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  # pytest shows it with a failure
    chance = random.Random(seed)  # noqa: S311  # moments, to be had again from the seed
    return [(chance.choice(numbers), chance.uniform(0.2, 5)) for _ in range(5)]


def _place_of(place: Place, number: signal.Signals, moment: float) -> Place:
    folder = place.folder / f"{number.name}-{moment:.6f}"
    folder.mkdir()
    return Place(folder=folder)


def _interrupted(
    engine: DockerEngine,
    place: Place,
    words: tuple[str, ...],
    send: Send,
    number: signal.Signals,
    moment: float,
) -> str:
    """Start, send a signal at a moment, and tell what was wrong with the end."""
    own = _place_of(place, number, moment)
    with launcher.start(own, *words) as running:
        time.sleep(moment)
        send(running, number)
        code = running.ended()
        left = launcher.remains(engine, own)
    # before the first line of ours runs, a signal does what it does to any Python program
    early = {-number, 1} if not running.session else set()
    if left or code not in early | {128 + number}:
        return f"{number.name} at {moment:.3f} s: {code}, {left}: {running.told()[-1000:]}"
    return ""


def _nonsense(order: Order) -> Order:
    return dataclasses.replace(order, sidecar=lambda *_: b"{}\n")


def _silence(order: Order) -> Order:
    return dataclasses.replace(order, standin=lambda _: b"{}\n")


def _no_contents(order: Order) -> Order:
    def fail(_: str) -> None:
        raise Unavailable("no contents")

    return dataclasses.replace(order, contents=fail)  # type: ignore[arg-type]


class _Half(Contents):
    """Says that more will come, which does not."""

    def archive(self) -> bytes:
        return b"1000000\n"


def _ending_sidecar(order: Order) -> Order:
    def plan(slot: object) -> object:
        planned = order.plan_in(slot)  # type: ignore[arg-type]
        sidecar = dataclasses.replace(planned.sidecar, command=("false",))
        return dataclasses.replace(planned, sidecar=sidecar)

    return dataclasses.replace(order, plan_in=plan)  # type: ignore[arg-type]


@pytest.mark.claim("LIFE-1")
class TestNothingRemainsOfAHalfStart:
    """A step that fails takes what was made before it along, and says what failed."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (_nonsense, "the sidecar did not start"),
            (_silence, "the stand-in did not start"),
            (_no_contents, "no contents"),
            (_ending_sidecar, "the sidecar did not start|the container ended"),
        ],
    )
    def test_bad_order(
        self, engine: DockerEngine, place: Place, change: Callable[[Order], Order], says: str
    ) -> None:
        bottle = launcher.unstarted(engine, place, change=change)
        with pytest.raises(Unavailable, match=says), bottle:
            pytest.fail("it started")
        assert launcher.remains(engine, place) == []

    def test_a_step_beyond_its_time_limit(
        self, engine: DockerEngine, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def half(certificate: str) -> Contents:
            monkeypatch.setattr(lifetime, "_READY", 0.5)  # sidecar and stand-in are ready by now
            return _Half(environment={}, home={}, certificate=certificate)

        def change(order: Order) -> Order:
            return dataclasses.replace(order, contents=half)

        bottle = launcher.unstarted(engine, place, change=change)
        late = "the bottle's first process was not ready within 0.5 s"
        with pytest.raises(TimeLimit, match=late) as caught, bottle:
            pytest.fail("it started")
        assert caught.value.code == 124
        assert launcher.remains(engine, place) == []

    @pytest.mark.parametrize("step", ["outside", "agent", "sidecar", "standin"])
    def test_an_engine_that_fails_at_one_step(self, place: Place, step: str) -> None:
        bottles.need()
        engine = _Failing()
        engine.step = step
        with pytest.raises(Unavailable, match=f"no {step}"), launcher.unstarted(engine, place):
            pytest.fail("it started")
        assert launcher.remains(engine, place) == []


class _Failing(DockerEngine):
    """Fails at one step, a little after the others."""

    step = ""

    def create_network(self, plan: NetworkPlan) -> None:
        self._fail(plan.name)
        super().create_network(plan)

    def create_container(self, plan: ContainerPlan) -> None:
        self._fail(plan.name)
        super().create_container(plan)

    def _fail(self, name: str) -> None:
        if name.endswith(self.step):
            time.sleep(0.1)
            raise Unavailable(f"no {self.step}")


@pytest.mark.claim("LIFE-2")
class TestAKilledLauncher:
    """Bottle and sidecar end within a second; the rest is reaped, and the living never are."""

    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_takes_an_agent_along_that_tries_to_stay(self, place: Place, runtime: str) -> None:
        engine = bottles.need(runtime)
        with launcher.start(place, *launcher.shell(place, runtime, STAYING)) as running:
            running.wait_said("settled-42")
            assert "Operation not permitted" in running.told()  # the STOP to PID 1
            identities = _identities(engine, running)
            running.send(signal.SIGSTOP)
            time.sleep(SECOND)
            assert launcher.processes_of(identities), "a stopped launcher keeps its bottle"
            running.send(signal.SIGKILL)
            assert until(lambda: not launcher.processes_of(identities), 5) < SECOND
            until(lambda: _kinds(engine, place) == {"network"}, 5)
            assert _reaped(place) == _networks(running.session)
            assert launcher.remains(engine, place) == []

    def test_at_random_moments_leaves_nothing_that_is_not_reaped(
        self, engine: DockerEngine, place: Place
    ) -> None:
        words = launcher.shell(place, "runc", "sleep 60")
        with ThreadPoolExecutor(3) as together:
            told = together.map(
                lambda m: _killed(engine, place, words, *m), _moments([signal.SIGKILL])
            )
            assert [text for text in told if text] == []

    def test_is_reaped_by_the_next_start_and_the_living_are_not(
        self, engine: DockerEngine, place: Place
    ) -> None:
        words = launcher.shell(place, "runc", "sleep 60")
        with launcher.start(place, *words) as dead:
            dead.wait_started()
            with launcher.start(place, *words) as living:
                living.wait_started()
                identities = _identities(engine, dead)
                dead.process.kill()
                dead.process.wait()
                until(lambda: not launcher.processes_of(identities), SECOND)
                with launcher.start(place, *launcher.shell(place, "runc", "true")) as following:
                    assert following.ended() == 0
                owners = {t.session for t in engine.labelled() if t.owner == place.owner}
                assert owners == {living.session}
                assert _reaped(place) == set()
                assert _asks_its_sidecar(engine, living) == "403"
                living.send(signal.SIGTERM)
                assert living.ended() == 128 + signal.SIGTERM
        assert launcher.remains(engine, place) == []


def _killed(
    engine: DockerEngine,
    place: Place,
    words: tuple[str, ...],
    number: signal.Signals,
    moment: float,
) -> str:
    """Start, kill at a moment, reap, and tell what is left."""
    own = _place_of(place, number, moment)
    with launcher.start(own, *words) as running:
        time.sleep(moment)
        running.send(number)
        running.ended()
        # an engine's client that was at work ends its work first
        until(lambda: not launcher.programs(own.sessions()), 10)
        _reaped(own)
        left = launcher.remains(engine, own)
    return f"at {moment:.3f} s: {left}" if left else ""


def _identities(engine: DockerEngine, running: Launcher) -> list[str]:
    names = [f"cb-{running.session}-{role}" for role in ("agent", "sidecar")]
    identities = [str(engine.inspect_container(name)["Id"]) for name in names]
    assert all(launcher.processes_of([identity]) for identity in identities)
    return identities


def _kinds(engine: DockerEngine, place: Place) -> set[str]:
    return {thing.kind for thing in engine.labelled() if thing.owner == place.owner}


def _networks(session: str) -> set[str]:
    return {f"cb-{session}-inside", f"cb-{session}-outside"}


def _reaped(place: Place) -> set[str]:
    done = place.invoke("reap", "--json")
    assert done.returncode == 0, done.stderr
    return {thing["name"] for thing in json.loads(done.stdout)}


def _asks_its_sidecar(engine: DockerEngine, running: Launcher) -> str:
    """Ask for an unlisted host as the agent; give the status of the sidecar's answer."""
    name = f"cb-{running.session}-agent"
    uid = str(engine.inspect_container(name)["Config"]["User"]).split(":")[0]  # type: ignore[index]
    asking = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_connect}", "https://unlisted.invalid/"]
    done = engine.execute(
        name, ["/opt/bottle/enter", *asking], user=f"{int(uid) + 1}", stdin=b"", seconds=20
    )
    return done.output.decode()
