"""A Dockerfile put `/usr/pyvenv.cfg` into its image, and Python took its library from elsewhere.

So the door of every command left out its filter, and the probe of the start said that it was there.
"""

from __future__ import annotations

import pytest

from bottle.provision.layers import SYSTEM


@pytest.mark.parametrize(
    "path",
    [
        "usr/pyvenv.cfg",
        "usr/bin/pyvenv.cfg",
        "pyvenv.cfg",
        "usr/lib/python3.13/ctypes/__init__.py",
        "lib64/ld.so",
        "usr/local/bin/python3",
        "etc/python3.13/sitecustomize.py",
        "anything",
        "usr/anything",
    ],
)
def test_what_python_looks_for_is_guarded(path: str) -> None:
    assert SYSTEM.forbids(path, folder=False)


@pytest.mark.parametrize(
    "path",
    ["usr/local/bin/tool", "usr/local/lib/python3.13/dist-packages/x.pth", "opt/mine", "etc/motd"],
)
def test_places_of_ones_own_are_free(path: str) -> None:
    assert not SYSTEM.forbids(path, folder=False)
