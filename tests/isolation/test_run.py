"""Runtime: a bottle that asks for gVisor gets it, as the host sees it, or is not started."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bottle.errors import Unavailable
from bottle.provision import gvisor
from tests.support import bottles
from tests.support.bottles import Live
from tests.support.launcher import until


def sandboxed(name: str) -> bool:
    """Ask the host's process table, which nobody inside can change, what a container runs as."""
    words = ["docker", "inspect", "--format={{.State.Pid}}", name]
    pid = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"runsc-sandbox")


@pytest.mark.claim("RUN-1")
class TestARuntimeIsWhatItIsCalled:
    """A bottle that asks for runsc runs under gVisor, or is not started."""

    def test_the_host_sees_the_runtime_that_was_asked_for(self, bottle: Live) -> None:
        plan = bottle.lifetime.plan
        assert sandboxed(plan.keeper.name) == (bottle.runtime == "runsc")
        assert not sandboxed(plan.sidecar.name)

    def test_the_kernel_inside_agrees(self, bottle: Live) -> None:
        said = bottle.sh("uname -r; cat /proc/version; dmesg 2>/dev/null || true").output.decode()
        assert ("gvisor" in said.lower()) == (bottle.runtime == "runsc")

    def test_every_command_runs_in_the_sandbox(self, bottle: Live) -> None:
        """A process of the agent's is one of the host's under runc, and none under runsc."""
        marker = "3141.5"
        bottle.sh(f"setsid sleep {marker} </dev/null >/dev/null 2>&1 &")
        until(lambda: f"sleep {marker}" in bottle.sh("ps -eo args").output.decode(), 20)
        found = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _is_sleep(p, marker)]
        assert bool(found) == (bottle.runtime == "runc")
        bottle.sh("pkill sleep")


def _is_sleep(path: Path, marker: str) -> bool:
    try:
        return path.read_bytes() == f"sleep\0{marker}\0".encode()
    except OSError:
        return False


@pytest.mark.claim("RUN-1")
class TestWhatIsNotGvisorIsRefused:
    """There is no falling back."""

    def test_a_runtime_that_is_not_registered(self) -> None:
        with pytest.raises(Unavailable, match="knows no runtime 'other'"):
            gvisor.works(bottles.need(), "other")

    def test_a_runtime_that_is_something_else_under_that_name(self) -> None:
        with pytest.raises(Unavailable, match="is not gVisor"):
            gvisor.works(bottles.need(), "runc")

    def test_the_real_one_works(self) -> None:
        gvisor.works(bottles.need("runsc"))
