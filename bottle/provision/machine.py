"""Machine: the computer that is provisioned; every program run there goes through it."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from bottle.engine.port import Completed
from bottle.errors import TimeLimit, Unavailable

SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_OURS: Final = "CLAUDE_BOTTLE_"
_GRACE: Final = 5.0


class Machine(Protocol):
    """This computer: what it is, and how to run a program on it."""

    @property
    def system(self) -> str:
        """`Linux` or `Darwin`."""

    @property
    def root(self) -> bool:
        """Whether we are root."""

    @property
    def terminal(self) -> bool:
        """Whether a person can answer."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that we were started with."""

    def find(self, program: str) -> str | None:
        """Find a program on PATH or in the system's own folders."""

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""

    def read(self, path: str) -> str:
        """Give a file's text, empty when it is not there or not ours to read."""

    def running(self, program: str) -> tuple[int, ...]:
        """Give the process ids of a running program."""

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: bytes = b"",
        seconds: float = 60,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Completed:
        """Run a program to its end; raise Unavailable when it is missing, TimeLimit when late."""


def _at_terminal() -> bool:
    """A standard input that was closed before we began is None, and nobody can answer there."""
    return sys.stdin is not None and sys.stdin.isatty()


@dataclass(frozen=True)
class ThisMachine:
    """Implements Machine on the computer that we run on."""

    system: str = field(default_factory=platform.system)
    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    terminal: bool = field(default_factory=_at_terminal)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def find(self, program: str) -> str | None:
        return shutil.which(program, path=f"{self.environment.get('PATH', '')}:{SYSTEM_PATH}")

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def read(self, path: str) -> str:
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return ""

    def running(self, program: str) -> tuple[int, ...]:
        folders = Path("/proc").glob("[0-9]*")
        return tuple(int(f.name) for f in folders if self._runs(f, program))

    def _runs(self, folder: Path, program: str) -> bool:
        """A process that ended and was not waited for keeps its name but has no words."""
        named = self.read(f"{folder}/comm").strip() == program
        return named and bool(self.read(f"{folder}/cmdline"))

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: bytes = b"",
        seconds: float = 60,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Completed:
        given = without_ours(self.environment) if environment is None else environment
        program = self.find(words[0])
        if program is None:
            raise Unavailable(f"the program {words[0]} is missing")
        with subprocess.Popen(
            [program, *words[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(given),
            cwd=folder,
            start_new_session=not _may_prompt(words),  # ^C at the terminal is for us to pass on
        ) as process:
            try:
                output, errors = process.communicate(stdin, seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                raise TimeLimit(f"{words[0]} took longer than {seconds:g} s") from None
            except BaseException:
                _end(process)
                raise
        return Completed(code=process.returncode, output=output, errors=errors)


def _may_prompt(words: Sequence[str]) -> bool:
    """A sudo that may ask for a password needs the terminal that a new session takes away."""
    return words[0] == "sudo" and "--non-interactive" not in words


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, so that it can end what it started; after a while, insist."""
    with suppress(PermissionError):  # root's: it hears of it by sudo, or goes on to its end
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out our own variables, which may hold a secret: no program started here gets them."""
    return {name: value for name, value in environment.items() if not name.startswith(_OURS)}


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Give what a daemon may know of us: a path, a home, a language, proxies and CA folders.

    What the engine inherits, every container's shim inherits too, and keeps for weeks.
    """
    fixed = {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": environment.get("LANG", "C.UTF-8")}
    return fixed | {name: environment[name] for name in _KEPT if name in environment}


def as_root(machine: Machine, words: Sequence[str], keep: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the words that run a program as root: through sudo where we are not root.

    `keep` names variables that sudo passes on. Raise Unavailable where there is no sudo.
    """
    if machine.root:
        return tuple(words)
    if machine.find("sudo") is None:
        raise Unavailable(f"{words[0]} needs root, and there is no sudo here", "run this as root")
    flags = [] if machine.terminal else ["--non-interactive"]
    flags += [f"--preserve-env={','.join(keep)}"] if keep else []
    return ("sudo", *flags, *words)
