"""Allowlist: the hosts and ports an agent may reach; everything else is denied.

The command line shows what this file decides, and the sidecar decides with this very file: it is
copied into the sidecar's image and imports nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

TLS_PORT = 443

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LONGEST_NAME = 253


class Reason(StrEnum):
    """Why a decision came out as it did; the values stand in audit records."""

    LISTED = "listed"
    NOT_LISTED = "host is not on the allowlist"
    PORT_NOT_LISTED = "port is not listed for this host"
    NOT_A_NAME = "not a plain host name"
    ADDRESS = "an IP address, not a host name"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Allow or deny, with the reason and, when allowed, the entry that matched."""

    allowed: bool
    reason: Reason
    pattern: str = ""
    host: str = ""
    """The host in canonical spelling (lower case, no trailing dot); empty when it is no name."""


class PatternError(ValueError):
    """An allowlist entry that cannot be read; the message says what to write instead."""


def canonical(host: str) -> str | None:
    """Give the one spelling of a DNS name (lower case, no trailing dot), or None if it is none.

    What is not plain ASCII, is longer than 253 characters, has one label only, or could be read
    as an IPv4 address (WHATWG URL: a last label that is numeric) is not a name.
    """
    if not host.isascii():
        return None
    name = host.lower().removesuffix(".")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return None
    return None if _NUMERIC.fullmatch(name.rpartition(".")[2]) else name


def _looks_like_address(host: str) -> bool:
    bare = host.strip("[]").lower().removesuffix(".")
    return ":" in bare or bool(_NUMERIC.fullmatch(bare.rpartition(".")[2]))


@dataclass(frozen=True, order=True)
class HostPattern:
    """One entry: a host, or any name below it (`*.host`, not the apex), at one port."""

    host: str
    port: int = TLS_PORT
    below: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """Read `host`, `*.host`, `host:port` or `*.host:port`; raise PatternError otherwise."""
        for mark, advice in (
            ("://", "write the host alone, without a scheme"),
            ("/", "write the host alone, without a path"),
            ("@", "write the host alone, without a user"),
            ("%", "write the host alone, without percent signs"),
        ):
            if mark in text:
                raise PatternError(advice)
        name, colon, port_text = text.partition(":")
        port = int(port_text) if _PORT.fullmatch(port_text) else 0
        if text.startswith("[") or (colon and ":" in port_text):
            raise PatternError("write a host name; IP addresses cannot be listed")
        if colon and not 0 < port < 65536:
            raise PatternError("write the port as a number from 1 to 65535")
        below = name.startswith("*.")
        host = canonical(name[2:] if below else name)
        if host is None:
            raise PatternError(_advice(name))
        return cls(host, port if colon else TLS_PORT, below)

    def matches(self, host: str) -> bool:
        """Say whether a canonical host is meant by this entry, whatever the port."""
        return host.endswith("." + self.host) if self.below else host == self.host

    def __str__(self) -> str:
        star = "*." if self.below else ""
        return f"{star}{self.host}" + ("" if self.port == TLS_PORT else f":{self.port}")


def _advice(name: str) -> str:
    if name in {"", "*", "*."}:
        return "name each host; a bare * would open everything"
    if "*" in name.removeprefix("*."):
        return "a * stands only at the front, as in *.example.com"
    if _looks_like_address(name):
        return "write a host name; IP addresses cannot be listed"
    if "." not in name.strip("."):
        return "write the full name, as in host.example.com"
    if not name.isascii():
        return "write the name in ASCII (its xn-- form)"
    return "write a plain host name, as in github.com or *.example.com"


@dataclass(frozen=True)
class Allowlist:
    """The entries in force, in a stable order without repeats."""

    patterns: tuple[HostPattern, ...]

    @classmethod
    def of(cls, patterns: Iterable[HostPattern]) -> Allowlist:
        """Make an allowlist of entries in any order."""
        return cls(tuple(sorted(set(patterns))))

    def decide(self, host: str, port: int) -> Decision:
        """Decide on a host as a client spelled it; what cannot be read as a name is denied."""
        name = canonical(host)
        if name is None:
            reason = Reason.ADDRESS if _looks_like_address(host) else Reason.NOT_A_NAME
            return Decision(allowed=False, reason=reason)
        meant = [p for p in self.patterns if p.matches(name)]
        for pattern in meant:
            if pattern.port == port:
                return Decision(allowed=True, reason=Reason.LISTED, pattern=str(pattern), host=name)
        reason = Reason.PORT_NOT_LISTED if meant else Reason.NOT_LISTED
        return Decision(allowed=False, reason=reason, host=name)
