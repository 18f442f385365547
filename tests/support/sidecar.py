"""Sidecar: the real egress sidecar alone, between two internal networks of a test's own."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.support import require, upstream, wire
from tests.support.wire import Case, Outcome

IMAGE = "claude-bottle/sidecar:current"
COMMAND = ("tini", "--", "/opt/sidecar/start")
UID = 60100
HARDENED = (
    "--interactive",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    f"--user={UID}:{UID}",
    f"--tmpfs=/run/sidecar:rw,noexec,nosuid,nodev,size=8m,mode=0700,uid={UID},gid={UID}",
    "--sysctl=net.ipv4.ip_forward=0",
    "--log-driver=none",
    "--memory=512m",
    "--memory-swap=512m",
    "--pids-limit=256",
)
_INTERNAL = {
    "internal": True,
    "options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
}


def need_image() -> None:
    """Skip, or fail with --require-docker, when engine or image are missing."""
    try:
        found: Any = docker.from_env().images.list(IMAGE)
    except docker.errors.DockerException:
        found = None
    require.need(found, f"a Docker engine with the image {IMAGE} (./setup builds it)")


@dataclass
class Lines:
    """Lines of a process as they come, each parsed, with the time of its arrival."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def follow(self, stream: Any) -> None:
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.seen.append({"at": time.monotonic(), **json.loads(line)})

    def between(self, began: float, ended: float) -> list[dict[str, Any]]:
        return [line for line in self.seen if began <= line["at"] < ended]

    def wait(self, wanted: str, seconds: float = 10) -> dict[str, Any]:
        """Wait for a line of this event."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.seen:
                if line["event"] == wanted:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line {wanted!r} within {seconds:g} s, but {self.seen}")


class Running:
    """One sidecar container; only this process holds its stdin."""

    def __init__(self, networks: Sequence[str], words: Sequence[str], dns: str) -> None:
        self.name = f"test-sidecar-{secrets.token_hex(4)}"
        flags = [*HARDENED, f"--name={self.name}", f"--network={networks[0]}", f"--dns={dns}"]
        create = ["docker", "create", *flags, f"--entrypoint={words[0]}", IMAGE, *words[1:]]
        _docker(create[1:])
        for network in networks[1:]:
            _docker(["network", "connect", network, self.name])
        self.process = subprocess.Popen(
            ["docker", "start", "-ai", self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines = Lines()
        self.lines.follow(self.process.stdout)

    def address(self, network: str) -> str:
        """Give its address on a network, once it runs."""
        for _ in range(200):
            place = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
            if found := _docker(["inspect", "-f", place, self.name]).strip():
                return found
            time.sleep(0.02)
        raise AssertionError("the sidecar did not start")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def remove(self) -> None:
        _docker(["rm", "--force", self.name])
        self.close()
        self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def _docker(words: Sequence[str]) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(kw_only=True)
class Stage:
    """Two networks; a client on `inside`, a server that counts contacts on `outside`."""

    inside: str
    outside: str
    client: str
    upstream: str
    upstream_address: str
    upstream_ca: str

    def configuration(self, listen: str, **changed: Any) -> dict[str, Any]:
        """Give a valid configuration for a sidecar that listens at `listen`."""
        return {
            "version": 1,
            "listen": listen,
            "port": 8080,
            "allowlist": [],
            "pins": {},
            "upstream_ca": self.upstream_ca,
            "credentials": [],
            **changed,
        }

    @contextmanager
    def sidecar(
        self, words: Sequence[str] = COMMAND, **changed: Any
    ) -> Iterator[tuple[Running, Talk]]:
        """Run a configured sidecar until it says that it listens."""
        running = Running([self.outside, self.inside], words, self.upstream_address)
        try:
            listen = running.address(self.inside)
            running.tell(json.dumps(self.configuration(listen, **changed)))
            certificate = running.lines.wait("ready")["ca"]
            yield running, Talk(self, running, listen, certificate)
        finally:
            running.remove()

    def heard(self) -> list[dict[str, Any]]:
        """Ask the server what reached it."""
        done = _docker(["exec", self.upstream, "cat", "/tmp/heard"])
        return [json.loads(line) for line in done.splitlines()]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One case from all three sides."""

    outcome: Outcome
    lines: tuple[dict[str, Any], ...]
    """The sidecar's."""
    heard: tuple[dict[str, Any], ...]
    """The server's."""

    @property
    def contacts(self) -> int:
        return sum(entry["kind"] == "contact" for entry in self.heard)

    @property
    def queries(self) -> list[str]:
        return [entry["name"] for entry in self.heard if entry["kind"] == "query"]

    @property
    def denials(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("allowed") is False]

    @property
    def answer(self) -> str:
        return self.outcome.answers[-1] if self.outcome.answers else ""


