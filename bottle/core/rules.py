"""Rules: what no pattern says of a manifest's texts, and the values that they give."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bottle.core import variables
from bottle.core.allowlist import HostPattern, PatternError, canonical
from bottle.core.shape import Unfit

_MIB: Final = {"m": 1, "g": 1024}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """What an environment variable of the bottle is set to."""

    text: str = ""
    secret: str = ""
    """The variable of the launcher's environment that holds the value; empty for plain text."""
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Registries:
    """Package clients whose configured hosts are listed."""

    clients: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Text for the system prompt, or the file that holds it."""

    text: str = ""
    file: str = ""


def pattern(text: str) -> HostPattern:
    try:
        pattern = HostPattern.parse(text)
    except PatternError as error:
        raise Unfit("a host, *.host or host:port", str(error)) from None
    if pattern.below and _suffixes().is_public(pattern.host):
        raise Unfit(
            "a wildcard below one owner's name",
            f"anybody can register a name below {pattern.host}: name the hosts",
        )
    return pattern


@functools.cache
def _suffixes() -> Any:
    """Load the list of public suffixes; 40 ms, and only wildcards ask for it."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def host(text: str) -> str:
    name = canonical(text)
    if name is None:
        raise Unfit("a plain host name", "write it in full, as in git.example.com")
    return name


def free(text: str) -> str:
    if why := variables.reserved(text):
        raise Unfit("a variable that is free", why)
    return text


def readable(text: str) -> str:
    if why := variables.unreadable(text):
        raise Unfit("a variable that holds a secret", why)
    return text


def _size(text: str) -> int:
    """Read a size as MiB."""
    return int(text[:-1]) * _MIB[text[-1].lower()]


def bounded_size(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not least <= _size(text) <= most:
            raise Unfit(f"a size from {least}m to {most // 1024}g")
        return _size(text)

    return read
