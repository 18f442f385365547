"""Images: built here from fetched and verified parts, without network, when their parts changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bottle.engine.port import Engine
from bottle.errors import Unavailable
from bottle.provision import base as bases
from bottle.provision import cache, claude, recipes, wheels
from bottle.provision.base import Base
from bottle.provision.machine import Machine, ThisMachine
from bottle.provision.progress import Progress, lively
from bottle.provision.recipes import (
    ARCHITECTURES,
    DIGEST_LABEL,
    IDENTITY_LABEL,
    RECIPES,
    Recipe,
)


class ImagesDiffer(Unavailable):
    """An image is missing, or made of something else than the recipes say now."""


def outdated(engine: Engine) -> tuple[Recipe, ...]:
    """Give the images that are missing or made of something else than the recipes say now."""
    base = bases.current(engine)
    if base is None:
        return RECIPES
    return tuple(recipe for recipe in RECIPES if not _is_current(engine, recipe, base))


def present(engine: Engine) -> Mapping[str, str]:
    """Give the identity of each image by its name; raise ImagesDiffer when one is missing or stale.

    A stale sidecar would enforce rules that this program no longer has.
    """
    with ThreadPoolExecutor(len(RECIPES)) as together:
        found = list(together.map(lambda recipe: engine.image(recipe.reference), RECIPES))
    for recipe, image in zip(RECIPES, found, strict=True):
        if image is None:
            raise ImagesDiffer(f"the image {recipe.reference} is missing", "run ./setup")
        if not _is_of_recipe(recipe, image.labels):
            raise ImagesDiffer(f"the image {recipe.reference} is out of date", "run `invoke build`")
    return {r.name: image.identity for r, image in zip(RECIPES, found, strict=True) if image}


def _is_of_recipe(recipe: Recipe, labels: Mapping[str, str]) -> bool:
    """Compare without asking for base and architecture: the image itself says which it is for."""
    base = labels.get(IDENTITY_LABEL, "")
    known = [recipes.digest(recipe, base=base, architecture=a) for a in ARCHITECTURES]
    return labels.get(DIGEST_LABEL) in known


def build(
    engine: Engine,
    progress: Progress,
    pull: bool = False,
    fresh: bool = False,
    install: bool = False,
    machine: Machine | None = None,
) -> tuple[str, ...]:
    """Build what changed and give the names of it; raise Unavailable with what to do.

    `pull` renews the base image and the Debian packages, `fresh` builds all without cached
    layers, `install` lets packages be installed on this machine where that is the only way.
    """
    here = machine or ThisMachine()
    with cache.alone(cache.folder()):
        stale = RECIPES if pull or fresh else outdated(engine)
        if not stale:
            return ()
        base = None if pull else bases.current(engine)
        if base is None or not cache.sealed(base.debs):
            base = bases.renew(engine, here, progress, install=install)
            stale = RECIPES
        for recipe in stale:
            _build(engine, here, progress, recipe, base, fresh=fresh)
        _remove_leftovers(here)
    return tuple(recipe.name for recipe in stale)


def rebuild(engine: Engine, progress: Progress, machine: Machine | None = None) -> None:
    """Build what changed upon the base image that is here; raise Unavailable when there is none.

    For a start, which pulls no image: that is left to set-up, with its announcement.
    """
    base = bases.current(engine)
    if base is None or not cache.sealed(base.debs):
        raise Unavailable("the images are not built yet", "run ./setup")
    progress.say("the images are missing or out of date: they are built first")
    build(engine, progress, machine=machine)


def _is_current(engine: Engine, recipe: Recipe, base: Base) -> bool:
    image = engine.image(recipe.reference)
    if image is None or image.labels.get(IDENTITY_LABEL) != base.identity:
        return False
    return _is_of_recipe(recipe, image.labels)


def _build(
    engine: Engine, machine: Machine, progress: Progress, recipe: Recipe, base: Base, *, fresh: bool
) -> None:
    architecture = engine.facts().architecture
    digest = recipes.digest(recipe, base=base.identity, architecture=architecture)
    with cache.workspace(cache.folder()) as context:
        lay_out(recipe, base, context)
        if recipe.claude:
            package = claude.fetch(machine, progress, architecture)
            with lively(progress, "unpack Claude Code"):
                claude.unpack(package, context / "claude")
        if recipe.site:
            site = wheels.fetch(machine, progress, architecture)
            shutil.copytree(site, context / "site", copy_function=_linked)
        with lively(progress, f"build {recipe.reference}"):
            engine.build(
                context,
                recipe.reference,
                arguments={"BASE": bases.REFERENCE},
                labels=recipes.labels(digest, base.identity) | {bases.SOURCE_LABEL: base.source},
                fresh=fresh,
            )


def lay_out(recipe: Recipe, base: Base, context: Path) -> None:
    """Put the repository's files and the packages of a recipe into a context folder."""
    for place, path in recipes.sources(recipe):
        target = context / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(recipes.mode(path))
    debs = context / "debs"
    debs.mkdir()
    for package in (base.debs / recipe.debs).glob("*.deb"):
        _linked(str(package), str(debs / package.name))
    if not (context / "Dockerfile").is_file():
        raise Unavailable(f"images/{recipe.name} has no Dockerfile", "the checkout is incomplete")
    for path in context.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


def _linked(source: str, target: str) -> None:
    """Share the bytes: the context lies on the cache's own disk."""
    os.link(source, target)


def _remove_leftovers(machine: Machine) -> None:
    """Remove our untagged images, which a build under the same tag leaves behind."""
    for label in (DIGEST_LABEL, bases.SOURCE_LABEL):
        machine.run(["docker", "image", "prune", "--force", f"--filter=label={label}"], seconds=120)
