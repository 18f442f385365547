"""How bottles add to the bottles that they extend; the laws are in tests/property."""

from __future__ import annotations

from typing import Any

import pytest

from bottle.core.inheritance import (
    DEEPEST,
    MOST,
    Said,
    by_owner,
    in_effect,
    merged,
    origins,
    owner,
    resolved,
    said,
)
from bottle.core.place import Later, Place

AT = "bottles.b"


def chain(length: int) -> dict[str, dict[str, Any]]:
    """Give bottles of which each extends the next."""
    bottles: dict[str, dict[str, Any]] = {f"b{n}": {"extends": f"b{n + 1}"} for n in range(length)}
    del bottles[f"b{length - 1}"]["extends"]
    return bottles


def problems(bottles: dict[str, dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    at = Place("bottles")
    resolved(bottles, at)
    return [(p.path, p.found, p.wanted, p.remedy) for p in at.problems]


def test_each_value_keeps_the_path_at_which_it_was_said() -> None:
    tree = said({"runtime": "runc", "ssh": ("x", "y"), "env": {"A": "1"}}, AT)
    assert tree == {
        "runtime": Said("runc", "bottles.b.runtime"),
        "ssh": (Said("x", "bottles.b.ssh[0]"), Said("y", "bottles.b.ssh[1]")),
        "env": {"A": Said("1", "bottles.b.env.A")},
    }
    assert dict(origins(tree)) == {
        "runtime": "bottles.b.runtime",
        "ssh[0]": "bottles.b.ssh[0]",
        "ssh[1]": "bottles.b.ssh[1]",
        "env.A": "bottles.b.env.A",
    }


@pytest.mark.parametrize("name", ["a" * 61, "a.b"])
def test_a_path_is_written_as_the_parser_writes_it(name: str) -> None:
    ((_, path),) = origins(said({"env": {name: "1"}}, AT))
    assert path == Place(AT).key("env").key(name).path


def test_lists_add_maps_merge_and_all_else_is_replaced() -> None:
    base = said({"runtime": "runc", "ssh": ("x",), "env": {"A": "1", "B": "2"}}, "base")
    own = said({"runtime": "runsc", "ssh": ("x",), "env": {"B": "3", "C": "4"}}, "own")
    assert merged(base, own) == {
        "runtime": Said("runsc", "own.runtime"),
        "ssh": (Said("x", "base.ssh[0]"), Said("x", "own.ssh[0]")),
        "env": {
            "A": Said("1", "base.env.A"),
            "B": Said("3", "own.env.B"),
            "C": Said("4", "own.env.C"),
        },
    }


def test_a_chain_is_resolved_from_its_far_end() -> None:
    bottles: dict[str, dict[str, Any]] = {
        "top": {"extends": "middle", "ssh": ("t",)},
        "middle": {"extends": "base", "ssh": ("m",), "runtime": "runsc"},
        "base": {"ssh": ("b",), "runtime": "runc"},
    }
    trees = resolved(bottles, Place("bottles"))
    assert [entry.value for entry in trees["top"]["ssh"]] == ["b", "m", "t"]
    assert trees["top"]["runtime"] == Said("runsc", "bottles.middle.runtime")
    assert [entry.value for entry in trees["base"]["ssh"]] == ["b"]


class TestWhatIsNoChain:
    def test_an_unknown_bottle_is_told_where_it_is_named(self) -> None:
        bottles: dict[str, dict[str, Any]] = {
            "a": {"extends": "bas"},
            "base": {},
            "c": {"extends": "a"},
        }
        expected = ("bottles.a.extends", "'bas'", "the name of a bottle", "did you mean 'base'?")
        assert problems(bottles) == [expected]
        bottles["a"]["extends"] = "zzz"
        assert problems(bottles)[0][3] == "declare it under bottles"

    @pytest.mark.parametrize(
        ("bottles", "found"),
        [
            ({"a": "a"}, ["'a → a'"]),
            ({"a": "b", "b": "a"}, ["'a → b → a'", "'b → a → b'"]),
            ({"a": "b", "b": "b"}, ["'b → b'"]),
        ],
    )
    def test_a_circle_is_shown_at_each_of_its_bottles(
        self, bottles: dict[str, str], found: list[str]
    ) -> None:
        told = problems({name: {"extends": parent} for name, parent in bottles.items()})
        assert [entry[1] for entry in told] == found
        assert {entry[2:] for entry in told} == {("no circle", "let one of them extend nothing")}

    def test_a_chain_has_an_end(self) -> None:
        assert problems(chain(DEEPEST)) == []
        assert problems(chain(DEEPEST + 1)) == [
            (
                *("bottles.b0.extends", "more than 16 bottles in a row", "at most 16"),
                "put some of them together",
            )
        ]

    def test_what_all_bottles_have_together_is_bounded(self) -> None:
        long = tuple(str(number) for number in range(MOST // 2))
        bottles: dict[str, dict[str, Any]] = {"a": {"ssh": long}, "b": {"extends": "a"}}
        assert problems(bottles) == [
            (
                "bottles",
                f"{MOST + 1} settings, with those extended",
                f"at most {MOST}",
                "let fewer bottles extend those with long lists",
            )
        ]
        bottles["a"]["ssh"] = long[1:]
        assert problems(bottles) == []


class TestWhatIsInEffect:
    @pytest.mark.parametrize(
        ("path", "of"),
        [
            ("bottles.web.limits.memory", "bottles.web"),
            ("bottles.web.ssh[0].host", "bottles.web"),
            ("agents.a.env.A.for", "agents.a"),
            ("bottles.web", "bottles.web"),
        ],
    )
    def test_everything_is_somebodys(self, path: str, of: str) -> None:
        later = Later(path=path, reason="r")
        assert owner(path) == of
        assert by_owner([later, later]) == {of: [later, later]}

    @pytest.mark.parametrize(
        ("asked", "there"),
        [
            ("bottles.b.env.A.for", True),
            ("bottles.b.env.A", True),
            ("bottles.b.env", True),
            ("bottles.b.egress.proxy", False),
            ("bottles.b.env.AB", False),
            ("bottles.b.env.A1.for", False),
            ("bottles.b.ssh[1].access", True),
            ("bottles.b.ssh[11].access", False),
            ("bottles.c.env.A.for", False),
        ],
    )
    def test_what_was_replaced_counts_no_more(self, asked: str, there: bool) -> None:
        later = Later(path=asked, reason="r")
        paths = ("bottles.b.env.A", "bottles.b.ssh[1]")
        assert in_effect(by_owner([later]), paths) == ((later,) if there else ())
