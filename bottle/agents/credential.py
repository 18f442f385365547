"""Credential: the shape of Claude Code's OAuth token, and of the placeholder that stands for it."""

from __future__ import annotations

import re
from typing import Final

_PREFIX: Final = "sk-ant-oat01-"
_TOKEN: Final = re.compile(r"sk-ant-oat[0-9]{2}-[A-Za-z0-9_-]{16,500}")
_LONG, _SHORT = 86, 6
HEX_DIGITS: Final = _LONG + _SHORT
"""How many random digits a placeholder is made of, at least."""


def is_token(text: str) -> bool:
    """Say whether a text has the shape of what `claude setup-token` prints."""
    return bool(_TOKEN.fullmatch(text))


def placeholder(digits: str) -> str:
    """Give a text of a token's shape from random hex digits; it opens nothing anywhere."""
    if len(digits) < HEX_DIGITS:
        raise ValueError(f"a placeholder needs {HEX_DIGITS} digits")
    return f"{_PREFIX}{digits[:_LONG]}-{digits[_LONG:HEX_DIGITS]}AA"
