"""Consents: what this user said yes to on this machine, by manifest and agent, in the state folder.

A record that cannot be read counts as none: then everything is new.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bottle.core.consent import Fact

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Consent:
    """A yes: to which plan, with what it was about, and when (ISO 8601, UTC)."""

    digest: str
    facts: tuple[Fact, ...]
    when: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a yes is to: an agent of a manifest, with the runtime that the command line asks for.

    A start with another runtime does not take the place of the usual yes.
    """

    manifest: Path
    agent: str
    runtime: str = ""


def find(state: Path, subject: Subject) -> Consent | None:
    """Give the last yes to this, else the last one without a runtime of its own, or None."""
    usual = replace(subject, runtime="")
    return _found(_path(state, subject)) or _found(_path(state, usual))


def _found(path: Path) -> Consent | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        return _read(json.loads(path.read_text(encoding="utf-8")))
    return None


def _read(values: Mapping[str, Any]) -> Consent | None:
    if values["format"] != _FORMAT:
        return None
    facts = tuple(Fact(**fact) for fact in values["facts"])
    texts = [text for fact in facts for text in (fact.topic, fact.name, fact.value)]
    known = (values["digest"], values["when"], *texts)
    if not all(isinstance(text, str) for text in known):
        return None
    return Consent(digest=values["digest"], facts=facts, when=values["when"])


def keep(state: Path, subject: Subject, digest: str, facts: tuple[Fact, ...]) -> None:
    """Keep a yes, for this user alone; raise OSError when that cannot be done."""
    path = _path(state, subject)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    values = {
        "format": _FORMAT,
        "manifest": str(subject.manifest.absolute()),
        "agent": subject.agent,
        "runtime": subject.runtime,
        "when": now,
        "digest": digest,
        "facts": [asdict(fact) for fact in facts],
    }
    _write(path, json.dumps(values, indent=1).encode())


def _write(path: Path, content: bytes) -> None:
    """Write aside and give the name when it is whole: a reader never sees half a record."""
    aside = path.with_name(f".{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _path(state: Path, subject: Subject) -> Path:
    """Name a record by the real folder that the manifest is looked up in, and its name there.

    A link in another folder is another manifest: what it names is looked for beside the link.
    """
    manifest = subject.manifest
    words = (str(manifest.parent.resolve() / manifest.name), subject.agent, subject.runtime)
    key = "\0".join(words).encode(errors="surrogateescape")
    return state / "consents" / f"{hashlib.sha256(key).hexdigest()[:32]}.json"
