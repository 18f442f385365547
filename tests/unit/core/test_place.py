"""Place: paths as a person writes them, notes that all places share, words for what was found."""

from __future__ import annotations

import pytest

from bottle.core.place import Later, Place, few, kind, nearest, shown
from bottle.errors import Problem


class TestPlace:
    def test_a_path_is_written_as_in_a_program(self) -> None:
        at = Place().key("bottles").key("web").key("egress").key("allowlist").item(2)
        assert at.path == "bottles.web.egress.allowlist[2]"

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("a-b_1$", "a.a-b_1$"),
            ("a.b", "a['a.b']"),
            ("", "a['']"),
            ("a\n\x1b[0m", "a['a\\n\\x1b[0m']"),
            ("é", "a['é']"),
            ("\u202e", "a['\\u202e']"),
            ("x" * 60, "a." + "x" * 60),
            ("x" * 61, f"a['{'x' * 60}…']"),
        ],
    )
    def test_a_strange_name_is_quoted_cut_and_printable(self, name: str, path: str) -> None:
        assert Place("a").key(name).path == path
        assert path.isprintable()

    def test_all_places_share_their_notes(self) -> None:
        at = Place()
        at.key("a").item(0).refuse("found", "wanted", "remedy")
        at.key("b").later.append(Later(path="b", reason="r"))
        assert [problem.path for problem in at.problems] == ["a[0]"]
        assert at.later == [Later(path="b", reason="r")]

    @pytest.mark.parametrize(("remedy", "told"), [("take it out", "take it out"), ("", "write w")])
    def test_every_problem_has_a_remedy(self, remedy: str, told: str) -> None:
        at = Place("a")
        at.refuse("f", "w", remedy)
        assert at.problems == [Problem(path="a", found="f", wanted="w", remedy=told)]


class TestWords:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (None, "null"),
            (True, "true"),
            (False, "false"),
            (3, "the number 3"),
            (0.5, "the number 0.5"),
            ("a\0", "the text 'a\\x00'"),
            ([], "a list"),
            ({}, "an object"),
        ],
    )
    def test_what_a_value_is(self, value: object, said: str) -> None:
        assert kind(value) == said

    def test_a_long_text_is_cut(self) -> None:
        assert shown("x" * 60) == f"'{'x' * 60}'"
        assert shown("x" * 10_000) == f"'{'x' * 60}…'"

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("defalt", "did you mean 'default'?"),
            ("defaults", "did you mean 'default'?"),
            ("", ""),
            ("xyz", ""),
            ("default" * 1000, ""),
            ("smalt", "did you mean 'small'?"),
            ("fault", "did you mean 'default'?"),
            ("smile", ""),  # another word with three letters of five in common
        ],
    )
    def test_the_nearest_name_is_suggested(self, name: str, suggestion: str) -> None:
        assert nearest(name, ("default", "small")) == suggestion

    def test_suggestions_end_where_they_would_take_long(self) -> None:
        names = [str(number) for number in range(51)]
        at = Place()
        assert list(few(names[:50], at)) == names[:50]
        assert list(few(names, at)) == []
        for _ in range(50):
            at.refuse("f", "w")
        assert list(few(names[:50], at)) == names[:50]
        at.refuse("f", "w")
        assert list(few(names[:50], at)) == []
