"""Leaky: a container of the agent's image with every wall missing, where every probe gets out."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bottle.engine.docker import DockerEngine
from bottle.engine.port import Completed
from tests.support import sinks
from tests.support.bottles import answer, script
from tests.support.sinks import LABEL, Place

IMAGE: Final = "claude-bottle/agent:current"
NUMBER: Final = 4
"""Its place on the network; the holder of its network namespace takes the addresses."""
_UNSAFE: Final = (
    "--user=0:0",
    "--cap-add=NET_RAW",
    "--cap-add=NET_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--entrypoint=cat",
)


@dataclass(frozen=True, kw_only=True)
class Leaky:
    """A running one; programs run in it as in a bottle, without the agent's door."""

    engine: DockerEngine
    name: str
    address: str
    address6: str

    def run(self, *command: str, stdin: bytes = b"", user: str = "0:0") -> Completed:
        return self.engine.execute(self.name, command, user=user, stdin=stdin, seconds=60)

    def python(self, program: str, request: object, user: str = "0:0") -> Any:
        """Run a program that defines `main(request)`; give what that returns."""
        return answer(self.run("python3", "-I", "-", stdin=script(program, request), user=user))


@contextlib.contextmanager
def unsafe_bottle(
    engine: DockerEngine, runtime: str, where: Place, resolver: str, number: int = NUMBER
) -> Iterator[Leaky]:
    """Run one on a place, in a network namespace prepared under runc: IPv6 and a resolver."""
    with sinks.sink(engine, where, number, resolver=resolver) as holder:
        flags = [*_UNSAFE, f"--runtime={runtime}", f"--network=container:{holder.name}"]
        with unsafe_container(engine, flags) as name:
            address, address6 = holder.addresses
            found = Leaky(engine=engine, name=name, address=address, address6=address6)
            if runtime == "runsc":  # the engine's own resolver does not answer there
                found.run("sh", "-c", f"echo nameserver {resolver} >/etc/resolv.conf")
            yield found


@contextlib.contextmanager
def unsafe_container(engine: DockerEngine, flags: Sequence[str]) -> Iterator[str]:
    """Run the agent's image with these flags until its stdin ends; give its name."""
    name = f"leaky-{secrets.token_hex(4)}"
    pipe = engine.start_once(IMAGE, [], [f"--label={LABEL}", f"--name={name}", *flags])
    try:
        pipe.send(b"begun\n")
        assert pipe.line(20) == "begun", pipe.errors()
        yield name
    finally:
        pipe.end()
        engine.remove([name], [])
