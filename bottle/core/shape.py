"""Shape: what a value of a manifest may be; one definition reads it, refuses it, describes it.

`read` gives the value as it is meant, or notes each problem with its path; `schema` says the same
as JSON Schema (2020-12), as far as that language can. What is read counts only when there are no
problems: until then it is there so that everything else can be looked at too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bottle.core.place import Later, Place, kind, nearest, shown

LONGEST: Final = 64 * 1024


class Unfit(ValueError):
    """A value that a rule refuses: what was wanted and, if there is one, a remedy."""

    def __init__(self, wanted: str, remedy: str = "") -> None:
        super().__init__(wanted)
        self.wanted, self.remedy = wanted, remedy


class Shape(Protocol):
    """A definition of what a value may be."""

    def read(self, value: object, at: Place) -> Any:
        """Give what the value means; note problems at its place."""

    def schema(self) -> dict[str, Any]:
        """Describe it as JSON Schema."""


def whole(pattern: str) -> str:
    """Anchor a pattern at both ends, as JavaScript's and Python's regular expressions both read.

    In Python alone `$` would pass a line feed at the end.
    """
    return rf"^(?:{pattern})$(?!\n)"


@dataclass(frozen=True, kw_only=True)
class Text:
    """Text, by a pattern (in what JavaScript and Python share) and a rule that no pattern says."""

    wanted: str = "text"
    remedy: str = ""
    pattern: str = ""
    longest: int = LONGEST
    rule: Callable[[str], Any] = str
    """Gives what the text means; raises Unfit."""
    unless: str = ""
    """For the schema: a pattern of what the rule refuses."""

    def read(self, value: object, at: Place) -> Any:
        if not isinstance(value, str):
            at.refuse(kind(value), self.wanted, self.remedy)
        elif len(value) > self.longest:
            at.refuse(f"{len(value)} characters", f"at most {self.longest}", "shorten it")
        elif self.pattern and not re.search(whole(self.pattern), value):
            at.refuse(shown(value), self.wanted, self.remedy)
        else:
            return self._ruled(value, at)
        return None

    def _ruled(self, value: str, at: Place) -> Any:
        try:
            return self.rule(value)
        except Unfit as refusal:
            at.refuse(shown(value), refusal.wanted, refusal.remedy)
            return None

    def schema(self) -> dict[str, Any]:
        pattern = {"pattern": whole(self.pattern)} if self.pattern else {}
        unless = {"not": {"pattern": whole(self.unless)}} if self.unless else {}
        return {"type": "string", "maxLength": self.longest, **pattern, **unless}


@dataclass(frozen=True)
class Choice:
    """One of a few words; some of them are understood and not supported yet."""

    words: tuple[str, ...]
    later: Mapping[str, str] = field(default_factory=dict)
    """Word to the reason."""

    def read(self, value: object, at: Place) -> str | None:
        known = (*self.words, *self.later)
        if not isinstance(value, str) or value not in known:
            found = shown(value) if isinstance(value, str) else kind(value)
            suggestion = nearest(value, known) if isinstance(value, str) else ""
            at.refuse(found, "one of " + ", ".join(map(repr, known)), suggestion)
            return None
        if value in self.later:
            at.later.append(Later(path=at.path, reason=self.later[value]))
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": [*self.words, *self.later]}


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def read(self, value: object, at: Place) -> bool:
        if not isinstance(value, bool):
            at.refuse(kind(value), "true or false")
        return value is True

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number between two bounds, both included."""

    least: float
    most: float
    integral: bool = False

    def read(self, value: object, at: Place) -> float | None:
        number = _number(value, integral=self.integral)
        if number is None or not self.least <= number <= self.most:
            noun = "a whole number" if self.integral else "a number"
            at.refuse(kind(value), f"{noun} from {self.least:g} to {self.most:g}")
            return None
        return number

    def schema(self) -> dict[str, Any]:
        kind_of = "integer" if self.integral else "number"
        return {"type": kind_of, "minimum": self.least, "maximum": self.most}


