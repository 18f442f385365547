"""The words of a JSON5 text, each with its place, and what a string of escapes means."""

from __future__ import annotations

import pytest

from bottle.core.tokens import Token, Unreadable, named, place, scan, unquoted


def words(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.written) for token in scan(text)]


def refusal(text: str) -> tuple[str, str, int]:
    with pytest.raises(Unreadable) as caught:
        [unquoted(token) for token in scan(text) if token.kind == "text"]
    return caught.value.found, caught.value.wanted, caught.value.offset


def string(text: str) -> str:
    token, end = scan(text)
    assert (token.kind, end.kind) == ("text", "end")
    return unquoted(token)


class TestScan:
    @pytest.mark.parametrize("mark", list("{}[]:,"))
    def test_marks(self, mark: str) -> None:
        assert words(mark) == [("mark", mark), ("end", "")]

    @pytest.mark.parametrize(
        "number",
        [
            *(
                "0",
                "7",
                "10",
                "-1",
                "+1",
                "0.5",
                ".5",
                "5.",
                "-.5",
                "1e9",
                "1E-9",
                "5.e1",
                "1.5e+3",
            ),
            *("0x1F", "-0Xff", "Infinity", "-Infinity", "+NaN", "NaN"),
        ],
    )
    def test_numbers(self, number: str) -> None:
        assert words(number) == [("number", number), ("end", "")]

    @pytest.mark.parametrize("word", ["a", "$", "_a1", "a$", "true", "NaNa", "Infinity1", "été"])
    def test_words(self, word: str) -> None:
        assert words(word) == [("word", word), ("end", "")]

    @pytest.mark.parametrize(
        "text", ['""', "''", "'\"'", '"\'"', '"\\""', "'\\''", '"\\\\"', '"// /* {"', "'a\u2028'"]
    )
    def test_texts(self, text: str) -> None:
        assert words(text) == [("text", text), ("end", "")]

    @pytest.mark.parametrize(
        "blank",
        [
            *" \t\n\v\f\r\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\ufeff",
            *("// to the end\n", "// to the end\r", "// to the end\u2028", "/* a\n * b */", "/**/"),
            "/* // */",
        ],
    )
    def test_what_is_between_words(self, blank: str) -> None:
        assert words(f"{blank}1{blank}2{blank}") == [("number", "1"), ("number", "2"), ("end", "")]

    def test_a_remark_may_end_the_text(self) -> None:
        assert words("// no line feed") == words("") == [("end", "")]

    def test_each_word_knows_its_place(self) -> None:
        assert list(scan(" { a\n: 'b' }")) == [
            Token("mark", "{", 1),
            Token("word", "a", 3),
            Token("mark", ":", 5),
            Token("text", "'b'", 7),
            Token("mark", "}", 11),
            Token("end", "", 12),
        ]

    @pytest.mark.parametrize(
        ("text", "found", "wanted", "offset"),
        [
            ("1 /* a", "a comment that does not end", "*/", 2),
            ("/*/", "a comment that does not end", "*/", 0),
            ('"a', "text that does not end", '" in the same line', 0),
            ("'a\n'", "text that does not end", "' in the same line", 0),
            ("'a\r'", "text that does not end", "' in the same line", 0),
            ("'a\\'", "text that does not end", "' in the same line", 0),
            ("a /b", "'/'", "JSON5", 2),
            ("#", "'#'", "JSON5", 0),
            ("\x7f", r"'\x7f'", "JSON5", 0),
            ("01", "'0'", "JSON5", 0),
            ("1a", "'1'", "JSON5", 0),
            ("0x", "'0'", "JSON5", 0),
            ("1e", "'1'", "JSON5", 0),
            ("--1", "'-'", "JSON5", 0),
            (".", "'.'", "JSON5", 0),
            ("1.2.3", "'1'", "JSON5", 0),
        ],
    )
    def test_what_is_no_word(self, text: str, found: str, wanted: str, offset: int) -> None:
        assert refusal(text) == (found, wanted, offset)


class TestUnquoted:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("'plain'", "plain"),
            (r"'\b\f\n\r\t\v'", "\b\f\n\r\t\v"),
            (r"'\0'", "\0"),
            (r"'\'\"\\\/\a\q'", "'\"\\/aq"),
            (r"'\x41\u0042\u00e9'", "ABé"),
            (r"'\ud83d\ude00'", "\U0001f600"),
            (r"'\uD83D\uDE00x'", "\U0001f600x"),
            (r"'\ud83d\u0041'", "\ud83dA"),
            (r"'\ude00\ud83d'", "\ude00\ud83d"),
            ("'a\\\nb'", "ab"),
            ("'a\\\r\nb'", "ab"),
            ("'a\\\rb'", "ab"),
            ("'a\\\u2028b'", "ab"),
            ("'a\\\u2029b'", "ab"),
        ],
    )
    def test_what_is_meant(self, text: str, meant: str) -> None:
        assert string(text) == meant

    @pytest.mark.parametrize(
        "escape", [r"\1", r"\9", r"\01", r"\x4", r"\xg0", r"\u004", r"\u{41}", r"\u12g4"]
    )
    def test_an_escape_that_means_nothing(self, escape: str) -> None:
        found, wanted, offset = refusal(f"['ab{escape}']")
        assert found == f"the escape {escape[:2]!r}"
        assert (wanted, offset) == ("an escape of JSON5", 4)


class TestNamed:
    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("plain", "plain"),
            (r"\u0061b", "ab"),
            (r"a\u0031", "a1"),
            (r"NaN\u0061", "NaNa"),
            (r"Infinity\u0024", "Infinity$"),
            ("$_", "$_"),
        ],
    )
    def test_what_is_meant(self, written: str, name: str) -> None:
        token, _ = scan(written)
        assert (token.kind, named(token)) == ("word", name)

    @pytest.mark.parametrize("written", [r"\u0031", r"a\u002e", r"a\u0000", r"a\ud800", r"\u0020"])
    def test_an_escape_that_is_no_letter(self, written: str) -> None:
        token, _ = scan(written)
        with pytest.raises(Unreadable) as caught:
            named(token)
        assert (caught.value.wanted, caught.value.offset) == ("a key", 0)


@pytest.mark.parametrize(
    ("remedy", "told"), [("close the comment", "close the comment"), ("", "write text")]
)
def test_what_is_unreadable_has_a_remedy(remedy: str, told: str) -> None:
    assert Unreadable("x", "text", 0, remedy).remedy == told


@pytest.mark.parametrize(
    ("text", "offset", "shown"),
    [
        ("", 0, "line 1, column 1"),
        ("abc", 2, "line 1, column 3"),
        ("a\nbc", 2, "line 2, column 1"),
        ("a\nbc", 3, "line 2, column 2"),
        ("a\r\nb", 3, "line 2, column 1"),
        ("a\rb", 2, "line 2, column 1"),
        ("\r\n\r\n", 4, "line 3, column 1"),
        ("é\U0001f600x", 2, "line 1, column 3"),
    ],
)
def test_a_place_is_counted_as_people_count(text: str, offset: int, shown: str) -> None:
    assert place(text, offset) == shown
