"""Strategies: manifests, their texts and hosts as Hypothesis makes them up."""

from __future__ import annotations

import functools
import json
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

from bottle.core.allowlist import HostPattern
from bottle.core.members import Host
from bottle.core.plan import Given
from bottle.core.secret import Secret
from bottle.core.slot import SLOTS, Slot
from bottle.core.variables import reserved, unreadable
from tests.support.plans import CLIENTS, IMAGES

SMALL = "abcdefghijklmnopqrstuvwxyz0123456789"
LETTERS = SMALL + SMALL[:26].upper()


def examples(times: float) -> settings:
    """Give settings with so many times the examples of the profile: 100, or 5,000 with --long."""
    default = settings.get_current_profile_name()
    profile = settings.get_profile(default)
    return settings(profile, max_examples=max(1, round(profile.max_examples * times)))


def _word(first: str, rest: str, longest: int) -> st.SearchStrategy[str]:
    """Give words by their alphabets, each out of one number: ten times as fast as by letters."""

    def spelled(number: int) -> str:
        number, at = divmod(number, len(first))
        word = first[at]
        while number and len(word) < longest:
            number, at = divmod(number, len(rest))
            word += rest[at]
        return word

    # mostly short, at times the longest
    return st.one_of(
        st.integers(0, len(first) * len(rest) ** 5),
        st.integers(0, len(first) * len(rest) ** (longest - 1)),
    ).map(spelled)


NAMES = _word(SMALL, SMALL + "_-", 40).filter(lambda name: name != "demo")
SKILLS = _word(LETTERS, LETTERS + "_-", 64)
VARIABLES = _word(LETTERS[:26] + "_", LETTERS + "_", 40).filter(lambda name: not reserved(name))
HOST_VARIABLES = VARIABLES.filter(lambda name: not unreadable(name))
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "vi -u NONE", "é\u2028\U0001f600", "a=b\n$(c)", "'\"\\", "\x7f\x1b[0m"]
    ),
    st.text(CHARACTERS, max_size=12),
)
LABELS = st.builds(str.__add__, st.sampled_from(["", "a-", "B--", "_"]), _word(LETTERS, LETTERS, 8))
HOSTS = st.builds(
    lambda labels, top: ".".join([*labels, top]),
    st.lists(LABELS, min_size=1, max_size=3),
    st.sampled_from(["com", "example", "xn--p1ai", "org."]),
)
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
PATTERNS = st.one_of(
    st.builds(str.__add__, HOSTS, PORTS),
    # below a label of our own, so that the name is nobody's public suffix
    st.builds(lambda host, port: f"*.below-{host}{port}", HOSTS, PORTS),
)
PATHS = st.builds(
    str.__add__,
    st.sampled_from(["", "", "", "./"]),
    st.lists(_word(SMALL, LETTERS + "_-. é", 12), min_size=1, max_size=3).map("/".join),
)
ENV = st.dictionaries(
    VARIABLES,
    st.one_of(
        TEXTS,
        st.fixed_dictionaries(
            {"from": HOST_VARIABLES},
            optional={
                "optional": st.booleans(),
                "for": st.lists(HOSTS, min_size=1, max_size=2, unique=True),
            },
        ),
    ),
    max_size=4,
)
EGRESS = st.fixed_dictionaries(
    {},
    optional={
        "allowlist": st.lists(
            st.one_of(
                PATTERNS,
                st.fixed_dictionaries(
                    {
                        "registries": st.lists(
                            st.sampled_from(["pip", "npm"]), min_size=1, max_size=2, unique=True
                        )
                    }
                ),
            ),
            max_size=5,
        ),
        "proxy": st.sampled_from(["mitmproxy", "pipelock"]),
        "inspect": st.dictionaries(
            PATTERNS, st.sampled_from(["inspect", "splice"]), min_size=1, max_size=2
        ),
        "upstream_ca": PATHS,
        "dlp": st.one_of(st.none(), st.booleans(), st.lists(TEXTS, max_size=2)),
        "budget": st.dictionaries(TEXTS, st.integers(-9, 9), max_size=2),
    },
)


