"""Loading: modules of images/, which nothing here can import by name."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[3] / "images"


def load(path: str) -> Any:
    """Load a file below images/ as a module of its own, whatever its suffix."""
    name = "images." + path.removesuffix(".py").replace("/", ".")
    loader = SourceFileLoader(name, str(IMAGES / path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    loader.exec_module(module)
    return module
