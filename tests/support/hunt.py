"""Hunt: looks for a token everywhere at once, beside a decoy that the same look has to find."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bottle.agents import placeholder
from bottle.engine.docker import DockerEngine
from bottle.provision import hostrule
from tests.support import launcher, search
from tests.support.search import Found, Hay


def canary() -> str:
    """Make a token that nobody has, of a token's shape."""
    return placeholder(secrets.token_hex(64))


@dataclass
class Hunt:
    """A token that must be nowhere and a decoy that lies about; both are looked for as one."""

    engine: DockerEngine
    folder: Path
    """A further folder to look into, the state of launchers."""
    token: str = field(default_factory=canary)
    decoy: str = field(default_factory=canary)
    since: float = field(default_factory=lambda: time.time() - 1)
    told: search.Events | None = None

    @property
    def needles(self) -> dict[str, str]:
        return {"token": self.token, "decoy": self.decoy}

    def look(self, *containers: str) -> Found:
        """Look everywhere on the host, and in the memory of these containers' processes."""
        ids = [str(self.engine.inspect_container(name)["Id"]) for name in containers]
        root = Path(self.engine.facts().data_root)
        hay = Hay(
            since=self.since,
            folders=[Path("/run"), Path("/tmp"), Path("/var/tmp"), self.folder],
            changed=[root, Path("/var/lib/containerd"), launcher.ROOT / "bottle"],
            memory=ids,
        )
        found = search.host_keeps(self.engine, self.needles, hay)
        for name, places in search.engine_tells(self.needles).items():
            found[name] += places
        return found

    def require_found(self, *looks: Found) -> None:
        """Demand that each look found the decoy in every kind of place, and the events as well."""
        root = self.engine.facts().data_root
        files = [f"file:{place}/" for place in (root, "/run", self.folder.resolve())]
        laid = ["inspect:container", "inspect:volume", "cmdline:", "environ:", *files]
        assert [lacks(found["decoy"], laid) for found in looks] == [[]] * len(looks)
        assert self.told is not None
        assert search.within(self.needles, self.told.text) == ["decoy"]


@contextmanager
def hunting(engine: DockerEngine, folder: Path) -> Iterator[Hunt]:
    """Lay the decoy out wherever a token could lie, and listen to the engine's events."""
    hunt = Hunt(engine=engine, folder=folder)
    (folder / "decoy").write_text(hunt.decoy)
    name = f"decoy-{secrets.token_hex(4)}"
    flags = ["--rm", "--detach", "--network=none", f"--name={name}", f"--label=decoy={hunt.decoy}"]
    words = [*flags, f"--env=DECOY={hunt.decoy}", "--entrypoint=sleep", hostrule.IMAGE, "300"]
    volume = ["docker", "volume", "create", f"--label=decoy={hunt.decoy}", name]
    with ExitStack() as stack:
        hunt.told = stack.enter_context(search.events())
        subprocess.run(["docker", "run", *words], check=True, capture_output=True)
        stack.callback(subprocess.run, ["docker", "rm", "-f", name], capture_output=True)
        subprocess.run(volume, check=True, capture_output=True)
        stack.callback(subprocess.run, ["docker", "volume", "rm", name], capture_output=True)
        argument = ["bash", "-c", "sleep 300; :", hunt.decoy]
        process = stack.enter_context(subprocess.Popen(argument))
        stack.callback(process.kill)
        yield hunt


def lacks(places: list[str], wanted: list[str]) -> list[str]:
    """Give the kinds of places that are not among these."""
    return [kind for kind in wanted if not any(place.startswith(kind) for place in places)]


LOOK_INSIDE: Final = r"""
import os

def main(request):
    needles = {name: text[::-1].encode() for name, text in request.items()}
    found = {name: [] for name in needles}
    for path in paths():
        try:
            with open(path, "rb") as file:
                content = file.read(64 << 20)
        except OSError:
            continue
        for name, needle in needles.items():
            if needle in content:
                found[name].append(path)
    return found

def paths():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid != str(os.getpid()):
            yield from (f"/proc/{pid}/{leaf}" for leaf in ("environ", "cmdline", "mounts"))
    for top in ("/run", "/home", "/tmp", "/var", "/workspace", "/etc", "/dev/shm", "/opt"):
        for where, _, leaves in os.walk(top):
            yield from filter(os.path.isfile, (os.path.join(where, leaf) for leaf in leaves))
"""
"""What the agent itself could read."""
