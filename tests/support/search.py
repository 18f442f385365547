"""Search: looks for texts in all that a host keeps: processes, memory, files, the engine's own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle.engine.docker import DockerEngine
from bottle.provision import hostrule

_FLAGS: Final = (
    "--cap-add=SYS_PTRACE",
    "--cap-add=DAC_READ_SEARCH",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--pid=host",
    "--network=none",
    "--runtime=runc",
    "--user=0:0",
    "--entrypoint=python3",
    "--volume=/:/host:ro",
)
"""Root of the host, reading: what it does not find, nobody on this machine does."""
_KINDS: Final = ("container", "network", "image", "volume")
_LARGEST: Final = 64 * 1024 * 1024

Found = dict[str, list[str]]
"""Name of a needle to the places where it was found, each `kind:where`."""


@dataclass(frozen=True, kw_only=True)
class Hay:
    """Where to look: whole folders, folders as far as they changed, containers' memory."""

    since: float
    folders: Sequence[Path] = ()
    changed: Sequence[Path] = ()
    memory: Sequence[str] = ()
    """Ids of containers."""


@dataclass
class Events:
    """Everything that the engine told to whoever listens."""

    text: str = ""


@contextmanager
def events() -> Iterator[Events]:
    """Listen to the engine's events meanwhile; they are there after the end."""
    told = Events()
    command = ["docker", "events", "--format", "{{json .}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listening:
        try:
            time.sleep(0.3)
            yield told
        finally:
            time.sleep(0.3)
            listening.terminate()
            told.text = listening.stdout.read() if listening.stdout else ""


def engine_tells(needles: Mapping[str, str]) -> Found:
    """Look in what the engine reports of everything that it has."""
    found: Found = {name: [] for name in needles}
    for kind in _KINDS:
        for name in within(needles, _inspected(kind)):
            found[name].append(f"inspect:{kind}")
    return found


def within(needles: Mapping[str, str], text: str) -> list[str]:
    """Name the needles that a text holds."""
    return [name for name, needle in needles.items() if needle in text]


def _inspected(kind: str) -> str:
    listing = ["docker", kind, "ls", "--quiet"] + ["--all"] * (kind in ("container", "image"))
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
    if not names:
        return ""
    command = ["docker", kind, "inspect", *dict.fromkeys(names)]
    # one that ended meanwhile is no error
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def host_keeps(engine: DockerEngine, needles: Mapping[str, str], hay: Hay) -> Found:
    """Look in every process, in files and in memory, as root of the host."""
    request = {
        # reversed: the search must not find itself
        "needles": {name: needle[::-1] for name, needle in needles.items()},
        "folders": [str(path.resolve()) for path in hay.folders],
        "changed": [str(path.resolve()) for path in hay.changed],
        "since": hay.since,
        "memory": list(hay.memory),
        "largest": _LARGEST,
    }
    done = engine.run_once(
        hostrule.IMAGE,
        ["-I", "-c", PROGRAM],
        flags=_FLAGS,
        stdin=json.dumps(request).encode(),
        seconds=120,
    )
    assert done.code == 0, done.errors.decode(errors="replace")[-2000:]
    found: Found = json.loads(done.output)
    return found


PROGRAM: Final = r'''
import json, os, stat, sys

request = json.loads(sys.stdin.read())
needles = {name: text[::-1].encode() for name, text in request["needles"].items()}
longest = max(map(len, needles.values()))
found = {name: set() for name in needles}
PAGE, WINDOW = 4096, 512


def look(place, content):
    for name, needle in needles.items():
        if needle in content:
            found[name].add(place)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def files(folder, since):
    top = "/host" + folder
    if not os.path.isdir(top):
        return
    device = os.stat(top).st_dev
    for where, names, leaves in os.walk(top):
        names[:] = [n for n in names if device_of(os.path.join(where, n)) == device]
        for path in (os.path.join(where, leaf) for leaf in leaves):
            try:
                status = os.lstat(path)
            except OSError:
                continue
            plain = stat.S_ISREG(status.st_mode) and status.st_size <= request["largest"]
            if plain and status.st_ctime >= since:
                look("file:" + path[5:], read(path))


def device_of(path):
    try:
        return os.lstat(path).st_dev
    except OSError:
        return -1


def process(pid):
    name = read(f"/proc/{pid}/comm").decode(errors="replace").strip()
    look(f"cmdline:{pid}:{name}", read(f"/proc/{pid}/cmdline"))
    look(f"environ:{pid}:{name}", read(f"/proc/{pid}/environ"))
    cgroups = read(f"/proc/{pid}/cgroup").decode(errors="replace")
    if any(identity in cgroups for identity in request["memory"]):
        memory(pid, name)


def memory(pid, name):
    """Look at every page that is there, of what can be written to."""
    maps = [line.split() for line in read(f"/proc/{pid}/maps").decode().splitlines()]
    try:
        pages = open(f"/proc/{pid}/mem", "rb", 0)
        there = open(f"/proc/{pid}/pagemap", "rb", 0)
        for row in maps:
            if row[1].startswith("rw"):
                start, end = (int(part, 16) for part in row[0].split("-"))
                region(pages, there, start, end, f"memory:{pid}:{name}")
    except OSError:
        return


def region(pages, there, start, end, place):
    step = PAGE * WINDOW
    for big in range(start, end, step * 64):
        count = (min(big + step * 64, end) - big) // PAGE
        there.seek(big // PAGE * 8)
        present = there.read(count * 8)[7::8]
        if not present.strip(b"\0"):
            continue
        for index in range(0, count, WINDOW):
            if present[index : index + WINDOW].strip(b"\0"):
                size = min(step, end - big - index * PAGE)
                overlap = min(longest, end - big - index * PAGE - size)
                look(place, piece(pages, big + index * PAGE, size + overlap))


def piece(pages, at, size):
    try:
        pages.seek(at)
        return pages.read(size)
    except OSError:
        return b""


for pid in (p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()):
    process(pid)
for folder in request["folders"]:
    files(folder, 0)
for folder in request["changed"]:
    files(folder, request["since"])
print(json.dumps({name: sorted(places) for name, places in found.items()}))
'''
