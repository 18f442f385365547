"""Pipe, driven by real small programs: what it reads, where it stops, and that all of it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bottle.engine.process import Pipe, hand_over, last_lines
from bottle.errors import TimeLimit, Unavailable


@contextmanager
def running(script: str) -> Iterator[Pipe]:
    """Run a shell script; afterwards it is gone and so are its readers."""
    pipe = Pipe(["sh", "-c", script])
    try:
        yield pipe
    finally:
        pipe.end()
        for reader in pipe._readers:
            reader.join(5)
            assert not reader.is_alive()


def test_lines_come_one_by_one_and_then_none_for_good() -> None:
    with running("printf 'one\\ntwo\\n\\nlast without end'") as pipe:
        lines = [pipe.line(5) for _ in range(6)]
    assert lines == ["one", "two", "", "last without end", None, None]


def test_what_is_sent_arrives() -> None:
    with running('while read -r line; do echo "got $line"; done; echo over') as pipe:
        pipe.send(b"a\n")
        assert pipe.line(5) == "got a"
        pipe.send(b"b\nc\n")
        assert [pipe.line(5), pipe.line(5)] == ["got b", "got c"]
        pipe.close()
        assert [pipe.line(5), pipe.line(5)] == ["over", None]
        assert pipe.wait(5) == 0


def test_bytes_that_are_no_text_are_replaced() -> None:
    with running(r"printf 'a\377b\n'") as pipe:
        assert pipe.line(5) == "a\ufffdb"


def test_of_a_line_beyond_a_mebibyte_the_rest_is_lost() -> None:
    with running("head -c 2500000 /dev/zero | tr '\\0' x; echo; echo next") as pipe:
        assert pipe.line(10) == "x" * (1 << 20)
        assert [pipe.line(10), pipe.line(5)] == ["next", None]
    with running("head -c 2500000 /dev/zero | tr '\\0' x") as pipe:
        assert [len(pipe.line(10) or ""), pipe.line(5)] == [1 << 20, None]


def test_no_line_in_time_is_a_time_limit_and_no_loss() -> None:
    with running("read -r _; echo late") as pipe:
        begin = time.monotonic()
        with pytest.raises(TimeLimit, match=r"no line came within 0\.05 s"):
            pipe.line(0.05)
        assert time.monotonic() - begin < 2
        pipe.send(b"go\n")
        assert pipe.line(5) == "late"


@pytest.mark.parametrize(
    ("script", "most"),
    [("exec yes", 17_000), ("exec yes $(printf %0100000d)", 170)],
    ids=["short", "long"],
)
def test_more_than_is_read_waits_outside_of_our_memory(script: str, most: int) -> None:
    with running(script) as pipe:
        deadline = time.monotonic() + 5
        while not pipe._lines.full() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pipe._lines.full()
        time.sleep(0.05)
        assert most / 2 < len(pipe._lines.queue) < most
        os.kill(pipe._process.pid, signal.SIGKILL)
        while pipe.line(5) is not None:
            pass


def test_errors_are_bounded() -> None:
    with running("head -c 100000 /dev/zero | tr '\\0' e >&2; echo done") as pipe:
        assert pipe.line(5) == "done"
        assert pipe.line(5) is None
        assert pipe.errors() == "e" * 8192


def test_why_it_ended_is_known_when_its_lines_end() -> None:
    with running("exec >&-; sleep 0.2; echo 'the reason' >&2") as pipe:
        assert pipe.line(5) is None
        assert pipe.errors() == "the reason"


def test_nobody_waits_for_long_for_errors_of_another() -> None:
    with running("sleep 3 <&- >&- & echo 'the reason' >&2") as pipe:
        begin = time.monotonic()
        assert pipe.line(5) is None
        assert pipe.errors() == "the reason"
        assert time.monotonic() - begin < 2.5


def test_dockers_remark_on_dns_is_no_error() -> None:
    script = "echo 'WARNING: Localhost DNS setting (--dns=127.0.0.1) may fail' >&2; echo oh >&2"
    with running(script) as pipe:
        assert pipe.line(5) is None
        assert pipe.errors() == "oh"


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_the_programs(code: int) -> None:
    with running(f"exit {code}") as pipe:
        assert pipe.wait(5) == code


def test_a_program_that_goes_on_is_a_time_limit() -> None:
    with running("cat") as pipe, pytest.raises(TimeLimit, match=r"did not end within 0\.05 s"):
        pipe.wait(0.05)


def test_sending_to_one_that_has_ended_tells_what_it_said() -> None:
    with running("echo 'no such image' >&2; exit 1") as pipe:
        pipe.wait(5)
        with pytest.raises(Unavailable, match="the container ended: no such image"):
            pipe.send(b"x" * 1_000_000)


def test_sending_after_closing_is_refused() -> None:
    with running("cat") as pipe:
        pipe.close()
        pipe.close()
        with pytest.raises(Unavailable):
            pipe.send(b"x\n")


def test_end_kills_what_ignores_the_end_of_its_input() -> None:
    pipe = Pipe(["sleep", "60"])
    begin = time.monotonic()
    pipe.end()
    assert pipe.wait(0) == -signal.SIGKILL
    assert 1.5 < time.monotonic() - begin < 10
    pipe.end()


def test_end_is_quick_when_the_program_ends_by_itself() -> None:
    with running("cat") as pipe:
        begin = time.monotonic()
        pipe.end()
        assert time.monotonic() - begin < 2  # after which it would be killed
        assert pipe.wait(0) == 0


def test_a_signal_to_our_group_does_not_reach_it() -> None:
    with running("cat") as pipe:
        assert os.getpgid(pipe._process.pid) == pipe._process.pid != os.getpgid(0)


def test_another_thread_waits_for_lines_while_we_end_it() -> None:
    pipe = Pipe(["cat"])
    seen: list[str | None] = []
    reader = threading.Thread(target=lambda: seen.append(pipe.line(10)))
    reader.start()
    pipe.end()
    reader.join(5)
    assert seen == [None]


LAUNCHER = """
import sys, time
from bottle.engine.process import Pipe, hand_over
pipe = Pipe(["sh", "-c", "echo up; cat >/dev/null; echo gone >$0", sys.argv[1]])
assert pipe.line(5) == "up"
print("ready", flush=True)
time.sleep(60)
"""


def test_when_we_are_killed_it_reads_end_of_file(tmp_path: object) -> None:
    told = f"{tmp_path}/told"
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, told], stdout=subprocess.PIPE
    ) as launcher:
        assert launcher.stdout
        assert launcher.stdout.readline() == b"ready\n"
        launcher.kill()
    deadline = time.monotonic() + 5
    while not os.path.exists(told) and time.monotonic() < deadline:  # noqa: PTH110  # a word above
        time.sleep(0.01)
    with open(told) as file:  # noqa: PTH123
        assert file.read() in ("gone\n", "")


class TestHandOver:
    """A client that has our own terminal or pipes."""

    @pytest.mark.parametrize("code", [0, 42, 255])
    def test_its_code_is_given(self, code: int) -> None:
        assert hand_over(["sh", "-c", f"exit {code}"], lambda: None) == code

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_a_signal_that_ends_it_is_a_code_as_in_a_shell(self, number: signal.Signals) -> None:
        assert hand_over(["sh", "-c", f"kill -{number.value} $$"], lambda: None) == 128 + number

    def test_meanwhile_is_asked_once_more_when_it_has_ended(self) -> None:
        def told() -> None:
            if time.monotonic() - begin > 0.04:
                raise KeyError

        begin = time.monotonic()
        with pytest.raises(KeyError):
            hand_over(["sleep", "0.05"], told)

    def test_it_has_our_own_output(self, capfd: pytest.CaptureFixture[str]) -> None:
        hand_over(["sh", "-c", "echo out; echo err >&2"], lambda: None)
        assert capfd.readouterr() == ("out\n", "err\n")

    def test_what_meanwhile_raises_at_last_ends_it(self, tmp_path: Path) -> None:
        told = tmp_path / "pid"
        asked: list[bool] = []

        def stop() -> None:
            asked.append(told.is_file() and told.read_text().endswith("\n"))
            if asked[-1] and len(asked) > 2:
                raise KeyError

        with pytest.raises(KeyError):
            hand_over(["sh", "-c", 'echo $$ >"$0"; exec sleep 60', str(told)], stop)
        assert not Path(f"/proc/{told.read_text().strip()}").exists()


def test_the_end_of_a_text() -> None:
    assert last_lines(b"a\nb\n c \nd\n") == "b c d"
