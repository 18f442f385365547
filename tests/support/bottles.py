"""Bottles: real ones, started by the very code that starts a user's, for tests to attack."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bottle.core.manifest import parse
from bottle.core.secret import Value
from bottle.engine.docker import DockerEngine
from bottle.engine.port import Completed
from bottle.errors import BottleError
from bottle.provision import gvisor, images
from bottle.session.audit import Record
from bottle.session.declared import Request
from bottle.session.lifetime import Lifetime
from bottle.session.signals import Signals
from bottle.session.standin import Standin
from bottle.session.start import Secrets, prepare
from tests.support import require

API = "api.anthropic.com"
LISTED = "example.com"
UNLISTED = "example.net"
RUNTIMES = ("runc", "runsc")


def need(runtime: str = "runc") -> DockerEngine:
    """Give the engine; skip, or fail with --require-docker, when it or a working runtime lacks."""
    engine = DockerEngine()
    try:
        images.present(engine)
    except BottleError as error:
        require.need(False, f"{error} ({error.remedy})")
    if runtime == "runsc":
        missing = _doubts_about_gvisor()
        require.need(not missing, missing)
    return engine


@functools.cache
def _doubts_about_gvisor() -> str:
    """Try gVisor once in a run: registered is not working."""
    try:
        gvisor.works(DockerEngine())
    except BottleError as error:
        return f"{error} ({error.remedy})"
    return ""


@dataclass(frozen=True, kw_only=True)
class Live:
    """A running bottle; everything is done as its agent, through the agent's own door."""

    engine: DockerEngine
    lifetime: Lifetime
    runtime: str
    records: list[Record] = field(default_factory=list)
    """Every line of sidecar and stand-in, as the launcher got them."""

    def run(self, *command: str, stdin: bytes = b"", seconds: float = 60) -> Completed:
        """Run a command as the agent."""
        uid = self.lifetime.plan.slot.agent_uid
        entered = ["/opt/bottle/enter", *command]
        name = self.lifetime.plan.keeper.name
        return self.engine.execute(name, entered, user=f"{uid}:{uid}", stdin=stdin, seconds=seconds)

    def sh(self, script: str, seconds: float = 60) -> Completed:
        """Run a shell script as the agent."""
        return self.run("bash", "-c", script, seconds=seconds)

    def python(self, program: str, request: object, seconds: float = 60) -> Any:
        """Run a program that defines `main(request)` as the agent; give what that returns."""
        return answer(
            self.run("python3", "-I", "-", stdin=script(program, request), seconds=seconds)
        )

    def wait_for(self, event: str, seconds: float = 5, **fields: object) -> Record:
        """Wait for a record with these fields; what is too late did not happen."""
        deadline = time.monotonic() + seconds
        while True:
            for record in list(self.records):
                if record.get("event") == event and fields.items() <= record.items():
                    return record
            if time.monotonic() > deadline:
                raise AssertionError(f"no {event} {fields} in {self.records[-20:]}")
            time.sleep(0.02)


def script(program: str, request: object) -> bytes:
    """Give Python text that runs `main(request)` and prints its result as JSON."""
    call = f"import json\nprint(json.dumps(main(json.loads({json.dumps(request)!r}))))"
    return f"{program}\n{call}\n".encode()


def answer(done: Completed) -> Any:
    """Read what such a script printed."""
    assert done.code == 0, done.errors.decode(errors="replace")[-2000:]
    return answer_of(done.output)


def answer_of(output: bytes) -> Any:
    """Read what such a script printed last."""
    return json.loads(output.splitlines()[-1])


@contextlib.contextmanager
def live(
    runtime: str = "runc",
    *,
    adapter: str = "shell",
    allowlist: Sequence[str] = (LISTED,),
    names: Sequence[str] = (API, LISTED),
    env: Mapping[str, str] | None = None,
    token: str = "",
    standin: Standin | None = None,
    agent: Mapping[str, Any] | None = None,
    skills: Path = Path("/nonexistent"),
) -> Iterator[Live]:
    """Start a bottle whose outside is a stand-in that serves `names`; remove it at the end."""
    engine = need(runtime)
    declared = {
        "bottles": {
            "default": {
                "runtime": runtime,
                "env": dict(env or {}),
                "egress": {"allowlist": list(allowlist)},
            }
        },
        "agents": {"default": {"bottle": "default", "adapter": adapter, **(agent or {})}},
    }
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            agent="default",
            manifest=parse(json.dumps(declared).encode()),
            source=Path(folder) / "claude-bottle.json",
            skills=skills,
            state=Path(folder),
            standin=standin or Standin(names=tuple(names), script="answer", answer="hello"),
        )
        values = Secrets(token=Value(token) if token else None)
        order = prepare(engine, request, values).making.order()
        lifetime = Lifetime(engine, order, Path(folder), Signals())
        running = Live(engine=engine, lifetime=lifetime, runtime=runtime)
        lifetime.audit.listeners.append(running.records.append)
        with lifetime:
            yield running
