"""What text a manifest may be, before anything of it is understood."""

from __future__ import annotations

import json

import pytest

from bottle.core import document
from bottle.errors import ManifestError, Problem


def refusal(content: bytes) -> Problem:
    with pytest.raises(ManifestError) as caught:
        document.read(content)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5, true, null, "é"]}', {"a": [1, -2.5, True, None, "é"]}),
        ("{a: 'b', // why\n /* and */ c: [1, 2,],}", {"a": "b", "c": [1, 2]}),
        ("{a: 0x1F, b: +1, c: .5, d: 5.}", {"a": 31, "b": 1, "c": 0.5, "d": 5.0}),
        ("'one \\\n line'", "one  line"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("[]", []),
    ],
)
def test_json5_is_read(text: str, value: object) -> None:
    assert document.read(text.encode()) == value


@pytest.mark.parametrize(
    ("content", "found", "wanted"),
    [
        (b"\xef\xbb\xbf{}", "a byte order mark", "UTF-8 without a mark"),
        ("{}".encode("utf-16"), "a byte order mark", "UTF-8 without a mark"),
        (b'{"a": "\xff"}', "byte 0xff at offset 7", "UTF-8 text"),
        (b'{\n"a": "\0"}', "a NUL character in line 2", "text"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice", "each key once"),
        (b"{a: 1, 'a': 2}", "the key 'a' twice", "each key once"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' twice", "each key once"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "the key '?' twice", "each key once"),
        (b"[NaN]", "NaN", "a finite number"),
        (b"[-Infinity]", "-Infinity", "a finite number"),
        (b"{a: NaN}", "NaN", "a finite number"),
        (b"[1e999]", "1e999", "a finite number"),
        (b"{a: 1e999}", "1e999", "a finite number"),
        (b"[" + b"9" * 61 + b"]", "a number of 61 characters", "a shorter number"),
        (b"{a: " + b"9" * 5000 + b"}", "a number of 5000 characters", "a shorter number"),
        (b'["\\ud800"]', "half of a surrogate pair", "whole characters"),
        (b'{"\\udfff": 1}', "half of a surrogate pair", "whole characters"),
    ],
)
def test_it_is_refused_by_name(content: bytes, found: str, wanted: str) -> None:
    problem = refusal(content)
    assert (problem.found, problem.wanted) == (found, wanted)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"{a: }", "line 1, column 5"),
        (b"{\n  a: 1\n  b: 2\n}", "line 3, column 3"),
        (b"{", "line 1"),
    ],
)
def test_wrong_syntax_is_located(content: bytes, place: str) -> None:
    problem = refusal(content)
    assert problem.path.startswith(place)
    assert problem.wanted == "JSON5"
    assert problem.found


@pytest.mark.parametrize("opening", ["[", '{"a":', "{a:"])
@pytest.mark.parametrize("levels", [33, 500, 10_000])
def test_deep_nesting_is_refused(opening: str, levels: int) -> None:
    closing = "]" if opening == "[" else "}"
    problem = refusal((opening * levels + "1" + closing * levels).encode())
    assert (problem.found, problem.wanted) == ("very deep nesting", "at most 32 levels")


def test_an_empty_file_has_no_place() -> None:
    assert refusal(b"") == Problem(
        path="",
        found="Empty strings are not legal JSON5",
        wanted="JSON5",
        remedy="correct the syntax",
    )


def test_the_deepest_nesting_is_read() -> None:
    text = "[" * 32 + "]" * 32
    assert json.dumps(document.read(text.encode())) == text


def test_the_largest_is_read_and_one_byte_more_refused() -> None:
    text = b'"' + b"a" * (document.LARGEST - 2) + b'"'
    assert len(text) == document.LARGEST
    assert document.read(text) == "a" * (document.LARGEST - 2)
    problem = refusal(text + b" ")
    assert (problem.found, problem.wanted) == ("65537 bytes", "at most 65536 bytes")


def test_what_is_shown_of_a_long_key_is_bounded() -> None:
    key = "k" * 5000
    problem = refusal(f'{{"{key}": 1, "{key}": 2}}'.encode())
    assert len(problem.found) < 100
