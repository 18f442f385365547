"""Audit: every line is kept, for this user alone, within bounds, whatever the line is."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bottle.session import audit, lock
from bottle.session.audit import Audit, Record
from bottle.sidecars import mitmproxy
from tests.support.fake_engine import FakePipe, until


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Audit]:
    with Audit(tmp_path, "s") as it:
        yield it


def lines(kept: Audit) -> list[dict[str, Any]]:
    return [json.loads(line) for line in kept.path.read_text().splitlines()]


def follow(kept: Audit, *said: str) -> list[dict[str, Any]]:
    """Follow a container that says these lines; give what was kept, without times."""
    kept.follow("sidecar", FakePipe([*said, '{"event":"last"}'], code=0), audit.as_is)
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
    assert kept.lost == 100 - len(lines(kept))
    assert [line["number"] for line in lines(kept)] == list(range(len(lines(kept))))
    assert len(heard) == 100


class Full:
    """A file on a disk with little room."""

    closed = False

    def __init__(self, room: int) -> None:
        self.room, self.content = room, b""

    def write(self, text: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = text[: self.room]
        self.room -= len(taken)
        self.content += taken
        return len(taken)

    def close(self) -> None:
        raise OSError(errno.EIO, "I/O error")


def test_a_full_disk_loses_records_and_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Record] = []
    with Audit(tmp_path, "s") as kept:
        kept.note({"event": "first"})
        full = Full(room=10)
        kept._file.close()
        monkeypatch.setattr(kept, "_file", full)
        kept.listeners.append(heard.append)
        for number in range(3):
            kept.note({"event": "lost", "number": number})
        full.room = 1000
        kept.note({"event": "kept"})
        kept.note({"event": "also"})
    torn, *rest = full.content.splitlines()
    assert torn == b'{"event": '
    assert [json.loads(line)["event"] for line in rest] == ["kept", "also"]
    assert kept.lost == 3
    assert len(heard) == 5


def test_it_is_counted_what_containers_tell(kept: Audit) -> None:
    kept.note({"event": "started"})
    assert kept.told == 0
    follow(kept, '{"event":"decision"}')
    assert kept.told == 2


def test_a_container_is_read_by_its_own_rules(kept: Audit) -> None:
    pipe = FakePipe(["strange", '{"event":"decision","odd":1,"host":"a"}'], code=0)
    kept.follow("sidecar", pipe, mitmproxy.record)
    until(lambda: len(lines(kept)) == 2)
    assert [{k: v for k, v in line.items() if k != "time"} for line in lines(kept)] == [
        {"event": "unreadable", "text": "strange", "source": "sidecar"},
        {"event": "decision", "host": "a", "source": "sidecar"},
    ]


def test_the_newest_records_stay_and_those_of_living_sessions(tmp_path: Path) -> None:
    audit.forget_old(tmp_path)
    (tmp_path / "audit").mkdir()
    paths = [tmp_path / "audit" / f"{number:012x}.jsonl" for number in range(60)]
    for age, path in enumerate(paths):
        path.touch()
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    with lock.hold(tmp_path, paths[-1].stem):
        audit.forget_old(tmp_path)
        assert set((tmp_path / "audit").iterdir()) == {*paths[:50], paths[-1]}
    audit.forget_old(tmp_path)
    assert set((tmp_path / "audit").iterdir()) == {*paths[:50]}


def test_a_silent_container_is_waited_for(kept: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PATIENCE", 0.01)
    pipe = FakePipe()
    kept.follow("sidecar", pipe, audit.as_is)
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
