"""Host: what must be known of the machine that a bottle runs on; read, never changed."""

from __future__ import annotations

import ipaddress
import pwd
import sys
from pathlib import Path

_ROUTES = Path("/proc/net/route")


def account_uids() -> frozenset[int]:
    """Give the user ids of this host's accounts: kernel quotas are counted per user id."""
    return frozenset(account.pw_uid for account in pwd.getpwall())


def routed_subnets() -> tuple[str, ...]:
    """Give the subnets that this host has routes to, without the default route; Linux only."""
    if not _ROUTES.is_file():
        return ()
    rows = [line.split() for line in _ROUTES.read_text().splitlines()[1:]]
    subnets = (f"{_dotted(row[1])}/{_dotted(row[7])}" for row in rows)
    return tuple(subnet for subnet in subnets if not subnet.startswith("0.0.0.0"))


def _dotted(word: str) -> str:
    """Read an address as /proc/net/route writes it: hexadecimal, in the machine's byte order."""
    return str(ipaddress.IPv4Address(int(word, 16).to_bytes(4, sys.byteorder)))
