"""Beginning: the manifest that `invoke init` writes, from what it sees of a workspace."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template
from typing import Final

from bottle.core.allowlist import HostPattern, PatternError
from bottle.errors import UsageError
from bottle.provision.machine import Machine, ThisMachine
from bottle.session.manifests import FILE
from bottle.session.registries import https_host, plain_host, url_parts
from bottle.session.surroundings import BY_HAND, CLIENTS, Workspace, look

_UNENCRYPTED: Final = {"http": "http is not encrypted", "git": "git:// is not encrypted"}
_SSH: Final = ("ssh", "git+ssh", "ssh+git")
_HELPER: Final = re.compile(r"[A-Za-z0-9]+::")
_PASSWORD: Final = re.compile(r"://.*@")
_MOST_REMOTES: Final = 16
_MOST_NAMES: Final = 3
_SHOWN: Final = 40
_WIDEST: Final = 36
"""Entries up to this width have their comments below each other."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a remote leads: a host, or why none can be listed."""

    host: HostPattern | None = None
    ssh: bool = False
    refusal: str = ""


def write(folder: Path, schema: str, machine: Machine | None = None) -> Path:
    """Write a manifest for a folder and give its path; raise UsageError when one is there."""
    content = text(look(folder, ThisMachine() if machine is None else machine), schema)
    path = folder / FILE
    try:
        _create(path, content.encode())
    except FileExistsError:
        raise UsageError(
            f"{path} is there already", "change it by hand, or move it away first"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}",
            "name a folder that you may write to",
        ) from None
    return path


def _create(path: Path, content: bytes) -> None:
    """Make a new file, whole or not at all; a link of that name counts as being there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o644)
    try:
        if os.write(file, content) != len(content):
            raise OSError(0, "the disk took a part of it only")
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(file)


def route(url: str) -> Route:
    """Say which host a remote's URL leads to, as git reads it; nothing of the URL is repeated."""
    if _HELPER.match(url):
        return Route(refusal="it needs a program of its own")
    try:
        return _by_scheme(url) if "://" in url else _without_scheme(url)
    except PatternError as reason:
        return Route(refusal=str(reason))


def _by_scheme(url: str) -> Route:
    parts = url_parts(url)
    if parts.scheme == "https":
        return Route(host=https_host(url))
    if parts.scheme in _SSH:
        return Route(host=plain_host(parts.hostname), ssh=True)
    if parts.scheme == "file":
        return Route(refusal="it is a local path")
    return Route(refusal=_UNENCRYPTED.get(parts.scheme, "it is not reached over https"))


def _without_scheme(url: str) -> Route:
    """Read `[user@]host:path`; with a slash before the colon, or none at all, it is a path."""
    before, colon, _ = url.partition(":")
    if not colon or "/" in before:
        return Route(refusal="it is a local path")
    return Route(host=plain_host(before.rpartition("@")[2]), ssh=True)


def text(workspace: Workspace, schema: str) -> str:
    """Give a manifest for what was seen: JSON5, whatever the names and URLs there are."""
    lines = "\n".join(f"          {line}" for line in _allowlist(workspace))
    return _TEXT.substitute(schema=json.dumps(schema), allowlist=lines)


_TEXT: Final = Template("""\
// What an agent in this folder runs in, and what it may reach. Change it as you need.
{
  $$schema: $schema,
  bottles: {
    default: {
      runtime: "runc", // "runsc" gives the bottle a kernel of its own: ./setup --gvisor
      env: {
        // A secret, by the name of your own variable that holds it:
        // GITHUB_TOKEN: {from: "GITHUB_TOKEN"},
      },
      egress: {
        // Beside what Claude Code itself needs. Everything else is denied.
        allowlist: [
$allowlist
        ],
      },
    },
  },
  agents: {
    default: {
      bottle: "default",
      skills: [], // names of folders in ~/.claude/skills
      prompt: "", // added to the system prompt
    },
  },
}
""")


def _allowlist(workspace: Workspace) -> list[str]:
    routes = [(remote.name, route(remote.url)) for remote in workspace.remotes[:_MOST_REMOTES]]
    entries = [*_hosts(routes), *_registries(workspace.files)]
    return [
        *(_aligned(entries) or ['// "github.com",']),
        *_remarks(routes),
        *_notes(workspace),
    ]


def _hosts(routes: Iterable[tuple[str, Route]]) -> Iterator[tuple[str, str]]:
    """Give each host once, with the remotes that lead to it."""
    names: dict[HostPattern, list[str]] = {}
    for name, way in routes:
        if way.host:
            names.setdefault(way.host, []).append(name)
    for host, named in names.items():
        yield f'"{host}",', _counted("remote", named)


def _registries(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    found = {client: _matching(files, patterns) for client, patterns in CLIENTS.items()}
    clients = [client for client, named in found.items() if named]
    if clients:
        quoted = ", ".join(f'"{client}"' for client in clients)
        one_of_each = [found[client][0] for client in clients]
        named = [*one_of_each, *(name for names in found.values() for name in names)]
        yield f"{{registries: [{quoted}]}},", f"as set up here, for {_short(named)}"


def _matching(files: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for pattern in patterns for name in files if fnmatchcase(name, pattern)]


def _aligned(entries: Iterable[tuple[str, str]]) -> list[str]:
    listed = list(entries)
    width = max((len(e) for e, _ in listed if len(e) <= _WIDEST), default=0)
    return [f"{entry:<{width}} // {comment}" for entry, comment in listed]


def _remarks(routes: Iterable[tuple[str, Route]]) -> Iterator[str]:
    """Say which remotes do not work yet, and which are left out and why."""
    over_ssh = [name for name, way in routes if way.ssh]
    if over_ssh:
        yield f"// A bottle has no ssh yet: give an https URL to {_counted('remote', over_ssh)}."
    for reason, named in _by_reason(routes).items():
        yield f"// Left out, {_counted('remote', named)}: {reason}."


def _by_reason(routes: Iterable[tuple[str, Route]]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, way in routes:
        if way.refusal:
            reasons.setdefault(way.refusal, []).append(name)
    return reasons


def _notes(workspace: Workspace) -> Iterator[str]:
    """Say what the person has to see to."""
    if workspace.unread:
        yield f"// The remotes of the git repository are not listed: {_safe(workspace.unread)}."
    beyond = len(workspace.remotes) - _MOST_REMOTES
    if beyond > 0:
        yield f"// {beyond} more URLs of remotes were not looked at."
    by_hand = _matching(workspace.files, BY_HAND)
    if by_hand:
        yield f"// For {_short(by_hand)}: add the hosts of the registries here."


def _counted(word: str, names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return f"{word}{'s' if len(distinct) > 1 else ''} {_short(distinct)}"


def _short(names: Iterable[str]) -> str:
    """Give a few names for a comment, and say how many more there are."""
    distinct = list(dict.fromkeys(names))
    shown = ", ".join(_safe(name) for name in distinct[:_MOST_NAMES])
    more = len(distinct) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _safe(foreign: str) -> str:
    """Make a foreign text fit for a comment: one short line of printable ASCII."""
    plain = _PASSWORD.sub("://", re.sub(r"[^ -~]", "?", foreign))
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 3]}..."
