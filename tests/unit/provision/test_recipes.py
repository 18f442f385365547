"""Recipes: the digest changes when, and only when, what an image is made of changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bottle.errors import Unavailable
from bottle.provision import claude, packages, recipes, wheels
from bottle.provision.recipes import RECIPES, Recipe

RECIPE = Recipe(name="thing", debs="base", copied=("bottle/core/rule.py",), claude=True, site=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "thing"
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    (folder / "sub" / "start").write_text("#!/bin/sh\n")
    (tmp_path / "bottle" / "core").mkdir(parents=True)
    (tmp_path / "bottle" / "core" / "rule.py").write_text("deny = True\n")
    return tmp_path


def _digest(root: Path, recipe: Recipe = RECIPE, base: str = "b", machine: str = "amd64") -> str:
    return recipes.digest(recipe, base=base, architecture=machine, root=root)


def test_the_same_parts_give_the_same_digest(root: Path) -> None:
    before = _digest(root)
    (root / "images" / "thing" / "sub" / "start").chmod(0o600)
    (root / "images" / "thing" / "__pycache__").mkdir()
    (root / "images" / "thing" / "__pycache__" / "x.pyc").write_text("x")
    (root / "images" / "thing" / ".swp").write_text("x")
    assert _digest(root) == before


def test_each_part_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [_digest(root), _digest(root, base="c"), _digest(root, machine="arm64")]
    for change in ({"debs": "agent"}, {"claude": False}, {"site": False}, {"copied": ()}):
        found.append(_digest(root, dataclasses.replace(RECIPE, **change)))
    start = root / "images" / "thing" / "sub" / "start"
    start.chmod(0o755)
    found.append(_digest(root))
    start.write_text("#!/bin/sh\nexit\n")
    found.append(_digest(root))
    start.rename(start.with_name("begin"))
    found.append(_digest(root))
    (root / "images" / "thing" / "Dockerfile").write_text("ARG BASE\n")
    found.append(_digest(root))
    (root / "bottle" / "core" / "rule.py").write_text("deny = False\n")
    found.append(_digest(root))
    monkeypatch.setattr(claude, "VERSION", "9.9.9")
    found.append(_digest(root))
    monkeypatch.setattr(wheels, "PYTHON", "3.14")
    found.append(_digest(root))
    monkeypatch.setitem(packages.SETS, "base", ("python3",))
    found.append(_digest(root))
    assert len(set(found)) == len(found)


def test_a_file_that_is_missing_is_named(root: Path) -> None:
    (root / "bottle" / "core" / "rule.py").unlink()
    with pytest.raises(Unavailable, match=r"bottle/core/rule\.py is missing"):
        _digest(root)


def test_every_set_that_a_recipe_names_exists() -> None:
    assert {recipe.debs for recipe in RECIPES} <= packages.SETS.keys()


def test_the_sidecar_carries_the_rules_themselves() -> None:
    sidecar = next(recipe for recipe in RECIPES if recipe.name == "sidecar")
    assert "bottle/core/allowlist.py" in sidecar.copied