def _is_package(name: str) -> bool:
    return len(name) > 1 and not name.endswith("-")


IMAGE = st.fixed_dictionaries(
    {},
    optional={
        "packages": st.lists(_word(SMALL, SMALL + "+.-", 20).filter(_is_package))
        .map(lambda names: list(dict.fromkeys(names)))
        .filter(lambda names: len(names) < 6),
        "dockerfile": PATHS,
    },
)


@functools.cache
def _limits(least_pids: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "memory": st.one_of(
                st.integers(512, 8192).map(lambda n: f"{n}m"),
                st.integers(1, 1024).map(lambda n: f"{n}G"),
            ),
            "cpus": st.one_of(st.integers(1, 1024), st.floats(0.1, 1024)),
            "pids": st.integers(least_pids, 65536),
            "tmp": st.integers(64, 512).map(lambda n: f"{n}M"),  # no more than the least memory
        },
    )


@functools.cache
def _ssh(mark: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        # no host of another bottle's, so that bottles can extend each other
        {"host": HOSTS.map(lambda host: f"{mark}.{host}"), "key": PATHS, "known_hosts": PATHS},
        optional={
            "port": st.integers(1, 65535),
            "user": _word(LETTERS[:26] + "_", LETTERS + "_.-", 20),
            "repositories": st.lists(
                st.builds("{}/{}".format, SKILLS, SKILLS), min_size=1, max_size=2, unique=True
            ),
            "access": st.sampled_from(["read", "write"]),
        },
    )


@functools.cache
def _bottle(mark: str, *, gvisor: bool) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "runtime": st.sampled_from(["runc", "runsc"] if gvisor else ["runc"]),
            "env": ENV,
            "ssh": st.lists(
                _ssh(mark), max_size=2, unique_by=lambda entry: entry["host"].lower().rstrip(".")
            ),
            "egress": EGRESS,
            "limits": _limits(1024 if gvisor else 128),
            "image": IMAGE,
        },
    )


def _agents(bottles: list[str], adapter: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"bottle": st.sampled_from(bottles)},
        optional={
            "adapter": adapter,
            "skills": st.lists(SKILLS, max_size=3, unique=True),
            "prompt": st.one_of(TEXTS, st.fixed_dictionaries({"file": PATHS})),
            "args": st.lists(TEXTS, max_size=3),
            "env": ENV,
        },
    )


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """Give the plain values of a valid manifest with at least one bottle and one agent."""
    gvisor = draw(st.booleans())
    bottles: dict[str, Any] = {}
    for number, name in enumerate(draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))):
        bottle: dict[str, Any] = draw(_bottle(f"s{number}", gvisor=gvisor))
        extending: bool = draw(st.booleans())
        if bottles and extending:
            bottle["extends"] = draw(st.sampled_from(sorted(bottles)))
        bottles[name] = bottle
    ordinary = _agents(sorted(bottles), st.sampled_from(["claude", "shell"]))
    agents = draw(st.dictionaries(NAMES, ordinary, min_size=1, max_size=3))
    if draw(st.booleans()):
        demo = draw(_agents(sorted(bottles), st.just("demo")))
        agents["demo"] = {**demo, "adapter": "demo"}
    reordered = dict(draw(st.permutations(list(bottles.items()))))
    return {"bottles": reordered, "agents": agents}


# -- hosts

