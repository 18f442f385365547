"""Tasks: each one parses, calls one function and renders; a failure gives its exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pytest
from invoke.collection import Collection
from invoke.config import Config
from invoke.context import MockContext
from invoke.exceptions import Exit
from invoke.program import Program
from invoke.runners import Result

import tasks
from bottle import errors
from bottle.core import language
from bottle.core.secret import TOKEN
from bottle.engine.docker import DockerEngine
from bottle.engine.port import Labelled
from bottle.errors import BottleError, ManifestError, Problem
from bottle.provision import images
from bottle.provision import setup as provisioning
from bottle.session import beginning, lock, manifests, reaper, run
from bottle.session.agreement import Answers
from bottle.session.findings import NotStartable
from bottle.session.run import Asked, Planned
from bottle.session.signals import Interrupted
from tests.support import require
from tests.support.launcher import INVOKE

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    *("python_on_whales", "pydantic", "rich", "json5", "platformdirs", "idna", "publicsuffixlist"),
    *("bottle.core.language", "bottle.core.manifest", "bottle.session"),
)
MANIFEST = '{bottles: {web: {}}, agents: {one: {bottle: "web"}, two: {bottle: "web"}}}'


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
            agent="a",
            manifest="m",
            runtime="runsc",
            args="-c 'x y'",
            answers=Answers(yes=True),
        )

    @pytest.mark.parametrize(
        ("word", "answers"),
        [
            ("--yes", Answers(yes=True)),
            ("--accept-new", Answers(new=True)),
            ("--accept-changes", Answers(changes=True)),
            ("--accept-dockerfile", Answers(dockerfile=True)),
        ],
    )
    def test_each_answer_is_one_word(self, called: Called, word: str, answers: Answers) -> None:
        invoke("start", word)
        assert called.calls[0][0][2] == Asked(agent="default", answers=answers)

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


class TestPlan:
    PLANNED = Planned(
        values={
            "digest": "0" * 64,
            "agent": {"name": "a", "adapter": "shell"},
            "bottle": {"name": "b"},
            "egress": {"allowlist": [{"host": "example.com", "source": "bottles.b"}]},
            "environment": {"TZ": {"source": "agents.a"}},
            "networks": [{"arguments": ["--internal", "a b"]}],
            "containers": [],
            "steps": [{"name": "first", "needs": []}, {"name": "second", "needs": ["first"]}],
        }
    )

    @pytest.fixture
    def called(self, monkeypatch: pytest.MonkeyPatch) -> Called:
        called = Called(result=self.PLANNED)
        monkeypatch.setattr(run, "plan", called)
        return called

    def test_every_word_arrives(self, called: Called) -> None:
        words = ("--agent", "a", "--manifest", "m", "--runtime", "runsc", "--args", "-c 'x y'")
        assert invoke("plan", *words) == 0
        (((engine, asked), named),) = called.calls
        assert isinstance(engine, DockerEngine)
        assert asked == Asked(agent="a", manifest="m", runtime="runsc", args="-c 'x y'")
        assert named == {}

    @pytest.mark.usefixtures("called")
    def test_as_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert invoke("plan") == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines() == [
            f"plan       {'0' * 64}",
            "agent      a (shell) in bottle b",
            "egress     example.com  (bottles.b)",
            "env        TZ  (agents.a)",
            "",
            "docker network create \\",
            "    --internal \\",
            "    'a b'",
            "",
            "step 1     first",
            "step 2     second   (after: first)",
        ]
        assert captured.err == ""

    @pytest.mark.usefixtures("called")
    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert invoke("plan", "--json") == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out) == self.PLANNED.values
        assert captured.err == ""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of our own, with a home and a configuration folder of our own."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return place


class TestCheck:
    @pytest.fixture(autouse=True)
    def manifest(self, here: Path) -> Path:
        path = here / manifests.FILE
        path.write_text(MANIFEST)
        return path

    @pytest.mark.parametrize(
        ("words", "agents"),
        [((), ["one", "two"]), (("--agent", "two"), ["two"]), (("--agent", "demo"), ["demo"])],
    )
    def test_all_agents_or_one(
        self, words: tuple[str, ...], agents: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert invoke("check", "--json", *words) == 0
        captured = capsys.readouterr()
        values = json.loads(captured.out)
        assert (list(values["agents"]), values["valid"]) == (agents, True)
        assert captured.err == ""

    def test_as_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert invoke("check") == 0
        captured = capsys.readouterr()
        assert captured.out.startswith("claude-bottle.json is valid: 1 bottle, 2 agents\n")
        assert captured.err == ""

    def test_a_named_one(
        self, here: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest.rename(here / "other.json")
        assert invoke("check", "--manifest", "other.json") == 0
        assert capsys.readouterr().out.startswith("other.json is valid")

    @pytest.mark.parametrize(
        ("text", "words", "code", "told"),
        [
            ("{bottles: {}}", (), 65, "agents"),
            ("{bottles", (), 65, "line 1"),
            ('{bottles: {web: {runtme: "runc"}}, agents: {}}', (), 65, "bottles.web.runtme"),
            (MANIFEST.replace('"web"}', '"web", skills: ["no"]}', 1), (), 65, "one.skills[0]"),
            (MANIFEST, ("--agent", "three"), 64, "three"),
            (MANIFEST, ("--manifest", "no.json"), 66, "no.json"),
        ],
    )
    def test_what_is_wrong_has_its_code_in_both_forms(
        self,
        manifest: Path,
        capsys: pytest.CaptureFixture[str],
        text: str,
        words: tuple[str, ...],
        code: int,
        told: str,
    ) -> None:
        manifest.write_text(text)
        assert invoke("check", *words) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert told in captured.err
        assert invoke("check", "--json", *words) == code
        captured = capsys.readouterr()
        assert captured.err == ""
        values = json.loads(captured.out)
        assert values["code"] == code
        assert told in json.dumps(values)
        assert values.get("valid", False) is False
        assert all(
            set(p) == {"path", "found", "wanted", "remedy"} for p in values.get("problems", ())
        )

    @pytest.mark.parametrize(("words", "code"), [((), 0), (("one",), 69), (("two",), 0)])
    @pytest.mark.parametrize("json_wanted", [False, True])
    def test_an_agent_that_cannot_be_started_is_told_and_has_its_code(
        self,
        manifest: Path,
        capsys: pytest.CaptureFixture[str],
        words: tuple[str, ...],
        code: int,
        json_wanted: bool,
    ) -> None:
        later = 'web: {egress: {proxy: "pipelock"}}, other: {}'
        manifest.write_text(
            MANIFEST.replace("web: {}", later).replace(
                'two: {bottle: "web"', 'two: {bottle: "other"'
            )
        )
        agents = [word for name in words for word in ("--agent", name)]
        assert invoke("check", *agents, *["--json"] * json_wanted) == code
        captured = capsys.readouterr()
        assert captured.err == ""
        if json_wanted:
            values = json.loads(captured.out)
            assert values["valid"]
            startable = {name: one["startable"] for name, one in values["agents"].items()}
            assert startable == {name: name == "two" for name in (words or ("one", "two"))}
        else:
            assert captured.out.startswith("claude-bottle.json is valid")
            assert ("error: bottles.web.egress.proxy" in captured.out) == (words != ("two",))

    def test_a_warning_is_no_error(
        self, manifest: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest.write_text(MANIFEST.replace("{}", '{egress: {allowlist: ["example.com:80"]}}', 1))
        assert invoke("check") == 0
        assert "warning: " in capsys.readouterr().out

    def test_no_engine_is_needed(self, here: Path) -> None:
        program = "import sys, tasks; from invoke.program import Program as P\n"
        program += "from invoke.collection import Collection as C\n"
        program += "P(namespace=C.from_module(tasks)).run(['invoke', 'check'], exit=False)\n"
        program += "print([m for m in ('bottle.engine.docker', 'docker') if m in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": "unix:///nonexistent"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "is valid" in done.stdout
        assert done.stdout.endswith("[]\n")


class TestInit:
    def test_what_it_writes_is_valid(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert invoke("init") == 0
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "wrote claude-bottle.json" in captured.err
        assert language.SCHEMA in (here / manifests.FILE).read_text()
        assert invoke("check") == 0

    @pytest.mark.parametrize("make", ["file", "folder", "link"])
    def test_it_never_overwrites(
        self, here: Path, make: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, other = here / manifests.FILE, here / "other"
        if make == "file":
            path.write_text("mine")
        elif make == "folder":
            path.mkdir()
        else:
            path.symlink_to(other)
        before = sorted(here.iterdir())
        assert invoke("init") == 64
        assert "is there already" in capsys.readouterr().err
        assert sorted(here.iterdir()) == before
        assert not path.is_file() or path.read_text() == "mine"


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("schema") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == language.schema()
    assert captured.err == ""


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
        assert started.calls[0][0][2] == Asked(agent="demo", answers=Answers(yes=True))

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
    more = [NotStartable("it happened", "do this"), Interrupted(1), Interrupted(15)]
    return [*made, ManifestError((problem,)), *more]


def fail(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """Let every use case end with this."""
    for module, name in USE_CASES:
        monkeypatch.setattr(module, name, Called(failure=failure))


USE_CASES: tuple[tuple[Any, str], ...] = (
    (provisioning, "provision"),
    (images, "build"),
    (run, "start"),
    (run, "plan"),
    (manifests, "find"),
    (beginning, "write"),
    (reaper, "reap"),
)
TASKS = ("setup", "build", "start", "plan", "check", "init", "reap")


@pytest.mark.parametrize("failure", failures(), ids=lambda f: f"{type(f).__name__}-{f.code}")
@pytest.mark.parametrize("task", TASKS)
def test_every_failure_is_text_and_its_code(
    task: str,
    failure: BottleError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail(monkeypatch, failure)
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
@pytest.mark.parametrize("task", TASKS)
def test_what_the_system_refuses_is_text_too(
    task: str,
    failure: OSError,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail(monkeypatch, failure)
    assert invoke(task) == 70
    first, remedy = capsys.readouterr().err.splitlines()
    assert first == said
    assert "disk" in remedy


@pytest.mark.parametrize("task", ["plan", "check"])
def test_for_json_what_the_system_refuses_is_json_too(
    task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, PermissionError(13, "Permission denied", "/x"))
    assert invoke(task, "--json") == 70
    captured = capsys.readouterr()
    assert captured.err == ""
    values = json.loads(captured.out)
    assert (values["error"], values["code"]) == ("/x: Permission denied", 70)
    assert "disk" in values["remedy"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("check",), 70, "error: No space left on device"),
        (("check", "--json"), 70, ""),
        (("schema",), 70, "error: No space left on device"),
        (("check", "--json", "--manifest", "no.json"), 66, ""),
    ],
)
def test_a_result_that_finds_no_room_is_a_failure(
    here: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    require.need(Path("/dev/full").exists(), "/dev/full")
    (here / manifests.FILE).write_text(MANIFEST)
    with Path("/dev/full").open("w") as full:
        done = run_invoke(here, words, full)
    assert done.returncode == code
    assert done.stderr.partition("\n")[0] == told
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("check",), ("check", "--json"), ("schema",)])
def test_a_reader_that_goes_is_none(here: Path, words: tuple[str, ...]) -> None:
    (here / manifests.FILE).write_text(MANIFEST)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:  # noqa: PTH123  # a descriptor has no path
        done = run_invoke(here, words, gone)
    assert (done.returncode, done.stderr) == (0, "")


def run_invoke(
    here: Path, words: tuple[str, ...], output: IO[str]
) -> subprocess.CompletedProcess[str]:
    """Run the very command, with its results written there."""
    return subprocess.run(
        [*INVOKE, *words], cwd=here, stdout=output, stderr=subprocess.PIPE, text=True, check=False
    )


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
        "check",
        "init",
        "plan",
        "reap",
        "schema",
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
