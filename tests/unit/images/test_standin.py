"""The stand-in's script and settings: what it says next, and what it refuses to begin with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.images.loading import load

script = load("standin/script.py")
settings = load("standin/settings.py")

STEPS = script.steps("listed.example", "unlisted.example", "http://10.0.0.3:8080/")
SHELL = [{"name": "Bash"}]
MARKED = f"The {script.MARK}: you reached it."
REFUSED = "curl: (56) CONNECT tunnel failed, response 403"
NO_WAY = "curl: (7) Failed to connect"


def _asked(*results: dict[str, Any], tools: object = SHELL) -> dict[str, Any]:
    """Give a conversation in which these tool results came, with a system message at the end."""
    said = [{"role": "user", "content": [result]} for result in results]
    return {"tools": tools, "messages": [*said, {"role": "system", "content": "skills"}]}


def _result(step: Any, text: object, *, failed: bool) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": step.id, "content": text, "is_error": failed}


class TestDemo:
    def test_the_steps_come_one_after_the_other(self) -> None:
        done: list[dict[str, Any]] = []
        for step in STEPS:
            reply = script.demo(_asked(*done), STEPS)
            assert (reply.text, reply.tool.id, reply.tool.name) == (step.say, step.id, "Bash")
            assert reply.tool.input["command"] == step.command
            done.append(_result(step, "", failed=True))
        assert script.demo(_asked(*done), STEPS).tool is None

    def test_all_as_it_should_be(self) -> None:
        texts = (MARKED, REFUSED, [{"type": "text", "text": NO_WAY}])
        done = [
            _result(step, text, failed=text is not MARKED)
            for step, text in zip(STEPS, texts, strict=True)
        ]
        told = script.demo(_asked(*done), STEPS).text
        assert told.count("worked") == 1
        assert told.count("refused, ") == 2
        assert told.endswith("and nothing else.")

    @pytest.mark.parametrize("tools", [None, [], [{"name": "Read"}], "Bash", [None]])
    def test_a_question_without_a_shell_begins_no_step(self, tools: object) -> None:
        assert script.demo(_asked(tools=tools), STEPS).tool is None

    def test_a_side_question_is_answered_in_its_form(self) -> None:
        form: dict[str, Any] = {"format": {"schema": {"properties": {"title": {}, "branch": {}}}}}
        reply = script.demo({"output_config": form}, STEPS)
        assert json.loads(reply.text).keys() == {"title", "branch"}

    @pytest.mark.parametrize("messages", [None, 7, [None], [{"content": [7]}], [{"content": 7}]])
    def test_odd_conversations_begin_at_the_first_step(self, messages: object) -> None:
        asked = {"tools": SHELL, "messages": messages}
        assert script.demo(asked, STEPS).tool.id == STEPS[0].id

    def test_without_a_page_there_are_only_refusals(self) -> None:
        assert [step.wanted for step in script.steps("", "a.example", "http://b/")] == [False] * 2


class TestVerdict:
    """Only the mark proves that something was reached; only the right failure, a refusal."""

    @pytest.mark.parametrize(
        ("step", "text", "failed", "right"),
        [
            (0, MARKED, False, True),
            (0, MARKED, True, True),
            (0, "<html>a captive portal</html>", False, False),
            (0, REFUSED, True, False),
            (0, "", False, False),
            (1, REFUSED, True, True),
            (1, REFUSED, False, False),
            (1, MARKED, False, False),
            (1, f"{REFUSED} {MARKED}", True, False),
            (1, "curl: (28) timed out", True, False),
            (1, "", True, False),
            (2, NO_WAY, True, True),
            (2, "curl: not found", True, False),
            (2, MARKED, False, False),
        ],
    )
    def test_each(self, step: int, text: str, failed: bool, right: bool) -> None:
        result = script.Result(text=text, failed=failed)
        assert script.verdict(STEPS[step], result)[0] is right

    def test_a_quote_is_the_curl_line_and_bounded(self) -> None:
        text = "Exit code 7\ncurl: (7) " + "x" * 500
        _, told = script.verdict(STEPS[2], script.Result(text=text, failed=True))
        assert told.endswith("curl: (7) " + "x" * 150)


GOOD = {
    "version": 1,
    "names": ["api.anthropic.com", "*.wild.example"],
    "listen": "10.0.0.3",
    "script": "demo",
    "answer": "",
    "record": False,
    "unlisted": "unlisted.example",
    "forbidden": "http://10.0.0.3:8080/",
}
BAD: list[dict[str, Any]] = [
    {"version": 2},
    {"version": True},
    {"version": "1"},
    {"names": []},
    {"names": "a.example"},
    {"names": ["A.example"]},
    {"names": ["a.example,DNS:b.example"]},
    {"names": ["a.example\n"]},
    {"names": ["*"]},
    {"names": [7]},
    {"listen": "localhost"},
    {"listen": "::1"},
    {"listen": ""},
    {"script": "other"},
    {"answer": None},
    {"record": 1},
    {"unlisted": "a.example; true"},
    {"unlisted": "$(true)"},
    {"forbidden": "https://10.0.0.3/"},
    {"forbidden": "http://10.0.0.3/; true"},
    {"forbidden": "http://10.0.0.3/\n"},
    {"unknown": 1},
]


class TestSettings:
    def test_a_good_line(self) -> None:
        read = settings.parse(json.dumps(GOOD))
        assert read.names == ("api.anthropic.com", "*.wild.example")
        assert (read.listen, read.script, read.record) == ("10.0.0.3", "demo", False)

    @pytest.mark.parametrize("changed", BAD, ids=str)
    def test_a_bad_value(self, changed: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"has to|exactly the keys|octets|Address"):
            settings.parse(json.dumps(GOOD | changed))

    @pytest.mark.parametrize("key", GOOD)
    def test_every_key_is_needed(self, key: str) -> None:
        with pytest.raises(ValueError, match="exactly the keys"):
            settings.parse(json.dumps({k: v for k, v in GOOD.items() if k != key}))

    @pytest.mark.parametrize("line", ["", "{", "null", "[]", "7", "[" * 100_000])
    def test_no_document(self, line: str) -> None:
        with pytest.raises((ValueError, RecursionError)):
            settings.parse(line)
