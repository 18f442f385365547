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
    assert problem.remedy
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5, true, false, null, "é"]}', {"a": [1, -2.5, True, False, None, "é"]}),
        ("{a: 'b', // why\n /* and */ c: [1, 2,],}", {"a": "b", "c": [1, 2]}),
        (
            "{a: 0x1F, b: +1, c: .5, d: 5., e: -0X10}",
            {"a": 31, "b": 1, "c": 0.5, "d": 5.0, "e": -16},
        ),
        ("{$a_1: 1, 'b c': 2, true: 3, null: 4}", {"$a_1": 1, "b c": 2, "true": 3, "null": 4}),
        ("{\\u0061: 1}", {"a": 1}),
        ("{a\\u0062\\u0031: 1, \\u0024: 2}", {"ab1": 1, "$": 2}),
        ("{NaN: 1, Infinity: 2, false: 3}", {"NaN": 1, "Infinity": 2, "false": 3}),
        ("{NaN\\u0061: 1, 'Infinity': 2}", {"NaNa": 1, "Infinity": 2}),
        ("'one \\\n line'", "one  line"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("[[], {}, '']", [[], {}, ""]),
        ("[1e3, 1E-2]", [1000.0, 0.01]),
        ("[" + "9" * 60 + "]", [int("9" * 60)]),
        (" \ufeff null", None),
    ],
)
def test_json5_is_read(text: str, value: object) -> None:
    assert document.read(text.encode()) == value


def test_a_whole_number_is_one() -> None:
    assert [type(n) for n in document.read(b"[1, 0x1, 1.0, 1e0]")] == [int, int, float, float]  # type: ignore[attr-defined]  # a list


@pytest.mark.parametrize(
    ("content", "path", "found", "wanted"),
    [
        (b"\xef\xbb\xbf{}", "line 1", "a byte order mark", "UTF-8 without a mark"),
        ("{}".encode("utf-16"), "line 1", "a byte order mark", "UTF-8 without a mark"),
        ("{}".encode("utf-16-be"), "line 1, column 1", "a NUL character", "text"),
        (b'{\n"a": "\xff"}', "line 2, column 7", "the byte 0xff", "UTF-8 text"),
        (b'["\xed\xa0\x80"]', "line 1, column 3", "the byte 0xed", "UTF-8 text"),
        (b'["\xc0\x80"]', "line 1, column 3", "the byte 0xc0", "UTF-8 text"),
        (b'{\n"a": "\0"}', "line 2, column 7", "a NUL character", "text"),
        (b'["a\\0"]', "line 1, column 2", "a NUL character", "text"),
        (b'["\\u0000"]', "line 1, column 2", "a NUL character", "text"),
        (b'{"\\x00": 1}', "line 1, column 2", "a NUL character", "text"),
        (b'{"a": 1,\n "a": 2}', "line 2, column 2", "the key 'a' twice", "each key once"),
        (b"{a: 1, 'a': 2}", "line 1, column 8", "the key 'a' twice", "each key once"),
        (b"{a: 1, \\u0061: 2}", "line 1, column 8", "the key 'a' twice", "each key once"),
        (b'{"\\u0061": 1, a: 2}', "line 1, column 15", "the key 'a' twice", "each key once"),
        (b'{"a": {"b": 1, "b": 1}}', "line 1, column 16", "the key 'b' twice", "each key once"),
        (b"[NaN]", "line 1, column 2", "NaN", "a finite number"),
        (b"[-Infinity]", "line 1, column 2", "-Infinity", "a finite number"),
        (b"[1e999]", "line 1, column 2", "1e999", "a finite number"),
        (b"{a: -1e999}", "line 1, column 5", "-1e999", "a finite number"),
        (
            b"[" + b"9" * 61 + b"]",
            "line 1, column 2",
            "a number of 61 characters",
            "a shorter number",
        ),
        (
            b"{a: " + b"9" * 5000 + b"}",
            "line 1, column 5",
            "a number of 5000 characters",
            "a shorter number",
        ),
        (
            b"[0x" + b"f" * 5000 + b"]",
            "line 1, column 2",
            "a number of 5002 characters",
            "a shorter number",
        ),
        (b'["\\ud800"]', "line 1, column 2", "half of a surrogate pair", "whole characters"),
        (b'{"\\udfff": 1}', "line 1, column 2", "half of a surrogate pair", "whole characters"),
        (b"", "line 1, column 1", "the end of the text", "a value"),
        (b"// nothing", "line 1, column 11", "the end of the text", "a value"),
        (b"{a: }", "line 1, column 5", "'}'", "a value"),
        (b"[,]", "line 1, column 2", "','", "a value"),
        (b"[1,,]", "line 1, column 4", "','", "a value"),
        (b"[tru]", "line 1, column 2", "'tru'", "a value"),
        (b"undefined", "line 1, column 1", "'undefined'", "a value"),
        (b"{\n  a: 1\n  b: 2\n}", "line 3, column 3", "'b'", "a comma or }"),
        (b"[1 2]", "line 1, column 4", "'2'", "a comma or ]"),
        (b"[1}", "line 1, column 3", "'}'", "a comma or ]"),
        (b"{a: 1]", "line 1, column 6", "']'", "a comma or }"),
        (b"{a 1}", "line 1, column 4", "'1'", "a colon after the key"),
        (b"{a, b}", "line 1, column 3", "','", "a colon after the key"),
        (b"{1: 1}", "line 1, column 2", "'1'", "a key"),
        (b"{-Infinity: 1}", "line 1, column 2", "'-Infinity'", "a key"),
        (b"{+NaN: 1}", "line 1, column 2", "'+NaN'", "a key"),
        (b"{NaN: 1, 'NaN': 2}", "line 1, column 10", "the key 'NaN' twice", "each key once"),
        (b"{NaN: Infinity}", "line 1, column 7", "Infinity", "a finite number"),
        (b"{\\u0031: 1}", "line 1, column 2", "'\\\\u0031'", "a key"),
        (b"[tru\\u0065]", "line 1, column 2", "'tru\\\\u0065'", "a value"),
        (b"{,}", "line 1, column 2", "','", "a key"),
        (b"{[]: 1}", "line 1, column 2", "'['", "a key"),
        (b"{", "line 1, column 2", "the end of the text", "a key"),
        (b"[1", "line 1, column 3", "the end of the text", "a comma or ]"),
        (b"{} {}", "line 1, column 4", "'{'", "nothing after the manifest"),
        (b"{},", "line 1, column 3", "','", "nothing after the manifest"),
        (b"{a: 'b", "line 1, column 5", "text that does not end", "' in the same line"),
        (b"{a: '\\x4'}", "line 1, column 6", "the escape '\\\\x'", "an escape of JSON5"),
        (b"{/* a}", "line 1, column 2", "a comment that does not end", "*/"),
    ],
)
def test_it_is_refused_at_its_place(content: bytes, path: str, found: str, wanted: str) -> None:
    problem = refusal(content)
    assert (problem.path, problem.found, problem.wanted) == (path, found, wanted)


