"""The product's door: a task parses, calls one function and renders; failures give exit codes."""

from __future__ import annotations

import os
import resource
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.parser import parser
from invoke.tasks import task

from bottle.core import secret

if TYPE_CHECKING:
    from bottle.console import Console
    from bottle.errors import BottleError

_HERE = Path(__file__).resolve().parent
_TOKEN = secret.take(os.environ)
"""Taken out of the environment before any task can start a process."""
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # or a core file could hold it
_USAGE = 64
_INTERRUPTED = 130
_LOOK_AT_DISK = "see that the disk has room, and that you may write there"


def _fill_streams() -> None:
    """Open /dev/null where we were started without a stream: else the next file takes its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115  # open as long as we run
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


_fill_streams()


class UnknownWords(ParseError, Exit):
    """Words of the command line that are no task and no flag; Invoke itself would end with 1."""

    def __init__(self, msg: str, context: object = None) -> None:
        self.args = (msg,)
        self.context = context  # type: ignore[assignment]  # a type that Invoke does not export
        self.message, self._code = None, _USAGE


parser.ParseError = UnknownWords  # type: ignore[attr-defined]  # there is no setting


@contextmanager
def door(*, json: bool = False) -> Iterator[Console]:
    """Give a console; show an expected failure, as text or as JSON, and end with its code."""
    from bottle.console import Console
    from bottle.errors import BottleError

    console = Console()
    try:
        yield console
    except BottleError as error:
        raise _failed(console, error, json=json) from None
    except KeyboardInterrupt:
        raise Exit(code=_INTERRUPTED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        failure = BottleError(f"{where}{error.strerror or error}", _LOOK_AT_DISK)
        raise _failed(console, failure, json=json) from None


def _failed(console: Console, error: BottleError, *, json: bool) -> Exit:
    """Show a failure; give what ends the task with its code."""
    if json:
        with suppress(OSError):  # which may be the very failure
            console.result_json(error.values())
    else:
        console.failure(error)
    return Exit(code=error.code)


@task(
    help={
        "gvisor": "also obtain, register and try gVisor's runsc",
        "yes": "agree to what is announced; counts anywhere in the line",
    }
)
def setup(_: Context, gvisor: bool = False, yes: bool = False) -> None:
    """Find or install an engine, set the host rule, build the images."""
    with door() as console:
        from bottle.engine.docker import DockerEngine
        from bottle.provision import setup as provisioning

        words = [*sys.argv[1:], *(["--yes"] if yes else [])]
        provisioning.provision(DockerEngine, console, words, gvisor=gvisor)


@task(
    help={
        "pull": "renew the base image first",
        "no-cache": "build everything anew",
    }
)
def build(_: Context, pull: bool = False, no_cache: bool = False) -> None:
    """Build the images that changed."""
    with door() as console:
        from bottle.engine.docker import DockerEngine
        from bottle.provision import images

        if not images.build(DockerEngine(), console, pull=pull, fresh=no_cache):
            console.say("all images are up to date")


_AGENT = "an agent of the manifest, or demo"
_MANIFEST = "the manifest to use instead of ./claude-bottle.json and your own"
_RUNTIME = "runc or runsc, instead of the bottle's own"
_ARGS = "further words for the agent's program, as in a shell"


@task(
    help={
        "agent": _AGENT,
        "manifest": _MANIFEST,
        "runtime": _RUNTIME,
        "args": _ARGS,
        "yes": "agree to the preflight without being asked",
        "accept-new": "beside --yes: also to this folder's manifest, new on this machine",
        "accept-changes": "beside --yes: also to a plan that may do more than when you said yes",
        "accept-dockerfile": "also to the build of the manifest's Dockerfile",
    }
)
def start(
    _: Context,
    agent: str = "default",
    manifest: str = "",
    runtime: str = "",
    args: str = "",
    yes: bool = False,
    accept_new: bool = False,
    accept_changes: bool = False,
    accept_dockerfile: bool = False,
) -> None:
    """Start an agent in a bottle of its own; all of it is gone at the end."""
    with door() as console:
        from bottle.engine.docker import DockerEngine
        from bottle.session import run
        from bottle.session.agreement import Answers

        answers = Answers(
            yes=yes, new=accept_new, changes=accept_changes, dockerfile=accept_dockerfile
        )
        asked = run.Asked(
            agent=agent, manifest=manifest, runtime=runtime, args=args, answers=answers
        )
        code = run.start(DockerEngine(), console, asked, _TOKEN)
    if code:
        raise Exit(code=code)


@task(
    help={
        "agent": _AGENT,
        "manifest": _MANIFEST,
        "runtime": _RUNTIME,
        "args": _ARGS,
        "json": "print all of it as JSON",
    }
)
def plan(
    _: Context,
    agent: str = "default",
    manifest: str = "",
    runtime: str = "",
    args: str = "",
    json: bool = False,
) -> None:
    """Print what a start would make: every network, container and flag."""
    with door(json=json) as console:
        from bottle.engine.docker import DockerEngine
        from bottle.session import run

        asked = run.Asked(agent=agent, manifest=manifest, runtime=runtime, args=args)
        planned = run.plan(DockerEngine(), asked)
        if json:
            console.result_json(planned.values)
        else:
            console.results((line, "") for line in planned.lines())


@task(
    help={
        "agent": "only this one; without it, all of them",
        "manifest": _MANIFEST,
        "json": "print the result as JSON",
    }
)
def check(_: Context, agent: str = "", manifest: str = "", json: bool = False) -> None:
    """Check a manifest and all that it names; nothing is started."""
    with door(json=json) as console:
        from bottle.session import check as checking
        from bottle.session import findings, manifests

        found = manifests.find(manifest, agent)
        checked = checking.check(found, (agent,) if agent else ())
        if json:
            console.result_json(checking.as_values(found, checked))
        else:
            console.results(checking.lines(found, checked))
    if agent and findings.errors(checked[0].findings):
        raise Exit(code=findings.NotStartable.code)


@task
def init(_: Context) -> None:
    """Write a manifest for this folder: its git remotes and package files are looked at."""
    with door() as console:
        from bottle.core.language import SCHEMA
        from bottle.session import beginning, manifests

        path = beginning.write(Path.cwd(), (manifests.SHIPPED / SCHEMA).as_uri())
        console.say(f"wrote {path.name}; read it, then: invoke check, invoke start")


@task
def schema(_: Context) -> None:
    """Print the JSON Schema of a manifest."""
    with door() as console:
        from bottle.core import language

        console.result_json(language.schema())


@task(help={"json": "print what was removed as JSON"})
def reap(_: Context, json: bool = False) -> None:
    """Remove what dead sessions left; live bottles are not touched."""
    with door() as console:
        from bottle.engine.docker import DockerEngine
        from bottle.session import lock, reaper

        left = reaper.reap(DockerEngine(), lock.state_folder())
        if json:
            console.result_json([{"kind": t.kind, "name": t.name} for t in left])
            return
        for thing in left:
            console.say(f"removed {thing.kind} {thing.name}")
        console.say(f"{len(left)} left-over things removed")


_PARTS = ("unit", "property", "integration", "isolation", "regressions")


@task(
    name="test",
    help={
        "unit": "only tests/unit",
        "property": "only tests/property",
        "integration": "only tests/integration",
        "isolation": "only tests/isolation",
        "long": "many more generated examples",
        "require-docker": "a missing engine, runtime or image fails the run",
    },
)
def run_tests(
    c: Context,
    unit: bool = False,
    property: bool = False,  # noqa: A002  # the flag's name
    integration: bool = False,
    isolation: bool = False,
    long: bool = False,
    require_docker: bool = False,
) -> None:
    """Run the tests; without a choice, all of them."""
    chosen = dict(zip(_PARTS, (unit, property, integration, isolation, False), strict=True))
    words = [f"tests/{part}" for part, wanted in chosen.items() if wanted]
    words += ["--long"] * long
    words += ["--require-docker"] * require_docker
    with c.cd(str(_HERE)):
        done = c.run(f"{shlex.quote(sys.executable)} -m pytest {' '.join(words)}", warn=True)
    if done is None or done.return_code:
        raise Exit(code=1 if done is None else done.return_code)
