"""The Engine on Docker: python-on-whales makes images, the rest goes through the command line.

Not sayable in python-on-whales: internal networks, stdin for a command, attached pipes, time
limits. And a start does without its import, which takes longer than all that it would ask.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, cast

from bottle.core.flags import container_arguments, network_arguments
from bottle.core.members import LABEL, OWNER_LABEL
from bottle.core.parts import ContainerPlan, NetworkPlan
from bottle.engine.port import Completed, EngineFacts, ImageFacts, Labelled, SubnetTaken
from bottle.engine.process import Pipe, hand_over, last_lines
from bottle.errors import BottleError, TimeLimit, Unavailable

if TYPE_CHECKING:
    from python_on_whales import DockerClient

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_QUICK: Final = 60.0
_FIELDS: Final = f'{{{{.ID}}}}\t{{{{.Label "{LABEL}"}}}}\t{{{{.Label "{OWNER_LABEL}"}}}}'
_LISTINGS: Final = {
    "container": (("ps", "--all"), _FIELDS.replace("ID", "Names", 1)),
    "network": (("network", "ls"), _FIELDS.replace("ID", "Name", 1)),
    "volume": (("volume", "ls"), _FIELDS.replace("ID", "Name", 1)),
}
_DETACH_KEYS: Final = "--detach-keys=ctrl-^,ctrl-]"
"""Docker's own, ctrl-p ctrl-q, would swallow ctrl-p and leave the agent running."""


