"""Audit: every line is kept, for this user alone, within bounds, whatever the line is."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bottle.session import audit
from bottle.session.audit import Audit, Record
from tests.support.fake_engine import FakePipe, until


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Audit]:
    with Audit(tmp_path, "s") as it:
        yield it


def lines(kept: Audit) -> list[dict[str, Any]]:
    return [json.loads(line) for line in kept.path.read_text().splitlines()]


def follow(kept: Audit, *said: str) -> list[dict[str, Any]]:
    """Follow a container that says these lines; give what was kept, without times."""
    kept.follow("sidecar", FakePipe([*said, '{"event":"last"}'], code=0))
    until(lambda: '"last"' in kept.path.read_text())
    return [{k: v for k, v in line.items() if k != "time"} for line in lines(kept)[:-1]]


def test_records_are_lines_with_a_time(kept: Audit) -> None:
    kept.note({"event": "started"})
    (line,) = lines(kept)
    assert line["event"] == "started"
    assert line["time"] > 1_000_000_000


def test_the_file_is_for_this_user_alone(kept: Audit) -> None:
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700


def test_a_containers_lines_carry_their_source(kept: Audit) -> None:
    assert follow(kept, '{"event":"decision","host":"a"}') == [
        {"event": "decision", "host": "a", "source": "sidecar"}
    ]


def test_a_container_cannot_speak_as_another_nor_at_another_time(kept: Audit) -> None:
    (line,) = follow(kept, '{"event":"x","source":"launcher","time":1}')
    assert line["source"] == "sidecar"
    assert lines(kept)[0]["time"] > 1_000_000_000


@pytest.mark.parametrize("said", ["no JSON", "[" * 100_000, '{"a":', "\x1b]0;title\x07", ""])
def test_what_is_no_json_is_kept_in_part(kept: Audit, said: str) -> None:
    assert follow(kept, said) == [{"event": "unreadable", "text": said[:200], "source": "sidecar"}]


@pytest.mark.parametrize("said", ["[]", "1", "null", '"text"', "{}"])
def test_what_is_no_record_is_left_out(kept: Audit, said: str) -> None:
    assert follow(kept, said) == []


def test_a_line_of_text_cannot_make_two(kept: Audit) -> None:
    follow(kept, json.dumps({"event": "x", "text": 'a\n{"event":"forged"}'}))
    assert [line["event"] for line in lines(kept)] == ["x", "last"]


def test_the_file_is_bounded_and_listeners_hear_on(
    kept: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_LARGEST_RECORD", 1000)
    heard: list[Record] = []
    kept.listeners.append(heard.append)
    for number in range(100):
        kept.note({"event": "x", "number": number})
    assert 900 < kept.path.stat().st_size <= 1000
    assert [line["number"] for line in lines(kept)] == list(range(len(lines(kept))))
    assert len(heard) == 100


def test_a_silent_container_is_waited_for(kept: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PATIENCE", 0.01)
    pipe = FakePipe()
    kept.follow("sidecar", pipe)
    heard: list[Record] = []
    kept.listeners.append(heard.append)
    until(lambda: pipe.lines_asked_for > 3)
    pipe.say('{"event":"late"}')
    until(lambda: heard)
    pipe.close()


def test_after_the_end_nothing_is_written(tmp_path: Path) -> None:
    with Audit(tmp_path, "s") as kept:
        kept.note({"event": "before"})
    kept.note({"event": "after"})
    assert [line["event"] for line in lines(kept)] == ["before"]
