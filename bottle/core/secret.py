"""Secret: a name and where its value comes from, never the value."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Final

TOKEN: Final = "CLAUDE_BOTTLE_OAUTH_TOKEN"  # noqa: S105  # the variable's name


@dataclass(frozen=True, kw_only=True)
class Secret:
    """What the preflight shows of a secret."""

    name: str
    source: str
    """For people: `the environment`, `random, for the demo`."""
    kept: str
    """For people: where the value will be; `in the sidecar; the bottle holds a placeholder`."""


class Value:
    """A secret's value in this process; printing or formatting it shows nothing of it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the value, to be piped to the one place where it belongs."""
        return self._text

    def __repr__(self) -> str:
        return "Value(redacted)"

    def __reduce__(self) -> str:
        raise TypeError("a secret's value is not pickled")


def take(environ: MutableMapping[str, str]) -> Value | None:
    """Take the token out of an environment, so that no process started from it inherits it."""
    text = environ.pop(TOKEN, None)
    return None if text is None else Value(text)


def take_named(environ: MutableMapping[str, str], names: Iterable[str]) -> dict[str, Value]:
    """Take variables out of an environment, as `take` does; leave out what is missing or empty."""
    texts = {name: environ.pop(name, "") for name in dict.fromkeys(names)}
    return {name: Value(text) for name, text in texts.items() if text}
