"""Start: how long a bottle takes from the command to its first output and to nothing left.

Every number is a ratio to a plain `docker run` of the same image in the same run, because times
of different runs and machines cannot be compared. Run with `.venv/bin/python benchmarks/start.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
INVOKE: Final = Path(sys.executable).parent / "invoke"
IMAGE: Final = "claude-bottle/agent:current"
PLAIN: Final = ("docker", "run", "--rm", "--network=none", "--entrypoint=echo", IMAGE, "hello")
Times = tuple[float, float]


def measured(command: Sequence[str]) -> Times:
    """Give seconds to the first byte of output and to the end; raise when it fails."""
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        spoke = time.monotonic() - began if process.stdout and process.stdout.read(1) else 0
        _, errors = process.communicate()
    if not spoke or process.returncode:
        raise RuntimeError(errors.decode())
    return spoke, time.monotonic() - began


def bottle(folder: Path, runtime: str) -> Sequence[str]:
    """Give the command of a bottle that says hello."""
    manifest = folder / f"{runtime}.json"  # its own: a yes to gVisor is none to runc
    agents = {"shell": {"bottle": "default", "adapter": "shell"}}
    manifest.write_text(json.dumps({"bottles": {"default": {}}, "agents": agents}))
    words = ("--agent=shell", f"--manifest={manifest}", f"--runtime={runtime}", "--yes")
    return (str(INVOKE), "-r", str(ROOT), "start", *words, "--args=-c 'echo hello'")


def together(command: Sequence[str], count: int) -> float:
    """Give seconds until `count` of them, started at once, have all ended."""
    began = time.monotonic()
    quiet = subprocess.DEVNULL
    running = [subprocess.Popen(command, stdout=quiet, stderr=quiet) for _ in range(count)]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError("one of them failed")
    return time.monotonic() - began


def rounds(kinds: dict[str, Sequence[str]], count: int) -> dict[str, list[Times]]:
    """Measure every kind in turn, so that a noisy moment meets all of them."""
    taken: dict[str, list[Times]] = {name: [] for name in kinds}
    for _ in range(count):
        for name, command in kinds.items():
            taken[name].append(measured(command))
    return taken


def row(name: str, values: Sequence[float]) -> str:
    """Give a line of the table."""
    return f"{name:<24}" + "".join(f"{value:>14.2f}" for value in values)


def show(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--together", type=int, default=10)
    parser.add_argument("--runtimes", nargs="+", default=["runc", "runsc"])
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = {r: bottle(Path(folder), r) for r in wanted.runtimes}
        taken = rounds({"docker run": PLAIN, **kinds}, wanted.rounds)
        many = {n: together(c, wanted.together) for n, c in {"docker run": PLAIN, **kinds}.items()}
    at_once = f"{wanted.together} at once"
    show(f"{'of docker run':<24}{'first output':>14}{'all gone':>14}{at_once:>14}")
    medians = {
        name: [statistics.median(t[i] for t in times) for i in (0, 1)] + [many[name]]
        for name, times in taken.items()
    }
    for name, values in medians.items():
        show(row(name, [v / p for v, p in zip(values, medians["docker run"], strict=True)]))
    show(row("docker run, seconds", medians["docker run"]))


if __name__ == "__main__":
    main()
