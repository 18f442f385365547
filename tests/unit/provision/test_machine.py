"""Machine: running programs, and what they get to know."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from bottle.errors import TimeLimit, Unavailable
from bottle.provision.machine import ThisMachine, as_root, last_lines, without_ours
from tests.unit.provision.fakes import FakeMachine

HERE = ThisMachine(environment={"PATH": "/usr/bin:/bin", "CLAUDE_BOTTLE_OAUTH_TOKEN": "canary"})


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


def test_reading_what_is_not_there() -> None:
    assert HERE.read("/no/such/file") == ""
    assert not HERE.exists("/no/such/file")


def test_a_running_program_is_found_and_an_ended_one_not() -> None:
    with subprocess.Popen(["sleep", "20"]) as process:
        assert process.pid in HERE.running("sleep")
        process.kill()
        deadline = time.monotonic() + 5
        while process.pid in HERE.running("sleep") and time.monotonic() < deadline:
            time.sleep(0.01)
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


def test_the_end_of_a_text() -> None:
    assert last_lines(b"a\nb\n c \nd\n") == "b c d"
