"""Trim: keeps out of the process what mitmproxy imports and this proxy never uses.

Imports are most of the sidecar's start, and nothing in a bottle runs before it. QUIC, HTTP/2 and
mitmproxy's option files and command language are off, so their libraries are replaced by modules
of empty names: enough for class statements and annotations at import. From `seal` on, using
anything of them raises, and what raises denies (strict.py).
"""

from __future__ import annotations

import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

ABSENT: Final = ("aioquic", "h2", "hyperframe", "pyparsing", "pylsqpack", "ruamel")

_sealed = False


class Unused(RuntimeError):
    """Something that was left out is used after all."""


class _Names(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _empty(name)


class _Empty(metaclass=_Names):
    """Takes part in class statements and expressions while modules are imported."""

    def __new__(cls, *_: object, **__: object) -> Any:
        if _sealed:
            raise Unused(cls.__name__)
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Take anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: self

    def __or__(self, _: object) -> Any:
        return self


def _empty(name: str) -> Any:
    if _sealed:
        raise Unused(name)
    return _Names(name, (_Empty,), {})


class _Absent(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = _empty(name)
        setattr(self, name, found)
        return found


class _Finder:
    """Finds every module of the packages that are left out, and makes it an empty one.

    Finder and loader by their methods: the classes of importlib.abc cost 6 ms to import.
    """

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ABSENT:
            return None
        return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing in it."""


def trim() -> None:
    """Leave out the unused libraries, and every add-on of mitmproxy's that is not asked for."""
    sys.meta_path.insert(0, _Finder())
    found = importlib.util.find_spec("mitmproxy")
    if found is None or found.origin is None:
        raise ImportError("mitmproxy is not in this image")
    package = types.ModuleType("mitmproxy.addons")  # its own __init__ imports all of them
    package.__path__ = [str(Path(found.origin).parent / "addons")]
    sys.modules["mitmproxy.addons"] = package


def seal() -> None:
    """Imports are over: from now on what was left out can only raise."""
    global _sealed  # one state of one process, like sys.modules
    _sealed = True
