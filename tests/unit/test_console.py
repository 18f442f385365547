"""Console: foreign text cannot speak to the terminal, and the terminal is given back as it was."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from bottle.console import Console, plain
from bottle.errors import BottleError, ManifestError, Problem, UsageError

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "a\x1b[2J\x1b]0;title\x07\r\b\x9bm\u202eevil\u2066\ud800\x00"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return Console()


def printed(console: Console, capsys: pytest.CaptureFixture[str], text: str) -> str:
    """Show a text in every way there is; give all that was written."""
    console.say(text)
    console.row(text, text)
    console.result(text)
    console.result_json([text])
    with console.step(text):
        pass
    console.ask(text)
    problem = Problem(path=text, found=text, wanted=text, remedy=text)
    console.failure(ManifestError((problem,), text))
    console.failure(BottleError(text, text))
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("character", sorted(set(HOSTILE) - set("atilev")))
def test_no_control_character_reaches_the_terminal(
    console: Console,
    capsys: pytest.CaptureFixture[str],
    character: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    text = printed(console, capsys, f"x{character}y")
    assert {c for c in text if not c.isprintable()} <= {"\n"}


def test_hostile_text_is_escaped_and_readable() -> None:
    assert plain("ok ä 漢 ✓") == "ok ä 漢 ✓"
    assert plain("\x1b[2J\u202e") == "\\x1b[2J\\u202e"
    assert all(c.isprintable() for c in plain(HOSTILE))


def test_markup_and_emoji_are_text(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    console.say("[red]not[/red] :smile: [link=x]")
    console.result("[bold]this")
    captured = capsys.readouterr()
    assert captured.err == "[red]not[/red] :smile: [link=x]\n"
    assert captured.out == "[bold]this\n"


def test_long_lines_are_not_broken(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    console.result("x" * 5000)
    assert capsys.readouterr().out == "x" * 5000 + "\n"


def test_rows_are_aligned_below_each_other(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.row("secrets", "one\ntwo")
    console.row("", "three")
    lines = capsys.readouterr().err.splitlines()
    assert [
        line.index(word) for line, word in zip(lines, ("one", "two", "three"), strict=True)
    ] == [lines[0].index("one")] * 3
    assert lines[0].split() == ["secrets", "one"]


@pytest.mark.parametrize("width", [80, 120])
def test_at_a_terminal_a_long_row_is_broken_between_words(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    text = " ".join(["word"] * 60)
    lines = rows_at_a_terminal(monkeypatch, width, text, "    deeper " + text, "x" * 300)
    assert len(lines) > 6
    assert max(map(len, lines)) <= width
    assert all(line[:13].strip() in ("", "label") for line in lines)
    assert lines[0].startswith("  label      word word")
    assert "".join(lines).replace("label", "").replace(" ", "") == (
        "word" * 60 + "deeper" + "word" * 60 + "x" * 300
    )
    assert next(line for line in lines if "deeper" in line).index("deeper") == 17


def test_in_a_pipe_a_long_row_is_one_line(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.row("label", "word " * 100 + "end")
    assert len(capsys.readouterr().err.splitlines()) == 1


def rows_at_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int, *texts: str) -> list[str]:
    """Show a row of these lines at a terminal so wide; give the lines that came out of it."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    seen = bytearray()
    reader = threading.Thread(target=_drain, args=(outer, seen))
    reader.start()
    with (
        open(inner, "w") as stderr,  # noqa: PTH123  # a descriptor has no path
        monkeypatch.context() as patched,
    ):
        patched.setattr(sys, "stderr", stderr)
        patched.setenv("COLUMNS", str(width))
        patched.setenv("NO_COLOR", "1")
        patched.setenv("TERM", "xterm")
        Console().row("label", "\n".join(texts))
    reader.join(5)
    os.close(outer)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in seen.decode().splitlines()]


