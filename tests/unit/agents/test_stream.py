"""Stream: each kind of line gives its events; what is not understood gives none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bottle.agents import stream
from bottle.agents.stream import Event, Result, Text, ToolCall, ToolResult


def _parsed(value: object) -> list[Event]:
    return list(stream.parse(json.dumps(value)))


def _said(*content: Any, who: str = "assistant") -> list[Event]:
    return _parsed({"type": who, "message": {"role": who, "content": list(content)}})


def test_what_the_model_says_and_calls_in_its_order() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    assert _said({"type": "text", "text": "First."}, call, {"type": "text", "text": "Then."}) == [
        Text(text="First."),
        ToolCall(id="t1", name="Bash", summary="ls"),
        Text(text="Then."),
    ]


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        ({"command": "ls\n  -l\t/", "description": "List"}, "ls -l /"),
        ({"description": "List", "url": "https://a.example/"}, "https://a.example/"),
        ({"command": "", "pattern": "x"}, "x"),
        ({"command": ["ls"]}, "Bash"),
        ({}, "Bash"),
        (None, "Bash"),
        ("ls", "Bash"),
        ({"command": "a" * 300}, "a" * 200),
    ],
)
def test_a_call_in_one_line(given: object, summary: str) -> None:
    (event,) = _said({"type": "tool_use", "id": "t", "name": "Bash", "input": given})
    assert event == ToolCall(id="t", name="Bash", summary=summary)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("all of it", "all of it"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        ([{"type": "image"}, "three", None], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_what_a_call_gave(content: object, text: str) -> None:
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    assert _said(block, who="user") == [ToolResult(id="t1", ok=True, text=text)]


def test_a_call_that_failed() -> None:
    block = {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}
    assert _said(block, who="user") == [ToolResult(id="t", ok=False, text="no")]


@pytest.mark.parametrize(
    ("members", "ok"),
    [
        ({"is_error": False}, True),
        ({"is_error": True}, False),
        ({}, False),
        ({"is_error": 0}, False),
    ],
)
def test_the_end_is_good_only_when_it_says_so(members: dict[str, object], ok: bool) -> None:
    assert _parsed({"type": "result", "result": "done", **members}) == [Result(ok=ok, text="done")]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        '"result"',
        "{}",
        '{"type":"system","subtype":"init"}',
        '{"type":["result"]}',
        '{"type":"assistant"}',
        '{"type":"assistant","message":"text"}',
        '{"type":"assistant","message":{"content":"text"}}',
        '{"type":"assistant","message":{"content":[null,7,"text",[]]}}',
        '{"type":"user","message":{"content":[{"type":"thinking"},{"type":{}},{}]}}',
        "[" * 100_000,
        "9" * 100_000,
        '{"type":"result","result":"' + "x" * (1024 * 1024) + '"}',
    ],
)
def test_a_line_that_says_nothing(line: str) -> None:
    assert list(stream.parse(line)) == []
