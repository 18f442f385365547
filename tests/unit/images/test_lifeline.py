"""Lifeline: sidecar and stand-in live and die by the same file."""

from __future__ import annotations

from tests.unit.images.loading import IMAGES


def test_both_images_have_the_same_one() -> None:
    sidecar, standin = (IMAGES / name / "lifeline.py" for name in ("sidecar", "standin"))
    assert sidecar.read_text(encoding="utf-8") == standin.read_text(encoding="utf-8")