_SESSIONS = st.integers(0, 16**12 - 1).map(lambda number: f"{number:012x}")
_OWNERS = st.integers(0, 16**16 - 1).map(lambda number: f"{number:016x}")
_PLAIN_HOSTS = HOSTS.map(lambda host: host.lower().rstrip("."))
_REGISTRIES = st.fixed_dictionaries(
    dict.fromkeys(
        CLIENTS,
        st.lists(st.builds(HostPattern, _PLAIN_HOSTS, st.integers(1, 65535)), max_size=2).map(
            tuple
        ),
    )
)
HOST = st.builds(
    Host,
    session=_SESSIONS,
    owner=_OWNERS,
    slot=st.integers(0, SLOTS - 1).map(lambda number: Slot(number=number)),
    images=st.just(IMAGES),
    registries=_REGISTRIES,
)
STANDIN_NAMES = st.lists(_PLAIN_HOSTS, max_size=3).map(tuple)
_DIGESTS = st.integers(0, 16**64 - 1).map(lambda number: f"{number:064x}")
SECRETS = st.builds(Secret, name=VARIABLES, source=TEXTS, kept=TEXTS)
GIVEN = st.builds(
    Given,
    arguments=st.lists(TEXTS, max_size=2).map(tuple),
    skills=st.dictionaries(SKILLS, _DIGESTS, max_size=2),
    dockerfile=st.one_of(st.just(""), _DIGESTS),
    secrets=st.lists(SECRETS, max_size=2, unique_by=lambda secret: secret.name).map(tuple),
)


# -- other values, and values as texts

WORDS: Final = (
    *("bottles", "agents", "default", "demo", "extends", "runtime", "env", "ssh", "egress"),
    *("limits", "image", "allowlist", "registries", "proxy", "bottle", "adapter", "skills"),
    *("prompt", "file", "from", "optional", "for", "args", "memory", "pids", "$schema", "a"),
)
KEYS = st.sampled_from(WORDS)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**58), 10**58),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["default", "demo", "claude", "runsc", "pipelock", "a.b", "*", "*.com", "", "\0", "4g"]
    ),
    st.text(max_size=10),
)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, st.text(max_size=4)), inner)
    ),
    max_leaves=20,
)
"""Anything that JSON can say, and some that it cannot: half a surrogate pair."""

PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**58), 10**58),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(CHARACTERS, max_size=6), inner)
    ),
    max_leaves=12,
)
"""Anything that a document can say."""


def places(value: Any) -> list[tuple[Any, Any]]:
    """List every member below a value as (object or list, key or index)."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    return [place for key in keys for place in [(value, key), *places(value[key])]]


@st.composite
def spoiled(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Give six copies of a valid manifest, in each of which one or two places were spoiled."""
    text = json.dumps(draw(manifests()))
    contents: list[dict[str, Any]] = [json.loads(text) for _ in range(6)]
    for number, content in enumerate(contents):
        for _ in range(1 + number % 2):
            _spoil(draw, content)
    return contents


def _spoil(draw: st.DrawFn, content: dict[str, Any]) -> None:
    """Change, remove or add one member somewhere."""
    known = places(content)
    if not known:
        return
    place, key = draw(st.sampled_from(known))
    way = draw(st.sampled_from(["replace", "remove", "add", "letter", "letter", "swap"]))
    if way == "remove":
        del place[key]
    elif way == "add":
        name = draw(KEYS) if isinstance(place, dict) else slice(0, 0)
        place[name] = draw(SCALARS) if isinstance(place, dict) else [draw(SCALARS)]
    elif way == "letter" and isinstance(place[key], str):
        place[key] = draw(_spoiled(place[key]))
    elif way == "swap":
        other, another = draw(st.sampled_from(known))
        place[key] = json.loads(json.dumps(other[another]))
    else:
        place[key] = draw(st.one_of(SCALARS, STRUCTURES))


def _spoiled(text: str) -> st.SearchStrategy[str]:
    """Put one character into a text, or take one away."""
    marks = st.sampled_from(
        [*"./:*@%[] \t\n-_\\#?", "..", "../", "\u2028", "é", "\uff0e", "0", "A", "~", "\x7f"]
    )
    where = st.integers(0, len(text))
    return st.one_of(
        st.builds(lambda at, mark: text[:at] + mark + text[at:], where, marks),
        where.map(lambda at: text[:at] + text[at + 1 :]),
    )


NEARLY = st.fixed_dictionaries(
    {
        "bottles": st.dictionaries(KEYS, st.dictionaries(KEYS, STRUCTURES, max_size=4), max_size=3),
        "agents": st.dictionaries(KEYS, st.dictionaries(KEYS, STRUCTURES, max_size=4), max_size=3),
    }
)
