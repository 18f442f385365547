"""Tasks: each one parses, calls one function and renders; a failure gives its exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.config import Config
from invoke.context import MockContext
from invoke.exceptions import Exit
from invoke.program import Program
from invoke.runners import Result

import tasks
from bottle import errors
from bottle.core.secret import TOKEN
from bottle.engine.docker import DockerEngine
from bottle.engine.port import Labelled
from bottle.errors import BottleError, ManifestError, Problem
from bottle.provision import images
from bottle.provision import setup as provisioning
from bottle.session import lock, reaper, run
from bottle.session.run import Asked
from bottle.session.signals import Interrupted

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("python_on_whales", "pydantic", "rich", "json5", "platformdirs")


class Called:
    """Stands where a use case would: notes how it was called and does what a test says."""

    def __init__(self, result: Any = None, failure: BaseException | None = None) -> None:
        self.result, self.failure = result, failure
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *values: Any, **named: Any) -> Any:
        self.calls.append((values, named))
        if self.failure:
            raise self.failure
        return self.result


def invoke(*words: str) -> int:
    """Do as the command `invoke` with these words; give its exit code."""
    program = Program(namespace=Collection.from_module(tasks))
    try:
        program.run(["invoke", *words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


class TestStart:
    @pytest.fixture
    def called(self, monkeypatch: pytest.MonkeyPatch) -> Called:
        called = Called(result=0)
        monkeypatch.setattr(run, "start", called)
        return called

    def test_without_words_it_is_the_default_agent(self, called: Called) -> None:
        assert invoke("start") == 0
        (((engine, _, asked, _), named),) = called.calls
        assert isinstance(engine, DockerEngine)
        assert asked == Asked(agent="default")
        assert named == {}

    def test_every_word_arrives(self, called: Called) -> None:
        words = ("--agent", "a", "--manifest", "m", "--runtime", "runsc", "--yes")
        invoke("start", *words, "--args", "-c 'x y'")
        assert called.calls[0][0][2] == Asked(
            agent="a", manifest="m", runtime="runsc", args="-c 'x y'", yes=True
        )

    def test_the_agents_code_is_the_commands(self, called: Called) -> None:
        called.result = 42
        assert invoke("start") == 42

    def test_the_token_is_what_was_taken_at_the_door(
        self, called: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        value = object()
        monkeypatch.setattr(tasks, "_TOKEN", value)
        invoke("start")
        assert called.calls[0][0][3] is value


class TestReap:
    LEFT = (
        Labelled(kind="container", name="cb-1", session="s", owner="o"),
        Labelled(kind="network", name="cb-2", session="s", owner="o"),
    )

    @pytest.fixture
    def called(self, monkeypatch: pytest.MonkeyPatch) -> Called:
        called = Called(result=self.LEFT)
        monkeypatch.setattr(reaper, "reap", called)
        return called

    def test_it_names_what_it_removed(
        self, called: Called, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert invoke("reap") == 0
        assert capsys.readouterr().err.splitlines() == [
            "removed container cb-1",
            "removed network cb-2",
            "2 left-over things removed",
        ]
        (((engine, folder), _),) = called.calls
        assert isinstance(engine, DockerEngine)
        assert folder == lock.state_folder()

    @pytest.mark.usefixtures("called")
    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert invoke("reap", "--json") == 0
        assert json.loads(capsys.readouterr().out) == [
            {"kind": "container", "name": "cb-1"},
            {"kind": "network", "name": "cb-2"},
        ]


class TestBuild:
    @pytest.mark.parametrize(
        ("words", "named"),
        [
            ((), {"pull": False, "fresh": False}),
            (("--pull",), {"pull": True, "fresh": False}),
            (("--no-cache",), {"pull": False, "fresh": True}),
        ],
    )
    def test_its_words(
        self, words: tuple[str, ...], named: dict[str, bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called = Called()
        monkeypatch.setattr(images, "build", called)
        assert invoke("build", *words) == 0
        assert called.calls[0][1] == named

    @pytest.mark.parametrize(
        ("built", "said"), [((), "all images are up to date\n"), (("agent",), "")]
    )
    def test_that_there_was_nothing_to_do_is_said(
        self,
        built: tuple[str, ...],
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(images, "build", Called(result=built))
        assert invoke("build") == 0
        assert capsys.readouterr().err == said


class TestSetup:
    @pytest.mark.parametrize("gvisor", [False, True])
    def test_it_hears_the_whole_line(self, gvisor: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        called = Called()
        monkeypatch.setattr(provisioning, "provision", called)
        monkeypatch.setattr(sys, "argv", ["invoke", "setup", "start", "--yes"])
        assert invoke("setup", *(["--gvisor"] if gvisor else [])) == 0
        (((engine, _, words), named),) = called.calls
        assert engine is DockerEngine
        assert words == ["setup", "start", "--yes"]
        assert named == {"gvisor": gvisor}

    def test_a_yes_counts_wherever_it_stands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        called = Called()
        monkeypatch.setattr(provisioning, "provision", called)
        monkeypatch.setattr(sys, "argv", ["somebody's program"])
        invoke("setup", "--yes")
        assert called.calls[0][0][2] == ["--yes"]

    def test_it_goes_before_a_start_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started = Called(result=0)
        seen: list[int] = []
        look = lambda *_, **__: seen.append(len(started.calls))  # noqa: E731  # it is used once
        monkeypatch.setattr(provisioning, "provision", look)
        monkeypatch.setattr(run, "start", started)
        assert invoke("setup", "start", "--agent", "demo", "--yes") == 0
        assert seen == [0]
        assert started.calls[0][0][2] == Asked(agent="demo", yes=True)

    def test_when_it_fails_nothing_is_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started = Called()
        monkeypatch.setattr(provisioning, "provision", Called(failure=errors.Refused("no")))
        monkeypatch.setattr(run, "start", started)
        assert invoke("setup", "start") == 77
        assert started.calls == []


class TestTest:
    """The task `test`, with Invoke's own stand-in for running commands."""

    @pytest.mark.parametrize(
        ("named", "words"),
        [
            ({}, ""),
            ({"unit": True}, "tests/unit"),
            ({"unit": True, "property": True}, "tests/unit tests/property"),
            ({"integration": True, "long": True}, "tests/integration --long"),
            ({"isolation": True, "require_docker": True}, "tests/isolation --require-docker"),
            ({"require_docker": True}, "--require-docker"),
        ],
    )
    def test_it_runs_pytest_on_the_chosen_parts(self, named: dict[str, bool], words: str) -> None:
        context = mocked(Result())
        tasks.run_tests(context, **named)
        assert commands(context) == [f"{sys.executable} -m pytest {words}"]

    @pytest.mark.parametrize("code", [1, 2, 5])
    def test_its_code_is_pytests(self, code: int) -> None:
        with pytest.raises(Exit) as caught:
            tasks.run_tests(mocked(Result(exited=code)))
        assert caught.value.code == code


