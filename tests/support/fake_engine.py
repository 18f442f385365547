"""Fake engine: keeps its world in memory, and has trouble exactly where a test says so."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bottle.core.members import LABEL, OWNER_LABEL
from bottle.core.parts import ContainerPlan, NetworkPlan
from bottle.engine.port import (
    Completed,
    Engine,
    EngineFacts,
    ImageFacts,
    Labelled,
    SubnetTaken,
)
from bottle.errors import TimeLimit, Unavailable
from bottle.provision import recipes

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
FACTS = EngineFacts(
    version="0",
    architecture="amd64",
    runtimes={"runc": "runc"},
    data_root="/",
    desktop=False,
    cpus=2,
    memory=8 << 30,
)

Answer = Callable[[bytes], Iterable[str]]
Notice = Callable[[str], None]


def _nothing(_: str) -> None:
    pass


def _silent(_: bytes) -> Iterable[str]:
    return ()


class FakePipe:
    """A pipe whose other end says the given lines, and more in answer to what is sent."""

    def __init__(
        self,
        lines: Iterable[str] = (),
        *,
        answer: Answer = _silent,
        notice: Notice = _nothing,
        on_close: Callable[[], None] = lambda: None,
        code: int | None = None,
        said: str = "",
    ) -> None:
        self._lines = deque(lines)
        self._changed = threading.Condition()
        self.on_send, self._notice, self._on_close = answer, notice, on_close
        self._code, self._said = code, said
        self.sent: list[bytes] = []
        self.lines_asked_for = 0
        self.closed = self.over = self.ended = False

    def send(self, text: bytes) -> None:
        self._notice("send")
        if self.over:
            raise Unavailable(f"the container ended: {self._said}")
        self.sent.append(text)
        self.say(*self.on_send(text))

    def say(self, *lines: str) -> None:
        """Say more lines."""
        with self._changed:
            self._lines.extend(lines)
            self._changed.notify_all()

    def line(self, seconds: float) -> str | None:
        self._notice("line")
        self.lines_asked_for += 1
        with self._changed:
            done = self._changed.wait_for(lambda: self._lines or self._is_over, seconds)
            if not done:
                raise TimeLimit(f"no line came within {seconds:g} s")
            return self._lines.popleft() if self._lines else None

    @property
    def _is_over(self) -> bool:
        return self.over or self._code is not None

    def errors(self) -> str:
        return self._said

    def wait(self, seconds: float) -> int:
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_over, seconds):
                raise TimeLimit(f"it did not end within {seconds:g} s")
        return self._code or 0

    def close(self) -> None:
        self.closed = True
        self.stop()
        self._on_close()

    def end(self) -> None:
        self.close()
        self.ended = True

    def stop(self) -> None:
        """End, as when the container is removed."""
        with self._changed:
            self.over = True
            self._changed.notify_all()


@dataclass
class FakeEngine:
    """An engine without Docker; every change of it is noticed, in order, by name.

    `before` and `after` hear of each operation of a start, and may raise; looking at what is there
    and removing it are not told to them.
    """

    images: dict[str, ImageFacts] = field(default_factory=dict)
    information: EngineFacts = FACTS
    before: Notice = _nothing
    after: Notice = _nothing
    taken: set[str] = field(default_factory=set)
    """Subnets that the engine refuses although nobody listed them."""
    known_subnets: tuple[str, ...] = ()
    mute: frozenset[str] = frozenset()
    """Roles that never answer."""
    lag: int = 0
    """How many removals of containers the engine forgets."""
    things: dict[str, Labelled] = field(default_factory=dict)
    pipes: list[FakePipe] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the last command that got the terminal."""
    agent: Callable[[Callable[[], None]], int] = lambda _: 0
    """What a command does that gets the terminal: it may call `meanwhile`."""
    spoken: Callable[[], FakePipe] = lambda: FakePipe(code=0)
    """What a command says that is streamed."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """What a role says to what it is sent, instead of what it should say."""
    on_remove: Callable[[], None] = lambda: None
    pipe_of: dict[str, FakePipe] = field(default_factory=dict)
    """The pipe of each container that is there."""
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def have_images(self, *, base: str = "sha256:base") -> FakeEngine:
        """Have every image as its recipe says."""
        for recipe in recipes.RECIPES:
            digest = recipes.digest(recipe, base=base, architecture="amd64")
            self.images[recipe.reference] = ImageFacts(
                reference=recipe.reference,
                identity=f"sha256:{recipe.name:0>64}",
                labels=recipes.labels(digest, base),
            )
        return self

    def facts(self) -> EngineFacts:
        return self.information

    def image(self, reference: str) -> ImageFacts | None:
        return self.images.get(reference)

    def pull(self, reference: str, seconds: float) -> str:  # noqa: ARG002  # the protocol
        raise AssertionError(f"a session pulls nothing: {reference}")

    def import_image(self, archive: Path, reference: str, changes: Sequence[str]) -> None:
        raise AssertionError(f"a session imports nothing: {archive} {reference} {changes}")

    def build(
        self,
        context: Path,  # noqa: ARG002  # the protocol
        reference: str,
        *,
        arguments: Mapping[str, str],  # noqa: ARG002
        labels: Mapping[str, str],  # noqa: ARG002
        fresh: bool,  # noqa: ARG002
        network: bool = False,  # noqa: ARG002
    ) -> None:
        raise AssertionError(f"a session builds nothing: {reference}")

    def saved(self, reference: str) -> AbstractContextManager[IO[bytes]]:
        raise AssertionError(f"a session reads no image: {reference}")

    def tagged(self, label: str) -> tuple[str, ...]:
        raise AssertionError(f"a session looks for no images: {label}")

    def remove_image(self, reference: str) -> None:
        raise AssertionError(f"a session removes no image: {reference}")

    def run_once(
        self,
        image: str,
        command: Sequence[str],
        *,
        flags: Sequence[str],  # noqa: ARG002  # the protocol
        stdin: bytes = b"",  # noqa: ARG002
        seconds: float = 60,  # noqa: ARG002
    ) -> Completed:
        raise AssertionError(f"a session has no use for this: {image} {command}")

    def create_network(self, plan: NetworkPlan) -> None:
        kind = plan.name.rpartition("-")[2]
        self.note(f"network {kind}")
        if plan.subnet in self.taken:
            raise SubnetTaken(plan.subnet)
        self._make("network", plan.name, plan.labels)
        self.after(f"network {kind}")

    def create_container(self, plan: ContainerPlan) -> None:
        self.note(f"create {plan.role}")
        for attachment in plan.attachments:
            if attachment.network not in self.things:
                raise Unavailable(f"no network {attachment.network}")
        self._make("container", plan.name, plan.labels)
        self.after(f"create {plan.role}")

    def start(self, name: str) -> FakePipe:
        role = name.rpartition("-")[2]
        self.note(f"start {role}")
        if name not in self.things:
            raise Unavailable(f"no container {name}")
        answer = _silent if role in self.mute else {**_ANSWERS, **self.answers}[role]
        pipe = self._pipe(name, FakePipe(answer=answer, notice=self._notice_of(role)))
        self.after(f"start {role}")
        return pipe

    def start_once(self, image: str, command: Sequence[str], flags: Sequence[str]) -> FakePipe:
        self.note("start watch")
        labels = dict(flag[8:].split("=", 1) for flag in flags if flag.startswith("--label="))
        name = next(flag[7:] for flag in flags if flag.startswith("--name="))
        self.commands.append((image, *command))
        self._make("container", name, labels)
        pipe = self._pipe(name, FakePipe(on_close=lambda: self._gone(name)))
        self.after("start watch")
        return pipe

    def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str,
        stdin: bytes,  # noqa: ARG002  # the protocol
        seconds: float,  # noqa: ARG002
    ) -> Completed:
        self.note("execute")
        self.commands.append((name, user, *command))
        return Completed(code=0, output=b"{}", errors=b"")

    def stream(self, name: str, command: Sequence[str], *, user: str) -> FakePipe:
        self.note("stream")
        self.commands.append((name, user, *command))
        pipe = self.spoken()
        self.pipes.append(pipe)
        return pipe

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
        self.note("interact")
        self.commands.append((name, user, "terminal" if terminal else "pipes", *command))
        self.environment = environment
        return self.agent(meanwhile)

    def inspect_container(self, name: str) -> Mapping[str, object]:
        self.note("inspect")
        return {"Name": f"/{name}"}

    def inspect_network(self, name: str) -> Mapping[str, object]:
        self.note("inspect")
        return {"Name": name}

    def subnets(self) -> tuple[str, ...]:
        return self.known_subnets

    def labelled(self, session: str = "") -> tuple[Labelled, ...]:
        with self._guard:
            return tuple(t for t in self.things.values() if session in ("", t.session))

    def remove(
        self, containers: Sequence[str], networks: Sequence[str], volumes: Sequence[str] = ()
    ) -> None:
        self.on_remove()
        with self._guard:
            if containers and self.lag:
                self.lag -= 1
                return
            for name in (*containers, *networks, *volumes):
                self._gone(name)

    def note(self, what: str) -> None:
        """Take note that this is about to be done."""
        with self._guard:
            self.calls.append(what)
        self.before(what)

    def _notice_of(self, role: str) -> Notice:
        return lambda what: self.note(f"{what} {role}")

    def _make(self, kind: str, name: str, labels: Mapping[str, str]) -> None:
        with self._guard:
            self.things[name] = Labelled(
                kind=kind, name=name, session=labels[LABEL], owner=labels[OWNER_LABEL]
            )

    def _pipe(self, name: str, pipe: FakePipe) -> FakePipe:
        with self._guard:
            self.pipes.append(pipe)
            self.pipe_of[name] = pipe
        return pipe

    def _gone(self, name: str) -> None:
        with self._guard:
            if self.things.pop(name, None):
                self.removed.append(name)
            if name in self.pipe_of:
                self.pipe_of.pop(name).stop()


def _ready(_: bytes) -> Iterable[str]:
    return (json.dumps({"event": "ready", "ca": CERTIFICATE}),)


_ANSWERS: Mapping[str, Answer] = {
    "agent": lambda _: ("ready",),
    "sidecar": _ready,
    "standin": _ready,
}

_: Engine = FakeEngine()  # mypy judges it


def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)
