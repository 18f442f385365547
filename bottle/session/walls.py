"""Walls: the proof, before the agent's first process, that the running bottle is its plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

from bottle import probes
from bottle.core import interior, posture
from bottle.core.members import PROXY_PORT
from bottle.core.parts import ContainerPlan
from bottle.core.plan import Plan
from bottle.core.posture import Difference
from bottle.engine.port import Attached, Engine
from bottle.errors import Unavailable, WallDiffers
from bottle.provision import gvisor, hostrule

_UNLISTED: Final = "unlisted.invalid"
_DENIED: Final = re.compile(r"^x-claude-bottle: *denied", re.IGNORECASE | re.MULTILINE)
_STATUS: Final = re.compile(r"HTTP/1\.[01] (\d{3})")
_PATIENCE: Final = 20.0
_PYTHON: Final = ("/usr/bin/python3", "-IS", "-")
"""The image's own, without what packages of a bottle's own image would have it load (`-S`)."""
_ENTER: Final = "/opt/bottle/enter"

Observed = Mapping[str, Any]


def _source(probe: str) -> str:
    """Give the text of a probe; it runs elsewhere and is not imported here."""
    return (Path(probes.__file__).parent / f"{probe}.py").read_text()


class Watch:
    """A one-shot container in the engine's network namespace that hears what reaches the host."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self._pipe: Attached = engine.start_once(
            plan.images["hostrule"],
            ["-c", _source("watch"), plan.inside.bridge],
            _watch_flags(plan),
        )

    def listening(self) -> Observed:
        """Give its ports and the host rule as nft lists it."""
        return self._next()

    def seen(self) -> Observed:
        """End it, and give what it saw on the wire and what its sockets heard."""
        self._pipe.send(b"now\n")
        return self._next()

    def end(self) -> None:
        self._pipe.end()

    def _next(self) -> Observed:
        line = self._pipe.line(_PATIENCE)
        if line is None:
            raise Unavailable(f"the watch on the host rule ended: {self._pipe.errors()}")
        observed: Observed = json.loads(line)
        return observed


def _watch_flags(plan: Plan) -> list[str]:
    labels = [f"--label={name}={value}" for name, value in plan.keeper.labels.items()]
    return [
        *hostrule.FLAGS,
        "--cap-add=NET_RAW",
        f"--name=cb-{plan.session}-watch",
        "--entrypoint=python3",
        *labels,
    ]


def prove(engine: Engine, plan: Plan, watching: Watch, together: Executor) -> None:
    """Compare everything with the plan; raise WallDiffers with every difference, or Unavailable.

    Nothing of the agent's has run yet, and `/opt/bottle/enter` is the image's own.
    """
    outer = together.submit(_reported, engine, plan)
    ready = watching.listening()
    observed = _observe(engine, plan, ready)
    seen = watching.seen()
    found = [
        *_host_rule(plan, ready, seen),
        *interior.differences(plan, observed),
        *outer.result(),
        *_ways(plan, observed["ways"]),
    ]
    if found:
        raise WallDiffers(
            "the bottle is not as planned:\n"
            + "\n".join(f"  {difference}" for difference in found),
            "nothing of the agent ran; run ./setup, and report this if it stays",
        )
    _require_api(plan, observed["ways"])


def _reported(engine: Engine, plan: Plan) -> list[Difference]:
    found: list[Difference] = []
    for network in plan.networks:
        seen = engine.inspect_network(network.name)
        found += posture.diff(network.name, posture.of_network(network), seen)
        found += posture.membership(plan, network, seen)
    for container in plan.containers:
        found += _reported_container(engine, plan, container)
    return found


def _reported_container(engine: Engine, plan: Plan, container: ContainerPlan) -> list[Difference]:
    seen: Observed = engine.inspect_container(container.name)
    image = engine.image(container.image)
    labels = image.labels if image else {}
    found = list(posture.diff(container.name, posture.of_container(container), seen, labels))
    if container is plan.keeper and container.runtime == "runsc":
        found += _gvisor(container.name, int(seen["State"]["Pid"]))
    return found


def _gvisor(name: str, pid: int) -> Iterator[Difference]:
    """Ask the host, not the guest, whether the container is gVisor's."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = b"unreadable"
    if not gvisor.is_sandbox(command):
        shown = command.split(b"\0", 1)[0].decode(errors="replace")
        yield Difference(subject=name, field="host process", wanted="runsc-sandbox", found=shown)


def _observe(engine: Engine, plan: Plan, ready: Observed) -> Observed:
    request = {
        "udp": ready["udp"],
        "tcp": ready["tcp"],
        "hosts": _host_addresses(plan),
        "proxy": [plan.sidecar_address, PROXY_PORT],
        "ways": [_UNLISTED, *_api_hosts(plan)],
    }
    source = _source("inside") + f"\nmain({json.dumps(request)!r})\n"
    user = f"{plan.slot.agent_uid}:{plan.slot.agent_uid}"
    done = engine.execute(
        plan.keeper.name,
        [_ENTER, *_PYTHON],
        user=user,
        stdin=source.encode(),
        seconds=_PATIENCE * 2,
    )
    try:
        observed: Observed = json.loads(done.output)
    except ValueError:
        said = done.errors.decode(errors="replace").strip()[-500:]
        raise WallDiffers(f"the bottle could not be looked at from within: {said}") from None
    return observed


def _host_addresses(plan: Plan) -> list[str]:
    """Give the addresses that the host may hold on the networks of this bottle alone."""
    return [network.gateway for network in plan.networks]


def _api_hosts(plan: Plan) -> list[str]:
    return [e.pattern.host for e in plan.listed if e.built_in]


def _host_rule(plan: Plan, ready: Observed, seen: Observed) -> Iterator[Difference]:
    name = f"host rule on {plan.inside.bridge}"
    if not hostrule.is_ours(ready["rule"]):
        yield Difference(
            subject=name,
            field="nftables table inet claude_bottle",
            wanted="the drop of everything from cb-*",
            found="missing or changed; ./setup sets it",
        )
    if seen["heard"]:
        heard = ", ".join(seen["heard"])
        yield Difference(subject=name, field="sockets of the host", wanted="silent", found=heard)
    if not seen["wire"]:
        yield Difference(subject=name, field="the wire", wanted="our probes", found="nothing")


def _ways(plan: Plan, ways: Observed) -> Iterator[Difference]:
    tunnel = str(ways[_UNLISTED].get("tunnel", ways[_UNLISTED].get("error", "")))
    if not (_status(tunnel) == 403 and _DENIED.search(tunnel)):
        yield Difference(
            subject=plan.sidecar.name, field="an unlisted host", wanted="denied", found=tunnel[:80]
        )


def _require_api(plan: Plan, ways: Observed) -> None:
    for host in _api_hosts(plan):
        answer = str(ways[host].get("answer", ""))
        status = _status(answer)
        if not status or status in {502, 504} or _DENIED.search(answer):
            raise Unavailable(
                f"the way to {host} does not work: {_told(ways[host])}",
                "look at this host's network; the sidecar resolves and dials by itself",
            )


def _status(head: str) -> int:
    match = _STATUS.match(head)
    return int(match[1]) if match else 0


def _told(way: Observed) -> str:
    text = way.get("error") or way.get("answer") or way.get("tunnel") or "no answer"
    return str(text).split("\r\n", 1)[0][:200]
