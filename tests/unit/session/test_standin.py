"""Stand-in: what its container is told is what the plan pins."""

from __future__ import annotations

import json

import pytest

from bottle.session.standin import PLAIN_PORT, UNLISTED, Standin
from tests.support.plans import plan

API = "api.anthropic.com"


def test_the_demos_serves_the_pinned_names_at_its_own_address() -> None:
    planned = plan(adapter="demo", allowlist=("example.com",))
    line = Standin().configuration(planned)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert planned.standin
    address = planned.standin.attachments[0].address
    assert json.loads(line) == {
        "version": 1,
        "names": [API, "example.com"],
        "listen": address,
        "script": "demo",
        "answer": "",
        "record": False,
        "unlisted": UNLISTED,
        "forbidden": f"http://{address}:{PLAIN_PORT}/",
    }


def test_what_it_must_not_give_is_on_no_list() -> None:
    planned = plan(adapter="demo", allowlist=("example.com",))
    assert not planned.allowlist.decide(UNLISTED, 443).allowed


def test_a_tests_own_answers_as_told() -> None:
    planned = plan(standin_names=("example.com",))
    told = json.loads(
        Standin(names=("example.com",), script="answer", answer="a\nb", record=True).configuration(
            planned
        )
    )
    assert (told["names"], told["script"], told["answer"], told["record"]) == (
        ["example.com"],
        "answer",
        "a\nb",
        True,
    )


def test_without_one_in_the_plan_there_is_nothing_to_tell() -> None:
    with pytest.raises(AssertionError):
        Standin().configuration(plan())
