"""Host rule: the one nftables table that drops what a bottle's bridge sends to the host.

What passes such a bridge is not tracked either: the table of connections is the whole host's, and
one bottle could fill it in seconds.

An internal bridge without an address still hears broadcasts and packets for other addresses of
the host. In nftables an accept in another table or chain ends that chain only, a drop is final:
so no rule elsewhere can undo this one, and comparing our own table is enough. What removes it
afterwards is caught by comparing again at each start, and by the live check of each bottle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from bottle.core.members import LABEL
from bottle.engine.port import Completed, Engine
from bottle.errors import Unavailable

IMAGE: Final = "claude-bottle/hostrule:current"
FLAGS: Final = (
    f"--label={LABEL}=setup",
    "--network=host",
    "--runtime=runc",
    "--user=0:0",
    "--cap-drop=ALL",
    "--cap-add=NET_ADMIN",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--pids-limit=64",
    "--memory=128m",
    "--no-healthcheck",
    "--entrypoint=nft",
)
"""Flags of the one-shot containers that see and set the rule, in the engine's own network."""

TABLE: Final = """\
table inet claude_bottle {
  chain input {
    type filter hook input priority -300; policy accept;
    iifname "cb-*" counter drop
  }
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname "cb-*" notrack
  }
}
"""
REPLACE: Final = f"add table inet claude_bottle\ndelete table inet claude_bottle\n{TABLE}"
"""One transaction for `nft -f -`: there is no moment without the rule."""
LIST: Final = ("-j", "list", "table", "inet", "claude_bottle")

_OF_US: Final = {"family": "inet", "table": "claude_bottle"}
_FROM_A_BOTTLE: Final = {
    "match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "cb-*"}
}


def _chain(hook: str) -> dict[str, Any]:
    own = {"name": hook, "type": "filter", "hook": hook, "prio": -300, "policy": "accept"}
    return {"chain": _OF_US | own}


def _rule(chain: str, *does: dict[str, Any]) -> dict[str, Any]:
    return {"rule": _OF_US | {"chain": chain, "expr": [_FROM_A_BOTTLE, *does]}}


_EXPECTED: Final = [
    {"table": {"family": "inet", "name": "claude_bottle"}},
    _chain("input"),
    _chain("prerouting"),
    _rule("input", {"counter": {}}, {"drop": None}),
    _rule("prerouting", {"notrack": None}),
]


def _spelled(entries: Iterable[dict[str, Any]]) -> list[str]:
    """Spell objects in one way and order: nft lists chains and rules as it likes."""
    return sorted(json.dumps(entry, sort_keys=True) for entry in entries)


_WANTED: Final = _spelled(_EXPECTED)


def is_ours(listing: str | bytes) -> bool:
    """Compare what `nft -j list table inet claude_bottle` printed with the table as we set it.

    Every object and every field counts; only handles and the counter's numbers are free. A
    dormant table, another priority, one more rule or chain: not ours.
    """
    try:
        found = json.loads(listing)["nftables"]
        return _spelled(_fixed(entry) for entry in found if "metainfo" not in entry) == _WANTED
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _fixed(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from one installation of the same table to the next."""
    kind, fields = next(iter(entry.items()))
    kept = {name: value for name, value in fields.items() if name != "handle"}
    if kind == "rule":
        kept["expr"] = [_without_numbers(expression) for expression in fields["expr"]]
    return {kind: kept}


def _without_numbers(expression: dict[str, Any]) -> dict[str, Any]:
    numbers = expression.get("counter")
    return {"counter": {}} if isinstance(numbers, dict) and len(expression) == 1 else expression


def present(engine: Engine) -> bool:
    """Say whether the engine's network namespace has exactly our table."""
    done = _nft(engine, LIST)
    return done.code == 0 and is_ours(done.output)


def insert(engine: Engine) -> None:
    """Set the table, in place of one of the same name; raise Unavailable when it does not hold."""
    done = _nft(engine, ("-f", "-"), REPLACE.encode())
    if done.code or not present(engine):
        raise Unavailable(
            f"the host rule could not be set: {done.errors.decode(errors='replace').strip()}",
            "the engine's kernel needs nf_tables; without this rule no bottle starts",
        )


def _nft(engine: Engine, words: tuple[str, ...], stdin: bytes = b"") -> Completed:
    return engine.run_once(IMAGE, words, flags=FLAGS, stdin=stdin, seconds=30)
