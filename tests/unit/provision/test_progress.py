"""Progress: a long step says that it lives."""

from __future__ import annotations

import time

import pytest

from bottle.provision import progress
from tests.unit.provision.fakes import FakeProgress


def test_a_long_step_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SIGN_OF_LIFE", 0.01)
    told = FakeProgress()
    with progress.lively(told, "fetch"):
        time.sleep(0.05)
    assert told.steps == ["fetch"]
    assert told.said[0].startswith("  … fetch: 0 s")


def test_a_quick_step_says_nothing_more() -> None:
    told = FakeProgress()
    with progress.lively(told, "fetch"):
        pass
    assert told.said == []
