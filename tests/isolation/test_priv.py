"""Rights: what an agent may do in its container; without walls the same attempts work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support import bottles, sinks
from tests.support.bottles import Live

PROGRAM = sinks.program("rights")
BOMB = """
import errno, os, signal, time
def main(_):
    children = []
    try:
        while len(children) < 3000:
            children.append(os.fork())
            if not children[-1]:
                time.sleep(60)
                os._exit(0)
    except OSError as error:
        return {"count": len(children), "error": errno.errorcode[error.errno]}
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return {"count": len(children), "error": ""}
"""
NOT_OURS = {"EROFS", "EACCES"}
NO_RIGHT = {"EPERM"}

REFUSED: Mapping[str, set[str]] = {
    "mount": NO_RIGHT,
    "user namespace": NO_RIGHT,
    "mount namespace": NO_RIGHT,
    "network namespace": NO_RIGHT,
    "bpf": NO_RIGHT,
    "trace PID 1": NO_RIGHT,
    "environment of PID 1": {"EACCES"},
    "signal PID 1": NO_RIGHT,
    "device": NO_RIGHT,
    "raw socket": NO_RIGHT,
    "user 0": NO_RIGHT,
    "write to the root": {"EROFS"},
    "write to a program": NOT_OURS,
    "write to the entry": NOT_OURS,
    "write to certificates": NOT_OURS,
    "write to contents": NOT_OURS,
    "write to settings": NOT_OURS,
    "write to a kernel setting": {*NOT_OURS, "ENOENT"},  # gVisor has no such file
}
WORKS = ("write to the workspace", "write to home", "write to tmp")
WITHOUT_WALLS = (
    "--network=none",
    "--user=0:0",
    "--cap-add=SYS_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--cap-add=NET_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
)


@pytest.fixture(scope="module")
def tried(bottle: Live) -> Any:
    """What came of each attempt in a bottle, tried as its agent."""
    return bottle.python(PROGRAM, {})


@pytest.fixture(scope="module")
def without_walls() -> Iterator[Any]:
    """What came of each attempt in a container of the same image without any wall."""
    image = "claude-bottle/agent:current"
    bottles.need()
    run = ["docker", "run", "--detach", "--rm", *WITHOUT_WALLS, "--entrypoint=sleep", image, "60"]
    started = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    try:
        command = ["docker", "exec", "--interactive", started, "python3", "-I", "-"]
        words = bottles.script(PROGRAM, {})
        done = subprocess.run(command, input=words, capture_output=True, check=True)
        yield bottles.answer_of(done.stdout)
    finally:
        subprocess.run(["docker", "rm", "--force", started], capture_output=True, check=True)


@pytest.mark.claim("PRIV-1")
class TestTheAgentHasNoRightsToMisuse:
    """No capability, no_new_privs, seccomp, a read-only root, no device, no way to signal PID 1."""

    @pytest.mark.parametrize("attempt", REFUSED)
    def test_what_it_must_not_do_is_refused(self, tried: Any, attempt: str) -> None:
        assert tried[attempt] in REFUSED[attempt]

    @pytest.mark.parametrize("attempt", REFUSED)
    def test_it_would_work_without_walls(self, without_walls: Any, attempt: str) -> None:
        assert without_walls[attempt] not in REFUSED[attempt]

    @pytest.mark.parametrize("attempt", WORKS)
    def test_what_it_must_do_works(self, tried: Any, attempt: str) -> None:
        assert tried[attempt] == "worked"

    def test_nothing_runs_with_the_rights_of_another(self, tried: Any) -> None:
        assert tried["setuid files"] == []

    def test_it_sees_no_process_of_the_host(self, tried: Any) -> None:
        assert set(tried["processes"]) <= {"cat", "ps", "python3", "tini", "bash"}

    def test_there_is_no_docker_socket(self, tried: Any) -> None:
        assert tried["docker socket"] is False

    def test_the_kernel_says_so(self, bottle: Live) -> None:
        status = bottle.sh("cat /proc/self/status").output.decode()
        values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        assert {values[name] for name in names} == {"0" * 16}
        assert values["NoNewPrivs"] == "1"
        assert values["Seccomp"] == "2"

    def test_the_engines_filter_is_there_besides_its_own(self, bottle: Live) -> None:
        """PID 1 has the engine's alone; inside gVisor it is not to be seen."""
        status = bottle.sh("grep ^Seccomp: /proc/1/status").output.split()
        assert status == [b"Seccomp:", b"2" if bottle.runtime == "runc" else b"0"]

    def test_processes_are_bounded(self) -> None:
        """A fork bomb meets the limit, and the bottle still answers; gVisor's kernel would end."""
        with bottles.live("runc") as bottle:
            grown = bottle.python(BOMB, {})
            assert 50 < grown["count"] < bottle.lifetime.plan.keeper.pids
            assert grown["error"] == "EAGAIN"
            assert bottle.sh("echo alive").output == b"alive\n"
