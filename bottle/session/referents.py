"""Referents: what a manifest names and does not hold itself, read before anything is made."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bottle.core.manifest import Agent, Bottle, Manifest
from bottle.core.place import Place
from bottle.core.shape import LONGEST
from bottle.errors import ManifestError
from bottle.provision import verdict
from bottle.session import below, skills, ssh
from bottle.session.skills import Skill

_DOCKERFILE: Final = 256 * 1024


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
        skills=skills.read(agent.skills, folders, place.key("skills")),
    )


def _look_at_bottle(bottle: Bottle, where: Whereabouts, at: Place) -> bytes:
    for entry in bottle.ssh:
        ssh.check(entry, where.folder, Place(entry.origin, at.problems))
    return _dockerfile(bottle, where.folder, at)


def _prompt(agent: Agent, folder: Path, at: Place) -> str:
    if not agent.prompt_file:
        return agent.prompt
    content = _below(folder, agent.prompt_file, LONGEST, at.key("file"))
    try:
        text = (content or b"").decode("utf-8")
    except UnicodeDecodeError:
        at.key("file").refuse("bytes that are not UTF-8", "UTF-8 text")
        return ""
    if "\0" in text:
        at.key("file").refuse("a NUL character", "text")
    return text


def _dockerfile(bottle: Bottle, folder: Path, at: Place) -> bytes:
    if not bottle.image.dockerfile:
        return b""
    place = Place(bottle.origins["image.dockerfile"], at.problems)
    text = _below(folder, bottle.image.dockerfile, _DOCKERFILE, place)
    if text is None:
        return b""
    if not text:  # else it would count as none, and the bottle's image as everybody's
        place.refuse(f"{bottle.image.dockerfile}, an empty file", "a Dockerfile", "or name none")
    try:
        verdict.refuse_text(text)
    except verdict.ImageRefused as error:
        place.refuse(
            error.happened, "a Dockerfile that goes on from the agent's image", error.remedy
        )
    return text


def _below(folder: Path, relative: str, longest: int, at: Place) -> bytes | None:
    """Read a file; note and give None when it cannot be used."""
    try:
        return below.read(folder, relative, longest)
    except below.Unfit as error:
        at.refuse(f"{relative}: {error.found}", error.wanted)
        return None
