"""Screen: a terminal of its own for a program in a bottle, and what it showed there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.support.bottles import Live
from tests.support.launcher import ROOT

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
def terminal(bottle: Live, *command: str) -> Iterator[Screen]:
    """Run a command of the agent's at a terminal of 120 by 40, by the engine's own hand-over."""
    end, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    plan = bottle.lifetime.plan
    user = f"{plan.slot.agent_uid}:{plan.slot.agent_uid}"
    words = [plan.keeper.name, user, "/opt/bottle/enter", *command]
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
