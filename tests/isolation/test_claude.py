"""Claude: the real program through everything, up to the API's stand-in and back."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import secrets
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from bottle.agents import claude, placeholder
from bottle.session.standin import Standin
from tests.support import bottles
from tests.support.bottles import API, LISTED, Live
from tests.support.launcher import ROOT

ONBOARDED: Final = json.dumps({"hasCompletedOnboarding": True})
PROMPT: Final = f"Remember {secrets.token_hex(8)} well."
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
        with terminal(told.bottle) as screen:
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
        with terminal(told.bottle, "env", f"HOME={home}") as screen:
            screen.wait_for(shows, seconds=15)
            assert QUESTIONS.search(screen.text)


# -- a terminal

INTERACT: Final = """
import sys
from bottle.engine.docker import DockerEngine
name, user, *command = sys.argv[1:]
sys.exit(DockerEngine().interact(
    name, command, user=user, terminal=True, environment={"TERM": "xterm-256color"},
    meanwhile=lambda: None,
))
"""
_MOVES: Final = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()][0-9A-B]?"
)


@dataclass
class Screen:
    """What a program in a terminal of its own has shown."""

    process: subprocess.Popen[bytes]
    end: int
    raw: bytes = b""

    @property
    def text(self) -> str:
        """Give all that was shown, with each movement of the cursor as one blank."""
        return re.sub(r"\s+", " ", _MOVES.sub(" ", self.raw.decode(errors="replace")))

    def wait_for(self, text: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text[-3000:]}"
            self._read(0.1)

    def type(self, text: str) -> None:
        self._read(0.5)
        os.write(self.end, text.encode())

    def leave(self) -> int:
        """Press ^C until it has ended; give its exit code."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text[-3000:]
            self.type("\x03")
        return self.process.returncode

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self.end], [], [], seconds)
        if ready:
            with contextlib.suppress(OSError):  # the other end has gone
                self.raw += os.read(self.end, 65536)


@contextlib.contextmanager
def terminal(bottle: Live, *before: str) -> Iterator[Screen]:
    """Run Claude at a terminal of 120 by 40, by the engine's own hand-over."""
    end, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    plan = bottle.lifetime.plan
    user = f"{plan.slot.agent_uid}:{plan.slot.agent_uid}"
    words = [plan.keeper.name, user, "/opt/bottle/enter", *before, *claude.command((), PROMPT)]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERACT, *words],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(its)
    try:
        yield Screen(process=process, end=end)
    finally:
        process.kill()
        process.wait()
        os.close(end)
