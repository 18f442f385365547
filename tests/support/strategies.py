"""Strategies: manifests and hosts as Hypothesis makes them up."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from bottle.core.manifest import _RESERVED
from bottle.core.plan import Host
from bottle.core.slot import SLOTS, Slot
from tests.support.plans import IMAGES

SMALL = "abcdefghijklmnopqrstuvwxyz0123456789"
LETTERS = SMALL + SMALL[:26].upper()


def _word(first: str, rest: str, longest: int) -> st.SearchStrategy[str]:
    """Give words by their alphabets; five times as fast as by a regular expression."""
    return st.builds(
        str.__add__, st.sampled_from(first), st.text(rest, min_size=0, max_size=longest - 1)
    )


NAMES = _word(SMALL, SMALL + "_-", 40).filter(lambda name: name != "demo")
SKILLS = _word(LETTERS, LETTERS + "_-", 64)
VARIABLES = _word(LETTERS[:26] + "_", LETTERS + "_", 40).filter(
    lambda name: not _RESERVED.fullmatch(name)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
LABELS = st.builds(str.__add__, st.sampled_from(["", "a-", "B--", "_"]), _word(LETTERS, LETTERS, 8))
HOSTS = st.builds(
    lambda labels, top: ".".join([*labels, top]),
    st.lists(LABELS, min_size=1, max_size=3),
    st.sampled_from(["com", "example", "xn--p1ai", "org."]),
)
PATTERNS = st.builds(
    lambda star, host, port: f"{star}{host}{port}",
    st.sampled_from(["", "*."]),
    HOSTS,
    st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}")),
)
BOTTLES = st.fixed_dictionaries(
    {},
    optional={
        "runtime": st.sampled_from(["runc", "runsc"]),
        "env": st.dictionaries(VARIABLES, TEXTS, max_size=4),
        "ssh": st.just([]),
        "egress": st.fixed_dictionaries(
            {},
            optional={
                "allowlist": st.lists(PATTERNS, max_size=5),
                "proxy": st.just("mitmproxy"),
            },
        ),
    },
)


def _agents(bottles: list[str], adapter: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"bottle": st.sampled_from(bottles)},
        optional={
            "adapter": adapter,
            "skills": st.lists(SKILLS, max_size=3, unique=True),
            "prompt": TEXTS,
        },
    )


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """Give the plain values of a valid manifest with at least one bottle and one agent."""
    bottles = draw(st.dictionaries(NAMES, BOTTLES, min_size=1, max_size=3))
    ordinary = _agents(sorted(bottles), st.sampled_from(["claude", "shell"]))
    agents = draw(st.dictionaries(NAMES, ordinary, min_size=1, max_size=3))
    if draw(st.booleans()):
        demo = draw(_agents(sorted(bottles), st.just("demo")))
        agents["demo"] = {**demo, "adapter": "demo"}
    return {"bottles": bottles, "agents": agents}


HOST = st.builds(
    Host,
    session=st.integers(0, 16**12 - 1).map(lambda number: f"{number:012x}"),
    owner=st.integers(0, 16**16 - 1).map(lambda number: f"{number:016x}"),
    slot=st.integers(0, SLOTS - 1).map(lambda number: Slot(number=number)),
    images=st.just(IMAGES),
)
STANDIN_NAMES = st.lists(HOSTS.map(lambda h: h.lower().rstrip(".")), max_size=3).map(tuple)
