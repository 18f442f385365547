"""Host: what must be known of the machine that a bottle runs on; read, never changed."""

from __future__ import annotations

import ipaddress
import pwd
import sys
from pathlib import Path

_ROUTES = Path("/proc/net/route")
_NARROW = 16


def account_uids() -> frozenset[int]:
    """Give the user ids of this host's accounts: kernel quotas are counted per user id."""
    return frozenset(account.pw_uid for account in pwd.getpwall())


def routed_subnets() -> tuple[str, ...]:
    """Give the subnets that this host has routes to; Linux only.

    Wide ones (a default route, a tunnel's 10.0.0.0/8) are left out: a narrower route beside them
    is no conflict.
    """
    if not _ROUTES.is_file():
        return ()
    rows = [line.split() for line in _ROUTES.read_text().splitlines()[1:]]
    subnets = [ipaddress.IPv4Network(f"{_dotted(row[1])}/{_dotted(row[7])}") for row in rows]
    return tuple(str(subnet) for subnet in subnets if subnet.prefixlen >= _NARROW)


def _dotted(word: str) -> str:
    """Read an address as /proc/net/route writes it: hexadecimal, in the machine's byte order."""
    return str(ipaddress.IPv4Address(int(word, 16).to_bytes(4, sys.byteorder)))
