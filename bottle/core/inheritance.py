"""Inheritance: a bottle's members together with those of the bottles that it extends.

Lists add, what was extended first; maps merge; everything else is replaced. Each leaf keeps the
path at which it was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bottle.core.place import Later, Place, few, nearest, shown

_STEP: Final = re.compile(r"[.\[]")
DEEPEST: Final = 16
"""Bottles that extend one another in a row, at most."""

MOST: Final = 20_000
"""Settings of all bottles, counted again in each that extends them: more would take seconds."""


@dataclass(frozen=True)
class Said:
    """A value and the path at which it was said."""

    value: Any
    path: str


Tree = Any
"""Said, a tuple of Said, or a mapping of names to trees."""


def said(value: object, path: str) -> Tree:
    """Turn the members of one bottle into a tree."""
    if isinstance(value, dict):
        return {name: said(member, Place(path).key(name).path) for name, member in value.items()}
    if isinstance(value, tuple):
        return tuple(Said(item, f"{path}[{index}]") for index, item in enumerate(value))
    return Said(value, path)


def merged(base: Tree, own: Tree) -> Tree:
    """Give what a bottle has that extends another: the laws are in the module's first lines."""
    if isinstance(base, Mapping) and isinstance(own, Mapping):
        both = {name: merged(base[name], own[name]) for name in base if name in own}
        return {**base, **own, **both}
    if isinstance(base, tuple) and isinstance(own, tuple):
        return (*base, *own)
    return own


def origins(tree: Tree, name: str = "") -> Iterator[tuple[str, str]]:
    """Give each leaf's name (`egress.allowlist[0]`) and the path at which it was said."""
    if isinstance(tree, Said):
        yield name, tree.path
    elif isinstance(tree, tuple):
        for index, item in enumerate(tree):
            yield from origins(item, f"{name}[{index}]")
    else:
        for key, member in tree.items():
            yield from origins(member, f"{name}.{key}" if name else key)


def owner(path: str) -> str:
    """Give whose a path is: `bottles.web` of `bottles.web.limits.memory`."""
    return ".".join(path.split(".", 2)[:2])


def by_owner(later: Iterable[Later]) -> dict[str, list[Later]]:
    """Sort what is not supported yet by the bottle or agent that asks for it."""
    owned: dict[str, list[Later]] = {}
    for one in later:
        owned.setdefault(owner(one.path), []).append(one)
    return owned


def in_effect(later: Mapping[str, Iterable[Later]], paths: Iterable[str]) -> tuple[Later, ...]:
    """Give what was said at one of these paths, around or within it: what was not replaced."""
    here = dict.fromkeys(paths)
    known = [one for name in dict.fromkeys(map(owner, here)) for one in later.get(name, ())]
    if not known:
        return ()
    around = frozenset(outer for path in here for outer in _outer(path))
    return tuple(
        x for x in known if x.path in around or any(path in here for path in _outer(x.path))
    )


def _outer(path: str) -> Iterator[str]:
    """Give a path and those of all that it stands in."""
    yield path
    yield from (path[: step.start()] for step in _STEP.finditer(path))


def resolved(bottles: Mapping[str, Mapping[str, Any]], at: Place) -> dict[str, Tree]:
    """Give the merged tree of each bottle; note unknown, circular and too long extensions."""
    own = {name: said(members, at.key(name).path) for name, members in bottles.items()}
    parents = {name: members.get("extends") for name, members in bottles.items()}
    lines = {name: _line(name, parents, at.key(name).key("extends")) for name in bottles}
    sizes = {name: sum(1 for _ in origins(tree)) for name, tree in own.items()}
    total = sum(sizes[ancestor] for line in lines.values() for ancestor in line)
    if total > MOST:
        remedy = "let fewer bottles extend those with long lists"
        at.refuse(f"{total} settings, with those extended", f"at most {MOST}", remedy)
        return own
    return {name: _together(line, own) for name, line in lines.items()}


def _together(line: Iterable[str], own: Mapping[str, Tree]) -> Tree:
    tree: Tree = {}
    for ancestor in line:
        tree = merged(tree, own[ancestor])
    return tree


def _line(name: str, parents: Mapping[str, str | None], at: Place) -> list[str]:
    """List a bottle's ancestors, the first extended first, and the bottle itself last."""
    line = [name]
    while (parent := parents[line[0]]) is not None:
        if parent not in parents:
            if len(line) == 1:
                remedy = nearest(parent, few(parents, at)) or "declare it under bottles"
                at.refuse(shown(parent), "the name of a bottle", remedy)
            return line
        if parent in line:
            if parent == name:
                way = " → ".join([*reversed(line), name])
                at.refuse(shown(way), "no circle", "let one of them extend nothing")
            return line
        if len(line) == DEEPEST:
            found, remedy = f"more than {DEEPEST} bottles in a row", "put some of them together"
            at.refuse(found, f"at most {DEEPEST}", remedy)
            return line
        line.insert(0, parent)
    return line
