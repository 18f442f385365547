"""Whatever a bottle writes, reading it as events gives events or nothing, and never raises."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bottle.agents import stream
from bottle.agents.stream import Result, Text, ToolCall, ToolResult

WORDS = (
    *("type", "message", "content", "text", "id", "name", "input", "tool_use_id", "is_error"),
    *("result", "assistant", "user", "tool_use", "tool_result", "command", "url", "description"),
)
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=25,
)
MEMBERS = {
    "text": STRUCTURES,
    "id": STRUCTURES,
    "name": STRUCTURES,
    "input": st.one_of(STRUCTURES, st.dictionaries(st.sampled_from(WORDS), STRUCTURES)),
    "tool_use_id": STRUCTURES,
    "is_error": STRUCTURES,
    "content": STRUCTURES,
}
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result"])}, optional=MEMBERS
)
NEARLY = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["assistant", "user", "result"]),
        "message": st.one_of(
            STRUCTURES, st.fixed_dictionaries({"content": st.lists(st.one_of(BLOCKS, STRUCTURES))})
        ),
        "result": STRUCTURES,
        "is_error": STRUCTURES,
    }
)
MARKS = st.lists(
    st.sampled_from([*'{}[],:"\\-+.eE0\n\0', "null", "NaN", "1e999", "\\u", "\\ud800", *WORDS]),
    max_size=40,
).map("".join)


def check(line: str) -> None:
    """Read all of it: each event's fields are plain text and flags, whatever came."""
    for event in stream.parse(line):
        assert isinstance(event, Text | ToolCall | ToolResult | Result)
        for name, value in vars(event).items():
            assert isinstance(value, bool if name == "ok" else str)
        if isinstance(event, ToolCall):
            assert len(event.summary) <= 200
            assert len(event.summary.splitlines()) <= 1


class TestAnyLineIsReadOrLeftOut:
    """Audit lines and the agent's own are treated as hostile text."""

    @given(st.text(st.characters()))
    def test_any_text(self, line: str) -> None:
        check(line)

    @given(MARKS)
    def test_any_run_of_json_marks(self, line: str) -> None:
        check(line)

    @given(STRUCTURES)
    def test_any_structure(self, value: object) -> None:
        check(json.dumps(value))

    @given(NEARLY)
    def test_any_structure_that_is_nearly_an_event(self, value: object) -> None:
        check(json.dumps(value))

    @given(st.sampled_from(['{"type":', "[", '{"message":[', "-", '"\\u']), st.integers(1, 20_000))
    def test_any_depth(self, opening: str, times: int) -> None:
        check(opening * times)
