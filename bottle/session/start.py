"""Start: an agent's start, checked and planned with nothing made yet; it only waits for the yes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from bottle import agents
from bottle.core import consent, form, plan
from bottle.core.consent import Fact
from bottle.core.members import Host
from bottle.core.plan import API_HOST, Plan
from bottle.core.secret import TOKEN, Value
from bottle.core.slot import SLOTS, Slot, candidates
from bottle.engine import host as host_reader
from bottle.engine.port import Engine, EngineFacts
from bottle.errors import SecretMissing, Unavailable
from bottle.provision import extra, gvisor, images
from bottle.provision.extra import Extra
from bottle.session import lock
from bottle.session.consents import Subject
from bottle.session.contents import Contents
from bottle.session.declared import Declared, Request, declare
from bottle.session.lifetime import Order
from bottle.session.standin import Standin
from bottle.sidecars import mitmproxy

_WORKSPACE: Final = "/workspace"
_MAKE_TOKEN: Final = f"run `claude setup-token` and export what it gives as {TOKEN}"


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """The values that a start may use: the token, and the host's variables by name."""

    token: Value | None = None
    variables: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A start that only waits for the yes."""

    declared: Declared
    form: Plan
    """The plan as the yes is about it: compiled for no session in particular."""
    engine: EngineFacts
    subject: Subject
    """What the yes is kept for."""
    making: Making

    @cached_property
    def digest(self) -> str:
        return form.digest(form.form(self.form))

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        return consent.facts(self.form)

    @property
    def to_build(self) -> str:
        """The Dockerfile that is still to be built, by its path; empty when there is none."""
        missing = self.missing
        return self.declared.bottle.image.dockerfile if missing and missing.dockerfile else ""

    @property
    def missing(self) -> Extra | None:
        """What the bottle's own image is still to be built of."""
        return None if self.making.identity else self.making.extra


def prepare(engine: Engine, request: Request, values: Secrets) -> Prepared:
    """Check all that can be checked with nothing made, and plan it.

    Raise UsageError (64), ManifestError (65), SecretMissing (78) or Unavailable (69: engine,
    runtime, images).
    """
    declared = declare(request)
    environment = _environment(declared, values)
    return _planned(engine, request, declared, environment, trial=True)


def preview(engine: Engine, request: Request) -> Prepared:
    """Plan a start as `prepare` does, without secrets and without trying a runtime."""
    environment = Environment(token=None, variables={})
    return _planned(engine, request, declare(request), environment, trial=False)


def _planned(
    engine: Engine, request: Request, declared: Declared, environment: Environment, *, trial: bool
) -> Prepared:
    with ThreadPoolExecutor() as together:
        facts = together.submit(engine.facts)
        checked = together.submit(_require_runtime, engine, declared, trial=trial)
        present = together.submit(images.present, engine)
        slots = together.submit(_slots, engine)
    # in the order of what has to be put right first
    for answer in (facts, present, checked):
        answer.result()
    own = _extra(declared)
    making = Making(
        declared=declared,
        environment=environment,
        session=secrets.token_hex(6),
        owner=lock.owner_key(request.state),
        slots=slots.result(),
        images=present.result(),
        extra=own,
        identity=extra.present(engine, own, present.result()["agent"]) if own else "",
        standin=request.standin or Standin(),
        placeholder=agents.placeholder(secrets.token_hex(64)),
    )
    return Prepared(
        declared=declared,
        form=making.form(),
        engine=facts.result(),
        subject=Subject(
            manifest=request.source, agent=declared.agent.name, runtime=request.runtime
        ),
        making=making,
    )


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The values of an agent's variables; its token goes elsewhere."""

    token: Value | None
    variables: Mapping[str, str] = field(repr=False)


def _environment(declared: Declared, values: Secrets) -> Environment:
    """Find the value of each variable; raise SecretMissing that names all that are not there."""
    wanted = declared.manifest.environment(declared.agent)
    found, missing = {}, []
    for name, variable in sorted(wanted.items()):
        if not variable.secret:
            found[name] = variable.text
        elif variable.secret in values.variables:
            found[name] = values.variables[variable.secret].reveal()
        elif not variable.optional:
            missing.append(f"{variable.secret} (for {name})")
    if missing:
        remedies = ["export what you have, and declare the others as optional"]
        if _lacks_token(declared, values.token):
            missing.insert(0, TOKEN)
            remedies.insert(0, _MAKE_TOKEN)
        named = ", ".join(missing)
        raise SecretMissing(f"not set in the environment: {named}", "; ".join(remedies))
    return Environment(token=_token(declared, values.token), variables=found)


