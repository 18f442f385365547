"""Claude: the real program through everything, up to the API's stand-in and back."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from bottle.agents import claude, placeholder
from bottle.session.standin import Standin
from tests.support import bottles
from tests.support.bottles import API, LISTED, Live
from tests.support.screen import terminal

ONBOARDED: Final = json.dumps({"hasCompletedOnboarding": True})
PROMPT: Final = f"Remember {secrets.token_hex(8)} well."
AT_TERMINAL: Final = claude.command((), PROMPT)
ANSWER: Final = f"The answer is {secrets.token_hex(8)}."
SKILL: Final = "tell-the-tide"
ABOUT: Final = f"Tells when the tide is at {secrets.token_hex(8)}"
QUESTIONS: Final = re.compile(
    r"(?i)welcome to claude code|text style|dark mode|trust|log ?in|api key|yes, i accept"
)
"""What a fresh Claude Code asks a person."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One run of `claude -p`, and what the stand-in heard of it."""

    bottle: Live
    token: str
    lines: list[str]
    code: int
    requests: list[Mapping[str, Any]]

    @property
    def body(self) -> Mapping[str, Any]:
        """Give the question that the answer is to: the last with tools."""
        bodies = [
            json.loads(r["body"]) for r in self.requests if r["path"] == "/v1/messages?beta=true"
        ]
        found: Mapping[str, Any] = next(b for b in reversed(bodies) if b.get("tools"))
        return found


@pytest.fixture(scope="module", params=bottles.RUNTIMES)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    skills = tmp_path_factory.mktemp("skills")
    (skills / SKILL).mkdir()
    front = f"---\nname: {SKILL}\ndescription: {ABOUT}\n---\nLook at the moon.\n"
    (skills / SKILL / "SKILL.md").write_text(front)
    token = placeholder(secrets.token_hex(64))
    standin = Standin(names=(API, LISTED), script="answer", answer=ANSWER, record=True)
    agent = {"prompt": PROMPT, "skills": [SKILL]}
    with bottles.live(
        request.param, adapter="claude", token=token, standin=standin, agent=agent, skills=skills
    ) as bottle:
        pipe = bottle.lifetime.stream(claude.command(("-p", "What is the answer?"), PROMPT))
        lines = []
        while (line := pipe.line(60)) is not None:
            lines.append(line)
        code = pipe.wait(10)
        bottle.wait_for("request", path="/v1/messages?beta=true")
        heard = [r for r in bottle.records if r.get("event") == "request"]
        yield Told(bottle=bottle, token=token, lines=lines, code=code, requests=heard)


@pytest.mark.claim("SEC-2")
class TestClaudeThroughEverything:
    """It works with a placeholder; what the API is asked carries the token."""

    def test_gets_the_answer(self, told: Told) -> None:
        assert (told.code, told.lines) == (0, [ANSWER])

    def test_asks_with_the_token_that_it_does_not_have(self, told: Told) -> None:
        asked = [r for r in told.requests if r["path"] == "/v1/messages?beta=true"]
        assert asked != []
        digest = hashlib.sha256(told.token.encode()).hexdigest()
        assert {r["token_sha256"] for r in asked} == {digest}

    def test_asks_nobody_but_the_api(self, told: Told) -> None:
        assert {r["host"] for r in told.requests} == {API}
        denied = [
            r
            for r in told.bottle.records
            if r.get("event") == "decision" and not r["allowed"] and r["host"] != "unlisted.invalid"
        ]
        assert denied == []

    def test_has_the_manifests_prompt_in_its_system_blocks(self, told: Told) -> None:
        assert PROMPT in json.dumps(told.body["system"])

    def test_knows_the_skills(self, told: Told) -> None:
        assert SKILL in json.dumps(told.body["messages"])
        assert ABOUT in json.dumps(told.body["messages"])

    def test_can_read_and_not_change_its_skills(self, told: Told) -> None:
        folder = f"/home/agent/.claude/skills/{SKILL}"
        assert told.bottle.sh(f"cat {folder}/SKILL.md").output.endswith(b"Look at the moon.\n")
        for attack in (
            f"echo x >>{folder}/SKILL.md",
            f"touch {folder}/x",
            f"rm -f {folder}/SKILL.md",
        ):
            done = told.bottle.sh(attack)
            assert done.code != 0
            assert b"Permission denied" in done.errors
        assert told.bottle.sh("touch /home/agent/.claude/x /home/agent/x").code == 0

    def test_comes_up_at_a_terminal_without_a_question(self, told: Told) -> None:
        with terminal(told.bottle, *AT_TERMINAL) as screen:
            screen.wait_for("bypass permissions on")
            screen.type("What is the answer?")
            screen.type("\r")
            screen.wait_for(ANSWER.split()[-1])
            assert QUESTIONS.search(screen.text) is None
            assert screen.leave() == 0

    @pytest.mark.parametrize(
        ("state", "shows"), [("{}", "Welcome to Claude Code"), (ONBOARDED, "trust")]
    )
    def test_would_ask_in_a_home_of_its_own(self, told: Told, state: str, shows: str) -> None:
        home = f"/tmp/{secrets.token_hex(4)}"
        assert told.bottle.sh(f"mkdir {home}; echo '{state}' >{home}/.claude.json").code == 0
        with terminal(told.bottle, "env", f"HOME={home}", *AT_TERMINAL) as screen:
            screen.wait_for(shows, seconds=15)
            assert QUESTIONS.search(screen.text)