class Talk:
    """Has conversations with a sidecar, from the client's container."""

    def __init__(self, stage: Stage, running: Running, listen: str, certificate: str) -> None:
        self._stage = stage
        self._running = running
        self.listen = listen
        self.certificate = certificate

    def run(self, cases: Sequence[Case], pause: float = 0.03) -> Mapping[str, Seen]:
        """Run cases in one process, one after the other, and put the three sides together."""
        client = self.start(cases, pause)
        answer, errors = client.communicate()
        assert client.returncode == 0, errors
        outcomes = [Outcome(**members) for members in json.loads(answer)]
        time.sleep(0.1)
        heard = self._stage.heard()
        ends = [*(outcome.began for outcome in outcomes[1:]), time.monotonic()]
        return {
            outcome.name: Seen(
                outcome=outcome,
                lines=tuple(self._running.lines.between(outcome.began, end)),
                heard=tuple(e for e in heard if outcome.began <= e["time"] < end),
            )
            for outcome, end in zip(outcomes, ends, strict=True)
        }

    def start(self, cases: Sequence[Case], pause: float = 0.03) -> subprocess.Popen[bytes]:
        """Begin conversations without waiting for their end."""
        asked = {
            "proxy": self.listen,
            "port": 8080,
            "authority": self.certificate,
            "cases": [asdict(case) for case in cases],
            "pause": pause,
        }
        program = wire.source() + f"\nASKED = {json.dumps(json.dumps(asked))}\nmain(ASKED)\n"
        client = subprocess.Popen(
            ["docker", "exec", "-i", self._stage.client, "python3", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert client.stdin is not None
        client.stdin.write(program.encode())
        client.stdin.close()
        client.stdin = None
        return client


@contextmanager
def stage(names: Sequence[str], table: Mapping[str, list[str]]) -> Iterator[Stage]:
    """Set up the networks and the two containers beside the sidecar."""
    need_image()
    with ExitStack() as stack:
        inside = stack.enter_context(Network(docker_network_kw=_INTERNAL))
        outside = stack.enter_context(Network(docker_network_kw=_INTERNAL))
        asked = {"names": list(names), "ports": [443, 22, 2525, 8443], "table": dict(table)}
        program = ["python3", "-c", upstream.source(), json.dumps(asked)]
        server = stack.enter_context(
            _beside(outside, program).waiting_for(LogMessageWaitStrategy('{"ca"'))
        )
        client = stack.enter_context(_beside(inside, ["sleep", "3600"]))
        found = server.get_wrapped_container()
        found.reload()
        yield Stage(
            inside=inside.name,
            outside=outside.name,
            client=client.get_wrapped_container().name,
            upstream=found.name,
            upstream_address=found.attrs["NetworkSettings"]["Networks"][outside.name]["IPAddress"],
            upstream_ca=json.loads(found.logs().splitlines()[0])["ca"],
        )


def _beside(network: Network, command: list[str]) -> DockerContainer:
    container = DockerContainer(IMAGE).with_network(network).with_command(command)
    return container.with_tmpfs_mount("/tmp", "rw,mode=1777").with_kwargs(
        entrypoint=["tini", "--"],
        user="60200:60200",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        sysctls={"net.ipv4.ip_forward": "0"},
    )


def in_image(program: str, *arguments: str) -> str:
    """Run a program with the image's Python and the sidecar's modules, without any network."""
    start = "import sys; sys.path[:0] = ['/opt/sidecar', '/opt/sidecar/site']\n"
    words = ["docker", "run", "--rm", "--network=none", *HARDENED[1:-1]]
    words += ["--entrypoint=python3", IMAGE, "-IS", "-c", start + program, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout
