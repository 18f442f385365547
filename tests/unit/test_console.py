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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

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


@pytest.mark.parametrize("blank", ["\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"])
def test_letters_that_show_nothing_are_escaped(blank: str) -> None:
    """They are printable all the same, and would make two names look alike."""
    assert blank.isprintable()
    assert plain(f"a{blank}b") == f"a\\u{ord(blank):04x}b"
    assert plain("\u1161한 ⠃") == "\u1161한 ⠃"


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
    rows = "\n".join((text, "    deeper " + text, "x" * 300))
    lines = lines_at_a_terminal(monkeypatch, width, lambda console: console.row("label", rows))
    assert len(lines) > 6
    assert max(map(len, lines)) <= width
    assert all(line[:13].strip() in ("", "label") for line in lines)
    assert lines[0].startswith("  label      word word")
    assert "".join(lines).replace("label", "").replace(" ", "") == (
        "word" * 60 + "deeper" + "word" * 60 + "x" * 300
    )
    assert next(line for line in lines if "deeper" in line).index("deeper") == 17


SHOWN: Mapping[str, Callable[[Console, str], None]] = {
    "said": Console.say,
    "a result": Console.result,
    "results": lambda console, text: console.results([(text, "bold")]),
    "a failure": lambda console, text: console.failure(BottleError(text)),
    "a remedy": lambda console, text: console.failure(BottleError("it broke", text)),
    "a problem": lambda console, text: console.failure(
        ManifestError((Problem(path="a", found=text, wanted="b"),))
    ),
}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("word", ["word", "漢字", "xn--4ca"])
def test_at_a_terminal_all_long_lines_are_broken_between_words(
    monkeypatch: pytest.MonkeyPatch, name: str, word: str
) -> None:
    text = " ".join([word] * 60)
    lines = lines_at_a_terminal(monkeypatch, 80, lambda console: SHOWN[name](console, text))
    assert len(lines) > 2
    assert max(map(cell_len, lines)) < 80
    assert " ".join(lines).split().count(word) + " ".join(lines).count(f"{word},") == 60


@pytest.mark.parametrize("name", SHOWN)
def test_in_a_pipe_no_line_is_broken(
    console: Console, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text = "word " * 100 + "end"
    SHOWN[name](console, text)
    captured = capsys.readouterr()
    assert len([line for line in (captured.out + captured.err).splitlines() if text in line]) == 1


@pytest.mark.parametrize("text", [" " * 5000, " " * 5000 + "x" * 5000, "x " * 5000, "漢" * 5000])
def test_no_line_takes_more_room_than_it_is_long(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """One that begins with many blanks could fill the terminal with them."""
    lines = lines_at_a_terminal(monkeypatch, 80, lambda console: console.row("label", text))
    assert max(map(cell_len, lines)) <= 80
    assert len(lines) <= 400
    shown = "".join(lines).replace("label", "").replace(" ", "")
    assert shown == text.replace(" ", "")


def test_in_a_pipe_a_long_row_is_one_line(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.row("label", "word " * 100 + "end")
    assert len(capsys.readouterr().err.splitlines()) == 1


def lines_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, show: Callable[[Console], None]
) -> list[str]:
    """Show something at a terminal so wide; give the lines that came out of it."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    seen = bytearray()
    reader = threading.Thread(target=_drain, args=(outer, seen))
    reader.start()
    try:
        with (
            open(inner, "w") as stream,  # noqa: PTH123  # a descriptor has no path
            monkeypatch.context() as patched,
        ):
            patched.setattr(sys, "stdout", stream)
            patched.setattr(sys, "stderr", stream)
            patched.setenv("COLUMNS", str(width))
            patched.setenv("NO_COLOR", "1")
            patched.setenv("TERM", "xterm")
            show(Console())
    finally:
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
    assert capsys.readouterr().err == f"Start it{shown}\n"


@pytest.mark.parametrize(("typed", "after"), [("y\n", ""), ("n\n", ""), ("\n", ""), ("", "\n")])
def test_what_follows_a_question_stands_on_a_line_of_its_own(
    console: Console,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    after: str,
) -> None:
    """Who answers ends the line at the terminal; nobody else does."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    console.ask("Start it?")
    console.say("said")
    assert capsys.readouterr().err == f"Start it? [y/N] {after}said\n"


@pytest.mark.parametrize(
    ("before", "then", "default", "agreed"),
    [
        (b"y\n", b"n\n", False, False),
        (b"n\n", b"y\n", False, True),
        (b"y\n", b"\n", False, False),
        (b"\n", b"n\n", True, False),
        (b"n\n", b"\n", True, True),
        (b"n\nn\ny", b"y\n", False, True),
    ],
)
def test_what_was_typed_before_a_question_is_no_answer_to_it(
    monkeypatch: pytest.MonkeyPatch, before: bytes, then: bytes, default: bool, agreed: bool
) -> None:
    outer, inner = pty.openpty()
    forget = termios.tcflush

    def forgetting(number: int, queue: int) -> None:
        forget(number, queue)
        os.write(outer, then)

    with open(inner) as stdin:  # noqa: PTH123  # a descriptor has no path
        _silent(inner)
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(termios, "tcflush", forgetting)
        os.write(outer, before)
        assert select.select([inner], [], [], 5)[0] == [inner]
        assert Console().ask("Start it?", default=default) is agreed
    os.close(outer)


def _silent(inner: int) -> None:
    """Let a terminal show nothing of what is typed: nobody reads it."""
    changed = termios.tcgetattr(inner)
    changed[3] &= ~termios.ECHO
    termios.tcsetattr(inner, termios.TCSANOW, changed)


@pytest.mark.parametrize("default", [True, False])
def test_without_a_stream_nothing_is_agreed_to(
    console: Console, monkeypatch: pytest.MonkeyPatch, default: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert console.ask("Start it?", default=default) is False


def test_an_interrupted_question_is_a_no(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    stdin = SimpleNamespace(readline=interrupted, isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
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
    """Make a terminal our streams; give its inner end, and what came out of the outer."""
    outer, inner = pty.openpty()
    seen = bytearray()
    reader = threading.Thread(target=_drain, args=(outer, seen))
    reader.start()
    try:
        with (
            open(os.dup(inner)) as stdin,  # noqa: PTH123  # a descriptor has no path
            open(os.dup(inner), "w") as stdout,  # noqa: PTH123
            open(os.dup(inner), "w") as stderr,  # noqa: PTH123
            monkeypatch.context() as patched,
        ):
            patched.setattr(sys, "stdin", stdin)
            patched.setattr(sys, "stdout", stdout)
            patched.setattr(sys, "stderr", stderr)
            yield inner, seen
    finally:
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


class _Full(io.StringIO):
    """A stream whose disk has no room."""

    def __init__(self, failure: OSError, at: str) -> None:
        super().__init__()
        self._failure, self._at = failure, at

    def write(self, text: str) -> int:
        if self._at == "write":
            raise self._failure
        return super().write(text)

    def flush(self) -> None:
        if self._at == "flush":
            raise self._failure


RESULTS: Mapping[str, Callable[[Console], None]] = {
    "lines": lambda console: console.results([("text", "")]),
    "JSON": lambda console: console.result_json({"a": "text"}),
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_result_that_cannot_be_delivered_raises(
    monkeypatch: pytest.MonkeyPatch, name: str, at: str
) -> None:
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", _Full(full, at))
        with pytest.raises(OSError, match="No space"):
            RESULTS[name](Console())


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_reader_that_has_gone_wanted_no_more(
    monkeypatch: pytest.MonkeyPatch, name: str, at: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", _Full(BrokenPipeError(32, "Broken pipe"), at))
        RESULTS[name](Console())


def test_an_agents_lines_that_cannot_be_shown_do_not_end_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", _Full(OSError(28, "No space left on device"), "write"))
        Console().result("text")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_a_stream_cannot_write_is_escaped(
    monkeypatch: pytest.MonkeyPatch, name: str, encoding: str
) -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding, write_through=True)
    with monkeypatch.context() as patched:
        patched.setattr(sys, name, stream)
        console = Console()
        console.say("a → b")
        console.row("row", "a → b")
        console.result("a → b")
        console.results([("a → b", "")])
    shown = "a → b" if encoding == "utf-8" else "a \\u2192 b"
    lines = content.getvalue().decode(encoding).splitlines()
    assert [line[-len(shown) :] for line in lines] == [shown] * 2


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


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_person_sits_at_a_terminal(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A question that is shown elsewhere would be answered unseen."""
    with terminal(monkeypatch):
        assert Console().interactive
        with monkeypatch.context() as patched:
            patched.setattr(sys, name, io.StringIO())
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
