"""Referents: what a manifest names and does not hold itself, read before anything is made."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bottle.core.manifest import Agent, Bottle, Manifest, Ssh
from bottle.core.place import Place
from bottle.core.shape import LONGEST
from bottle.errors import ManifestError
from bottle.provision import verdict
from bottle.session import below, skills, ssh
from bottle.session.skills import Skill

_DOCKERFILE: Final = 256 * 1024
_MOST: Final = 64


@dataclass(frozen=True, kw_only=True)
class Referents:
    """What one agent and its bottle name."""

    prompt: str = ""
    skills: tuple[Skill, ...] = ()
    dockerfile: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Where to look: the manifest's own folder, and the folder of the user's skills."""

    folder: Path
    skills: Path
    known: dict[str, Skill] = field(default_factory=dict, compare=False, repr=False)
    """Skills that were read already: many agents may name the same."""
    hosts: set[str] = field(default_factory=set, compare=False, repr=False)
    """The origins of SSH entries that were looked at already: many bottles may extend one."""
    dockerfiles: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    """The texts of Dockerfiles that were read already, by origin."""


def read(manifest: Manifest, agent: Agent, where: Whereabouts, source: str) -> Referents:
    """Read all that an agent needs; raise ManifestError with every problem at once."""
    at = Place()
    found = look(manifest, agent, where, at)
    if at.problems:
        raise ManifestError(tuple(at.problems), source)
    return found


def look(manifest: Manifest, agent: Agent, where: Whereabouts, at: Place) -> Referents:
    """Read all that an agent needs; note every problem."""
    dockerfile = _look_at_bottle(manifest.bottles[agent.bottle], where, at)
    return dataclasses.replace(_look_at_agent(agent, where, at), dockerfile=dockerfile)


def look_at_all(manifest: Manifest, where: Whereabouts, at: Place) -> None:
    """Read all that a manifest names, as far as it could be read itself; note every problem."""
    for bottle in manifest.bottles.values():
        _look_at_bottle(bottle, where, at)
    for agent in manifest.agents.values():
        _look_at_agent(agent, where, at)


def _look_at_agent(agent: Agent, where: Whereabouts, at: Place) -> Referents:
    place = at.key("agents").key(agent.name)
    beside = where.folder / "skills"
    same = os.path.realpath(beside) == os.path.realpath(where.skills)
    folders = (where.skills,) if same else (where.skills, beside)
    return Referents(
        prompt=_prompt(agent, where.folder, place.key("prompt")),
        skills=skills.read(agent.skills, folders, place.key("skills"), where.known),
    )


def _look_at_bottle(bottle: Bottle, where: Whereabouts, at: Place) -> bytes:
    """Look once at each thing that a bottle names; give the text of its Dockerfile."""
    for entry in bottle.ssh:
        if entry.origin not in where.hosts:
            where.hosts.add(entry.origin)
            _look_at_host(entry, where, Place(entry.origin, at.problems))
    origin = bottle.origins.get("image.dockerfile")
    if origin is None:
        return b""
    if origin not in where.dockerfiles:
        place = Place(origin, at.problems)
        where.dockerfiles[origin] = _dockerfile(bottle.image.dockerfile, where.folder, place)
    return where.dockerfiles[origin]


def _look_at_host(entry: Ssh, where: Whereabouts, at: Place) -> None:
    if len(where.hosts) > _MOST:  # each is a program that runs
        at.refuse("one more SSH host", f"at most {_MOST} in all", "leave some out")
    else:
        ssh.check(entry, where.folder, at)


def _prompt(agent: Agent, folder: Path, at: Place) -> str:
    if not agent.prompt_file:
        return agent.prompt
    content = _below(folder, agent.prompt_file, LONGEST, at.key("file"))
    try:
        text = (content or b"").decode("utf-8")
    except UnicodeDecodeError:
        at.key("file").refuse("bytes that are not UTF-8", "UTF-8 text", "save it as UTF-8")
        return ""
    if "\0" in text:
        at.key("file").refuse("a NUL character", "text", "remove it")
    return text


def _dockerfile(name: str, folder: Path, at: Place) -> bytes:
    text = _below(folder, name, _DOCKERFILE, at)
    if text is None:
        return b""
    if not text:  # else it would count as none, and the bottle's image as everybody's
        at.refuse(f"{name}, an empty file", "a Dockerfile", "or name none")
    try:
        verdict.refuse_text(text)
    except verdict.ImageRefused as error:
        at.refuse(error.happened, "a Dockerfile that goes on from the agent's image", error.remedy)
    return text


def _below(folder: Path, relative: str, longest: int, at: Place) -> bytes | None:
    """Read a file; note and give None when it cannot be used."""
    try:
        return below.read(folder, relative, longest)
    except below.Unreadable as error:
        at.refuse(f"{relative}: {error.found}", error.wanted, "create it, or correct the path")
        return None
