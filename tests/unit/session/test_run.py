"""Run: from the preflight to the agent's exit code; without a yes nothing is made."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern
from bottle.core.parts import ContainerPlan
from bottle.core.secret import Value
from bottle.core.slot import Slot
from bottle.engine import host as host_reader
from bottle.engine.port import Labelled
from bottle.errors import (
    BottleError,
    ManifestError,
    ManifestMissing,
    NotRemoved,
    Refused,
    SecretMissing,
    Unavailable,
    UsageError,
)
from bottle.provision import extra, images
from bottle.provision.extra import Extra
from bottle.session import lifetime, lock, reaper, registries, run
from bottle.session.agreement import Answers
from bottle.session.findings import NotStartable
from bottle.session.run import Asked, Planned
from bottle.session.signals import Interrupted
from tests.support.fake_engine import FakeEngine, FakePipe, until
from tests.support.starts import ENDING, FakeFront, add_skill, heeding, token

YES = Answers(yes=True, new=True)
SURE = Asked(agent="default", answers=YES)
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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
        return run.start(engine, front, asked or SURE, value)
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
        start(engine, front, Asked(agent="default", answers=YES if yes else Answers()))
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
        start(engine, FakeFront(), Asked(agent="default", args="-c 'a b'", answers=YES))
        assert engine.commands[-1][2:] == ("pipes", "/opt/bottle/enter", "bash", "-c", "a b")
        assert engine.environment == {}

    def test_the_demo_speaks_in_lines(self, engine: FakeEngine) -> None:
        text = {"type": "assistant", "message": {"content": [{"type": "text", "text": "hello"}]}}
        engine.spoken = lambda: FakePipe([json.dumps(text)], code=3, said="oops")
        front = FakeFront()
        assert start(engine, front, Asked(agent="demo", answers=YES)) == 3
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
            def ask(self, question: str, *, default: bool = False) -> bool:
                signal.raise_signal(signal.SIGTERM)
                raise AssertionError(f"{question} {default}")

        with pytest.raises(Interrupted):
            start(engine, Waiting(interactive=True), Asked(agent="default"))
        assert engine.calls == []

    def test_without_a_manifest(self, engine: FakeEngine) -> None:
        with pytest.raises(ManifestMissing):
            start(engine, FakeFront(), Asked(agent="default", manifest="no.json", answers=YES))

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


def rewrite(agent: Mapping[str, Any] | None = None, **bottle: Any) -> None:
    """Declare the folder's manifest anew, for a shell that may have more."""
    agents = {"default": {"bottle": "default", "adapter": "shell", **(agent or {})}}
    values = {"bottles": {"default": bottle}, "agents": agents}
    Path("claude-bottle.json").write_text(json.dumps(values))


class TestConsent:
    def test_a_plain_enter_starts_what_was_agreed_to(self, engine: FakeEngine) -> None:
        with pytest.raises(Refused):
            start(engine, FakeFront(interactive=True, answer=None), Asked(agent="default"))
        start(engine, FakeFront(interactive=True, answer=True), Asked(agent="default"))
        front = FakeFront(interactive=True, answer=None)
        assert start(engine, front, Asked(agent="default")) == 0
        assert front.rows[0][1].startswith("unchanged")

    def test_it_is_of_the_plan_whatever_the_agent_did(self, engine: FakeEngine) -> None:
        engine.agent = lambda _: 42
        assert start(engine, FakeFront()) == 42
        assert start(engine, FakeFront(), Asked(agent="default", answers=Answers(yes=True))) == 42

    def test_a_stumbled_on_manifest_needs_its_word_and_a_named_one_does_not(
        self, engine: FakeEngine
    ) -> None:
        sure = Answers(yes=True)
        with pytest.raises(UsageError) as caught:
            start(engine, FakeFront(), Asked(agent="default", answers=sure))
        assert "--accept-new" in caught.value.remedy
        assert engine.calls == []
        assert start(engine, FakeFront(), Asked(agent="demo", answers=sure)) == 0
        named = Asked(agent="default", manifest="claude-bottle.json", answers=sure)
        assert start(engine, FakeFront(), named) == 0

    def test_a_wider_plan_needs_its_word(self, engine: FakeEngine) -> None:
        assert start(engine, FakeFront()) == 0
        rewrite(egress={"allowlist": ["example.com"]})
        engine.calls.clear()
        with pytest.raises(UsageError) as caught:
            start(engine, FakeFront())
        assert "--accept-changes" in caught.value.remedy
        assert engine.calls == []
        wider = Answers(yes=True, changes=True)
        assert start(engine, FakeFront(), Asked(agent="default", answers=wider)) == 0

    def test_an_error_stops_before_the_question(self, engine: FakeEngine) -> None:
        rewrite(egress={"budget": {}})
        front = FakeFront(interactive=True, answer=True)
        with pytest.raises(NotStartable) as caught:
            start(engine, front, Asked(agent="default"))
        assert caught.value.code == 69
        assert (front.asked, engine.calls) == ([], [])

    def test_the_record_is_of_this_user_alone(self, engine: FakeEngine) -> None:
        start(engine, FakeFront())
        (record,) = (lock.state_folder() / "consents").iterdir()
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700


