"""Pip: every hash is checked, and nothing is resolved or built."""

from __future__ import annotations

from pathlib import Path

import pytest

from bottle.errors import Unavailable
from bottle.provision import pip
from tests.unit.provision.fakes import FakeMachine, done


def test_pip_checks_hashes_and_builds_nothing() -> None:
    machine = FakeMachine()
    pip.install(machine, Path("/room"), "sidecar")
    line = machine.lines[0]
    for flag in ("--require-hashes", "--only-binary :all:", "--no-deps", "--target /room"):
        assert flag in line


def test_a_failure_says_what_pip_said() -> None:
    machine = FakeMachine()
    machine.when("pip", done(errors="ERROR: no network", code=1))
    with pytest.raises(Unavailable, match="no network"):
        pip.install(machine, Path("/room"), "npm")


@pytest.mark.parametrize("name", ["dev", "go", "npm", "runtime", "sidecar"])
def test_every_list_has_a_hash_for_each_package(name: str) -> None:
    text = (pip.REQUIREMENTS / f"{name}.txt").read_text()
    entries = text.replace("\\\n", " ").splitlines()
    packages = [line for line in entries if line and not line.lstrip().startswith("#")]
    assert packages
    assert all("==" in line and "--hash=sha256:" in line for line in packages)
