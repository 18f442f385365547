"""Claude: the real Claude Code at the person's terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

needs_token: Final = True
invents_token: Final = False
interactive: Final = True

PROGRAM: Final = ("claude", "--dangerously-skip-permissions")
"""Its own questions add nothing: the bottle is the permission."""


def command(extra: Sequence[str], prompt: str) -> tuple[str, ...]:
    """Give `claude`, the manifest's prompt added to its system prompt, and further words."""
    added = ("--append-system-prompt", prompt) if prompt else ()
    return (*PROGRAM, *added, *extra)


def home(workspace: str) -> Mapping[str, str]:
    """Give the state that keeps the onboarding, theme and trust questions away."""
    state = {
        "hasCompletedOnboarding": True,
        "projects": {workspace: {"hasTrustDialogAccepted": True}},
    }
    return {".claude.json": json.dumps(state)}


def environment(placeholder: str) -> Mapping[str, str]:
    """Give the placeholder where the token is looked for; optional traffic stays off."""
    return {
        "CLAUDE_CODE_OAUTH_TOKEN": placeholder,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    }
