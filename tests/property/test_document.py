"""The text of a manifest is read as JSON5 is, or refused with a place; nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import json5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core import document
from bottle.errors import ManifestError
from tests.support import strategies
from tests.support.strategies import examples

MARKS = (
    *("{", "}", "[", "]", ":", ",", "'", '"', "//", "/*", "*/", "\\", "\n", "\r", "\r\n", "0x"),
    *("1e9", "+", "-", ".5", "5.", "NaN", "Infinity", "null", "true", "bottles", "agents", "\\u"),
    *("\\x4", "\\0", "\u2028", "\ufeff", "a", " ", "$", "_", "00", "1e999"),
)
FRAGMENTS = st.lists(st.sampled_from(MARKS), max_size=30).map("".join)


def refusal(content: bytes) -> ManifestError | None:
    """Read; anything but the two promised outcomes is raised and fails the test."""
    try:
        document.read(content)
    except ManifestError as error:
        (problem,) = error.problems
        assert problem.found
        assert problem.wanted
        assert problem.remedy
        assert len(problem.found) < 500
        assert problem.path.isprintable() and problem.found.isprintable()  # noqa: PT018  # one law
        return error
    return None


class TestAnyContentIsReadOrRefused:
    """An invalid manifest starts nothing: reading it raises nothing but a ManifestError."""

    @examples(20)
    @given(st.binary(max_size=300))
    def test_any_bytes(self, content: bytes) -> None:
        refusal(content)

    @examples(20)
    @given(st.text(max_size=300))
    def test_any_text(self, text: str) -> None:
        refusal(text.encode(errors="surrogatepass"))

    @examples(10)
    @given(FRAGMENTS)
    def test_any_run_of_json5_marks(self, text: str) -> None:
        refusal(text.encode())

    @given(st.sampled_from(["[", "{a:", '{"a":', "-", "/*", "'\\", "[[1],"]), st.integers(1, 6000))
    def test_any_depth(self, opening: str, times: int) -> None:
        assert refusal((opening * times).encode())


# -- the same value, written in one of many ways

BLANKS = st.sampled_from(
    ["", "", "", " ", "\n", "\t", "\r\n", "\u00a0", "\ufeff", "\u2028", "/* a\n'b' */", "// c]\n"]
)
_SIMPLE = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"}


@st.composite
def written(draw: st.DrawFn, value: object) -> str:
    """Write a plain value as JSON5, each part in a way of its own."""
    before, after = draw(BLANKS), draw(BLANKS)
    return before + draw(_bare(value)) + after


def _bare(value: object) -> st.SearchStrategy[str]:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return st.just(json.dumps(value))
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _fraction(value)
    return _object(value) if isinstance(value, dict) else _list(value)


def _integer(value: int) -> st.SearchStrategy[str]:
    sign = "-" if value < 0 else ""
    ways = [str(value), f"{sign}{abs(value):#x}", f"{sign}0X{abs(value):X}"]
    return st.sampled_from([way for way in (*ways, f"+{value}") if "+-" not in way])


def _fraction(value: float) -> st.SearchStrategy[str]:
    plain = repr(value)
    ways = [plain, plain.upper(), plain if plain.startswith("-") else f"+{plain}"]
    if plain.startswith("0."):
        ways.append(plain[1:])
    if plain.endswith(".0"):
        ways.append(plain[:-1])
    return st.sampled_from(ways)


@st.composite
def _text(draw: st.DrawFn, value: str) -> str:
    quote = draw(st.sampled_from("\"'"))
    parts = [draw(_character(character, quote)) for character in value]
    if draw(st.booleans()):
        ending = draw(st.sampled_from(["\\\n", "\\\r", "\\\r\n", "\\\u2028", "\\\u2029"]))
        parts.insert(draw(st.integers(0, len(parts))), ending)
    return quote + "".join(parts) + quote


def _character(character: str, quote: str) -> st.SearchStrategy[str]:
    number = ord(character)
    ways = []
    if character not in (quote, "\\", "\n", "\r"):
        ways.append(character)
    if character in _SIMPLE:
        ways.append(_SIMPLE[character])
    elif character.isascii() and not character.isalnum() and character.isprintable():
        ways.append(f"\\{character}")
    if number < 256:
        ways.append(f"\\x{number:02x}")
    units = character.encode("utf-16-be").hex()
    ways.append("".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)))
    return st.sampled_from(ways)


@st.composite
def _list(draw: st.DrawFn, value: Any) -> str:
    items = [draw(written(item)) for item in value]
    return "[" + ",".join(items) + _last_comma(draw, items) + "]"


@st.composite
def _object(draw: st.DrawFn, value: Any) -> str:
    members = [
        draw(BLANKS) + draw(_key(key)) + draw(BLANKS) + ":" + draw(written(member))
        for key, member in value.items()
    ]
    return "{" + ",".join(members) + _last_comma(draw, members) + draw(BLANKS) + "}"


def _last_comma(draw: st.DrawFn, parts: list[str]) -> str:
    wanted: bool = draw(st.booleans())
    return "," if parts and wanted else ""


def _key(key: str) -> st.SearchStrategy[str]:
    if not (key.isascii() and key.isidentifier()):
        return _text(key)
    first, last = (f"\\u{ord(character):04x}" for character in (key[0], key[-1]))
    return st.one_of(st.sampled_from([key, first + key[1:], key[:-1] + last]), _text(key))


def same(one: object, other: object) -> bool:
    """Compare also the kinds of numbers, except that a number's zero has no sign."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def oracle(text: str) -> Any:
    """Read by json5, and join the halves of surrogate pairs that it leaves apart."""
    return json.loads(json.dumps(json5.loads(text, allow_duplicate_keys=False)))