class DockerEngine:
    """Implements the Engine protocol; see bottle.engine.port for what each operation promises."""

    @cached_property
    def _docker(self) -> tuple[str, ...]:
        found = shutil.which("docker")
        if found is None:
            raise Unavailable("there is no docker command here", _START_ENGINE)
        return (found,)

    def facts(self) -> EngineFacts:
        system = json.loads(self._checked(["system", "info", "--format={{json .}}"]).output)
        if system.get("ServerErrors") or not system.get("ServerVersion"):
            told = " ".join(map(str, system.get("ServerErrors") or ()))
            raise Unavailable(f"the Docker engine does not answer: {told}", _START_ENGINE)
        architecture = str(system["Architecture"])
        name = str(system.get("OperatingSystem", ""))
        runtimes: Mapping[str, Mapping[str, Any]] = system.get("Runtimes") or {}
        return EngineFacts(
            version=str(system["ServerVersion"]),
            architecture=_ARCHITECTURES.get(architecture, architecture),
            runtimes={name: str(runtime.get("path", "")) for name, runtime in runtimes.items()},
            data_root=str(system.get("DockerRootDir", "")),
            desktop="Docker Desktop" in name,
            cpus=int(system.get("NCPU") or 0),
            memory=int(system.get("MemTotal") or 0),
        )

    def image(self, reference: str) -> ImageFacts | None:
        done = self._run(["image", "inspect", reference])
        if done.code and _NO_IMAGE.search(done.errors):
            return None
        if done.code:
            raise _failed(["image", "inspect"], done)
        (image,) = json.loads(done.output)
        config: Mapping[str, Any] = image["Config"] or {}
        return ImageFacts(
            reference=reference,
            identity=str(image["Id"]),
            labels=dict(config.get("Labels") or {}),
            layers=tuple((image.get("RootFS") or {}).get("Layers") or ()),
            config=config,
        )

    def pull(self, reference: str, seconds: float) -> str:
        self._checked(["pull", "--quiet", reference], seconds=seconds)
        digests = self._checked(
            ["image", "inspect", "--format", "{{json .RepoDigests}}", reference]
        ).output
        return str((json.loads(digests) or [""])[0])

    def import_image(self, archive: Path, reference: str, changes: Sequence[str]) -> None:
        with _making(reference) as client:
            client.image.import_(archive, tag=reference, changes=list(changes))

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
        remedy = _LOOK_AT_WORDS if network else _BUILD_ANEW
        mode = "default" if network else "none"
        with _making(reference, remedy) as client:
            if client.buildx.is_installed():
                client.buildx.build(
                    context,
                    load=True,
                    progress=False,
                    provenance=False,
                    build_args=dict(arguments),
                    labels=dict(labels),
                    cache=not fresh,
                    network=mode,
                    tags=[reference],
                )
                return
        words = ["build", "--quiet", f"--network={mode}", f"--tag={reference}"]
        words += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        words += [f"--label={name}={value}" for name, value in labels.items()]
        words += ["--no-cache"] if fresh else []
        # not sayable in python-on-whales: or a build that fails leaves its container behind
        done = self._run([*words, "--force-rm", str(context)], seconds=None)
        if done.code:
            raise _unmade(reference, last_lines(done.errors), remedy)

    @contextmanager
    def saved(self, reference: str) -> Iterator[IO[bytes]]:
        words = ["save", reference]
        with TemporaryFile() as errors, _reading([*self._docker, *words], errors) as process:
            yield cast("IO[bytes]", process.stdout)
            code = _end_of(process)
            errors.seek(0)
            if code:
                raise _failed(words, Completed(code=code, output=b"", errors=errors.read()))

    def tagged(self, label: str) -> tuple[str, ...]:
        listing = ["image", "ls", f"--filter=label={label}", "--format={{.Repository}}:{{.Tag}}"]
        names = self._checked(listing).output.decode().split()
        return tuple(name for name in names if "<none>" not in name)

    def remove_image(self, reference: str) -> None:
        self._run(["image", "rm", reference])

    def run_once(
        self,
        image: str,
        command: Sequence[str],
        *,
        flags: Sequence[str],
        stdin: bytes = b"",
        seconds: float = _QUICK,
    ) -> Completed:
        return self._run(_once(image, command, flags), stdin=stdin, seconds=seconds)

    def create_network(self, plan: NetworkPlan) -> None:
        done = self._run(["network", "create", *network_arguments(plan)])
        if done.code == 0:
            return
        if re.search(rb"overlap|address already in use", done.errors):
            raise SubnetTaken(plan.subnet)
        raise Unavailable(f"network {plan.name} was not made: {last_lines(done.errors)}")

    def create_container(self, plan: ContainerPlan) -> None:
        self._checked(["create", *container_arguments(plan)])
        for further in plan.attachments[1:]:
            self._checked(
                ["network", "connect", f"--ip={further.address}", further.network, plan.name]
            )

    def start(self, name: str) -> Pipe:
        return Pipe([*self._docker, "start", "--attach", "--interactive", name])

    def start_once(self, image: str, command: Sequence[str], flags: Sequence[str]) -> Pipe:
        return Pipe([*self._docker, *_once(image, command, flags)])

    def execute(
        self, name: str, command: Sequence[str], *, user: str, stdin: bytes, seconds: float
    ) -> Completed:
        words = ["exec", "--interactive", f"--user={user}", name, *command]
        return self._run(words, stdin=stdin, seconds=seconds)

    def stream(self, name: str, command: Sequence[str], *, user: str) -> Pipe:
        # not --interactive: it reads /dev/null, as `claude -p` waits three seconds on a silent pipe
        return Pipe([*self._docker, "exec", f"--user={user}", name, *command])

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
        words = ["exec", "--interactive", f"--user={user}", _DETACH_KEYS]
        words += ["--tty"] if terminal else []
        words += [f"--env={variable}={value}" for variable, value in environment.items()]
        return hand_over([*self._docker, *words, name, *command], meanwhile)

    def inspect_container(self, name: str) -> Mapping[str, object]:
        return self._inspect("container", name)

    def inspect_network(self, name: str) -> Mapping[str, object]:
        return self._inspect("network", name)

    def _inspect(self, kind: str, name: str) -> Mapping[str, object]:
        found = json.loads(self._checked([kind, "inspect", name]).output)
        return cast("Mapping[str, object]", found[0])

    def subnets(self) -> tuple[str, ...]:
        names = self._checked(["network", "ls", "--quiet"]).output.decode().split()
        done = self._run(["network", "inspect", *names])
        if done.code and not _GONE.search(done.errors):
            raise _failed(["network"], done)
        found: list[Any] = json.loads(done.output)  # without those that went meanwhile
        configurations = [c for network in found for c in network["IPAM"]["Config"] or []]
        return tuple(c["Subnet"] for c in configurations if "Subnet" in c)

    def labelled(self, session: str = "") -> tuple[Labelled, ...]:
        wanted = f"{LABEL}={session}" if session else LABEL
        found = []
        for kind, (words, fields) in _LISTINGS.items():
            listing = [*words, "--filter", f"label={wanted}", "--format", fields]
            for line in self._checked(listing).output.decode().splitlines():
                name, label, owner = line.split("\t")
                found.append(Labelled(kind=kind, name=name, session=label, owner=owner))
        return tuple(found)

    def remove(
        self, containers: Sequence[str], networks: Sequence[str], volumes: Sequence[str] = ()
    ) -> None:
        if containers:
            self._run(["rm", "--force", "--volumes", *containers])
        if networks:
            self._run(["network", "rm", *networks])
        if volumes:
            self._run(["volume", "rm", *volumes])

    def _checked(self, words: Sequence[str], *, seconds: float = _QUICK) -> Completed:
        done = self._run(words, seconds=seconds)
        if done.code:
            raise _failed(words, done)
        return done

    def _run(
        self, words: Sequence[str], *, stdin: bytes = b"", seconds: float | None = _QUICK
    ) -> Completed:
        try:
            done = subprocess.run(
                [*self._docker, *words],
                input=stdin,
                capture_output=True,
                timeout=seconds,
                check=False,
                start_new_session=True,  # ^C at the terminal is for us, not for what we wait for
            )
        except subprocess.TimeoutExpired:
            raise TimeLimit(
                f"docker {words[0]} took longer than {seconds:g} s", "look at the engine's load"
            ) from None
        return Completed(code=done.returncode, output=done.stdout, errors=done.stderr)


