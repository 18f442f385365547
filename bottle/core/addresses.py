"""Addresses: the networks that a listed name must not lead to, whatever its DNS says.

The table is our own: Python's `is_global` and `is_private` differ between versions, and this file
runs on the host's Python and on the sidecar's. Sources: IANA's IPv4 and IPv6 special-purpose
address registries and multicast registries, and what clouds answer on; every entry is refused,
also those few that IANA calls globally reachable.
"""

from __future__ import annotations

import ipaddress
from typing import Final

NOT_AN_ADDRESS: Final = "not an IP address"
NOT_GLOBAL_UNICAST: Final = "outside IPv6 global unicast (2000::/3)"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED_V4: Final = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private use"),
    ("100.64.0.0/10", "shared address space"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud platform service"),  # Azure's wire server and resolver
    ("169.254.0.0/16", "link-local"),  # with the metadata services of most clouds
    ("172.16.0.0/12", "private use"),
    ("192.0.0.0/24", "IETF protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT"),
    ("192.88.99.0/24", "6to4 relay anycast"),
    ("192.168.0.0/16", "private use"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)

_REFUSED_V6: Final = (
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("64:ff9b::/96", "IPv4-IPv6 translation"),
    ("64:ff9b:1::/48", "IPv4-IPv6 translation"),
    ("100::/64", "discard-only"),
    ("100:0:0:1::/64", "dummy prefix"),
    ("2001::/23", "IETF protocol assignments"),  # with Teredo and ORCHID
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)

_TABLE: Final[tuple[tuple[_Network, str], ...]] = tuple(
    (ipaddress.ip_network(text), name) for text, name in (*_REFUSED_V4, *_REFUSED_V6)
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


def refused(address: str) -> str | None:
    """Give the reason why nothing may be dialled at this address, or None if it may.

    What cannot be read as exactly one address (octal digits, a zone, a port) is refused too.
    """
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return NOT_AN_ADDRESS
    if isinstance(read, ipaddress.IPv6Address) and read.scope_id is not None:
        return NOT_AN_ADDRESS
    return _registered(read) or _not_unicast(read)


def _registered(address: _Address) -> str | None:
    for network, name in _TABLE:
        if network.version == address.version and address in network:
            return name
    return None


def _not_unicast(address: _Address) -> str | None:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return NOT_GLOBAL_UNICAST
    return None
