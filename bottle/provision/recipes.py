"""Recipes: what each image is made of, and the digest that tells whether it is still that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle.errors import Unavailable
from bottle.provision import claude, packages, wheels

ROOT: Final = Path(__file__).parents[2]
DIGEST_LABEL: Final = "claude-bottle.digest"
IDENTITY_LABEL: Final = "claude-bottle.base.identity"
ARCHITECTURES: Final = ("amd64", "arm64")
_FORMAT: Final = "recipe 1"
"""Changes when the way a context is put together changes."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One image: the folder images/NAME, and what is added to it as the build's context."""

    name: str
    debs: str
    """The set of packages in `debs/`."""
    copied: tuple[str, ...] = ()
    """Files of this repository, at the same place in the context."""
    claude: bool = False
    """Claude Code's program as `claude`."""
    site: bool = False
    """The sidecar's Python packages as `site/`."""

    @property
    def reference(self) -> str:
        """Name and tag of the image."""
        return f"claude-bottle/{self.name}:current"


RECIPES: Final = (
    Recipe(name="hostrule", debs="hostrule"),
    Recipe(name="standin", debs="base", copied=("images/sidecar/lifeline.py",)),
    Recipe(
        name="sidecar",
        debs="base",
        site=True,
        copied=(
            "bottle/__init__.py",
            "bottle/core/__init__.py",
            "bottle/core/addresses.py",
            "bottle/core/allowlist.py",
            "bottle/core/egress.py",
        ),
    ),
    Recipe(name="agent", debs="agent", claude=True),
)
"""In the order in which they are built: what is quick comes first."""


def labels(digest: str, base: str) -> dict[str, str]:
    """Give the labels by which a built image is recognised; `base` is an image's identity."""
    return {DIGEST_LABEL: digest, IDENTITY_LABEL: base}


def sources(recipe: Recipe, root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Give each file of the context that lies in this repository: its place there, its path."""
    folder = root / "images" / recipe.name
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and not _left_out(place):
            yield place.as_posix(), path
    for name in recipe.copied:
        if not (root / name).is_file():
            raise Unavailable(f"{name} is missing", "this checkout is incomplete")
        yield name, root / name


def _left_out(place: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in place.parts)
    return hidden or place.suffix == ".pyc" or place.name.endswith("~")


def mode(path: Path) -> int:
    """Give the mode in the image: what the person's umask did to the checkout does not count."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def digest(recipe: Recipe, *, base: str, architecture: str, root: Path = ROOT) -> str:
    """Give the SHA-256 over everything that the image is made of; `base` is an image's identity."""
    lines = [_FORMAT, f"base {base}", f"architecture {architecture}"]
    lines += [f"debs {' '.join(packages.SETS[recipe.debs])}"]
    lines += [claude.pin(architecture)] if recipe.claude else []
    lines += [wheels.pin(architecture)] if recipe.site else []
    for place, path in sources(recipe, root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"file {mode(path):o} {content} {place}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
