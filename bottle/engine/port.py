"""Engine: the port to Docker in our words; all that happens to containers goes through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from bottle.core.parts import ContainerPlan, NetworkPlan


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What the engine says of itself, read once."""

    version: str
    architecture: str
    """As in image manifests: `amd64` or `arm64`."""
    runtimes: Mapping[str, str]
    """Runtime name to the path of its program, as registered."""
    data_root: str
    desktop: bool
    """Docker Desktop: the engine lives in a virtual machine."""
    cpus: int
    memory: int
    """Bytes that the engine's machine has."""


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image that the engine has."""

    reference: str
    identity: str
    """`sha256:...` of the image's configuration."""
    labels: Mapping[str, str]
    layers: tuple[str, ...] = ()
    """`sha256:...` of each layer's plain content, the lowest first."""
    config: Mapping[str, object] = field(default_factory=dict)
    """The image's configuration as the engine reports it."""


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A finished command: exit code and what it wrote."""

    code: int
    output: bytes
    errors: bytes


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Something that carries our label."""

    kind: str
    """`container`, `network` or `volume`."""
    name: str
    session: str
    owner: str


class SubnetTaken(Exception):
    """The engine already has a network that overlaps the wanted subnet."""


class Attached(Protocol):
    """A started container whose PID 1 reads our pipe: closing it (or dying) ends the container."""

    def send(self, text: bytes) -> None:
        """Write to PID 1's stdin; raise BottleError when the container is gone."""

    def line(self, seconds: float) -> str | None:
        """Give the next line of its stdout; None at its end; raise TimeLimit after `seconds`."""

    def errors(self) -> str:
        """Give what it wrote to stderr so far, at most 8 KiB of it."""

    def wait(self, seconds: float) -> int:
        """Wait for its end and give the exit code; raise TimeLimit after `seconds`."""

    def close(self) -> None:
        """Let go of the pipe: PID 1 sees end of file."""

    def end(self) -> None:
        """Let go of the pipe and make sure that the client program has ended."""


class Engine(Protocol):
    """The operations that the use cases need; each raises Unavailable when the engine is not there.

    Names and values given here are never secrets: secrets travel by `Attached.send` and stdin only.
    """

    def facts(self) -> EngineFacts:
        """Read what the engine says of itself."""

    def image(self, reference: str) -> ImageFacts | None:
        """Look an image up locally; nothing is ever pulled."""

    def pull(self, reference: str, seconds: float) -> str:
        """Pull an image and give its repository digest; raise Unavailable after `seconds`."""

    def import_image(self, archive: Path, reference: str, changes: Sequence[str]) -> None:
        """Make an image of a root file system archive, with Dockerfile instructions applied."""

    def build(
        self,
        context: Path,
        reference: str,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        fresh: bool,
        network: bool = False,
    ) -> None:
        """Build a context, by buildx or the classic builder; `fresh`: no cache.

        Only with `network` its commands reach the engine's default network.
        """

    def saved(self, reference: str) -> AbstractContextManager[IO[bytes]]:
        """Give an image's archive as a stream; raise Unavailable at its end when it is not whole.

        Who leaves before the end of the archive need not read the rest.
        """

    def tagged(self, label: str) -> tuple[str, ...]:
        """List the names and tags of the images that carry a label, `NAME=VALUE`."""

    def remove_image(self, reference: str) -> None:
        """Take a name from an image, and remove one without names; in use or gone is no error."""

    def run_once(
        self,
        image: str,
        command: Sequence[str],
        *,
        flags: Sequence[str],
        stdin: bytes = b"",
        seconds: float = 60,
    ) -> Completed:
        """Run a one-shot container (`--rm`, never pulled) to its end with exactly these flags."""

    def create_network(self, plan: NetworkPlan) -> None:
        """Create a network; raise SubnetTaken when its subnet is in use."""

    def create_container(self, plan: ContainerPlan) -> None:
        """Create a container on all of its networks, not started."""

    def start(self, name: str) -> Attached:
        """Start a created container attached to our pipe."""

    def start_once(self, image: str, command: Sequence[str], flags: Sequence[str]) -> Attached:
        """Start a one-shot container attached to our pipe."""

    def execute(
        self, name: str, command: Sequence[str], *, user: str, stdin: bytes, seconds: float
    ) -> Completed:
        """Run a command in a running container, with `stdin` piped in."""

    def stream(self, name: str, command: Sequence[str], *, user: str) -> Attached:
        """Run a command in a running container and read its lines as they come."""

    def interact(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str,
        terminal: bool,
        environment: Mapping[str, str],
        meanwhile: Callable[[], None],
    ) -> int:
        """Hand this process's own terminal or pipes to a command inside; give its exit code.

        `meanwhile` is called ten times a second; what it raises ends our client and goes on.
        `environment` is visible to the engine: nothing secret belongs there.
        """

    def inspect_container(self, name: str) -> Mapping[str, object]:
        """Give everything the engine reports of a container."""

    def inspect_network(self, name: str) -> Mapping[str, object]:
        """Give everything the engine reports of a network."""

    def subnets(self) -> tuple[str, ...]:
        """List the subnets of all networks of the engine."""

    def labelled(self, session: str = "") -> tuple[Labelled, ...]:
        """List containers, networks and volumes with our label, of one session or of all."""

    def remove(
        self, containers: Sequence[str], networks: Sequence[str], volumes: Sequence[str] = ()
    ) -> None:
        """Remove these at once; what is not there is no error."""
