"""Require: a skip is not a pass; with `--require-docker` what is missing fails the run."""

from __future__ import annotations

import pytest

_strict = False


def set_strict(strict: bool) -> None:
    """Say whether a missing engine, runtime or image fails a test (True) or skips it (False)."""
    global _strict  # one option of one run, set once by conftest
    _strict = strict


def need(condition: object, what: str) -> None:
    """Skip the running test, or fail it with `--require-docker`, unless the condition holds."""
    if condition:
        return
    if _strict:
        pytest.fail(f"required, and missing: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")
