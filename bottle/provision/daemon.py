"""Daemon: the Docker engine of this machine, found, or installed and started."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from bottle.engine.process import last_lines
from bottle.errors import Unavailable
from bottle.provision import apt
from bottle.provision.machine import Machine, as_root, clean
from bottle.provision.progress import Progress, lively

LOG: Final = "/var/log/claude-bottle-dockerd.log"
PACKAGES: Final = ("docker.io", "iptables", "iproute2")
_SOCKETS: Final = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
_ENDPOINT: Final = re.compile(r" at (\w+://\S+?)[.;,]?(?:\s|$)")
_PATIENCE: Final = 60.0
_SUDO_TRACES: Final = (
    *("SUDO_COMMAND", "SUDO_USER", "SUDO_UID", "SUDO_GID", "SUDO_HOME"),
    *("LOGNAME", "MAIL", "SHELL", "TERM", "USER"),
)


class State(Enum):
    """How the machine's engine is found."""

    ANSWERS = "answers"
    STOPPED = "stopped"
    MISSING = "missing"


def look(machine: Machine) -> State:
    """Find the state of the engine; raise Unavailable where setup cannot or may not help."""
    trouble = _trouble(machine)
    if not trouble and machine.find("docker"):
        return State.ANSWERS
    if "permission denied" in trouble.lower():
        raise _no_access()
    if machine.system == "Darwin":
        raise Unavailable("Docker does not answer", "start Docker Desktop, then run this again")
    endpoint = _ENDPOINT.search(trouble)
    if machine.environment.get("DOCKER_HOST") or (endpoint and endpoint[1] not in _SOCKETS):
        where = machine.environment.get("DOCKER_HOST") or (endpoint and endpoint[1])
        raise Unavailable(
            f"the Docker engine at {where} does not answer",
            "start it, or unset DOCKER_HOST and DOCKER_CONTEXT to use one on this machine",
        )
    if machine.find("dockerd") and machine.find("docker"):
        return State.STOPPED
    if not apt.usable(machine):
        raise Unavailable(
            "there is no Docker engine here, and this is not Debian or Ubuntu",
            "install Docker Engine by your system's own means, start it, and run this again",
        )
    return State.MISSING


def _trouble(machine: Machine) -> str:
    """Give why the engine does not answer; empty when it does or when there is no client."""
    if machine.find("docker") is None:
        return ""
    done = machine.run(["docker", "version", "--format", "{{.Server.Version}}"], seconds=30)
    if done.code == 0 and done.output.strip():
        return ""
    return done.errors.decode(errors="replace") or "no answer"


def _no_access() -> Unavailable:
    return Unavailable(
        "a Docker engine runs here, but your account may not use it",
        "membership in the group `docker` equals being root, so setup never adds you to it: "
        "run this as root, or decide yourself: `sudo usermod -aG docker $USER`, then log in again",
    )


def changes(machine: Machine, state: State) -> tuple[str, ...]:
    """Say what `ensure` will change."""
    through = "" if machine.root else " through sudo"
    if state is State.MISSING:
        packages = " ".join(PACKAGES)
        return (
            f"install Docker from this system's packages{through}: {packages} "
            "(and docker-cli where that is a package of its own)",
            f"start the Docker engine{through}",
        )
    return (f"start the Docker engine{through}",) if state is State.STOPPED else ()


def ensure(machine: Machine, progress: Progress, state: State) -> None:
    """Bring the engine to answer; raise Unavailable with what it said when it does not."""
    if state is State.MISSING:
        _install(machine, progress)
    if state is not State.ANSWERS:
        with lively(progress, "start the Docker engine"):
            start(machine)


def _install(machine: Machine, progress: Progress) -> None:
    trouble = apt.update(machine, progress)
    packages = list(PACKAGES)
    if machine.find("docker") is None and apt.has(machine, "docker-cli"):
        packages.append("docker-cli")
    apt.install(machine, progress, packages, trouble)


def start(machine: Machine, sleep: Callable[[float], None] = time.sleep) -> None:
    """Start the engine by the machine's init system, or by ourselves where none runs."""
    if machine.exists("/run/systemd/system"):
        _by_init(machine, ("systemctl", "start", "docker"))
    elif machine.exists("/run/initctl") and machine.exists("/etc/init.d/docker"):
        _by_init(machine, ("service", "docker", "start"))
    elif not machine.running("dockerd"):
        words, environment = own_start(machine)
        machine.run(words, environment=environment)
    _await(machine, sleep)


def _by_init(machine: Machine, words: tuple[str, ...]) -> None:
    done = machine.run(as_root(machine, words), seconds=_PATIENCE * 2)
    if done.code:
        raise Unavailable(
            f"`{' '.join(words)}` failed: {last_lines(done.errors)}",
            "look at the service's own log, then run this again",
        )


def own_start(machine: Machine) -> tuple[tuple[str, ...], dict[str, str]]:
    """Give the words and the environment that start a daemon in a session of its own.

    Values go by environment and never by argv, which everybody can read.
    """
    environment = clean(machine.environment)
    traces = [word for name in _SUDO_TRACES for word in ("-u", name)]
    script = f"cd / && unset OLDPWD && exec dockerd >>{LOG} 2>&1 </dev/null"
    words = ["env", *traces, "setsid", "--fork", "sh", "-c", script]
    return as_root(machine, words, sorted(environment.keys() - {"PATH", "HOME"})), environment


def _await(machine: Machine, sleep: Callable[[float], None]) -> None:
    began = time.monotonic()
    while trouble := _trouble(machine):
        if "permission denied" in trouble.lower():
            raise _no_access()
        waited = time.monotonic() - began
        died = waited > 3 and not machine.running("dockerd")
        if died or waited > _PATIENCE:
            said = last_lines(machine.read(LOG), 1) or last_lines(trouble)
            raise Unavailable(
                f"the Docker engine did not start: {said}",
                f"the log is {LOG}; correct what it names and run this again",
            )
        sleep(0.2)


def reload(machine: Machine) -> None:
    """Make the engine read its configuration file again, without a restart."""
    pids = machine.running("dockerd")
    if not pids:
        raise Unavailable(
            "no dockerd runs in this machine's own process table",
            "gVisor can be registered only where the engine runs directly on this machine",
        )
    if machine.root:
        os.kill(pids[0], 1)
        return
    done = machine.run(as_root(machine, ["kill", "-HUP", str(pids[0])]))
    if done.code:
        raise Unavailable(f"dockerd was not told to reload: {last_lines(done.errors)}")
