"""Runsc: gVisor's program, built from its pinned source, installed and registered."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bottle.engine.port import Engine
from bottle.engine.process import last_lines
from bottle.errors import Unavailable
from bottle.provision import cache, daemon, pip
from bottle.provision.gvisor import RUNTIME, works
from bottle.provision.machine import Machine, as_root, without_ours
from bottle.provision.progress import Progress, lively

PROGRAM: Final = "/usr/local/bin/runsc"
CONFIGURATION: Final = "/etc/docker/daemon.json"
VERSION: Final = "v0.0.0-20260905035102-160fafc42237"
_MODULE: Final = "gvisor.dev/gvisor"
_SUM: Final = "h1:AU5+CtCvnBnxdZRNcZt1NfSLqgkXZVT3N/u6u1aXg44="
"""Go's own digest of the module at that version."""
_OLDEST_GO: Final = (1, 21)
_BUILD_SECONDS: Final = 1200


def refuse_elsewhere(engine: Engine, machine: Machine) -> None:
    """Raise Unavailable where no program can be put beside the engine."""
    if machine.system != "Linux" or engine.facts().desktop:
        raise Unavailable(
            "gVisor cannot be had with Docker Desktop: its engine runs in a virtual machine "
            "that setup cannot add a runtime to",
            "leave out --gvisor; bottles with the runtime runc work",
        )


def changes(machine: Machine) -> tuple[str, ...]:
    """Say what `provision` may change."""
    through = "" if machine.root else " through sudo"
    tools = "this machine's Go" if _own_go(machine) else "Go from PyPI, for this once"
    return (
        f"build gVisor's runsc {VERSION} from source with {tools}, unless it works already",
        f"install it as {PROGRAM} and register it in {CONFIGURATION}{through}",
    )


def provision(engine: Engine, machine: Machine, progress: Progress) -> None:
    """Obtain runsc, register it, and try it; raise Unavailable where that cannot be."""
    refuse_elsewhere(engine, machine)
    with cache.alone(cache.folder()):
        if not is_installed(machine):
            _install(machine, progress)
        if _register(machine):
            with progress.step(f"register {RUNTIME} with the engine"):
                daemon.reload(machine)
                _await_registered(engine)
    with progress.step("try gVisor in a container"):
        works(engine)


def _stamp() -> Path:
    return cache.folder() / f"runsc-{VERSION}.sha256"


def is_installed(machine: Machine) -> bool:
    """Say whether the program is the one that we built of this version."""
    stamp = _stamp()
    if not machine.exists(PROGRAM) or not stamp.is_file():
        return False
    return stamp.read_text() == cache.sha256(Path(PROGRAM))


def _install(machine: Machine, progress: Progress) -> None:
    with cache.workspace(cache.folder()) as room:
        with lively(progress, "build gVisor's runsc from source"):
            built = _build(machine, room)
        with progress.step(f"install {PROGRAM}"):
            _put(machine, built, PROGRAM, "0755")
        _stamp().write_text(cache.sha256(built))


def _build(machine: Machine, room: Path) -> Path:
    go = _own_go(machine)
    if not go:
        pip.install(machine, room / "go", "go")
        go = str(room / "go" / "go" / "bin" / "go")
    words = [go, "install", "-trimpath", f"{_MODULE}/runsc@{VERSION}"]
    environment = build_environment(machine.environment, room)
    done = machine.run(words, seconds=_BUILD_SECONDS, environment=environment, folder=room)
    built = room / "bin" / "runsc"
    if done.code or not built.is_file():
        raise Unavailable(
            f"gVisor could not be built: {last_lines(done.errors)}",
            "check that this machine reaches a Go module proxy, then run this again",
        )
    place = room / "path" / "pkg" / "mod" / "cache" / "download" / _MODULE / "@v"
    if (place / f"{VERSION}.ziphash").read_text().strip() != _SUM:
        raise Unavailable("gVisor's source is not the pinned one; nothing was installed")
    return built


def build_environment(environment: Mapping[str, str], room: Path) -> dict[str, str]:
    """Give the environment of the build: all that Go writes lies in `room` and can be removed.

    The person's GOFLAGS, workspace and target could change what is built; the proxy stays.
    """
    unwanted = {"GOOS", "GOARCH", "GOWORK", "GOROOT", "GOEXPERIMENT"}
    kept = {n: v for n, v in without_ours(environment).items() if n not in unwanted}
    own = {"GOBIN": room / "bin", "GOPATH": room / "path", "GOCACHE": room / "built"}
    return {
        **kept,
        **{name: str(path) for name, path in own.items()},
        "CGO_ENABLED": "0",
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "auto",
        "GO111MODULE": "on",
    }


def _own_go(machine: Machine) -> str:
    """Give this machine's Go when it is new enough to fetch the release that gVisor asks for."""
    go = machine.find("go")
    if go is None:
        return ""
    version = re.search(rb"go(\d+)\.(\d+)", machine.run([go, "version"]).output)
    new = version is not None and (int(version[1]), int(version[2])) >= _OLDEST_GO
    return go if new else ""


def merged(text: str) -> str:
    """Give the engine's configuration with our runtime in it, and everything else as it was.

    The text itself comes back when nothing is to be changed. Raise Unavailable for what is not
    one JSON object, or names a key twice: rewriting it would lose something.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once) if text.strip() else {}
    except ValueError as error:
        raise _unreadable(str(error)) from None
    runtimes = found.get("runtimes", {}) if isinstance(found, dict) else None
    if not isinstance(runtimes, dict):
        raise _unreadable("it, or its `runtimes`, is not an object")
    if runtimes.get(RUNTIME) == {"path": PROGRAM}:
        return text
    found["runtimes"] = {**runtimes, RUNTIME: {"path": PROGRAM}}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def _unreadable(reason: str) -> Unavailable:
    return Unavailable(
        f"{CONFIGURATION} cannot be added to: {reason}",
        "correct it; nothing was changed there",
    )


def _register(machine: Machine) -> bool:
    """Add our runtime to the engine's configuration; say whether anything was written."""
    script = 'if [ -e "$0" ]; then cat "$0"; fi'
    done = machine.run(as_root(machine, ["sh", "-c", script, CONFIGURATION]))
    if done.code:
        raise _unreadable(last_lines(done.errors))
    before = done.output.decode(errors="replace")
    after = merged(before)
    if after == before:
        return False
    with cache.workspace(cache.folder()) as room:
        (room / "daemon.json").write_text(after)
        _put(machine, room / "daemon.json", CONFIGURATION, "0644")
    return True


def _put(machine: Machine, source: Path, target: str, mode: str) -> None:
    """Copy a file beside its target as root, then rename it: there is never half a file.

    A link is followed, and an existing file keeps its owner and mode.
    """
    script = (
        'target=$(readlink -f "$1") && new="$target.claude-bottle" && '
        'install -D -m "$2" "$0" "$new" && '
        'if [ -e "$target" ]; then chmod --reference="$target" "$new" && '
        'chown --reference="$target" "$new"; fi && mv -f "$new" "$target"'
    )
    done = machine.run(as_root(machine, ["sh", "-c", script, str(source), target, mode]))
    if done.code:
        raise Unavailable(f"{target} could not be written: {last_lines(done.errors)}")


def _await_registered(engine: Engine) -> None:
    end = time.monotonic() + 10
    while engine.facts().runtimes.get(RUNTIME) != PROGRAM:
        if time.monotonic() > end:
            raise Unavailable(
                f"the engine did not take up {RUNTIME} from {CONFIGURATION}",
                "look at the engine's log; a flag of dockerd may stand against the file",
            )
        time.sleep(0.1)
