"""Shell: bash in a bottle, with no model and no token; to look around, and for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

needs_token: Final = False
invents_token: Final = False
interactive: Final = True


def command(extra: Sequence[str], prompt: str) -> tuple[str, ...]:  # noqa: ARG001  # no model
    """Give bash with further words."""
    return ("bash", *extra)


def home(workspace: str) -> Mapping[str, str]:  # noqa: ARG001  # bash needs nothing there
    """Give nothing."""
    return {}


def environment(placeholder: str) -> Mapping[str, str]:  # noqa: ARG001  # no token
    """Give nothing."""
    return {}