DIFFERENCES: list[tuple[str, str]] = [
    ("'\\ud800'", "whole characters"),
    ("'\\u0000'", "text"),
    ("NaN", "a finite number"),
    ("-Infinity", "a finite number"),
    ("1e999", "a finite number"),
    ("1" * 61, "a shorter number"),
    ("[" * 33 + "]" * 33, "at most 32 levels"),
    ("\ufeff{}", "UTF-8 without a mark"),
    ("{a\u0301: 1}", "JSON5"),
    ("{a\u200c: 1}", "JSON5"),
]
"""What json5 reads and we do not, and what we want instead.

The last two are bare keys that no key of a manifest needs: with a combining mark and with an
invisible character.
"""


class TestAgreementWithJson5:
    """What a manifest declares is what is read, whatever its notation."""

    @examples(3)
    @given(strategies.PLAIN, st.data())
    def test_every_way_of_writing_a_value(self, value: object, data: st.DataObject) -> None:
        text = data.draw(written(value)).lstrip("\ufeff")
        assert same(document.read(text.encode()), value)
        assert same(oracle(text), value)

    @given(
        st.dictionaries(
            st.sampled_from(["true", "null", "NaN", "Infinity", "NaNa", "a", "$", "_"]),
            st.integers(0, 9),
            max_size=3,
        ),
        st.data(),
    )
    def test_every_word_is_a_key(self, value: dict[str, int], data: st.DataObject) -> None:
        text = data.draw(written(value)).lstrip("\ufeff")
        assert document.read(text.encode()) == value == oracle(text)

    @examples(10)
    @given(FRAGMENTS)
    def test_any_run_of_marks(self, text: str) -> None:
        try:
            expected = oracle(text)
        except (ValueError, RecursionError):
            assert refusal(text.encode())
            return
        if error := refusal(text.encode()):
            assert error.problems[0].wanted in {wanted for _, wanted in DIFFERENCES}, text
        else:
            assert same(document.read(text.encode()), expected)

    @pytest.mark.parametrize(("text", "wanted"), DIFFERENCES)
    def test_each_difference_is_one(self, text: str, wanted: str) -> None:
        oracle(text)
        error = refusal(text.encode())
        assert error
        assert error.problems[0].wanted == wanted

    def test_a_key_that_stands_twice_is_refused_by_both(self) -> None:
        assert refusal(b"{a: 1, 'a': 1}")
        with pytest.raises(ValueError, match="Duplicate"):
            oracle("{a: 1, 'a': 1}")
