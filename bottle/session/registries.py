"""Registries: the hosts that this computer's own pip and npm ask, as their settings have it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from bottle.core.allowlist import TLS_PORT, HostPattern, PatternError
from bottle.errors import Unavailable
from bottle.provision.machine import Machine, ThisMachine

_NEUTRAL: Final = Path("/")
"""Where the clients run: a workspace's own .npmrc says nothing about this computer."""

_SECONDS: Final = 30
_SHOWN: Final = 60

# pip answers with what `pip install` would go by: sections, variables and built-in values are
# already weighed against each other. `pip config list` leaves that to its reader, and is silent
# where `quiet` is set.
_ASK_PIP: Final = """
import json
from pip._internal.commands import create_command
from pip._internal.models.index import PyPI

asked, _ = create_command("install").parser.parse_args([])
told = {"find-links": asked.find_links, "index-url": [], "extra-index-url": []}
if not asked.no_index:
    told |= {"index-url": [asked.index_url], "extra-index-url": asked.extra_index_urls}
told["built-in index"] = [PyPI.simple_url]
told["built-in files"] = [f"https://{PyPI.file_storage_domain}/"]
print(json.dumps(told))
"""

# As text: in JSON, npm leaves a URL with a password out without a word; here it stars it out.
_ASK_NPM: Final = (
    *("npm", "config", "list", "--long", "--no-json"),
    *("--no-update-notifier", "--logs-max=0"),  # it asks the network nothing and writes no log
)
_NPM_LINE: Final = re.compile(r"^((?:@\S+:)?registry) = (.+)$", re.MULTILINE)
"""A setting in force; what another one overrides begins with a semicolon."""

_URL: Final = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without the backslash, which clients read in two ways."""


Resolved = Mapping[str, tuple[HostPattern, ...]]
"""Client to the hosts that it asks."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """One address in a client's configuration: whose, under which name, and what it is."""

    client: str
    name: str
    url: str = field(repr=False)
    """As it stands there, so it may hold a password."""


def resolve(
    names: Iterable[str], machine: Machine | None = None
) -> Mapping[str, tuple[HostPattern, ...]]:
    """Give for each named client the hosts it asks, sorted; none where it keeps to local files.

    Raise Unavailable for a client that is missing or unknown, or whose settings name what cannot
    be listed.
    """
    here = ThisMachine() if machine is None else machine
    clients = tuple(dict.fromkeys(names))
    with ThreadPoolExecutor() as together:  # each takes a third of a second
        resolved = together.map(lambda name: _resolve(name, here), clients)
        return dict(zip(clients, resolved, strict=True))


def _resolve(name: str, machine: Machine) -> tuple[HostPattern, ...]:
    if name not in _CLIENTS:
        raise Unavailable(
            f"{name[:_SHOWN]!r} is no client whose registries can be read",
            f"write one of {', '.join(_CLIENTS)} in registries",
        )
    return _CLIENTS[name](machine)


def _pip(machine: Machine) -> tuple[HostPattern, ...]:
    # -I: neither a folder nor PYTHONPATH puts another pip in its place
    return read_pip(_answer("pip", machine, (sys.executable, "-I", "-c", _ASK_PIP)))


def _npm(machine: Machine) -> tuple[HostPattern, ...]:
    if machine.find("npm") is None:
        raise Unavailable("npm is missing here", "install npm, or leave it out of registries")
    return read_npm(_answer("npm", machine, _ASK_NPM))


_CLIENTS: Final[Mapping[str, Callable[[Machine], tuple[HostPattern, ...]]]] = {
    "pip": _pip,
    "npm": _npm,
}


def _answer(client: str, machine: Machine, words: Sequence[str]) -> str:
    """Give what a client writes; its errors may quote a password, so they are not repeated."""
    try:
        done = machine.run(words, seconds=_SECONDS, folder=_NEUTRAL)
    except OSError:
        _strange(client, "could not be run")
    if done.code:
        _strange(client, f"ended with {done.code}")
    try:
        return done.output.decode()
    except UnicodeDecodeError:
        _strange(client, "answered with what is no text")


def _strange(client: str, what: str) -> NoReturn:
    raise Unavailable(
        f"{client} was asked for its settings and {what}",
        f"see what `{client} config list` says, or leave {client} out of registries",
    )


def read_pip(output: str) -> tuple[HostPattern, ...]:
    """Read pip's answer; its built-in index has a second host, which holds the files."""
    told = _lists(output)
    indexes = _listed(told, "index-url") + _listed(told, "extra-index-url")
    found = indexes + _listed(told, "find-links")
    if set(indexes) & set(_listed(told, "built-in index")):
        found += _listed(told, "built-in files")
    return _in_order(found)


def _lists(output: str) -> dict[str, object]:
    try:
        told = json.loads(output)
    except (ValueError, RecursionError):
        _strange("pip", "answered with what is no JSON")
    if not isinstance(told, dict):
        _strange("pip", "answered in another form than expected")
    return told


def _listed(told: Mapping[str, object], name: str) -> list[HostPattern]:
    urls = told.get(name)
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        _strange("pip", f"told no {name}")
    found = [Address(client="pip", name=name, url=url.strip()) for url in urls]
    return [_host(setting) for setting in found if not _is_local(setting.url)]


def _is_local(url: str) -> bool:
    """Say whether pip takes a text for a place on its own disk."""
    return "://" not in url or url.lower().startswith("file:")


def read_npm(output: str) -> tuple[HostPattern, ...]:
    """Read npm's answer: its registry, and those of scopes (`@scope:registry`)."""
    told = _NPM_LINE.findall(output)
    if "registry" not in {name for name, _ in told}:
        _strange("npm", "told no registry")
    found = [Address(client="npm", name=name, url=_npm_text(name, text)) for name, text in told]
    return _in_order(_host(s) for s in found if s.url or s.name == "registry")


def _npm_text(name: str, text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, str):
        _strange("npm", f"told no text for {name[:_SHOWN]!r}")
    return value.strip()


def _host(setting: Address) -> HostPattern:
    try:
        return https_host(setting.url)
    except PatternError as reason:
        client = setting.client
        raise Unavailable(
            f"the setting {setting.name[:_SHOWN]!r} of {client} cannot be listed: {reason}",
            f"set it as in https://packages.example.com/, or leave {client} out of registries",
        ) from None


def _in_order(patterns: Iterable[HostPattern]) -> tuple[HostPattern, ...]:
    return tuple(sorted(set(patterns)))


def https_host(url: str) -> HostPattern:
    """Give the host and port of an https URL.

    Raise PatternError, which says what to write and repeats nothing of the URL.
    """
    parts = url_parts(url)
    if parts.scheme != "https":
        raise PatternError("write an https URL")
    return plain_host(parts.hostname, TLS_PORT if parts.port is None else parts.port)


def url_parts(url: str) -> SplitResult:
    """Take a URL apart, its port read too; raise PatternError where readers could differ."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise PatternError("write a URL with a plain host and port") from None
    if not _URL.fullmatch(url):
        raise PatternError("write a URL of plain printable ASCII")
    return parts


def plain_host(host: str | None, port: int = TLS_PORT) -> HostPattern:
    """Give one host as an entry, never what is below it; raise PatternError otherwise."""
    name = host or ""
    if not name.isascii():
        raise PatternError("write the name in ASCII (its xn-- form)")
    pattern = HostPattern.parse(f"{name}:{port}")
    if pattern.below:
        raise PatternError("write one host, without a *")
    return pattern
