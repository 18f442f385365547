"""Machine: running programs, and what they get to know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bottle.errors import TimeLimit, Unavailable
from bottle.provision import machine
from bottle.provision.machine import ThisMachine, as_root, without_ours
from tests.unit.provision.fakes import FakeMachine

HERE = ThisMachine(environment={"PATH": "/usr/bin:/bin", "CLAUDE_BOTTLE_OAUTH_TOKEN": "canary"})

RUNNER = """
import sys
from bottle.provision.machine import ThisMachine
ThisMachine().run(["sh", "-c", sys.argv[1]])
"""


def _wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_program_gets_none_of_our_variables() -> None:
    assert b"CLAUDE_BOTTLE" not in HERE.run(["env"]).output
    assert without_ours({"CLAUDE_BOTTLE_X": "1", "Y": "2"}) == {"Y": "2"}


def test_input_output_and_code(tmp_path: Path) -> None:
    done = HERE.run(["sh", "-c", "cat; pwd; exit 3"], stdin=b"in\n", folder=tmp_path)
    assert (done.code, done.output) == (3, f"in\n{tmp_path}\n".encode())


def test_a_missing_program() -> None:
    with pytest.raises(Unavailable, match="no-such-program is missing"):
        HERE.run(["no-such-program"])


def test_a_late_program() -> None:
    with pytest.raises(TimeLimit, match="sleep took longer"):
        HERE.run(["sleep", "5"], seconds=0.05)


def test_a_signal_of_the_terminals_is_passed_on_in_order(tmp_path: Path) -> None:
    """The terminal signals our whole group; the program is asked by us, and ends what it began."""
    begun, heard = tmp_path / "begun", tmp_path / "heard"
    script = f"trap 'echo INT >>{heard}' INT; trap 'echo TERM >>{heard}; exit' TERM; "
    script += f"echo $$ >{begun}; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, script], start_new_session=True, stderr=subprocess.PIPE
    ) as ours:
        _wait_for(lambda: HERE.read(str(begun)))
        os.killpg(ours.pid, signal.SIGINT)
        assert b"KeyboardInterrupt" in ours.communicate(timeout=20)[1]
    assert heard.read_text() == "TERM\n"
    assert not Path(f"/proc/{begun.read_text().strip()}").exists()


def test_what_does_not_end_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_GRACE", 0.1)
    with pytest.raises(TimeLimit):
        HERE.run(["sh", "-c", f"trap '' TERM; sleep 77 & echo $! >{tmp_path}/pid; wait"], seconds=1)
    pid = (tmp_path / "pid").read_text().strip()
    _wait_for(lambda: HERE.read(f"/proc/{pid}/cmdline") == "")


@pytest.mark.parametrize(
    ("words", "own"),
    [(["apt-get"], True), (["sudo", "apt-get"], False), (["sudo", "--non-interactive"], True)],
)
def test_only_a_sudo_that_may_ask_keeps_the_terminal(
    tmp_path: Path, words: list[str], own: bool
) -> None:
    program = tmp_path / words[0]
    program.write_text("#!/bin/sh\nexec cut -d' ' -f6 /proc/$$/stat\n")
    program.chmod(0o755)
    here = ThisMachine(environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (int(here.run(words).output) != os.getsid(0)) == own


def test_a_closed_standard_input_is_no_terminal() -> None:
    code = "from bottle.provision.machine import ThisMachine; assert not ThisMachine().terminal"
    words = ["sh", "-c", 'exec "$0" "$@" <&-', sys.executable, "-c", code]
    subprocess.run(words, check=True)


def test_reading_what_is_not_there() -> None:
    assert HERE.read("/no/such/file") == ""
    assert not HERE.exists("/no/such/file")


def test_a_running_program_is_found_and_an_ended_one_not() -> None:
    with subprocess.Popen(["sleep", "20"]) as process:
        _wait_for(lambda: process.pid in HERE.running("sleep"))
        process.kill()
        _wait_for(lambda: process.pid not in HERE.running("sleep"))
        assert Path(f"/proc/{process.pid}/comm").exists()
        assert process.pid not in HERE.running("sleep")


def test_root_needs_no_sudo() -> None:
    assert as_root(FakeMachine(root=True), ["true"]) == ("true",)


def test_sudo_asks_only_at_a_terminal() -> None:
    at_terminal = FakeMachine(root=False, terminal=True, programs={"sudo"})
    assert as_root(at_terminal, ["true"]) == ("sudo", "true")
    alone = FakeMachine(root=False, programs={"sudo"})
    assert as_root(alone, ["true"]) == ("sudo", "--non-interactive", "true")


def test_neither_root_nor_sudo() -> None:
    with pytest.raises(Unavailable, match="needs root"):
        as_root(FakeMachine(root=False), ["true"])
