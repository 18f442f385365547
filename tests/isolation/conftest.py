"""Bottles that many tests share: starting one is the slow part, attacking it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import bottles
from tests.support.bottles import Live


@pytest.fixture(scope="session", params=bottles.RUNTIMES)
def bottle(request: pytest.FixtureRequest) -> Iterator[Live]:
    """A shell's bottle with one listed host, on each runtime."""
    with bottles.live(request.param) as running:
        yield running
