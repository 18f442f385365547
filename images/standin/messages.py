"""Messages: a reply in the form of the Messages API, whole or as server-sent events; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from script import Reply

_PIECE: Final = 24
Event = Mapping[str, Any]


def whole(reply: Reply, model: str, identity: str, asked: int) -> dict[str, Any]:
    """Give the answer as one document; `asked` is the size of the question in tokens."""
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}]
    if reply.tool:
        tool = reply.tool
        content.append({"type": "tool_use", "id": tool.id, "name": tool.name, "input": tool.input})
    return {
        **_opening(model, identity, asked, _size(reply)),
        "content": content,
        "stop_reason": _stop_reason(reply),
    }


def events(reply: Reply, model: str, identity: str, asked: int) -> Iterator[Event]:
    """Give the answer as the events of a stream, in the order of the real API."""
    yield {"type": "message_start", "message": _opening(model, identity, asked, 1)}
    yield {"type": "ping"}
    yield from _block(0, {"type": "text", "text": ""}, "text_delta", "text", reply.text)
    if reply.tool:
        tool = reply.tool
        empty = {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}
        text = json.dumps(tool.input)
        yield from _block(1, empty, "input_json_delta", "partial_json", text)
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None},
        "usage": {"output_tokens": _size(reply)},
    }
    yield {"type": "message_stop"}


def encode(event: Event) -> bytes:
    """Give an event as it stands in the stream."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def error(kind: str, text: str) -> dict[str, Any]:
    """Give an error as the API words it."""
    return {"type": "error", "error": {"type": kind, "message": text}}


def tokens(text: str | bytes) -> int:
    """Guess a size in tokens; nobody is billed by it."""
    return max(1, len(text) // 4)


def _size(reply: Reply) -> int:
    return tokens(reply.text + (json.dumps(reply.tool.input) if reply.tool else ""))


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.tool else "end_turn"


def _opening(model: str, identity: str, asked: int, answered: int) -> dict[str, Any]:
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": asked,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": answered,
        },
    }


def _block(index: int, empty: Event, delta: str, key: str, text: str) -> Iterator[Event]:
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for at in range(0, len(text), _PIECE):
        piece = {"type": delta, key: text[at : at + _PIECE]}
        yield {"type": "content_block_delta", "index": index, "delta": piece}
    yield {"type": "content_block_stop", "index": index}
