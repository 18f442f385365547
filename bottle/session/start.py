"""Start: an agent's start, checked and planned with nothing made yet; it only waits for the yes."""

from __future__ import annotations

import dataclasses
import secrets
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle import agents
from bottle.agents import Adapter
from bottle.core import plan
from bottle.core.manifest import RUNTIMES, Agent, Bottle, Manifest, nearest
from bottle.core.plan import API_HOST, Host, Plan, choose
from bottle.core.secret import TOKEN, Secret, Value
from bottle.core.slot import SLOTS, Slot, candidates
from bottle.engine import host as host_reader
from bottle.engine.port import Engine, EngineFacts
from bottle.errors import SecretMissing, Unavailable, UsageError
from bottle.provision import gvisor, images
from bottle.session import lock
from bottle.session.contents import Contents, find_skills
from bottle.session.lifetime import Order
from bottle.session.standin import Standin
from bottle.sidecars import mitmproxy

_WORKSPACE: Final = "/workspace"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the person asked for, and where things of theirs are."""

    agent: str
    manifest: Manifest
    source: Path
    skills: Path
    """The folder of the user's skills."""
    state: Path
    runtime: str = ""
    """Replaces the bottle's runtime for this start when given."""
    arguments: str = ""
    """Further words for the agent's program, split as a shell would."""
    standin: Standin | None = None
    """Plays the outside; the demo has its own, tests bring theirs."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A start that only waits for the yes."""

    plan: Plan
    order: Order
    adapter: Adapter
    command: tuple[str, ...]
    secret: Secret | None
    engine: EngineFacts
    source: Path


def prepare(engine: Engine, request: Request, token: Value | None) -> Prepared:
    """Check all that can be checked with nothing made, and plan it.

    Raise UsageError (64), SecretMissing (78) or Unavailable (69: engine, runtime, images).
    """
    agent = choose(request.manifest, request.agent)
    adapter = agents.ADAPTERS[agent.adapter]
    command = adapter.command(_words(request.arguments), agent.prompt)
    manifest = _with_runtime(request.manifest, agent, request.runtime)
    skills = find_skills(agent.skills, request.skills)
    secret, value = _secret(adapter, token)
    with ThreadPoolExecutor() as together:
        facts = together.submit(engine.facts)
        checked = together.submit(_require_runtime, engine, manifest.bottles[agent.bottle])
        present = together.submit(images.present, engine)
        slots = together.submit(_slots, engine)
    for answer in (facts, present, checked):  # in the order of what has to be put right first
        answer.result()
    making = _Making(
        manifest=manifest,
        agent=agent,
        adapter=adapter,
        skills=skills,
        value=value,
        session=secrets.token_hex(6),
        owner=lock.owner_key(request.state),
        images=present.result(),
        standin=request.standin or Standin(),
        placeholder=agents.placeholder(secrets.token_hex(64)),
    )
    order = making.order(slots.result())
    return Prepared(
        plan=making.plan_in(Slot(number=order.slots[0])),
        order=order,
        adapter=adapter,
        command=command,
        secret=secret,
        engine=facts.result(),
        source=request.source,
    )


@dataclass(frozen=True, kw_only=True)
class _Making:
    """Everything checked; gives what the lifetime asks for as it goes."""

    manifest: Manifest
    agent: Agent
    adapter: Adapter
    skills: Mapping[str, Path]
    value: Value | None
    session: str
    owner: str
    images: Mapping[str, str]
    standin: Standin
    placeholder: str

    def order(self, slots: tuple[int, ...]) -> Order:
        return Order(
            plan_in=self.plan_in,
            slots=slots,
            sidecar=self.sidecar,
            standin=self.standin.configuration,
            contents=self.contents,
        )

    def plan_in(self, slot: Slot) -> Plan:
        host = Host(session=self.session, owner=self.owner, slot=slot, images=self.images)
        names = self.standin.names
        return plan.compile(self.manifest, self.agent.name, host, standin_names=names)

    def contents(self, certificate: str) -> Contents:
        own = self.adapter.environment(self.placeholder) if self.value else {}
        return Contents(
            environment={**self.manifest.bottles[self.agent.bottle].env, **own},
            home=self.adapter.home(_WORKSPACE),
            certificate=certificate,
            skills=self.skills,
        )

    def sidecar(self, planned: Plan, upstream: str | None) -> bytes:
        values = {API_HOST: (self.placeholder, self.value.reveal())} if self.value else {}
        return mitmproxy.configuration(planned, upstream_ca=upstream, credentials=values)


def _words(arguments: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(arguments))
    except ValueError as error:
        raise UsageError(f"--args cannot be split: {error}", "close the quotes") from None


def _with_runtime(manifest: Manifest, agent: Agent, runtime: str) -> Manifest:
    if not runtime:
        return manifest
    if runtime not in RUNTIMES:
        known = f"use one of {', '.join(RUNTIMES)}"
        raise UsageError(f"there is no runtime {runtime!r}", nearest(runtime, RUNTIMES) or known)
    changed = dataclasses.replace(manifest.bottles[agent.bottle], runtime=runtime)
    return dataclasses.replace(manifest, bottles={**manifest.bottles, agent.bottle: changed})


def _require_runtime(engine: Engine, bottle: Bottle) -> None:
    if bottle.runtime == "runsc":
        gvisor.works(engine)


def _secret(adapter: Adapter, token: Value | None) -> tuple[Secret | None, Value | None]:
    """Check the token's shape; the demo makes one up when there is none."""
    if not adapter.needs_token:
        return None, None
    kept = "in the sidecar's memory; the bottle holds a placeholder"
    if token is None and adapter.invents_token:
        made = Value(agents.placeholder(secrets.token_hex(64)))
        return Secret(name=TOKEN, source="random, for the demo", kept=kept), made
    if token is None:
        raise SecretMissing(f"{TOKEN} is not set", "run `claude setup-token` and export it")
    if not agents.is_token(token.reveal()):
        raise SecretMissing(
            f"{TOKEN} does not look like a token", "run `claude setup-token` and export it whole"
        )
    return Secret(name=TOKEN, source="the environment", kept=kept), token


def _slots(engine: Engine) -> tuple[int, ...]:
    """List the free slots from a random one on, so that launchers rarely meet."""
    taken = (*engine.subnets(), *host_reader.routed_subnets())
    first = secrets.randbelow(SLOTS)
    found = candidates(first, taken_subnets=taken, taken_uids=host_reader.account_uids())
    if not found:
        raise Unavailable("no subnet of 10.231.0.0/16 is free", "run invoke reap")
    return found
