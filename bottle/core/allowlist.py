"""Allowlist: the hosts and ports an agent may reach; everything else is denied.

The command line shows what this file decides, and the sidecar decides with this very file: it is
copied into the sidecar's image and imports nothing but the standard library and idna.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TLS_PORT = 443

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_COLONS = re.compile(r"[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*(?:%.*)?", re.DOTALL)
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

    What is not plain ASCII, is longer than 253 characters, has one label only, could be read as an
    IPv4 address (WHATWG URL: a last label that is numeric), or has an `xn--` label that encodes no
    international name (RFC 5891) is not a name.
    """
    if not host.isascii():
        return None
    name = host.lower().removesuffix(".")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return None
    labels = name.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        return None
    return name if all(_encodes_a_name(label) for label in labels) else None


def normalised(host: str) -> str | None:
    """Give the canonical name that a text of any script stands for (UTS 46), or None.

    Letters of any script, full-width forms and the three other full stops are read as they are
    by browsers; on the wire a name is ASCII, so there `canonical` is asked.
    """
    mapped = _ascii(host)
    return None if mapped is None else canonical(mapped)


def _ascii(host: str) -> str | None:
    """Map a text to ASCII (UTS 46), each international label to its `xn--` form."""
    if host.isascii():
        return host
    if len(host) > _LONGEST_NAME:
        return None
    import idna  # 13 ms, and few names are international

    try:
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
        return ".".join(x if x.isascii() else idna.alabel(x).decode() for x in labels)
    except UnicodeError:
        return None


def _encodes_a_name(label: str) -> bool:
    """Say whether an `xn--` label is the one encoding of an international label."""
    if not label.startswith("xn--"):
        return True
    import idna  # as above

    try:
        return idna.alabel(idna.ulabel(label)).decode() == label
    except UnicodeError:
        return False


def _looks_like_address(host: str) -> bool:
    bare = host.strip("[]").lower().removesuffix(".")
    return bool(_COLONS.fullmatch(bare) or _NUMERIC.fullmatch(bare.rpartition(".")[2]))


_MARKS: Final = {
    "://": "write the host alone, without a scheme",
    "/": "write the host alone, without a path",
    "\\": "write the host alone, without a path",
    "?": "write the host alone, without a query",
    "#": "write the host alone, without a fragment",
    "@": "write the host alone, without a user",
    "%": "write the host alone, without percent signs",
}


@dataclass(frozen=True, order=True)
class HostPattern:
    """One entry: a host, or any name below it (`*.host`, not the apex), at one port."""

    host: str
    port: int = TLS_PORT
    below: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """Read `host`, `*.host`, `host:port` or `*.host:port`; raise PatternError otherwise."""
        for mark, advice in _MARKS.items():
            if mark in text:
                raise PatternError(advice)
        if not text.isprintable() or " " in text:
            raise PatternError("write the host alone, without spaces or control characters")
        name, colon, port_text = text.partition(":")
        port = int(port_text) if _PORT.fullmatch(port_text) else 0
        if text.startswith("[") or (colon and ":" in port_text):
            raise PatternError("write a host name; IP addresses cannot be listed")
        if colon and not 0 < port < 65536:
            raise PatternError("write the port as a number from 1 to 65535")
        below = name.startswith("*.")
        host = normalised(name[2:] if below else name)
        if host is None:
            raise PatternError(_advice(_ascii(name) or name))
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
    if name.startswith("*.") and "." not in name[2:].strip("."):
        return "anybody can register a name below a top-level domain: name the hosts"
    if "." not in name.strip("."):
        return "write the full name, as in host.example.com"
    if not name.isascii() or "xn--" in name.lower():
        return "write an international name that can be registered (IDNA 2008, UTS 46)"
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
        name = normalised(host)
        if name is None:
            is_address = _looks_like_address(_ascii(host) or host)
            reason = Reason.ADDRESS if is_address else Reason.NOT_A_NAME
            return Decision(allowed=False, reason=reason)
        meant = [p for p in self.patterns if p.matches(name)]
        for pattern in meant:
            if pattern.port == port:
                return Decision(allowed=True, reason=Reason.LISTED, pattern=str(pattern), host=name)
        reason = Reason.PORT_NOT_LISTED if meant else Reason.NOT_LISTED
        return Decision(allowed=False, reason=reason, host=name)
