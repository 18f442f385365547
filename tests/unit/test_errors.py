"""The catalogue of failures: codes, texts, and that each is caught at the one door."""

from __future__ import annotations

import json

import pytest

from bottle import errors
from bottle.errors import BottleError, ManifestError, Problem, UsageError

CODES = {
    "BottleError": 70,
    "UsageError": 64,
    "ManifestError": 65,
    "ManifestMissing": 66,
    "Unavailable": 69,
    "WallDiffers": 70,
    "NotRemoved": 70,
    "Refused": 77,
    "SecretMissing": 78,
    "TimeLimit": 124,
}


def catalogue() -> dict[str, type[BottleError]]:
    found = vars(errors).items()
    return {n: c for n, c in found if isinstance(c, type) and issubclass(c, BottleError)}


def test_every_failure_has_the_code_that_is_documented() -> None:
    assert {name: failure.code for name, failure in catalogue().items()} == CODES


@pytest.mark.parametrize("name", sorted(set(CODES) - {"ManifestError"}))
def test_a_failure_carries_what_happened_and_what_to_do(name: str) -> None:
    failure = catalogue()[name]("it happened", "do this")
    assert (failure.happened, failure.remedy, str(failure)) == (
        "it happened",
        "do this",
        "it happened",
    )


@pytest.mark.parametrize(("count", "text"), [(1, "file: 1 problem"), (3, "file: 3 problems")])
def test_a_manifest_error_counts_its_problems(count: int, text: str) -> None:
    problem = Problem(path="a", found="b", wanted="c")
    error = ManifestError((problem,) * count, "file")
    assert error.happened == text
    assert error.problems == (problem,) * count
    assert error.remedy


def test_for_json_there_is_all_that_a_text_tells() -> None:
    values = UsageError("it happened", "do this").values()
    assert values == {"error": "it happened", "remedy": "do this", "code": 64}


def test_a_manifest_errors_problems_are_in_its_json() -> None:
    problem = Problem(path="a.b", found="x", wanted="y", remedy="z")
    error = ManifestError((problem,), "some.json")
    values = json.loads(json.dumps(error.values()))
    assert values == {
        "manifest": "some.json",
        "valid": False,
        "problems": [{"path": "a.b", "found": "x", "wanted": "y", "remedy": "z"}],
        "error": "some.json: 1 problem",
        "remedy": error.remedy,
        "code": 65,
    }