def test_lines_of_a_result_have_their_styles_at_a_terminal_alone(
    console: Console, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.results([("one", "bold"), ("two\x1b", "")])
    assert capsys.readouterr().out == "one\ntwo\\x1b\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    with terminal(monkeypatch) as (_, seen):
        Console().results([("one", "bold"), ("two", "")])
    assert b"\x1b[1mone\x1b[0m" in seen
    assert b"two" in seen


def test_results_go_to_stdout_and_all_else_to_stderr(
    console: Console, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    console.result("out")
    console.result_json({"a": ["é"]})
    console.say("err")
    console.row("err", "err")
    console.ask("err?")
    console.failure(UsageError("err"))
    with console.step("err"):
        pass
    out = capsys.readouterr().out
    assert out.startswith("out\n")
    assert json.loads(out.removeprefix("out\n")) == {"a": ["é"]}


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("y\n", True),
        ("Yes\n", True),
        (" yes \n", True),
        ("n\n", False),
        ("\n", False),
        ("", False),
        ("yesno\n", False),
        ("yy\n", False),
        ("ja\n", False),
    ],
)
def test_only_a_clear_yes_is_one(
    console: Console, monkeypatch: pytest.MonkeyPatch, typed: str, answer: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert console.ask("Start it?") is answer


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("\n", True),
        ("y\n", True),
        ("yes", True),
        ("", False),
        (" \n", False),
        ("\r\n", False),
        ("n\n", False),
        ("no\n", False),
        ("what\n", False),
        ("\0\n", False),
    ],
)
def test_where_a_yes_is_the_default_an_empty_line_is_one_and_the_end_of_the_input_is_not(
    console: Console, monkeypatch: pytest.MonkeyPatch, typed: str, answer: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed, newline=""))
    assert console.ask("Start it?", default=True) is answer


