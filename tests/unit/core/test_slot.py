"""Slots: no two share a user id or an address, and what the host has already is left alone."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from bottle.core.slot import SLOTS, Slot, candidates

ALL = tuple(Slot(number=number) for number in range(SLOTS))


def test_the_slots_use_each_of_their_uids_once() -> None:
    uids = [uid for slot in ALL for uid in sorted(slot.uids)]
    assert uids == list(range(60100, 61000))


@pytest.mark.parametrize("slot", [ALL[0], ALL[7], ALL[-1]])
def test_the_four_users_of_a_slot_differ(slot: Slot) -> None:
    four = {slot.sidecar_uid, slot.keeper_uid, slot.agent_uid, slot.standin_uid}
    assert four == slot.uids
    assert len(four) == 4


def test_no_two_subnets_overlap_and_all_lie_in_the_pool() -> None:
    subnets = sorted(subnet for slot in ALL for subnet in (slot.inside, slot.outside))
    pool = ipaddress.IPv4Network("10.231.0.0/16")
    assert all(subnet.subnet_of(pool) and subnet.prefixlen == 28 for subnet in subnets)
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(subnets))


@pytest.mark.parametrize(
    ("number", "inside", "outside", "first"),
    [
        (0, "10.231.0.0/28", "10.231.0.16/28", 60100),
        (7, "10.231.0.224/28", "10.231.0.240/28", 60128),
        (224, "10.231.28.0/28", "10.231.28.16/28", 60996),
    ],
)
def test_places_are_fixed(number: int, inside: str, outside: str, first: int) -> None:
    slot = Slot(number=number)
    assert (str(slot.inside), str(slot.outside), min(slot.uids)) == (inside, outside, first)


def test_all_are_candidates_on_an_empty_host_from_the_first_around() -> None:
    found = candidates(220, taken_subnets=(), taken_uids=frozenset())
    assert found == (*range(220, 225), *range(220))


@pytest.mark.parametrize(
    ("subnets", "uids", "missing"),
    [
        (["10.231.0.0/28"], set(), {0}),
        (["10.231.0.16/29"], set(), {0}),
        (["10.231.0.16/28", "10.231.1.0/24"], set(), {0, *range(8, 16)}),
        (["10.231.0.40/32"], set(), {1}),
        (["172.17.0.0/16", "fd00::/8", "10.230.0.0/16"], set(), set()),
        ([], {60099, 61000}, set()),
        ([], {60100}, {0}),
        ([], {60103, 60104}, {0, 1}),
        (["10.0.0.0/8"], set(), set(range(SLOTS))),
    ],
)
def test_what_is_taken_is_no_candidate(
    subnets: list[str], uids: set[int], missing: set[int]
) -> None:
    found = candidates(0, taken_subnets=subnets, taken_uids=frozenset(uids))
    assert set(range(SLOTS)) - set(found) == missing
