"""A secret's value shows in no text that a program makes by accident."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from collections.abc import Callable

import pytest

from bottle.core.secret import TOKEN, Secret, Value, take, take_named

CANARY = "-".join(("canary", "of", "a", "test"))


def test_the_value_comes_out_only_by_reveal() -> None:
    assert Value(CANARY).reveal() == CANARY


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda value: f"{value} {value!r} {value!s}",
        lambda value: "%s %r" % (value, value),  # noqa: UP031  # one more way to format
        lambda value: str([value, {"key": value}]),
        lambda value: str(ValueError(value)),
        lambda value: str(dir(value)),
    ],
)
def test_no_formatting_shows_it(show: Callable[[Value], str]) -> None:
    assert CANARY not in show(Value(CANARY))


def test_a_traceback_with_locals_does_not_show_it() -> None:
    def fail(value: Value) -> None:
        raise RuntimeError(value)

    try:
        fail(Value(CANARY))
    except RuntimeError as error:
        seen = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = "".join(line for line in seen.format() if "CANARY" not in line)
    assert CANARY not in shown


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_it_cannot_be_written_out(leave: Callable[[Value], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leave(Value(CANARY))
    assert CANARY not in str(caught.value)


def test_what_the_preflight_shows_has_no_place_for_a_value() -> None:
    secret = Secret(name="TOKEN", source="the environment", kept="in the sidecar")
    assert set(vars(secret)) == {"name", "source", "kept"}


class TestTaking:
    """What was taken out of an environment, no process started from it inherits."""

    def test_the_token(self) -> None:
        environ = {TOKEN: CANARY, "HOME": "/h"}
        value = take(environ)
        assert value
        assert value.reveal() == CANARY
        assert environ == {"HOME": "/h"}

    def test_no_token(self) -> None:
        environ = {"HOME": "/h"}
        assert take(environ) is None
        assert environ == {"HOME": "/h"}

    def test_named_ones_and_no_others(self) -> None:
        environ = {"A": "1" + CANARY, "B": CANARY, "C": CANARY}
        values = take_named(environ, ["A", "B", "A"])
        assert {name: value.reveal() for name, value in values.items()} == {
            "A": "1" + CANARY,
            "B": CANARY,
        }
        assert environ == {"C": CANARY}
        assert CANARY not in repr(values)

    @pytest.mark.parametrize("environ", [{}, {"A": ""}])
    def test_what_is_missing_or_empty_is_no_value(self, environ: dict[str, str]) -> None:
        assert take_named(environ, ["A"]) == {}
        assert environ == {}