class TestSecrets:
    ENV: Mapping[str, Any] = {
        "MINE": {"from": "CB_TEST_ONE"},
        "MORE": {"from": "CB_TEST_TWO"},
        "PERHAPS": {"from": "CB_TEST_THREE", "optional": True},
    }

    @pytest.fixture(autouse=True)
    def value(self, monkeypatch: pytest.MonkeyPatch) -> str:
        rewrite({"env": {"MORE": {"from": "CB_TEST_TWO"}}}, env=self.ENV)
        value = secrets.token_hex(16)
        for name in ("CB_TEST_ONE", "CB_TEST_TWO", "CB_TEST_OTHER"):
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("CB_TEST_THREE", raising=False)
        return value

    def test_they_arrive_by_the_pipe_and_are_seen_nowhere_else(
        self, engine: FakeEngine, value: str, place: Path
    ) -> None:
        seen: list[bool] = []
        sent: dict[str, bytes] = {}

        def look() -> None:
            for role in ("agent", "sidecar"):
                sent[role] = b"".join(_sent(engine, role))

        engine.before = lambda _: seen.append(value in _environment_of_ours())
        engine.agent = _telling(look)
        front = FakeFront()
        assert start(engine, front) == 0
        assert sent["agent"].count(value.encode()) == 2
        assert value.encode() not in sent["sidecar"]
        assert seen
        assert not any(seen)
        told = repr((front, engine.commands, engine.calls, engine.environment))
        assert "CB_TEST_ONE" in told
        assert value not in told
        kept = [path for path in (place / "state").rglob("*") if path.is_file()]
        assert kept
        assert not any(value.encode() in path.read_bytes() for path in kept)

    def test_only_what_is_asked_for_is_taken(self, engine: FakeEngine, value: str) -> None:
        start(engine, FakeFront())
        assert {n for n in os.environ if n.startswith("CB_TEST_")} == {"CB_TEST_OTHER"}
        assert os.environ["CB_TEST_OTHER"] == value

    def test_they_are_gone_before_a_package_client_runs(
        self, engine: FakeEngine, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[bool] = []

        def resolve(names: Iterable[str]) -> dict[str, tuple[HostPattern, ...]]:
            seen.append(value in _environment_of_ours())
            return dict.fromkeys(names, ())

        monkeypatch.setattr(registries, "resolve", resolve)
        monkeypatch.delenv("CB_TEST_OTHER")
        rewrite(env=self.ENV, egress={"allowlist": [{"registries": ["pip"]}]})
        start(engine, FakeFront())
        assert seen == [False]

    @pytest.mark.parametrize("how", ["missing", "empty"])
    def test_all_that_are_not_there_are_named_at_once(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        for name in ("CB_TEST_ONE", "CB_TEST_TWO"):
            monkeypatch.delenv(name) if how == "missing" else monkeypatch.setenv(name, "")
        front = FakeFront(interactive=True, answer=True)
        with pytest.raises(SecretMissing) as caught:
            start(engine, front, Asked(agent="default"))
        assert caught.value.code == 78
        assert "CB_TEST_ONE (for MINE), CB_TEST_TWO (for MORE)" in caught.value.happened
        assert "CB_TEST_THREE" not in caught.value.happened
        assert (front.asked, front.rows, engine.calls) == ([], [], [])

    def test_a_refusal_tells_no_value(
        self, engine: FakeEngine, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CB_TEST_TWO")
        with pytest.raises(SecretMissing) as caught:
            start(engine, FakeFront())
        assert value not in repr((caught.value, caught.value.values(), caught.value.remedy))
        assert "CB_TEST_ONE" not in os.environ

    def test_they_are_taken_before_the_agent_is_looked_for(self, engine: FakeEngine) -> None:
        with pytest.raises(UsageError):
            start(engine, FakeFront(), Asked(agent="other", answers=YES))
        assert {n for n in os.environ if n.startswith("CB_TEST_")} == {"CB_TEST_OTHER"}

    def test_a_plan_takes_them_too_before_a_package_client_runs(
        self, engine: FakeEngine, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[bool] = []

        def resolve(names: Iterable[str]) -> dict[str, tuple[()]]:
            seen.append(value in _environment_of_ours())
            return dict.fromkeys(names, ())

        monkeypatch.setattr(registries, "resolve", resolve)
        rewrite(env=self.ENV, egress={"allowlist": [{"registries": ["pip"]}]})
        assert value not in json.dumps(run.plan(engine, Asked(agent="default")).values)
        assert seen == [False]


def _environment_of_ours() -> str:
    return repr({n: v for n, v in os.environ.items() if n != "CB_TEST_OTHER"})


class TestOwnImage:
    MADE = "sha256:" + "e" * 64

    @pytest.fixture(autouse=True)
    def built(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Extra, str]]:
        """Stand where the build is: tests/unit/provision/test_extra.py."""
        rewrite(image={"packages": ["make"]})
        built: list[tuple[Extra, str]] = []

        def build(_: object, __: object, own: Extra, base: str) -> str:
            built.append((own, base))
            return self.MADE

        monkeypatch.setattr(extra, "build", build)
        return built

    @pytest.fixture
    def used(self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        """Note the image of each container by its role."""
        used: dict[str, str] = {}
        create = engine.create_container

        def noting(plan: ContainerPlan) -> None:
            used[plan.role] = plan.image
            create(plan)

        monkeypatch.setattr(engine, "create_container", noting)
        return used

    def test_it_is_built_upon_the_agents_and_used_for_it_alone(
        self, engine: FakeEngine, built: list[tuple[Extra, str]], used: dict[str, str]
    ) -> None:
        assert start(engine, FakeFront()) == 0
        base = engine.images["claude-bottle/agent:current"].identity
        assert built == [(Extra(packages=("make",)), base)]
        assert used["agent"] == self.MADE
        assert used["sidecar"] == engine.images["claude-bottle/sidecar:current"].identity

    def test_it_waits_for_the_yes(self, engine: FakeEngine, built: list[tuple[Extra, str]]) -> None:
        with pytest.raises(Refused):
            start(engine, FakeFront(interactive=True), Asked(agent="default"))
        assert built == []

    def test_one_that_is_there_is_used(
        self,
        engine: FakeEngine,
        built: list[tuple[Extra, str]],
        used: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = "sha256:" + "d" * 64
        monkeypatch.setattr(extra, "present", lambda *_: other)
        assert start(engine, FakeFront()) == 0
        assert built == []
        assert used["agent"] == other

    def test_without_one_everybodys_is_used(
        self, engine: FakeEngine, built: list[tuple[Extra, str]], used: dict[str, str]
    ) -> None:
        rewrite()
        assert start(engine, FakeFront()) == 0
        assert built == []
        assert used["agent"] == engine.images["claude-bottle/agent:current"].identity

    def test_one_that_is_refused_starts_nothing(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def build(*_: object) -> str:
            raise BottleError("the bottle's own image is refused")

        monkeypatch.setattr(extra, "build", build)
        with pytest.raises(BottleError, match="refused"):
            start(engine, FakeFront())
        assert engine.calls == []


class TestPlan:
    ASKED = Asked(agent="default")

    def planned(self, engine: FakeEngine, asked: Asked = ASKED) -> Planned:
        """Plan, and see that nothing was made."""
        planned = run.plan(engine, asked)
        assert (engine.calls, engine.things) == ([], {})
        return planned

    def test_it_is_byte_for_byte_the_same_each_time(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first = json.dumps(self.planned(engine).values)
        engine.known_subnets = tuple(str(Slot(number=n).inside) for n in range(9))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        assert json.dumps(self.planned(engine).values) == first

    def test_its_digest_is_what_a_yes_is_kept_by(self, engine: FakeEngine) -> None:
        digest = self.planned(engine).values["digest"]
        start(engine, FakeFront())
        (record,) = (lock.state_folder() / "consents").iterdir()
        assert json.loads(record.read_text())["digest"] == digest

    def test_it_needs_neither_a_yes_nor_a_secret(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CB_TEST_ONE", raising=False)
        rewrite({"adapter": "claude"}, env={"MINE": {"from": "CB_TEST_ONE"}, "PLAIN": "text"})
        values = self.planned(engine).values
        assert values["environment"]["MINE"]["from"] == "CB_TEST_ONE"
        value = secrets.token_hex(16)
        monkeypatch.setenv("CB_TEST_ONE", value)
        assert self.planned(engine).values == values
        assert value not in json.dumps(values)

    def test_it_is_all_that_a_start_would_make(self, engine: FakeEngine) -> None:
        values = self.planned(engine).values
        assert [c["role"] for c in values["containers"]] == ["agent", "sidecar"]
        assert len(values["networks"]) == 2
        assert values["steps"]
        demo = self.planned(engine, Asked(agent="demo")).values
        assert [c["role"] for c in demo["containers"]] == ["agent", "sidecar", "standin"]

    def test_in_lines_it_is_what_the_engine_is_told(self, engine: FakeEngine) -> None:
        planned = self.planned(engine)
        text = "\n".join(planned.lines())
        assert text.splitlines() == list(planned.lines()), "each is one line"
        assert text.count("docker network create") == 2
        assert text.count("docker create") == 2
        for container in planned.values["containers"]:
            for word in container["arguments"]:
                assert shlex.quote(word) in text
        steps = [line.split("   (after")[0] for line in text.splitlines() if line[:5] == "step "]
        assert [step.split(maxsplit=2)[1:] for step in steps] == [
            [str(number), step["name"]] for number, step in enumerate(planned.values["steps"], 1)
        ]

    def test_its_commands_name_all_that_they_are_about(self, engine: FakeEngine) -> None:
        """Each one can be read, and given to Docker, by itself."""
        planned = self.planned(engine)
        lines = "\n".join(planned.lines()).replace("\\\n", "").splitlines()
        commands = [shlex.split(line) for line in lines if line.startswith("docker ")]
        networks, (agent, sidecar) = planned.values["networks"], planned.values["containers"]
        inside, address = networks[0]["name"], sidecar["networks"][networks[0]["name"]]
        assert commands == [
            *(["docker", "network", "create", *network["arguments"]] for network in networks),
            *(["docker", "create", *container["arguments"]] for container in (agent, sidecar)),
            ["docker", "network", "connect", f"--ip={address}", inside, sidecar["name"]],
        ]
        for container, command in ((agent, commands[2]), (sidecar, commands[3])):
            assert f"--name={container['name']}" in command

    def test_its_lines_begin_with_what_it_is_about(self, engine: FakeEngine) -> None:
        env = {"MINE": {"from": "CB_TEST_ONE"}, "PLAIN": "text"}
        rewrite(env=env, egress={"allowlist": ["example.com", "*.example.org:8443"]})
        planned = self.planned(engine)
        head = "\n".join(planned.lines()).split("\n\n")[0].splitlines()
        assert head == [
            f"plan       {planned.values['digest']}",
            "agent      default (shell) in bottle default",
            "egress     example.com  (bottles.default.egress.allowlist[0])",
            "egress     *.example.org:8443  (bottles.default.egress.allowlist[1])",
            "env        MINE  (bottles.default.env.MINE)",
            "env        PLAIN  (bottles.default.env.PLAIN)",
        ]

    def test_other_words_give_another(self, engine: FakeEngine) -> None:
        digests = {
            self.planned(engine, asked).values["digest"]
            for asked in (self.ASKED, Asked(agent="default", args="-c true"), Asked(agent="demo"))
        }
        assert len(digests) == 3

    @pytest.mark.parametrize(
        ("asked", "failure", "code"),
        [
            (Asked(agent="other"), UsageError, 64),
            (Asked(agent="default", runtime="x"), UsageError, 64),
            (Asked(agent="default", manifest="no.json"), ManifestMissing, 66),
            (Asked(agent="default", runtime="runsc"), Unavailable, 69),
        ],
    )
    def test_it_is_refused_as_a_start_is(
        self, engine: FakeEngine, asked: Asked, failure: type[BottleError], code: int
    ) -> None:
        with pytest.raises(failure) as caught:
            self.planned(engine, asked)
        assert caught.value.code == code
        assert engine.calls == []

    def test_without_images_there_is_none(self, engine: FakeEngine) -> None:
        engine.images.clear()
        with pytest.raises(Unavailable) as caught:
            self.planned(engine)
        assert caught.value.code == 69


def test_the_persons_skills_are_in_their_home(place: Path, engine: FakeEngine) -> None:
    add_skill(place / ".claude" / "skills")
    rewrite({"skills": ["one"]})
    front = FakeFront()
    assert start(engine, front) == 0
    assert dict(front.rows)["skills"] == f"one from {place / '.claude' / 'skills'}"


def test_a_missing_skill_is_a_problem_of_the_manifest(engine: FakeEngine) -> None:
    rewrite({"skills": ["one"]})
    with pytest.raises(ManifestError) as caught:
        start(engine, FakeFront())
    assert caught.value.code == 65
    assert [problem.path for problem in caught.value.problems] == ["agents.default.skills[0]"]
    assert engine.calls == []