def _lacks_token(declared: Declared, token: Value | None) -> bool:
    adapter = declared.adapter
    return token is None and adapter.needs_token and not adapter.invents_token


def _token(declared: Declared, token: Value | None) -> Value | None:
    """Check the token's shape; the demo makes one up when there is none."""
    if not declared.adapter.needs_token:
        return None
    if _lacks_token(declared, token):
        raise SecretMissing(f"{TOKEN} is not set", _MAKE_TOKEN)
    if token is None:
        return Value(agents.placeholder(secrets.token_hex(64)))
    if not agents.is_token(token.reveal()):
        raise SecretMissing(
            f"{TOKEN} does not look like a token", "run `claude setup-token` and export it whole"
        )
    return token


def _extra(declared: Declared) -> Extra | None:
    own = Extra(packages=declared.bottle.image.packages, dockerfile=declared.referents.dockerfile)
    return own or None


@dataclass(frozen=True, kw_only=True)
class Making:
    """Everything checked; gives what the lifetime asks for as it goes."""

    declared: Declared
    environment: Environment
    session: str
    owner: str
    slots: tuple[int, ...]
    images: Mapping[str, str]
    extra: Extra | None
    identity: str | None
    """Of the image made of `extra`; empty or None while there is none."""
    standin: Standin
    placeholder: str

    def order(self, identity: str = "") -> Order:
        """Give the order for a lifetime; `identity` is that of the bottle's own image, if any."""
        agent = identity or self.identity or self.images["agent"]
        made = replace(self, images={**self.images, "agent": agent})
        return Order(
            plan_in=made.plan_in,
            slots=self.slots,
            sidecar=made.sidecar,
            standin=self.standin.configuration,
            contents=made.contents,
        )

    def form(self) -> Plan:
        """Compile for no session in particular; an image of the bottle's own by what it is of."""
        own = {"agent": extra.reference(self.extra, self.images["agent"])} if self.extra else {}
        host = replace(self._host(Slot(number=0)), images={**self.images, **own})
        return self._compiled(form.fixed(host))

    def plan_in(self, slot: Slot) -> Plan:
        """Compile for this session in a slot."""
        return self._compiled(self._host(slot))

    def _host(self, slot: Slot) -> Host:
        return Host(
            session=self.session,
            owner=self.owner,
            slot=slot,
            images=self.images,
            registries=self.declared.registries,
        )

    def _compiled(self, host: Host) -> Plan:
        declared, names = self.declared, self.standin.names
        return plan.compile(
            declared.manifest, declared.agent.name, host, declared.given, standin_names=names
        )

    def contents(self, certificate: str) -> Contents:
        """Give what is put into the bottle, which trusts this certificate."""
        adapter, token = self.declared.adapter, self.environment.token
        own = adapter.environment(self.placeholder) if token else {}
        return Contents(
            environment={**self.environment.variables, **own},
            home=adapter.home(_WORKSPACE),
            certificate=certificate,
            skills=self.declared.referents.skills,
        )

    def sidecar(self, planned: Plan, upstream: str | None) -> bytes:
        """Give the sidecar's configuration line."""
        token = self.environment.token
        values = {API_HOST: (self.placeholder, token.reveal())} if token else {}
        return mitmproxy.configuration(planned, upstream_ca=upstream, credentials=values)


def _require_runtime(engine: Engine, declared: Declared, *, trial: bool) -> None:
    if declared.bottle.runtime == "runsc":
        (gvisor.works if trial else gvisor.require_registered)(engine)


def _slots(engine: Engine) -> tuple[int, ...]:
    """List the free slots from a random one on, so that launchers rarely meet."""
    taken = (*engine.subnets(), *host_reader.routed_subnets())
    first = secrets.randbelow(SLOTS)
    found = candidates(first, taken_subnets=taken, taken_uids=host_reader.account_uids())
    if not found:
        raise Unavailable("no subnet of 10.231.0.0/16 is free", "run invoke reap")
    return found