@pytest.mark.parametrize("opening", ["[", '{"a":', "{a:"])
@pytest.mark.parametrize("levels", [33, 500, 10_000])
def test_deep_nesting_is_refused(opening: str, levels: int) -> None:
    closing = "]" if opening == "[" else "}"
    problem = refusal((opening * levels + "1" + closing * levels).encode())
    assert (problem.found, problem.wanted) == ("deep nesting", "at most 32 levels")
    assert problem.remedy == "nest it less deeply"
    assert problem.path == f"line 1, column {32 * len(opening) + 1}"


def test_the_deepest_nesting_is_read_and_what_stands_beside_it() -> None:
    text = "[" * 32 + "]" * 32
    assert json.dumps(document.read(text.encode())) == text
    assert document.read(b"[" + b"[[]]," * 50 + b"]") == [[[]]] * 50


def test_the_largest_is_read_and_one_byte_more_refused() -> None:
    text = b'"' + b"a" * (document.LARGEST - 2) + b'"'
    assert len(text) == document.LARGEST
    assert document.read(text) == "a" * (document.LARGEST - 2)
    problem = refusal(text + b" ")
    assert (problem.path, problem.found, problem.wanted) == (
        "",
        "65537 bytes",
        "at most 65536 bytes",
    )


@pytest.mark.parametrize(
    "content", [b'{"%(k)s": 1, "%(k)s": 2}', b"{%(k)s 1}", b"[%(k)s]", b"{} %(k)s"]
)
def test_what_is_shown_is_bounded(content: bytes) -> None:
    problem = refusal(content % {b"k": b"k" * 5000})
    assert len(problem.found) < 100


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 32_000 + "]",
        "[" + "/**/" * 16_000 + "]",
        "/*" * 32_000,
        "'" * 65_535,
        "'" + "\\" * 65_000,
        "'" + "\\x41" * 16_000 + "'",
        "[" + "'" + "\\ud83d" * 10_900,
        "{" + "a" * 65_000,
        "\\u0061" * 10_900,
        "-" * 65_000,
        "0" * 65_000,
        "{" + ",".join(f"k{n}:1" for n in range(7000)) + "}",
    ],
)
def test_the_worst_texts_come_to_an_end(text: str) -> None:
    """Each takes some 30 ms; a reader that goes back over what it read would take minutes."""
    content = text.encode()
    assert len(content) <= document.LARGEST
    try:
        document.read(content)
    except ManifestError as error:
        assert error.problems  # noqa: PT017  # read or refused
