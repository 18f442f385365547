"""Reaper: takes what dead sessions of ours left, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bottle.engine.port import Labelled
from bottle.errors import NotRemoved
from bottle.session import lock, reaper
from tests.support.fake_engine import FakeEngine

DEAD, LIVE, OTHERS = "0000000000dd", "00000000011e", "00000000077e"


def things(session: str, owner: str) -> dict[str, Labelled]:
    kinds = {"agent": "container", "inside": "network", "store": "volume"}
    return {
        f"cb-{session}-{name}": Labelled(
            kind=kind, name=f"cb-{session}-{name}", session=session, owner=owner
        )
        for name, kind in kinds.items()
    }


def test_dead_sessions_go_and_live_ones_and_others_stay(tmp_path: Path) -> None:
    owner = lock.owner_key(tmp_path)
    dead, live = things(DEAD, owner), things(LIVE, owner)
    others = things(OTHERS, "somebody")
    engine = FakeEngine(things={**dead, **live, **others})
    with lock.hold(tmp_path, LIVE):
        left = reaper.reap(engine, tmp_path)
    assert set(left) == set(dead.values())
    assert engine.things == {**live, **others}


@pytest.mark.parametrize("session", ["setup", "", "../../../etc", "0000000000DD", "0" * 13])
def test_what_is_no_session_is_left_alone(tmp_path: Path, session: str) -> None:
    kept = things(session, lock.owner_key(tmp_path))
    engine = FakeEngine(things=dict(kept))
    assert reaper.reap(engine, tmp_path) == ()
    assert engine.things == kept


def test_lock_files_of_dead_sessions_go_also_without_leftovers(tmp_path: Path) -> None:
    for session in (DEAD, OTHERS):
        with pytest.raises(KeyError), lock.hold(tmp_path, session):
            raise KeyError
    with lock.hold(tmp_path, LIVE):
        reaper.reap(FakeEngine(things=things(DEAD, lock.owner_key(tmp_path))), tmp_path)
        assert [path.stem for path in (tmp_path / "sessions").iterdir()] == [LIVE]


def test_containers_go_before_the_networks_they_are_on() -> None:
    engine = FakeEngine(things=things(DEAD, "o"))
    backwards = tuple(reversed(engine.labelled()))
    reaper.remove(engine, backwards)
    assert engine.removed == [f"cb-{DEAD}-{name}" for name in ("agent", "inside", "store")]


def test_with_nothing_left_nothing_happens(tmp_path: Path) -> None:
    assert reaper.reap(FakeEngine(), tmp_path) == ()


@dataclass
class Stuck(FakeEngine):
    """An engine that cannot remove one thing."""

    stuck: str = ""

    def remove(
        self, containers: Sequence[str], networks: Sequence[str], volumes: Sequence[str] = ()
    ) -> None:
        able = [[n for n in names if n != self.stuck] for names in (containers, networks, volumes)]
        super().remove(*able)


def test_what_cannot_be_removed_is_named_and_its_session_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "_GONE", 0.1)
    for session in (DEAD, OTHERS):
        with pytest.raises(KeyError), lock.hold(tmp_path, session):
            raise KeyError
    owner, stuck = lock.owner_key(tmp_path), f"cb-{DEAD}-inside"
    engine = Stuck(things={**things(DEAD, owner), **things(OTHERS, owner)}, stuck=stuck)
    with pytest.raises(NotRemoved, match=f"still there: {stuck}$") as error:
        reaper.reap(engine, tmp_path)
    assert error.value.code == 70
    assert list(engine.things) == [stuck]
    assert [path.stem for path in (tmp_path / "sessions").iterdir()] == [DEAD]
    engine.stuck = ""
    assert [thing.name for thing in reaper.reap(engine, tmp_path)] == [stuck]
    assert list((tmp_path / "sessions").iterdir()) == []


def test_an_engine_that_lags_is_waited_for(tmp_path: Path) -> None:
    engine = FakeEngine(things=things(DEAD, lock.owner_key(tmp_path)), lag=2)
    assert len(reaper.reap(engine, tmp_path)) == 3
    assert engine.things == {}
