"""Slot: one of the places for a bottle on an engine, with user ids and subnets of its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SLOTS: Final = 225
"""How many bottles one engine can hold: four user ids each out of 60100 to 60999."""

_FIRST_UID: Final = 60100
_UIDS_A_SLOT: Final = 4
_POOL: Final = ipaddress.IPv4Network("10.231.0.0/16")
_SLOT_SIZE: Final = 32


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One of the places for a bottle on an engine: its user ids and its subnets."""

    number: int

    @property
    def _first(self) -> int:
        return _FIRST_UID + self.number * _UIDS_A_SLOT

    @property
    def sidecar_uid(self) -> int:
        return self._first

    @property
    def keeper_uid(self) -> int:
        """The user of PID 1 in the agent's container, which the agent cannot signal."""
        return self._first + 1

    @property
    def agent_uid(self) -> int:
        return self._first + 2

    @property
    def standin_uid(self) -> int:
        return self._first + 3

    @property
    def uids(self) -> frozenset[int]:
        return frozenset(range(self._first, self._first + _UIDS_A_SLOT))

    @property
    def inside(self) -> ipaddress.IPv4Network:
        start = int(_POOL.network_address) + self.number * _SLOT_SIZE
        return ipaddress.IPv4Network((start, 28))

    @property
    def outside(self) -> ipaddress.IPv4Network:
        start = int(_POOL.network_address) + self.number * _SLOT_SIZE + _SLOT_SIZE // 2
        return ipaddress.IPv4Network((start, 28))


def candidates(
    first: int, *, taken_subnets: Iterable[str], taken_uids: frozenset[int]
) -> tuple[int, ...]:
    """List the slots that collide with no known subnet, route or account, from `first` around."""
    taken = [ipaddress.ip_network(subnet) for subnet in taken_subnets]
    taken_v4 = [network for network in taken if isinstance(network, ipaddress.IPv4Network)]
    around = (Slot(number=(first + step) % SLOTS) for step in range(SLOTS))
    return tuple(
        slot.number
        for slot in around
        if not slot.uids & taken_uids
        and not any(n.overlaps(slot.inside) or n.overlaps(slot.outside) for n in taken_v4)
    )
