"""Wheels: asked for the image's Python and architecture."""

from __future__ import annotations

import pytest

from bottle.provision import wheels


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", "x86_64"), ("arm64", "aarch64")])
def test_flags_name_the_images_python(architecture: str, machine: str) -> None:
    flags = wheels.flags(architecture)
    assert "--python-version=3.13" in flags
    assert f"--platform=manylinux_2_28_{machine}" in flags
