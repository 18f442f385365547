"""Trim: keeps out of the process what mitmproxy imports and this proxy never uses."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path


def trim() -> None:
    """Stand an empty package before mitmproxy.addons, whose __init__ imports every add-on."""
    found = importlib.util.find_spec("mitmproxy")
    if found is None or found.origin is None:
        raise ImportError("mitmproxy is not in this image")
    package = types.ModuleType("mitmproxy.addons")
    package.__path__ = [str(Path(found.origin).parent / "addons")]
    sys.modules["mitmproxy.addons"] = package
