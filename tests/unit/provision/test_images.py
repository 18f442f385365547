"""Images: what is built, from what, and what a start makes of a missing or stale image."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bottle.engine.port import Engine, ImageFacts
from bottle.errors import Unavailable
from bottle.provision import base, cache, images, recipes
from bottle.provision.recipes import RECIPES, Recipe
from tests.unit.provision.fakes import FakeMachine, FakeProgress

BASE_ID = "sha256:" + "b" * 64


class FakeEngine:
    """An engine that has images with labels, and remembers what it built of which files."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {base.REFERENCE: {base.SOURCE_LABEL: "x@sha256:1"}}
        self.built: dict[str, dict[str, int]] = {}

    def facts(self) -> Any:
        return SimpleNamespace(architecture="amd64")

    def image(self, reference: str) -> ImageFacts | None:
        if reference not in self.labels:
            return None
        identity = BASE_ID if reference == base.REFERENCE else f"sha256:{reference}"
        return ImageFacts(
            reference=reference,
            identity=identity,
            labels=self.labels[reference],
        )

    def build(
        self,
        context: Path,
        reference: str,
        *,
        arguments: dict[str, str],
        labels: dict[str, str],
        fresh: bool,  # noqa: ARG002  # part of the protocol
    ) -> None:
        assert arguments == {"BASE": base.REFERENCE}
        files = [path for path in context.rglob("*") if path.is_file()]
        modes = {str(p.relative_to(context)): p.stat().st_mode & 0o777 for p in files}
        self.built[reference] = modes
        self.labels[reference] = labels


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A checkout with one small image and packages in the cache for the base that is there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images" / "small"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    (folder / "start").write_text("#!/bin/sh\n")
    (folder / "start").chmod(0o700)
    small = (Recipe(name="small", debs="base"),)
    monkeypatch.setattr(images, "RECIPES", small)
    monkeypatch.setitem(cast("dict[str, Path]", recipes.digest.__kwdefaults__), "root", tmp_path)
    monkeypatch.setattr(recipes.sources, "__defaults__", (tmp_path,))
    with cache.filling(base.Base(identity=BASE_ID, source="x").debs) as debs:
        (debs / "base").mkdir()
        (debs / "base" / "tini_1_amd64.deb").write_bytes(b"deb")
    return FakeEngine()


def _build(engine: FakeEngine, **wanted: Any) -> tuple[str, ...]:
    machine = FakeMachine()
    return images.build(cast("Engine", engine), FakeProgress(), machine=machine, **wanted)


def test_a_build_has_exactly_the_files_of_the_recipe(engine: FakeEngine) -> None:
    assert _build(engine) == ("small",)
    assert engine.built["claude-bottle/small:current"] == {
        "Dockerfile": 0o644,
        "start": 0o755,
        "debs/tini_1_amd64.deb": 0o644,
    }


def test_the_second_time_nothing_is_built(engine: FakeEngine) -> None:
    _build(engine)
    assert _build(engine) == ()


def test_a_changed_file_is_built_again(engine: FakeEngine, tmp_path: Path) -> None:
    _build(engine)
    (tmp_path / "images" / "small" / "start").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(Unavailable, match="out of date"):
        images.present(cast("Engine", engine))
    assert _build(engine) == ("small",)
    assert images.present(cast("Engine", engine)).keys() == {"small"}


def test_fresh_builds_all(engine: FakeEngine) -> None:
    _build(engine)
    assert _build(engine, fresh=True) == ("small",)


def test_a_missing_image_is_named(engine: FakeEngine) -> None:
    with pytest.raises(Unavailable, match="claude-bottle/small:current is missing"):
        images.present(cast("Engine", engine))


def test_a_package_that_changed_in_the_cache_is_not_used(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    debs = base.Base(identity=BASE_ID, source="x").debs
    (debs / "base" / "tini_1_amd64.deb").write_bytes(b"other")

    def renew(*_: object, install: bool) -> base.Base:
        assert not install
        raise Unavailable("fetched anew")

    monkeypatch.setattr(base, "renew", renew)
    with pytest.raises(Unavailable, match="fetched anew"):
        _build(engine)


def test_a_start_rebuilds_upon_the_base_that_is_here(engine: FakeEngine) -> None:
    progress = FakeProgress()
    images.rebuild(cast("Engine", engine), progress, FakeMachine())
    assert list(engine.built) == ["claude-bottle/small:current"]
    assert progress.said == ["the images are missing or out of date: they are built first"]


def test_a_start_gets_no_base_image(engine: FakeEngine) -> None:
    del engine.labels[base.REFERENCE]
    machine, progress = FakeMachine(), FakeProgress()
    with pytest.raises(Unavailable, match="not built yet"):
        images.rebuild(cast("Engine", engine), progress, machine)
    assert (machine.ran, progress.steps, engine.built) == ([], [], {})


def test_every_recipe_of_the_product_is_known() -> None:
    assert [recipe.name for recipe in RECIPES] == ["hostrule", "standin", "sidecar", "agent"]
