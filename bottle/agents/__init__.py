"""Agents: adapters, one module each, that say what runs in a bottle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from bottle.agents import claude, demo, shell
from bottle.agents.credential import is_token, placeholder

__all__ = ("ADAPTERS", "Adapter", "is_token", "placeholder")


class Adapter(Protocol):
    """What an adapter's module says."""

    @property
    def needs_token(self) -> bool:
        """Whether its program asks the model, so that a token is needed."""

    @property
    def invents_token(self) -> bool:
        """Whether a random token will do: its model is a stand-in."""

    @property
    def interactive(self) -> bool:
        """Whether the program gets the person's terminal; else it speaks in lines."""

    def command(self, extra: Sequence[str], prompt: str) -> tuple[str, ...]:
        """Give the program and its words; `prompt` is the manifest's."""

    def home(self, workspace: str) -> Mapping[str, str]:
        """Give the files of a fresh home: path below it to text."""

    def environment(self, placeholder: str) -> Mapping[str, str]:
        """Give the variables of the program, with the token's placeholder."""


ADAPTERS: Final[Mapping[str, Adapter]] = {"claude": claude, "demo": demo, "shell": shell}