def _number(value: object, *, integral: bool) -> float | None:
    """Take a number; 4.0 is a whole one, true is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not integral:
        return value
    return int(value) if value == int(value) else None


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list of things of one shape."""

    of: Shape
    unique: bool = False
    least: int = 0
    instead: Any = None
    """Keeps the place of an item that is refused; without it, that is left out."""

    def read(self, value: object, at: Place) -> tuple[Any, ...]:
        if not isinstance(value, list):
            at.refuse(kind(value), "a list")
            return ()
        if len(value) < self.least:
            at.refuse("an empty list", "at least one entry", "add one, or leave the key out")
        for index, item in _repeats(value) if self.unique else ():
            at.item(index).refuse(shown(item), "each entry once", "remove the repeat")
        items = (self.of.read(item, at.item(index)) for index, item in enumerate(value))
        whole = (self.instead if item is None else item for item in items)
        return tuple(item for item in whole if item is not None)

    def schema(self) -> dict[str, Any]:
        unique = {"uniqueItems": True} if self.unique else {}
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.of.schema(), **unique, **least}


def _repeats(items: list[object]) -> Iterator[tuple[int, str]]:
    """Give each text that stood before, with its place; other items are refused anyway."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if isinstance(item, str):
            if item in seen:
                yield index, item
            seen.add(item)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Names of the author's choosing, each with a thing of one shape."""

    of: Shape
    names: Text
    least: int = 0

    def read(self, value: object, at: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            at.refuse(kind(value), "an object")
            return {}
        if len(value) < self.least:
            at.refuse("an empty object", "at least one entry", "add one, or leave the key out")
        found = {}
        for name, member in value.items():
            place = at.key(name)
            self.names.read(name, place)
            found[name] = self.of.read(member, place)
        return _whole_ones(found)

    def schema(self) -> dict[str, Any]:
        names = {k: v for k, v in self.names.schema().items() if k != "type"}
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.of.schema(),
            **({"minProperties": self.least} if self.least else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Key:
    """One member of a record."""

    shape: Shape
    about: str
    required: bool = False
    later: str = ""
    """Why it is understood and not supported yet."""


@dataclass(frozen=True)
class Record:
    """Fixed names, each with its own shape; any other name is refused."""

    keys: Mapping[str, Key]
    into: Callable[[dict[str, Any]], Any] = dict
    """Makes one value of the members that are there."""

    def read(self, value: object, at: Place) -> Any:
        if not isinstance(value, dict):
            at.refuse(kind(value), "an object")
            return self.into({})
        for name in (name for name in value if name not in self.keys):
            known = f"one of {', '.join(sorted(self.keys))}"
            remedy = nearest(name, self.keys) or "take it out"
            at.key(name).refuse("an unknown key", known, remedy)
        for name, key in self.keys.items():
            if key.required and name not in value:
                at.key(name).refuse("nothing", "a value", f"add {name}")
        here = [(name, key) for name, key in self.keys.items() if name in value]
        found = {name: _member(key, value[name], at.key(name)) for name, key in here}
        return self.into(_whole_ones(found))

    def schema(self) -> dict[str, Any]:
        required = [name for name, key in self.keys.items() if key.required]
        return {
            "type": "object",
            "properties": {
                name: {"description": _about(key), **key.shape.schema()}
                for name, key in self.keys.items()
            },
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }


def _about(key: Key) -> str:
    return f"{key.about} Not supported yet." if key.later else key.about


def _whole_ones(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _member(key: Key, value: object, at: Place) -> Any:
    if key.later:
        at.later.append(Later(path=at.path, reason=key.later))
    return key.shape.read(value, at)


@dataclass(frozen=True, kw_only=True)
class Either:
    """Text of one shape, or an object of another."""

    text: Text
    record: Record

    def read(self, value: object, at: Place) -> Any:
        if isinstance(value, (str, dict)):
            shape: Shape = self.text if isinstance(value, str) else self.record
            return shape.read(value, at)
        names = ", ".join(self.record.keys)
        at.refuse(kind(value), f"{self.text.wanted}, or an object with {names}")
        return None

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.text.schema(), self.record.schema()]}


@dataclass(frozen=True)
class Anything:
    """Any value: the shape of a key whose meaning is still to be decided."""

    def read(self, value: object, at: Place) -> object:  # noqa: ARG002  # the protocol
        return (value,)

    def schema(self) -> dict[str, Any]:
        return {}
