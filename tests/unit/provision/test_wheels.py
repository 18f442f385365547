"""Wheels: asked for the image's Python and architecture, with every hash checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bottle.errors import Unavailable
from bottle.provision import pip, wheels
from tests.unit.provision.fakes import FakeMachine, done


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", "x86_64"), ("arm64", "aarch64")])
def test_flags_name_the_images_python(architecture: str, machine: str) -> None:
    flags = wheels.flags(architecture)
    assert "--python-version=3.13" in flags
    assert f"--platform=manylinux_2_28_{machine}" in flags


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
