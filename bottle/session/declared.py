"""Declared: what an agent's start asks for, read and checked without an engine."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle import agents
from bottle.agents import Adapter
from bottle.core.form import digest_of_bytes
from bottle.core.language import RUNTIMES
from bottle.core.manifest import Agent, Bottle, Manifest
from bottle.core.place import nearest
from bottle.core.plan import Given, choose
from bottle.core.secret import TOKEN, Secret
from bottle.errors import UsageError
from bottle.session import referents, registries
from bottle.session.referents import Referents, Whereabouts
from bottle.session.registries import Resolved
from bottle.session.standin import Standin

KEPT: Final = "in the sidecar's memory; the bottle holds a placeholder"
EXPOSED: Final = "in the bottle, where the agent can read it"


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
class Declared:
    """One agent with all that its manifest names."""

    manifest: Manifest
    """With the prompt's text, and the runtime that was asked for."""
    agent: Agent
    adapter: Adapter
    command: tuple[str, ...]
    referents: Referents
    registries: Resolved
    words: tuple[str, ...] = ()
    """The person's own, for the agent's program."""

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        agent: Agent,
        found: Referents,
        resolved: Resolved,
        words: tuple[str, ...] = (),
    ) -> Declared:
        """Bring an agent together with what it names."""
        agent = dataclasses.replace(agent, prompt=found.prompt)
        adapter = agents.ADAPTERS[agent.adapter]
        return cls(
            manifest=dataclasses.replace(manifest, agents={**manifest.agents, agent.name: agent}),
            agent=agent,
            adapter=adapter,
            command=adapter.command((*agent.args, *words), agent.prompt),
            referents=found,
            registries=resolved,
            words=words,
        )

    @property
    def bottle(self) -> Bottle:
        return self.manifest.bottles[self.agent.bottle]

    @property
    def given(self) -> Given:
        """What the plan is told beside the manifest."""
        dockerfile = self.referents.dockerfile
        return Given(
            arguments=self.words,
            skills={skill.name: skill.digest for skill in self.referents.skills},
            dockerfile=digest_of_bytes(dockerfile) if dockerfile else "",
            secrets=tuple(self._secrets()),
        )

    def _secrets(self) -> list[Secret]:
        found = []
        if self.adapter.needs_token:
            source = "random, for the demo" if self.adapter.invents_token else "the environment"
            found.append(Secret(name=TOKEN, source=source, kept=KEPT))
        for name, variable in sorted(self.manifest.environment(self.agent).items()):
            if variable.secret:
                source = f"{variable.secret} of the environment"
                source += ", if it is there" if variable.optional else ""
                found.append(Secret(name=name, source=source, kept=EXPOSED))
        return found


def declare(request: Request) -> Declared:
    """Read all that a start asks for and nothing else; raise UsageError (64) or ManifestError (65).

    Only the package clients that the manifest names are run, to ask for their configuration.
    """
    agent = choose(request.manifest, request.agent)
    manifest = _with_runtime(request.manifest, agent, request.runtime)
    words = _words(request.arguments)
    where = Whereabouts(folder=request.source.parent, skills=request.skills)
    found = referents.read(manifest, agent, where, str(request.source))
    clients = manifest.bottles[agent.bottle].egress.clients
    resolved = registries.resolve(client.name for client in clients)
    return Declared.of(manifest, agent, found, resolved, words)


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
