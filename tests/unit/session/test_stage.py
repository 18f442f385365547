"""Stage: each tool call stands beside what the sidecar decided meanwhile."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from bottle.core.plan import API_HOST
from bottle.errors import TimeLimit
from bottle.session import stage
from bottle.session.audit import Audit
from bottle.session.lifetime import Lifetime
from tests.support.fake_engine import FakePipe
from tests.support.starts import FakeFront

Script = list[str | dict[str, Any]]
"""Lines of the agent's, and records of the sidecar's between them."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_LATE", 0.05)


@dataclass
class Played:
    """A bottle whose agent follows a script."""

    audit: Audit
    script: Script
    code: int = 0
    said: str = ""
    commands: list[tuple[str, ...]] = field(default_factory=list)

    def stream(self, command: tuple[str, ...]) -> FakePipe:
        self.commands.append(command)
        pipe = FakePipe(said=self.said, code=self.code)
        pipe.line = self._line  # type: ignore[method-assign]  # records come between its lines
        return pipe

    def _line(self, seconds: float) -> str | None:  # noqa: ARG002  # the protocol
        while self.script:
            told = self.script.pop(0)
            if isinstance(told, str):
                return told
            self.audit.note(told)
        return None


def play(
    folder: Path, script: Script, *, code: int = 0, said: str = ""
) -> tuple[int, FakeFront, Played]:
    front = FakeFront()
    with Audit(folder, "s") as audit:
        played = Played(audit, script, code, said)
        ended = stage.play(front, cast("Lifetime", played), ("claude", "-p"), lambda: None)
    return ended, front, played


def call(text: str, number: int = 1) -> str:
    block = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": text}}
    return json.dumps({"type": "assistant", "message": {"content": [block]}})


def answer(number: int = 1, text: str = "") -> str:
    block = {"type": "tool_result", "tool_use_id": f"t{number}", "content": text}
    return json.dumps({"type": "user", "message": {"content": [block]}})


def decision(host: str, *, allowed: bool, **more: Any) -> dict[str, Any]:
    reason = "listed" if allowed else "host is not on the allowlist"
    known = {"event": "decision", "stage": "connect", "host": host, "allowed": allowed}
    return known | {"reason": reason} | more


def words(front: FakeFront) -> list[tuple[str, str]]:
    """Give the shown lines with their spaces folded, and their styles."""
    return [(" ".join(text.split()), style) for text, style in front.results]


def test_a_call_is_shown_with_the_decision_of_its_time(tmp_path: Path) -> None:
    script: Script = [
        call("curl a", 1),
        decision("example.com", allowed=True),
        answer(1),
        call("curl b", 2),
        decision("example.net", allowed=False),
        answer(2),
    ]
    _, front, _ = play(tmp_path, script)
    assert words(front) == [
        ("$ curl a allowed: example.com (listed)", "green"),
        ("$ curl b denied: example.net (host is not on the allowlist)", "red"),
    ]


def test_several_decisions_stand_together(tmp_path: Path) -> None:
    script: Script = [
        call("curl a b"),
        decision("a.example", allowed=False),
        decision("b.example", allowed=True),
        answer(),
    ]
    _, front, _ = play(tmp_path, script)
    ((text, style),) = words(front)
    assert text.index("denied: a.example") < text.index("allowed: b.example")
    assert style == "green"


def test_decisions_before_a_call_are_not_its_own(tmp_path: Path) -> None:
    script: Script = [decision("early.example", allowed=True), call("ls"), answer()]
    _, front, _ = play(tmp_path, script)
    assert words(front) == [("$ ls not asked", "red")]


def test_a_decision_that_comes_after_the_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_LATE", 5.0)
    with Audit(tmp_path, "s") as audit:
        front = FakeFront()
        played = Played(audit, [call("curl a"), answer()])
        late = threading.Timer(0.1, audit.note, [decision("example.com", allowed=True)])
        late.start()
        begin = time.monotonic()
        stage.play(front, cast("Lifetime", played), (), lambda: None)
        late.join()
    assert words(front) == [("$ curl a allowed: example.com (listed)", "green")]
    assert time.monotonic() - begin < 3


def test_calls_that_are_open_together_share_their_decisions(tmp_path: Path) -> None:
    script: Script = [
        call("curl a", 1),
        decision("a.example", allowed=True),
        call("curl b", 2),
        decision("b.example", allowed=True),
        answer(2),
        answer(1),
        call("ls", 3),
        answer(3),
    ]
    _, front, _ = play(tmp_path, script)
    both = "allowed: a.example (listed); allowed: b.example (listed)"
    assert words(front) == [
        (f"$ curl b {both}", "green"),
        (f"$ curl a {both}", "green"),
        ("$ ls not asked", "red"),
    ]


@pytest.mark.parametrize(
    "record",
    [
        decision(API_HOST, allowed=True),
        decision("example.com", allowed=True, stage="request"),
        {"event": "dropped", "count": 3},
        {"event": "ready"},
    ],
)
def test_what_is_no_decision_about_a_connection_is_not_shown(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    _, front, _ = play(tmp_path, [call("ls"), record, answer()])
    assert words(front) == [("$ ls not asked", "red")]


def test_a_failure_without_the_sidecar_speaks_for_itself(tmp_path: Path) -> None:
    script: Script = [call("curl x"), answer(text="some\ncurl: (7) no route\nmore")]
    _, front, _ = play(tmp_path, script)
    assert words(front) == [("$ curl x not asked: curl: (7) no route", "red")]


def test_text_is_shown_and_odd_lines_are_left_out(tmp_path: Path) -> None:
    text = {"type": "assistant", "message": {"content": [{"type": "text", "text": "hello"}]}}
    script: Script = ["no JSON", "[1]", json.dumps(text), json.dumps({"type": "result"})]
    _, front, _ = play(tmp_path, script)
    assert words(front) == [("| hello", "")]


def test_an_answer_to_no_call_does_not_raise(tmp_path: Path) -> None:
    _, front, _ = play(tmp_path, [answer(9)])
    assert words(front) == [("$ not asked", "red")]


def test_the_exit_code_is_the_agents_and_a_failure_is_told(tmp_path: Path) -> None:
    code, front, played = play(tmp_path, [], code=3, said="oops")
    assert (code, front.said) == (3, ["oops"])
    assert played.commands == [("claude", "-p")]
    code, front, _ = play(tmp_path, [], said="a remark")
    assert (code, front.said) == (0, [])


def test_one_that_does_not_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_END", 0.01)

    class Staying(FakePipe):
        def line(self, seconds: float) -> str | None:  # noqa: ARG002  # the protocol
            return None

    class Bottle:
        audit = Audit(tmp_path, "s")

        def stream(self, _: object) -> FakePipe:
            return Staying()

    with Bottle.audit, pytest.raises(TimeLimit, match="the agent did not end") as caught:
        stage.play(FakeFront(), cast("Lifetime", Bottle()), (), lambda: None)
    assert "load" in caught.value.remedy


def test_while_the_agent_is_silent_signals_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_POLL", 0.001)
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 5:
            raise KeyboardInterrupt

    class Silent:
        audit = Audit(tmp_path, "s")

        def stream(self, _: object) -> FakePipe:
            return FakePipe()

    with Silent.audit, pytest.raises(KeyboardInterrupt):
        stage.play(FakeFront(), cast("Lifetime", Silent()), (), check)
    assert len(checks) == 5
