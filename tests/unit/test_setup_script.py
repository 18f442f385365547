"""./setup: makes the virtual environment once, announces what it installs, hands the words on.

Runs the real script in a checkout whose python3, apt-get, sudo and id are stand-ins that write
down how they were called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "CLAUDE_BOTTLE_OAUTH_TOKEN"
COPIED = (
    *("setup", "bottle/__init__.py", "bottle/errors.py", "bottle/provision/__init__.py"),
    *("bottle/provision/consent.py", "bottle/provision/progress.py"),
)

PYTHON = """#!/bin/sh
echo "python $* token=${CLAUDE_BOTTLE_OAUTH_TOKEN-none}" >>"$LOG"
case "$*" in
*version_info*) cat "$STATE/version"; exit "$(cat "$STATE/old")" ;;
*ensurepip*) test -f "$STATE/venv-there" ;;
*consent*) exec "$REAL_PYTHON" "$@" ;;
"-m venv "*)
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    cp "$STATE/invoke" "$3/bin/invoke"
    chmod +x "$3/bin/invoke" ;;
*) exit 0 ;;
esac
"""
INVOKE = """#!/bin/sh
echo "invoke $* in $PWD token=$CLAUDE_BOTTLE_OAUTH_TOKEN"
"""
APT = """#!/bin/sh
echo "apt-get $* token=${CLAUDE_BOTTLE_OAUTH_TOKEN-none}" >>"$LOG"
case "$*" in *install*) touch "$STATE/venv-there" ;; esac
case "$*" in *" python3 "*) ! test -f "$STATE/python3" || cp "$STATE/python3" "${0%/*}/" ;; esac
"""
NEEDED = ("cat", "chmod", "cksum", "cp", "dirname", "env", "mkdir", "rm", "sh", "tail", "touch")
SUDO = """#!/bin/sh
echo "sudo $*" >>"$LOG"
[ "$1" != --non-interactive ] || shift
exec "$@"
"""


class Checkout:
    """A copy of the script with its surroundings."""

    def __init__(self, root: Path) -> None:
        self.here = root / "check out"
        self.log = root / "log"
        self.state = root / "state"
        self.programs = root / "bin"
        self.path = f"{self.programs}:/usr/bin:/bin"
        self.elsewhere = root / "elsewhere"
        for folder in (self.state, self.programs, self.elsewhere):
            folder.mkdir(parents=True)
        for name in COPIED:
            (self.here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.here / name)
        (self.here / "requirements").mkdir()
        for name in ("runtime", "dev"):
            (self.here / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
        self.stand_in("python3", PYTHON)
        self.stand_in("apt-get", APT)
        self.stand_in("sudo", SUDO)
        self.account(0)
        (self.state / "invoke").write_text(INVOKE)
        (self.state / "version").write_text("3.11\n")
        (self.state / "old").write_text("0")
        (self.state / "venv-there").touch()
        self.log.touch()

    def stand_in(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def account(self, number: int) -> None:
        self.stand_in("id", f"#!/bin/sh\necho {number}\n")

    def without_python(self) -> None:
        """Have no Python, and an apt-get that can install one."""
        (self.programs / "python3").rename(self.state / "python3")
        self.path = str(self.programs)
        for name in NEEDED:
            (self.programs / name).symlink_to(shutil.which(name) or name)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": self.path,
            "LOG": str(self.log),
            "STATE": str(self.state),
            "REAL_PYTHON": sys.executable,
            VARIABLE: "canary",
        }

    def run(self, *words: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it from another folder; `typed` is what a person at a terminal answers."""
        master, slave = os.openpty() if typed is not None else (-1, -1)
        try:
            if typed is not None:
                os.write(master, typed.encode())
            return subprocess.run(
                [self.here / "setup", *words],
                stdin=subprocess.DEVNULL if typed is None else slave,
                capture_output=True,
                text=True,
                env=self.environment,
                cwd=self.elsewhere,
                timeout=20,
                check=False,
            )
        finally:
            for descriptor in (master, slave):
                if descriptor >= 0:
                    os.close(descriptor)

    def calls(self, part: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if part in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_hands_every_word_on_and_stays_in_the_persons_folder(checkout: Checkout) -> None:
    done = checkout.run("start", "--agent", "de mo", "--yes")
    words = f"-r {checkout.here} setup start --agent de mo --yes"
    assert done.stdout == f"invoke {words} in {checkout.elsewhere} token=canary\n"
    assert done.returncode == 0


def test_only_what_it_becomes_sees_the_token(checkout: Checkout) -> None:
    (checkout.state / "venv-there").unlink()
    checkout.run("test")
    lines = checkout.calls("token=")
    assert len(lines) > 5
    assert [line for line in lines if not line.endswith("token=none")] == []


def test_hashes_are_required(checkout: Checkout) -> None:
    checkout.run()
    (install,) = checkout.calls("pip install")
    for part in ("--require-hashes", "--only-binary :all:", "requirements/runtime.txt"):
        assert part in install


def test_the_second_run_asks_for_one_version_and_installs_nothing(checkout: Checkout) -> None:
    checkout.run()
    checkout.log.write_text("")
    assert checkout.run().stderr == ""
    assert len(checkout.calls("python")) == 1


def test_test_adds_the_development_packages_once(checkout: Checkout) -> None:
    checkout.run()
    checkout.run("test", "--unit")
    checkout.run("test")
    checkout.run()
    installed = [line.split("requirements/")[1].split()[0] for line in checkout.calls("install")]
    assert installed == ["runtime.txt", "dev.txt"]


@pytest.mark.parametrize("change", ["requirements", "python", "stamp", "invoke"])
def test_what_changed_or_broke_is_made_again(checkout: Checkout, change: str) -> None:
    checkout.run()
    if change == "requirements":
        (checkout.here / "requirements" / "runtime.txt").write_text("runtime==2\n")
    elif change == "python":
        (checkout.state / "version").write_text("3.13\n")
    elif change == "stamp":
        (checkout.here / ".venv" / "claude-bottle.stamp").write_text("")
    else:
        (checkout.here / ".venv" / "bin" / "python").unlink()
        (checkout.here / ".venv" / "bin" / "invoke").unlink()
    assert checkout.run().returncode == 0
    assert len(checkout.calls("pip install")) == 2


@pytest.mark.parametrize(
    ("account", "before", "announced"),
    [(0, "", "packages\n"), (1000, "sudo --non-interactive", "packages through sudo\n")],
)
def test_a_missing_venv_module_is_announced_and_installed(
    checkout: Checkout, account: int, before: str, announced: str
) -> None:
    (checkout.state / "venv-there").unlink()
    checkout.account(account)
    done = checkout.run()
    assert "setup is about to:\n  - install python3.11-venv from this system's " in done.stderr
    assert announced in done.stderr
    assert "install --yes --no-install-recommends python3.11-venv" in checkout.calls("apt-get")[-1]
    assert [line.startswith(before) for line in checkout.calls("sudo")] == [True, True] * bool(
        before
    )


def test_at_a_terminal_it_asks(checkout: Checkout) -> None:
    (checkout.state / "venv-there").unlink()
    done = checkout.run(typed="n\n")
    assert done.returncode == 77
    assert "Go on? [y/N]" in done.stderr
    assert checkout.calls("apt-get") == []
    assert checkout.run(typed="y\n").returncode == 0
    assert checkout.calls("apt-get") != []


def test_a_yes_anywhere_in_the_line_is_enough_at_a_terminal(checkout: Checkout) -> None:
    (checkout.state / "venv-there").unlink()
    done = checkout.run("start", "--agent", "demo", "--yes", typed="n\n")
    assert "Go on?" not in done.stderr
    assert checkout.calls("apt-get") != []


@pytest.mark.parametrize(
    ("account", "announced"), [(0, "packages\n"), (1000, "packages through sudo\n")]
)
def test_a_missing_python_is_announced_and_installed(
    checkout: Checkout, account: int, announced: str
) -> None:
    checkout.without_python()
    checkout.account(account)
    done = checkout.run("start")
    assert done.returncode == 0, done.stderr
    assert f"  - install python3 python3-venv from this system's {announced}" in done.stderr
    update, install = (c for c in checkout.calls("apt-get") if c.startswith("apt-get"))
    assert "update" in update
    assert "install --yes --no-install-recommends python3 python3-venv token=none" in install
    assert done.stdout.startswith("invoke ")


def test_at_a_terminal_it_asks_before_it_installs_python(checkout: Checkout) -> None:
    checkout.without_python()
    for words in ((), ("start", "--yes=no"), ("--args=-y",)):
        done = checkout.run(*words, typed="n\n")
        assert done.returncode == 77
        assert "Go on? [y/N]" in done.stderr
    assert checkout.calls("apt-get") == []
    assert checkout.run(typed="y\n").returncode == 0
    assert checkout.calls("apt-get") != []


@pytest.mark.parametrize("yes", ["--yes", "-y"])
def test_before_there_is_python_any_exact_word_is_a_yes(checkout: Checkout, yes: str) -> None:
    checkout.without_python()
    done = checkout.run("start", "--agent", "demo", yes, typed="n\n")
    assert done.returncode == 0, done.stderr
    assert "Go on?" not in done.stderr


def test_an_apt_that_has_no_python_ends_it(checkout: Checkout) -> None:
    checkout.without_python()
    (checkout.state / "python3").unlink()
    done = checkout.run()
    assert done.returncode == 69
    assert "no Python of version 3.11" in done.stderr


def test_without_a_fitting_python_it_says_what_to_install(checkout: Checkout) -> None:
    (checkout.state / "old").write_text("1")
    for minor in range(11, 15):
        checkout.stand_in(f"python3.{minor}", "#!/bin/sh\nexit 1\n")
    done = checkout.run()
    assert done.returncode == 69
    assert "apt-get install python3 python3-venv" in done.stderr
    assert checkout.calls("apt-get") == []  # its python3 is here and too old
