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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bottle.core.consent import Fact

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Consent:
    """A yes: to which plan, with what it was about, and when (ISO 8601, UTC)."""

    digest: str
    facts: tuple[Fact, ...]
    when: str


def find(state: Path, manifest: Path, agent: str) -> Consent | None:
    """Give the last yes to this agent of this manifest, or None."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        values = json.loads(_path(state, manifest, agent).read_text(encoding="utf-8"))
        return _read(values)
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


def keep(state: Path, manifest: Path, agent: str, digest: str, facts: tuple[Fact, ...]) -> None:
    """Keep a yes, for this user alone; raise OSError when that cannot be done."""
    path = _path(state, manifest, agent)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    values = {
        "format": _FORMAT,
        "manifest": str(manifest.absolute()),
        "agent": agent,
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


def _path(state: Path, manifest: Path, agent: str) -> Path:
    """Name a record by the manifest's real place: another path to the same file is the same."""
    key = f"{manifest.resolve()}\0{agent}".encode(errors="surrogateescape")
    return state / "consents" / f"{hashlib.sha256(key).hexdigest()[:32]}.json"
