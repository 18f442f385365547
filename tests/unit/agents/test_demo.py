"""The demo adapter: Claude Code without a person, in lines."""

from __future__ import annotations

from bottle.agents import claude, demo


def test_it_prints_its_events_as_lines_and_asks_its_question_last() -> None:
    words = demo.command(("--model", "x"), "P")
    assert words[:-1] == (
        *claude.command((), "P"),
        *("-p", "--output-format", "stream-json", "--verbose"),
        *("--model", "x"),
    )
    assert words[-1].endswith(".")


def test_it_has_the_home_and_the_variables_of_claude() -> None:
    assert demo.home("/w") == claude.home("/w")
    assert demo.environment("p") == claude.environment("p")


def test_no_person_is_asked() -> None:
    assert not demo.interactive
