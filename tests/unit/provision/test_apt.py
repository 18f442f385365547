"""Apt: what is run, announced, and said when it fails."""

from __future__ import annotations

import pytest

from bottle.errors import Unavailable
from bottle.provision import apt
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done

ENVIRONMENT = {"CLAUDE_BOTTLE_OAUTH_TOKEN": "canary", "HOME": "/home/x", "LANG": "C.UTF-8"}


def test_it_installs_without_recommendations_in_a_clean_environment() -> None:
    machine = FakeMachine(environment=ENVIRONMENT)
    apt.install(machine, FakeProgress(), ["tini"], "")
    ran = machine.ran[0]
    assert ran.line.endswith("install --yes --no-install-recommends tini")
    assert ran.environment is not None
    assert ran.environment.keys() == {"PATH", "HOME", "LANG"}


def test_trouble_with_the_lists_is_told_when_a_package_is_missing() -> None:
    machine = FakeMachine()
    machine.when("update", done(errors="E: no route", code=100))
    machine.when("install", done(errors="E: Unable to locate package tini", code=100))
    progress = FakeProgress()
    trouble = apt.update(machine, progress)
    with pytest.raises(Unavailable, match="Unable to locate") as error:
        apt.install(machine, progress, ["tini"], trouble)
    assert "no route" in error.value.remedy
    assert progress.steps == ["renew the package lists", "install tini"]


@pytest.mark.parametrize(
    ("system", "programs", "usable"),
    [("Linux", {"apt-get"}, True), ("Linux", set(), False), ("Darwin", {"apt-get"}, False)],
)
def test_where_it_is_usable(system: str, programs: set[str], usable: bool) -> None:
    assert apt.usable(FakeMachine(system=system, programs=programs)) is usable
