"""Host rule: only exactly our table counts as ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from bottle.provision import hostrule

Listing = list[dict[str, Any]]

LISTED: Listing = [
    {"metainfo": {"version": "1.1.3", "release_name": "x", "json_schema_version": 1}},
    {"table": {"family": "inet", "name": "claude_bottle", "handle": 7}},
    {
        "chain": {
            "family": "inet",
            "table": "claude_bottle",
            "name": "input",
            "handle": 1,
            "type": "filter",
            "hook": "input",
            "prio": -300,
            "policy": "accept",
        }
    },
    {
        "rule": {
            "family": "inet",
            "table": "claude_bottle",
            "chain": "input",
            "handle": 2,
            "expr": [
                {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "cb-*"}},
                {"counter": {"packets": 41, "bytes": 2870}},
                {"drop": None},
            ],
        }
    },
    {
        "chain": {
            "family": "inet",
            "table": "claude_bottle",
            "name": "prerouting",
            "handle": 3,
            "type": "filter",
            "hook": "prerouting",
            "prio": -300,
            "policy": "accept",
        }
    },
    {
        "rule": {
            "family": "inet",
            "table": "claude_bottle",
            "chain": "prerouting",
            "handle": 4,
            "expr": [
                {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "cb-*"}},
                {"notrack": None},
            ],
        }
    },
]


def _changed(change: Callable[[Listing], object]) -> str:
    listing = copy.deepcopy(LISTED)
    change(listing)
    return json.dumps({"nftables": listing})


def test_ours_whatever_the_handles_and_counters() -> None:
    assert hostrule.is_ours(json.dumps({"nftables": LISTED}))
    assert hostrule.is_ours(_changed(lambda found: found[3]["rule"].update(handle=90)))


def test_ours_in_whatever_order_it_is_listed() -> None:
    assert hostrule.is_ours(_changed(lambda found: found.reverse()))


def _accept(found: Listing) -> Listing:
    rule = {**found[3]["rule"], "expr": [{"accept": None}]}
    return [*found[:3], {"rule": rule}, *found[3:]]


CHANGES: dict[str, Callable[[Listing], object]] = {
    "dormant": lambda found: found[1]["table"].update(flags="dormant"),
    "priority": lambda found: found[2]["chain"].update(prio=300),
    "hook": lambda found: found[2]["chain"].update(hook="output"),
    "policy": lambda found: found[2]["chain"].update(policy="drop"),
    "not hooked": lambda found: found[2]["chain"].pop("hook"),
    "no rule": lambda found: found.pop(3),
    "tracked": lambda found: found.pop(),
    "no second chain": lambda found: found.pop(4),
    "accept before": lambda found: found.insert(3, _accept(found)[3]),
    "accept after": lambda found: found.append(_accept(found)[3]),
    "one more chain": lambda found: found.append({"chain": {**found[2]["chain"], "name": "b"}}),
    "one more set": lambda found: found.append({"set": {"table": "claude_bottle"}}),
    "other bridges": lambda found: found[3]["rule"]["expr"][0]["match"].update(right="br-*"),
    "other than": lambda found: found[3]["rule"]["expr"][0]["match"].update(op="!="),
    "one more match": lambda found: found[3]["rule"]["expr"].insert(0, {"match": {}}),
    "accept": lambda found: found[3]["rule"]["expr"].__setitem__(2, {"accept": None}),
    "no counter": lambda found: found[3]["rule"]["expr"].pop(1),
    "limit": lambda found: found[3]["rule"]["expr"].insert(1, {"limit": {"rate": 1}}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_anything_else_is_not_ours(change: Callable[[Listing], object]) -> None:
    assert not hostrule.is_ours(_changed(change))


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"nftables": null}', '{"nftables": [3]}', b"\xff", "null"]
)
def test_what_is_no_listing_is_not_ours(text: str | bytes) -> None:
    assert not hostrule.is_ours(text)


def test_the_table_is_replaced_in_one_transaction() -> None:
    first, second, *_ = hostrule.REPLACE.splitlines()
    assert (first, second) == (
        "add table inet claude_bottle",
        "delete table inet claude_bottle",
    )
    assert hostrule.REPLACE.endswith(hostrule.TABLE)


def test_the_one_shot_container_has_one_capability() -> None:
    assert [flag for flag in hostrule.FLAGS if "cap-" in flag] == [
        "--cap-drop=ALL",
        "--cap-add=NET_ADMIN",
    ]
    assert {"--read-only", "--network=host", "--runtime=runc"} <= set(hostrule.FLAGS)
