"""Signals: raised at once before the first step, kept for `check` from then on."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bottle.session.signals import Interrupted, Signals
from tests.support.starts import heeding

CAUGHT = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    with heeding():
        yield


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in CAUGHT]


@pytest.mark.parametrize(("number", "code"), [*zip(CAUGHT, (129, 130, 131, 143), strict=True)])
def test_a_signal_raises_at_once_with_its_code(number: signal.Signals, code: int) -> None:
    with pytest.raises(Interrupted, match=number.name) as caught, Signals().caught():
        signal.raise_signal(number)
    assert caught.value.code == code


@pytest.mark.parametrize("number", CAUGHT)
def test_deferred_it_waits_for_the_check(number: signal.Signals) -> None:
    signals = Signals()
    with signals.caught():
        signals.defer()
        signals.check()
        signal.raise_signal(number)
        with pytest.raises(Interrupted, match=number.name):
            signals.check()


def test_the_first_signal_counts() -> None:
    signals = Signals()
    with signals.caught():
        signals.defer()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted, match="SIGTERM"):
            signals.check()


def test_one_that_came_before_is_not_lost_by_deferring() -> None:
    signals = Signals()
    with signals.caught():
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Interrupted, match="SIGHUP"):
            signals.defer()


@pytest.mark.parametrize("number", CAUGHT)
def test_what_is_ignored_stays_so(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    with Signals().caught() as signals:
        signal.raise_signal(number)
        signals.check()
        others = set(CAUGHT) - {number}
        assert all(signal.getsignal(other) is not signal.SIG_IGN for other in others)
    assert signal.getsignal(number) is signal.SIG_IGN


def test_what_was_set_before_is_restored() -> None:
    before = handlers()
    with Signals().caught():
        assert all(now != then for now, then in zip(handlers(), before, strict=True))
    assert handlers() == before
    with pytest.raises(KeyError), Signals().caught():
        raise KeyError
    assert handlers() == before
