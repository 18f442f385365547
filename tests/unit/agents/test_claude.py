"""The claude adapter: the program's words, the state of its home, its variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bottle.agents import claude

SETTINGS = Path(__file__).parents[3] / "images" / "agent" / "managed-settings.json"


@pytest.mark.parametrize(
    ("extra", "prompt", "further"),
    [
        ((), "", ()),
        (("-c",), "", ("-c",)),
        ((), "Be brief.\n--resume", ("--append-system-prompt", "Be brief.\n--resume")),
        (("--model", "x"), "P", ("--append-system-prompt", "P", "--model", "x")),
    ],
)
def test_the_command(extra: tuple[str, ...], prompt: str, further: tuple[str, ...]) -> None:
    assert claude.command(extra, prompt) == (
        "claude",
        "--dangerously-skip-permissions",
        *further,
    )


def test_a_fresh_home_is_past_every_question() -> None:
    home = claude.home("/workspace")
    assert home.keys() == {".claude.json"}
    assert json.loads(home[".claude.json"]) == {
        "hasCompletedOnboarding": True,
        "projects": {"/workspace": {"hasTrustDialogAccepted": True}},
    }


def test_the_variables_hold_the_placeholder_and_keep_optional_traffic_off() -> None:
    assert claude.environment("the placeholder") == {
        "CLAUDE_CODE_OAUTH_TOKEN": "the placeholder",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    }


def test_the_image_says_the_same_where_the_agent_cannot_change_it() -> None:
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    own = {k: v for k, v in claude.environment("p").items() if v != "p"}
    assert settings == {"skipDangerousModePermissionPrompt": True, "env": own}