def mocked(result: Result) -> MockContext:
    return MockContext(Config(), run=result, repeat=True)


def commands(context: MockContext) -> list[str]:
    """Give what ran, without the folder that it ran in."""
    return [call.args[0] for call in context.run.mock_calls]  # type: ignore[attr-defined]


def failures() -> list[BottleError]:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, BottleError)]
    made = [k("it happened", "do this") for k in kinds if k is not ManifestError]
    problem = Problem(path="a.b", found="x", wanted="y")
    return [*made, ManifestError((problem,)), Interrupted(1), Interrupted(15)]


@pytest.mark.parametrize("failure", failures(), ids=lambda f: f"{type(f).__name__}-{f.code}")
@pytest.mark.parametrize("task", ["setup", "build", "start", "reap"])
def test_every_failure_is_text_and_its_code(
    task: str,
    failure: BottleError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module, name in ((provisioning, "provision"), (images, "build"), (run, "start")):
        monkeypatch.setattr(module, name, Called(failure=failure))
    monkeypatch.setattr(reaper, "reap", Called(failure=failure))
    assert invoke(task) == failure.code
    captured = capsys.readouterr()
    assert failure.happened in captured.err.splitlines()[0]
    assert failure.remedy in captured.err or isinstance(failure, errors.Refused)
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_interrupted_task_ends_as_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "reap", Called(failure=KeyboardInterrupt()))
    assert invoke("reap") == 130


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), "error: /x: Permission denied"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (OSError("odd"), "error: odd"),
    ],
)
@pytest.mark.parametrize("task", ["setup", "build", "start", "reap"])
def test_what_the_system_refuses_is_text_too(
    task: str,
    failure: OSError,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module, name in ((provisioning, "provision"), (images, "build"), (run, "start")):
        monkeypatch.setattr(module, name, Called(failure=failure))
    monkeypatch.setattr(reaper, "reap", Called(failure=failure))
    assert invoke(task) == 70
    first, remedy = capsys.readouterr().err.splitlines()
    assert first == said
    assert "disk" in remedy


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-"])
def test_a_closed_stream_is_no_place_for_a_file(closed: str) -> None:
    program = "import os, sys, tasks; sys.stderr.write(str(os.open(os.devnull, 0)))"
    program += "; sys.stdin.isatty(), sys.stdout.isatty(); os.execv('/bin/cat', ['cat'])"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.isdigit()
    assert int(done.stderr) > 2


def test_no_core_file_can_hold_the_token() -> None:
    limit = "import resource as r; hard = r.getrlimit(r.RLIMIT_CORE)[1]"
    program = f"{limit}; r.setrlimit(r.RLIMIT_CORE, (hard, hard))"
    program += "; import tasks; print(r.getrlimit(r.RLIMIT_CORE))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, 0)\n"


def afresh() -> ModuleType:
    """Read the file again: Invoke takes the explanations out of a task as it reads them."""
    spec = importlib.util.spec_from_file_location("tasks_afresh", ROOT / "tasks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_word_has_a_default_and_is_explained() -> None:
    """One without a default would be positional, and swallow `--help`."""
    contexts = Collection.from_module(afresh()).to_contexts()
    assert {str(context.name) for context in contexts} == {
        "build",
        "reap",
        "setup",
        "start",
        "test",
    }
    for context in contexts:
        assert context.positional_args == []
        assert [argument.name for argument in context.args.values() if not argument.help] == []


def test_the_list_is_quick_because_nothing_heavy_is_imported() -> None:
    program = f"import sys, tasks; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_token_leaves_the_environment_as_tasks_are_read() -> None:
    value = os.urandom(8).hex()
    program = "import tasks; import os; print(sorted(os.environ), tasks._TOKEN.reveal())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, TOKEN: value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert TOKEN not in done.stdout
    assert done.stdout.endswith(f"{value}\n")


@pytest.mark.parametrize(
    "words", [["strat"], ["start", "--nosuch"], ["start", "x"], ["start", "-a"]]
)
def test_words_that_mean_nothing_are_usage(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "-r", str(ROOT), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (64, "")
    assert len(done.stderr.splitlines()) == 1
