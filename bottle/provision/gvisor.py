"""gVisor: a kernel of its own for a bottle, believed only after a trial.

Registered is not working, and a name proves nothing: a container really runs, and the host's own
process table must show gVisor's sandbox as its first process.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bottle.core.members import LABEL
from bottle.engine.port import Attached, Engine
from bottle.engine.process import last_lines
from bottle.errors import BottleError, Unavailable
from bottle.provision import hostrule

RUNTIME: Final = "runsc"
_TRIAL_SECONDS: Final = 20
_REMEDY: Final = "run `./setup --gvisor`, or set the bottle's runtime to runc"
_TRIAL: Final = "cat /proc/version; dmesg; echo ready; exec cat"


def works(engine: Engine, runtime: str = RUNTIME) -> None:
    """Run a container and ask the host what runs; raise Unavailable when it is not gVisor.

    Uses the image `hostrule`, without network and without capabilities; takes about 0.7 s.
    """
    require_registered(engine, runtime)
    name = f"cb-try-{secrets.token_hex(6)}"
    attached = engine.start_once(hostrule.IMAGE, ("-c", _TRIAL), _trial_flags(name, runtime))
    try:
        said = _until_ready(attached, runtime)
        pid = _first_process(engine.inspect_container(name))
        reasons = doubts(said, _command_line(pid))
    finally:
        attached.end()
        engine.remove([name], [])  # where its process never began, nothing else ends it
    if reasons:
        raise Unavailable(f"the runtime {runtime} is not gVisor: {'; '.join(reasons)}", _REMEDY)


def require_registered(engine: Engine, runtime: str = RUNTIME) -> None:
    """Raise Unavailable unless the engine maps the name to a program, on this very machine."""
    facts = engine.facts()
    if facts.desktop:
        raise Unavailable("Docker Desktop cannot be given gVisor", "set the runtime to runc")
    if runtime not in facts.runtimes:
        raise Unavailable(f"the engine knows no runtime {runtime!r}", _REMEDY)


def _trial_flags(name: str, runtime: str) -> tuple[str, ...]:
    return (
        f"--name={name}",
        f"--label={LABEL}=setup",
        f"--runtime={runtime}",
        "--network=none",
        "--user=60999:60999",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--pids-limit=1024",
        "--memory=512m",
        "--no-healthcheck",
        "--entrypoint=sh",
    )


def _until_ready(attached: Attached, runtime: str) -> str:
    lines: list[str] = []
    while (line := attached.line(_TRIAL_SECONDS)) != "ready":
        if line is None:
            raise Unavailable(
                f"the runtime {runtime} is registered but does not work: "
                f"{last_lines(attached.errors())}",
                _REMEDY,
            )
        lines.append(line)
    return "\n".join(lines)


def _first_process(seen: Mapping[str, Any]) -> int:
    return int(seen["State"]["Pid"])


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def doubts(said: str, command_line: bytes) -> tuple[str, ...]:
    """Give every reason against: what the container reads of its kernel, what the host runs."""
    found = []
    if not is_sandbox(command_line):
        shown = command_line.split(b"\0", 1)[0].decode(errors="replace") or "nothing readable"
        found.append(f"the host runs {shown!r} as its first process, not gVisor's sandbox")
    if "gvisor" not in said.partition("\n")[0].lower():
        found.append("its /proc/version does not name gVisor")
    if "Starting gVisor" not in said:
        found.append("its kernel log does not begin as gVisor's does")
    return tuple(found)


def is_sandbox(command_line: bytes) -> bool:
    """Judge /proc/PID/cmdline of a container's first process as the host sees it."""
    return command_line.split(b"\0", 1)[0] == b"runsc-sandbox"


def is_working(engine: Engine) -> bool:
    """Say whether gVisor works already."""
    try:
        works(engine)
    except BottleError:
        return False
    return True
