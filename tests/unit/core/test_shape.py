"""Each shape reads, refuses and describes by one definition."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bottle.core.place import Later, Place
from bottle.core.shape import (
    Anything,
    Choice,
    Either,
    Flag,
    Items,
    Key,
    Number,
    Record,
    Shape,
    Table,
    Text,
    Unfit,
    whole,
)


def _even(text: str) -> int:
    if int(text) % 2:
        raise Unfit("an even number", "add one")
    return int(text)


NUMBER = Text(wanted="digits", remedy="write 0 to 9", pattern="[0-9]+", longest=4, rule=_even)
PAIR = Record(
    {
        "name": Key(shape=Text(), about="Its name.", required=True),
        "size": Key(shape=NUMBER, about="Its size."),
        "soon": Key(shape=Anything(), about="Later.", later="not there yet"),
    }
)


def refusals(shape: Shape, value: object) -> list[tuple[str, str, str, str]]:
    at = Place("here")
    shape.read(value, at)
    return [(p.path, p.found, p.wanted, p.remedy) for p in at.problems]


def taken(shape: Shape, value: object) -> Any:
    at = Place()
    meant = shape.read(value, at)
    assert at.problems == []
    return meant


def marked(shape: Shape, value: object) -> bool:
    """Say whether an editor marks a value, by the schema."""
    return not Draft202012Validator(shape.schema()).is_valid(value)


class TestText:
    def test_it_is_read_by_its_rule(self) -> None:
        assert taken(NUMBER, "42") == 42
        assert taken(Text(), "any\n text") == "any\n text"

    @pytest.mark.parametrize(
        ("value", "found", "wanted", "remedy"),
        [
            (4, "the number 4", "digits", "write 0 to 9"),
            (None, "null", "digits", "write 0 to 9"),
            ([], "a list", "digits", "write 0 to 9"),
            ("22222", "5 characters", "at most 4", "shorten it"),
            ("a", "the text 'a'", "digits", "write 0 to 9"),
            ("", "''", "digits", "write 0 to 9"),
            ("2a", "'2a'", "digits", "write 0 to 9"),
            ("2\n", "'2\\n'", "digits", "write 0 to 9"),
            ("\n2", "'\\n2'", "digits", "write 0 to 9"),
            ("3", "'3'", "an even number", "add one"),
        ],
    )
    def test_what_it_is_not(self, value: object, found: str, wanted: str, remedy: str) -> None:
        expected = found.removeprefix("the text ")
        assert refusals(NUMBER, value) == [("here", expected, wanted, remedy)]
        assert marked(NUMBER, value) == (value != "3")  # no pattern says what is even

    def test_its_length_is_counted_in_characters(self) -> None:
        short = Text(longest=2)
        assert taken(short, "\U0001f600" * 2)
        assert not marked(short, "\U0001f600" * 2)
        assert refusals(short, "\U0001f600" * 3)
        assert marked(short, "\U0001f600" * 3)

    def test_the_schema_says_what_a_rule_refuses_if_a_pattern_can(self) -> None:
        shape = Text(pattern="[a-z]+", unless="bad|worse")
        assert [marked(shape, text) for text in ("good", "bad", "worse", "badly", "bad\n")] == [
            *(False, True, True, False),
            True,
        ]

    @pytest.mark.parametrize(
        ("text", "fits"), [("ab", True), ("ab\n", False), ("xab", False), ("abx", False)]
    )
    def test_a_pattern_is_for_the_whole_text(self, text: str, fits: bool) -> None:
        assert bool(re.search(whole("ab|cd"), text)) == fits


COLOURS = "one of 'red', 'green', 'blue'"


class TestChoice:
    SHAPE = Choice(("red", "green"), {"blue": "not mixed yet"})

    @pytest.mark.parametrize("word", ["red", "green", "blue"])
    def test_its_words_are_taken(self, word: str) -> None:
        assert taken(self.SHAPE, word) == word
        assert not marked(self.SHAPE, word)

    def test_a_word_of_later_is_noted(self) -> None:
        at = Place("here")
        self.SHAPE.read("blue", at)
        self.SHAPE.read("red", at)
        assert at.later == [Later(path="here", reason="not mixed yet")]

    @pytest.mark.parametrize(
        ("value", "found", "remedy"),
        [
            ("gren", "'gren'", "did you mean 'green'?"),
            ("bluu", "'bluu'", "did you mean 'blue'?"),
            ("Red", "'Red'", "did you mean 'red'?"),
            ("", "''", f"write {COLOURS}"),
            ("zzz", "'zzz'", f"write {COLOURS}"),
            (None, "null", f"write {COLOURS}"),
            (["red"], "a list", f"write {COLOURS}"),
            ({}, "an object", f"write {COLOURS}"),
        ],
    )
    def test_other_values_are_not(self, value: object, found: str, remedy: str) -> None:
        assert refusals(self.SHAPE, value) == [("here", found, COLOURS, remedy)]
        assert marked(self.SHAPE, value)


class TestFlag:
    @pytest.mark.parametrize("value", [True, False])
    def test_true_and_false(self, value: bool) -> None:
        assert taken(Flag(), value) is value
        assert not marked(Flag(), value)

    @pytest.mark.parametrize("value", [None, 0, 1, "true", []])
    def test_nothing_else(self, value: object) -> None:
        assert [problem[2] for problem in refusals(Flag(), value)] == ["true or false"]
        assert marked(Flag(), value)


class TestNumber:
    WHOLE = Number(least=2, most=5, integral=True)
    ANY = Number(least=0.5, most=2)

    @pytest.mark.parametrize(
        ("shape", "value"),
        [(WHOLE, 2), (WHOLE, 5), (WHOLE, 3.0), (ANY, 0.5), (ANY, 2), (ANY, 1.25)],
    )
    def test_within_its_bounds(self, shape: Number, value: float) -> None:
        assert taken(shape, value) == value
        assert not marked(shape, value)

    def test_a_whole_number_is_one(self) -> None:
        assert type(taken(self.WHOLE, 3.0)) is int

    @pytest.mark.parametrize(
        ("shape", "value", "wanted"),
        [
            (WHOLE, 1, "a whole number from 2 to 5"),
            (WHOLE, 6, "a whole number from 2 to 5"),
            (WHOLE, 2.5, "a whole number from 2 to 5"),
            (WHOLE, "3", "a whole number from 2 to 5"),
            (WHOLE, True, "a whole number from 2 to 5"),
            (WHOLE, None, "a whole number from 2 to 5"),
            (WHOLE, 1e300, "a whole number from 2 to 5"),
            (ANY, 0.49, "a number from 0.5 to 2"),
            (ANY, 2.01, "a number from 0.5 to 2"),
            (ANY, True, "a number from 0.5 to 2"),
            (ANY, [], "a number from 0.5 to 2"),
        ],
    )
    def test_what_it_is_not(self, shape: Number, value: object, wanted: str) -> None:
        assert [problem[2] for problem in refusals(shape, value)] == [wanted]
        assert marked(shape, value)


class TestItems:
    SHAPE = Items(of=NUMBER, unique=True, least=1)

    def test_each_item_is_read(self) -> None:
        assert taken(self.SHAPE, ["2", "4"]) == (2, 4)
        assert not marked(self.SHAPE, ["2", "4"])
        assert taken(Items(of=NUMBER), ["2", "2"]) == (2, 2)
        assert taken(Items(of=NUMBER), []) == ()

    def test_every_wrong_item_is_told_at_its_place(self) -> None:
        assert [(p, f) for p, f, _, _ in refusals(self.SHAPE, ["2", "x", 3, "4"])] == [
            ("here[1]", "'x'"),
            ("here[2]", "the number 3"),
        ]

    def test_what_is_refused_leaves_no_item_or_one_in_its_place(self) -> None:
        assert Items(of=NUMBER).read(["2", "x", "4"], Place()) == (2, 4)
        assert Items(of=NUMBER, instead=0).read(["2", "x", "4"], Place()) == (2, 0, 4)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("2", [("here", "'2'", "a list", "write a list")]),
            ({}, [("here", "an object", "a list", "write a list")]),
            (None, [("here", "null", "a list", "write a list")]),
            (
                [],
                [
                    (
                        "here",
                        "an empty list",
                        "at least one entry",
                        "add one, or leave the key out",
                    )
                ],
            ),
            (["2", "4", "2"], [("here[2]", "'2'", "each entry once", "remove the repeat")]),
        ],
    )
    def test_what_it_is_not(self, value: object, expected: list[tuple[str, ...]]) -> None:
        found = refusals(self.SHAPE, value)
        assert [(p, f.removeprefix("the text "), w, r) for p, f, w, r in found] == expected
        assert marked(self.SHAPE, value)


class TestTable:
    SHAPE = Table(of=NUMBER, names=Text(wanted="a name", pattern="[a-z]+"))

    def test_each_member_is_read(self) -> None:
        assert taken(self.SHAPE, {"a": "2", "b": "4"}) == {"a": 2, "b": 4}
        assert taken(self.SHAPE, {}) == {}
        assert not marked(self.SHAPE, {"a": "2"})

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ([], [("here", "an object")]),
            ({"A": "2"}, [("here.A", "a name")]),
            ({"a": "x"}, [("here.a", "digits")]),
            ({"a.b": "x"}, [("here['a.b']", "a name"), ("here['a.b']", "digits")]),
        ],
    )
    def test_what_it_is_not(self, value: object, expected: list[tuple[str, str]]) -> None:
        assert [(path, wanted) for path, _, wanted, _ in refusals(self.SHAPE, value)] == expected
        assert marked(self.SHAPE, value)

    @pytest.mark.parametrize("least", [0, 1, 2])
    def test_it_may_need_members(self, least: int) -> None:
        shape = Table(of=NUMBER, names=Text(), least=least)
        for count in range(4):
            value = {f"n{index}": "2" for index in range(count)}
            assert bool(refusals(shape, value)) == marked(shape, value) == (count < least)
        assert ("minProperties" in shape.schema()) == bool(least)

    def test_an_empty_one_is_told_as_such(self) -> None:
        assert refusals(Table(of=NUMBER, names=Text(), least=1), {}) == [
            ("here", "an empty object", "at least one entry", "add one, or leave the key out")
        ]


class TestRecord:
    def test_each_member_is_read_by_its_own_shape(self) -> None:
        assert taken(PAIR, {"name": "n", "size": "2"}) == {"name": "n", "size": 2}
        assert taken(PAIR, {"name": "n"}) == {"name": "n"}
        assert not marked(PAIR, {"name": "n"})

    def test_it_may_become_one_value(self) -> None:
        shape = Record({"a": Key(shape=Flag(), about="A.")}, lambda found: found.get("a"))
        assert taken(shape, {"a": True}) is True
        assert taken(shape, {}) is None

    @pytest.mark.parametrize("value", [None, 0, {"x": 1}])
    def test_what_is_for_later_is_noted_whatever_it_is(self, value: object) -> None:
        at = Place("here")
        PAIR.read({"name": "n", "soon": value}, at)
        assert at.problems == []
        assert at.later == [Later(path="here.soon", reason="not there yet")]
        assert not marked(PAIR, {"name": "n", "soon": value})

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ([], [("here", "a list", "an object", "write an object")]),
            ("name", [("here", "the text 'name'", "an object", "write an object")]),
            ({}, [("here.name", "nothing", "a value", "add name")]),
            (
                {"name": "n", "sise": "2"},
                [
                    (
                        "here.sise",
                        "an unknown key",
                        "one of name, size, soon",
                        "did you mean 'size'?",
                    )
                ],
            ),
            (
                {"name": "n", "zzz": 1},
                [("here.zzz", "an unknown key", "one of name, size, soon", "take it out")],
            ),
            ({"name": None}, [("here.name", "null", "text", "write text")]),
        ],
    )
    def test_what_it_is_not(self, value: object, expected: list[tuple[str, ...]]) -> None:
        assert refusals(PAIR, value) == expected
        assert marked(PAIR, value)

    def test_every_problem_is_told_at_once(self) -> None:
        found = refusals(PAIR, {"size": "x", "a": 1, "b": 2})
        assert [path for path, _, _, _ in found] == ["here.a", "here.b", "here.name", "here.size"]

    def test_the_schema_explains_each_key(self) -> None:
        described = PAIR.schema()["properties"]
        assert {name: member["description"] for name, member in described.items()} == {
            "name": "Its name.",
            "size": "Its size.",
            "soon": "Later. Not supported yet.",
        }


class TestEither:
    SHAPE = Either(text=NUMBER, record=PAIR)

    @pytest.mark.parametrize(("value", "meant"), [("2", 2), ({"name": "n"}, {"name": "n"})])
    def test_either_is_read(self, value: object, meant: object) -> None:
        assert taken(self.SHAPE, value) == meant
        assert not marked(self.SHAPE, value)

    @pytest.mark.parametrize(
        ("value", "path", "wanted"),
        [
            (3, "here", "digits, or an object with name, size, soon"),
            (None, "here", "digits, or an object with name, size, soon"),
            ([], "here", "digits, or an object with name, size, soon"),
            ("x", "here", "digits"),
            ({}, "here.name", "a value"),
        ],
    )
    def test_what_it_is_not(self, value: object, path: str, wanted: str) -> None:
        assert [(p, w) for p, _, w, _ in refusals(self.SHAPE, value)] == [(path, wanted)]
        assert marked(self.SHAPE, value)


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [1]}])
def test_anything_is_anything(value: object) -> None:
    assert taken(Anything(), value) is not None
    assert not marked(Anything(), value)
