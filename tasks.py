"""The product's door: a task parses, calls one function and renders; failures give exit codes."""

from __future__ import annotations

import os
import resource
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.parser import parser
from invoke.tasks import task

from bottle.core import secret

if TYPE_CHECKING:
    from bottle.console import Console

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
def door() -> Iterator[Console]:
    """Give a console; show an expected failure as text and end with its code."""
    from bottle.console import Console
    from bottle.errors import BottleError

    console = Console()
    try:
        yield console
    except BottleError as error:
        console.failure(error)
        raise Exit(code=error.code) from None
    except KeyboardInterrupt:
        raise Exit(code=_INTERRUPTED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        failure = BottleError(f"{where}{error.strerror or error}", _LOOK_AT_DISK)
        console.failure(failure)
        raise Exit(code=failure.code) from None


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


@task(
    help={
        "agent": "an agent of the manifest, or demo",
        "manifest": "the manifest to use instead of ./claude-bottle.json",
        "runtime": "runc or runsc, instead of the bottle's own",
        "args": "further words for the agent's program, as in a shell",
        "yes": "agree to the preflight without being asked",
    }
)
def start(
    _: Context,
    agent: str = "default",
    manifest: str = "",
    runtime: str = "",
    args: str = "",
    yes: bool = False,
) -> None:
    """Start an agent in a bottle of its own; all of it is gone at the end."""
    with door() as console:
        from bottle.engine.docker import DockerEngine
        from bottle.session import run

        asked = run.Asked(agent=agent, manifest=manifest, runtime=runtime, args=args, yes=yes)
        code = run.start(DockerEngine(), console, asked, _TOKEN)
    if code:
        raise Exit(code=code)


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
