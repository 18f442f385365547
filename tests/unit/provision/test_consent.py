"""Consent: `--yes` anywhere in the line, and what happens with and without a terminal."""

from __future__ import annotations

import pytest

from bottle.errors import Refused
from bottle.provision.consent import consented, obtain
from tests.unit.provision.fakes import FakeProgress


@pytest.mark.parametrize(
    "line",
    [
        "--yes",
        "-y",
        "setup --yes",
        "setup -g -y",
        "setup start --agent demo --yes",
        "setup start --agent=demo -y",
        "-r /some/where setup start --yes --agent demo",
        "setup test --require-docker -y",
    ],
)
def test_yes_counts_anywhere(line: str) -> None:
    assert consented(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "setup start --agent demo",
        "--yes=true",
        "--no-yes",
        "-gy",
        "yes",
        "setup start --agent --yes",
        "setup start -a -y",
        "setup start --args -y",
        "setup start -g -y",
        "-r -y setup",
        "setup start --args=--yes",
        "setup -- --yes",
    ],
)
def test_what_is_no_consent(line: str) -> None:
    assert not consented(line.split())


def test_a_value_of_another_task_is_a_flag_here() -> None:
    assert consented(["setup", "start", "-g", "-y", "setup", "-g", "-y"])


def test_a_terminal_is_asked() -> None:
    progress = FakeProgress(answer=True)
    obtain(progress, ["install a thing"], yes=False, terminal=True)
    assert progress.said[-1] == "  - install a thing"
    assert progress.asked


def test_no_refuses() -> None:
    with pytest.raises(Refused) as refused:
        obtain(FakeProgress(answer=False), ["install a thing"], yes=False, terminal=True)
    assert refused.value.code == 77


@pytest.mark.parametrize(("yes", "terminal"), [(True, True), (True, False), (False, False)])
def test_with_a_yes_or_without_a_terminal_it_announces_and_goes_on(
    yes: bool, terminal: bool
) -> None:
    progress = FakeProgress()
    obtain(progress, ["install a thing"], yes=yes, terminal=terminal)
    assert "  - install a thing" in progress.said
    assert not progress.asked
