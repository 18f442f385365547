"""Launcher: the real `invoke start` as a process of its own, with a state folder of the test's."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bottle.core.manifest import parse
from bottle.engine.docker import DockerEngine
from bottle.session import lock
from bottle.session.declared import Request
from bottle.session.lifetime import Lifetime, Order
from bottle.session.signals import Signals
from bottle.session.standin import Standin
from bottle.session.start import Secrets, prepare

ROOT: Final = Path(__file__).resolve().parents[2]
HEEDING: Final = ("env", "--default-signal=HUP,INT,QUIT,TERM")
"""Ignores no signal, even where the tests were started by nohup or in the background."""
INVOKE: Final = (str(Path(sys.executable).parent / "invoke"), "-r", str(ROOT))
_POLL: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder of one test's: its manifest, and the state of all its launchers."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "claude-bottle"

    @property
    def owner(self) -> str:
        return lock.owner_key(self.state)

    def sessions(self) -> frozenset[str]:
        """Name every session that a launcher of this place began."""
        return frozenset(path.stem for path in (self.state / "audit").glob("*.jsonl"))

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.folder), **more}

    def invoke(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a task of the product's door to its end."""
        return subprocess.run(
            [*INVOKE, *words],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@dataclass(kw_only=True)
class Launcher:
    """One running `invoke start`."""

    place: Place
    process: subprocess.Popen[bytes]
    output: Path
    before: frozenset[str]
    """The sessions that were there before it."""
    known: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def session(self) -> str:
        """Its session, the first that is new; empty while it has begun none."""
        self.known = self.known or next(iter(self.place.sessions() - self.before), "")
        return self.known

    def records(self) -> list[Mapping[str, Any]]:
        """Give its audit record so far."""
        path = self.place.state / "audit" / f"{self.session}.jsonl"
        lines = path.read_text().splitlines(keepends=True) if self.session else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_started(self, seconds: float = 30) -> None:
        """Wait until the proof was complete."""
        until(self._has_started, seconds, self.told)

    def _has_started(self) -> bool:
        assert self.process.poll() is None, f"it ended: {self.told()[-2000:]}"
        return any(record["event"] == "started" for record in self.records())

    def wait_said(self, text: str, seconds: float = 20) -> None:
        """Wait until it, or its agent, wrote this."""
        until(lambda: text in self.told(), seconds, self.told)

    def told(self) -> str:
        """Give what it and its agent wrote."""
        return self.output.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Signal it and all that it started beside it, as a terminal does for ^C."""
        os.killpg(self.pid, number)

    def ended(self, seconds: float = 30) -> int:
        """Wait for its end and give its exit code."""
        return self.process.wait(seconds)


def until(condition: Callable[[], bool], seconds: float, told: Callable[[], str] = str) -> float:
    """Wait until something holds; give how long it took, fail when it was too long."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {told()[-2000:]}"
        time.sleep(_POLL)
    return time.monotonic() - begun


@contextlib.contextmanager
def start(
    place: Place, *words: str, environment: Mapping[str, str] | None = None
) -> Iterator[Launcher]:
    """Run `invoke start` with these words; whatever it leaves behind is removed."""
    before = place.sessions()
    output = place.folder / f"said-{time.monotonic_ns()}"
    with output.open("wb") as said:
        process = subprocess.Popen(
            [*HEEDING, *INVOKE, "start", "--yes", *words],
            env=place.environment(**(environment or {})),
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Launcher(place=place, process=process, output=output, before=before)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.wait()
        place.invoke("reap")


def shell(place: Place, runtime: str, script: str) -> tuple[str, ...]:
    """Declare a shell's agent that may reach nothing; give the words that start it on a script."""
    manifest = place.folder / f"{runtime}.json"
    bottle = {"runtime": runtime, "egress": {"allowlist": []}}
    agents = {"default": {"bottle": "default", "adapter": "shell"}}
    manifest.write_text(json.dumps({"bottles": {"default": bottle}, "agents": agents}))
    return ("--manifest", str(manifest), "--args", f"-c {shlex.quote(script)}")


def unstarted(
    engine: DockerEngine,
    place: Place,
    runtime: str = "runc",
    change: Callable[[Order], Order] = lambda order: order,
) -> Lifetime:
    """Prepare a bottle of the shell with a stand-in, as far as nothing is made yet."""
    bottle = {"runtime": runtime, "egress": {"allowlist": ["example.com"]}}
    agents = {"default": {"bottle": "default", "adapter": "shell"}}
    manifest = json.dumps({"bottles": {"default": bottle}, "agents": agents})
    (place.state / "sessions").mkdir(mode=0o700, parents=True, exist_ok=True)
    request = Request(
        agent="default",
        manifest=parse(manifest.encode()),
        source=place.folder / "claude-bottle.json",
        skills=Path("/nonexistent"),
        state=place.state,
        standin=Standin(names=("example.com",), script="answer", answer="hello"),
    )
    prepared = prepare(engine, request, Secrets())
    return Lifetime(engine, change(prepared.making.order()), place.state, Signals())


def remains(engine: DockerEngine, place: Place) -> list[str]:
    """Name all that is left of the place's sessions: things, bridges, programs."""
    things = [f"{t.kind} {t.name}" for t in engine.labelled() if t.owner == place.owner]
    sessions = place.sessions()
    bridges = [f"{kind}-{session[:8]}" for session in sessions for kind in ("cb", "co")]
    devices = {path.name for path in Path("/sys/class/net").iterdir()}
    return [*things, *(b for b in bridges if b in devices), *programs(sessions)]


def programs(sessions: frozenset[str]) -> list[str]:
    """List processes that have a session's name in their words: clients of the engine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [words for session in sessions if f"cb-{session}" in words]
    return found


def processes_of(identities: Sequence[str]) -> set[int]:
    """Give the host's processes that belong to containers."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            if any(identity in text for identity in identities):
                found.add(int(path.parent.name))
    return found