@pytest.mark.parametrize(("default", "shown"), [(True, "? [Y/n] "), (False, "? [y/N] ")])
def test_the_question_shows_what_enter_means(
    console: Console,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    default: bool,
    shown: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    console.ask("Start it?", default=default)
    assert capsys.readouterr().err == f"Start it{shown}"


@pytest.mark.parametrize("default", [True, False])
def test_without_a_stream_nothing_is_agreed_to(
    console: Console, monkeypatch: pytest.MonkeyPatch, default: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert console.ask("Start it?", default=default) is False


def test_an_interrupted_question_is_a_no(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(readline=interrupted))
    assert console.ask("Start it?") is False
    assert console.ask("Start it?", default=True) is False


def test_a_failure_tells_what_where_and_what_to_do(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = (
        Problem(path="bottles.a.runtime", found="'x'", wanted="runc", remedy="write runc"),
        Problem(path="", found="nothing", wanted="an object"),
    )
    console.failure(ManifestError(problems, "claude-bottle.json"))
    assert capsys.readouterr().err.splitlines() == [
        "error: claude-bottle.json: 2 problems",
        "  bottles.a.runtime",
        "    found 'x', wanted runc; write runc",
        "  (the whole file)",
        "    found nothing, wanted an object",
        "  correct the manifest; nothing was started",
    ]


def test_thousands_of_problems_are_told_at_once(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem(path="a", found="b", wanted="c")
    console.failure(ManifestError((problem,) * 30_000, "claude-bottle.json"))
    assert len(capsys.readouterr().err.splitlines()) == 60_002


def test_a_failure_without_remedy_is_one_line(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.failure(BottleError("it broke"))
    assert capsys.readouterr().err == "error: it broke\n"


def test_a_step_tells_its_time_only_when_it_is_done(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.step("build"):
        assert capsys.readouterr().err == ""
    assert capsys.readouterr().err.split()[0] == "build"
    with pytest.raises(KeyError), console.step("fail"):
        raise KeyError
    assert capsys.readouterr().err == ""


def test_colours_end_where_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    Console().say("text", style="bold red")
    assert capsys.readouterr().err == "text\n"


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, bytearray]]:
    """Make a terminal our stdin and stdout; give its inner end, and what came out of the outer."""
    outer, inner = pty.openpty()
    seen = bytearray()
    reader = threading.Thread(target=_drain, args=(outer, seen))
    reader.start()
    with (
        open(os.dup(inner)) as stdin,  # noqa: PTH123  # a descriptor has no path
        open(os.dup(inner), "w") as stdout,  # noqa: PTH123
        monkeypatch.context() as patched,
    ):
        patched.setattr(sys, "stdin", stdin)
        patched.setattr(sys, "stdout", stdout)
        yield inner, seen
    os.close(inner)
    reader.join(5)
    os.close(outer)


def _drain(outer: int, seen: bytearray) -> None:
    with suppress(OSError):  # the inner end was closed
        while got := os.read(outer, 4096):
            seen += got


@pytest.mark.parametrize("fails", [False, True])
def test_what_an_agent_did_to_the_terminal_is_undone(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    with terminal(monkeypatch) as (inner, seen):
        before = termios.tcgetattr(inner)
        with suppress(KeyError), Console().lent():
            changed = termios.tcgetattr(inner)
            changed[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
            termios.tcsetattr(inner, termios.TCSANOW, changed)
            if fails:
                raise KeyError
        assert termios.tcgetattr(inner) == before
    for undone in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[?25h", b"\x1b[0m"):
        assert undone in seen


def test_what_came_out_of_pipes_is_undone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as (_, seen), monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", io.StringIO(""))
        with Console().lent():
            pass
    for undone in (b"\x1b[?1003l", b"\x1b[?1004l", b"\x1b[<u", b"\x1b[>4;0m", b"\x1b(B", b"\x0f"):
        assert undone in seen


STEPS = """
import time
from bottle.console import Console
console = Console()
with console.step("the step"):
    time.sleep(0.3)
    console.say("said meanwhile")
    console.result("result meanwhile")
console.say("over")
"""


def test_a_step_is_shown_while_it_lasts() -> None:
    outer, inner = pty.openpty()
    seen = bytearray()
    reader = threading.Thread(target=_drain, args=(outer, seen))
    reader.start()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", STEPS],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=ROOT,
        env=environment,
    ) as process:
        os.close(inner)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
    reader.join(5)
    os.close(outer)
    shown = [seen.index(text) for text in (b"the step", b"said mean", b"result mean", b"over")]
    assert shown == sorted(shown)
    assert seen.count(b"the step") > 2, "it moves"


AT_A_TERMINAL = """
import sys
from bottle.console import Console
from bottle.errors import BottleError
console = Console()
with console.lent():
    console.say("up")
    console.ask("?")  # until the terminal has gone
with console.step("step"):
    console.row("row", "row")
console.result("result")
console.result_json([])
console.failure(BottleError("failure"))
sys.exit(129)
"""


def test_a_terminal_that_has_gone_does_not_change_the_end() -> None:
    outer, inner = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL], stdin=inner, stdout=inner, stderr=inner, cwd=ROOT
    ) as process:
        os.close(inner)
        seen = b""
        while b"?" not in seen:
            seen += os.read(outer, 4096)
        os.close(outer)
        assert process.wait(20) == 129


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_pipe_that_nobody_reads_does_not_change_the_end(name: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", AT_A_TERMINAL],
        stdin=subprocess.DEVNULL,
        stdout=writing if name == "stdout" else subprocess.DEVNULL,
        stderr=writing if name == "stderr" else subprocess.DEVNULL,
        cwd=ROOT,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 129


def test_without_streams_nobody_is_asked_and_nothing_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    console = Console()
    assert not console.interactive
    assert not console.ask("?")
    with console.lent():
        console.say("text")
        console.result("text")


def test_a_terminals_late_answers_are_not_typed_into_the_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outer, inner = pty.openpty()
    with open(inner) as stdin:  # noqa: PTH123  # a descriptor has no path
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(outer, b"\033[12;34R\n")
        assert select.select([inner], [], [], 5)[0] == [inner]
        Console().forget_input()
        assert select.select([inner], [], [], 0)[0] == []
    os.close(outer)


def test_a_person_sits_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch), monkeypatch.context() as patched:
        assert Console().interactive
        patched.setattr(sys, "stdout", io.StringIO())
        assert not Console().interactive


def test_what_is_no_terminal_is_left_alone(
    console: Console, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert not console.interactive
    with console.lent():
        pass
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
