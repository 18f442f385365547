"""Ground: the networks of a plan, and single containers of it with the plan's very flags."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bottle.core import plan as planning
from bottle.core.manifest import parse
from bottle.core.members import Host
from bottle.core.parts import ContainerPlan
from bottle.core.plan import API_HOST, Plan
from bottle.core.slot import SLOTS, Slot
from bottle.engine.docker import DockerEngine
from bottle.engine.port import Attached, Completed, SubnetTaken
from bottle.provision import images
from tests.support import bottles, plans

PAGE = "example.com"
NAMES = (API_HOST, PAGE)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Networks of a plan that nothing runs on yet."""

    engine: DockerEngine
    plan: Plan

    @contextmanager
    def running(self, container: ContainerPlan) -> Iterator[Attached]:
        """Start one container of the plan, held by our pipe; remove it at the end."""
        self.engine.create_container(container)
        pipe = self.engine.start(container.name)
        try:
            yield pipe
        finally:
            self.engine.remove([container.name], [])
            pipe.end()

    @property
    def neighbour(self) -> ContainerPlan:
        """Give an idle container with Python beside the stand-in, in the sidecar's place."""
        place = self.plan.sidecar.attachments[0]
        return replace(
            self.plan.sidecar,
            name=f"cb-{self.plan.session}-neighbour",
            image=self.plan.images["standin"],
            command=("tini", "--", "sleep", "3600"),
            attachments=(place,),
        )

    def execute(
        self, container: ContainerPlan, uid: int, *command: str, stdin: bytes = b""
    ) -> Completed:
        """Run a command in a running container as a user."""
        return self.engine.execute(
            container.name, command, user=f"{uid}:{uid}", stdin=stdin, seconds=60
        )


@contextmanager
def ground(runtime: str = "runc") -> Iterator[Ground]:
    """Make the networks of a shell's bottle with a stand-in, in any free slot."""
    engine = bottles.need(runtime)
    session = secrets.token_hex(6)
    found = images.present(engine)
    content = json.dumps(plans.manifest(adapter="shell", runtime=runtime)).encode()
    for number in random.sample(range(SLOTS), SLOTS):
        host = Host(session=session, owner="tests", slot=Slot(number=number), images=found)
        plan = planning.compile(parse(content), "default", host, standin_names=NAMES)
        try:
            engine.create_network(plan.inside)
            engine.create_network(plan.outside)
        except SubnetTaken:
            engine.remove([], [network.name for network in plan.networks])
            continue
        break
    else:
        raise AssertionError("no slot is free")
    try:
        yield Ground(engine=engine, plan=plan)
    finally:
        engine.remove([], [network.name for network in plan.networks])


def last_words(pipe: Attached, seconds: float = 10) -> tuple[int, list[str], str]:
    """Wait for a container's end by itself; give its code, its remaining lines, its errors."""
    lines = []
    while (line := pipe.line(seconds)) is not None:
        lines.append(line)
    code = pipe.wait(seconds)
    deadline = time.monotonic() + 1
    while not pipe.errors() and time.monotonic() < deadline:
        time.sleep(0.01)
    return code, lines, pipe.errors()