_BUILD_ANEW: Final = "run `invoke build --no-cache`"
_LOOK_AT_WORDS: Final = "look at what its Dockerfile says, and whether the network is there"
_START_ENGINE: Final = "start it, or run ./setup, which installs and starts one"
_NO_ENGINE: Final = re.compile(
    r"(?i)cannot connect to the docker daemon|permission denied while trying to connect"
    r"|failed to connect to the docker api|error during connect"
)


_NO_IMAGE: Final = re.compile(rb"(?i)no such image")
_GONE: Final = re.compile(rb"(?i)no such network|network \S+ not found")


def _once(image: str, command: Sequence[str], flags: Sequence[str]) -> list[str]:
    fixed = ["run", "--rm", "--interactive", "--pull=never", "--log-driver=none"]
    return [*fixed, *flags, image, *command]


def _failed(words: Sequence[str], done: Completed) -> BottleError:
    text = last_lines(done.errors)
    if _NO_ENGINE.search(text):
        return Unavailable(f"the Docker engine does not answer: {text}", _START_ENGINE)
    return Unavailable(f"docker {words[0]} failed: {text}")


@contextmanager
def _reading(words: Sequence[str], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a client whose output is read from its pipe; it has ended when the block has."""
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # as in _run
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Read what is left of a client's output, and give its exit code."""
    stream = cast("IO[bytes]", process.stdout)
    while stream.read(1 << 20):
        pass
    return process.wait()


@contextmanager
def _making(reference: str, remedy: str = _BUILD_ANEW) -> Iterator[DockerClient]:
    """Give python-on-whales; turn what it raises into Unavailable."""
    from python_on_whales import DockerClient
    from python_on_whales.exceptions import DockerException

    try:
        yield DockerClient()
    except DockerException as error:
        raise _unmade(reference, last_lines(error.stderr or str(error)), remedy) from None


def _unmade(reference: str, text: str, remedy: str) -> Unavailable:
    todo = _START_ENGINE if _NO_ENGINE.search(text) else remedy
    return Unavailable(f"image {reference} could not be made: {text}", todo)
