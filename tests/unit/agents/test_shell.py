"""The shell adapter: bash, and nothing of any model's."""

from __future__ import annotations

from bottle.agents import shell


def test_the_command_is_bash_with_further_words() -> None:
    assert shell.command((), "a prompt") == ("bash",)
    assert shell.command(("-c", "true"), "") == ("bash", "-c", "true")


def test_it_holds_nothing() -> None:
    assert shell.home("/workspace") == {}
    assert shell.environment("placeholder") == {}
    assert not shell.needs_token
