"""Start: what is checked before anything is made, and what the lifetime is then told."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from bottle.core.plan import API_HOST
from bottle.core.secret import TOKEN, Value
from bottle.core.slot import SLOTS, Slot
from bottle.engine import host as host_reader
from bottle.engine.port import EngineFacts
from bottle.errors import BottleError, SecretMissing, Unavailable, UsageError
from bottle.provision import gvisor
from bottle.session import lock
from bottle.session.start import Prepared, Request, prepare
from tests.support.fake_engine import FACTS, FakeEngine
from tests.support.starts import request, token


class Deaf(FakeEngine):
    """An engine that does not answer."""

    def facts(self) -> EngineFacts:
        raise Unavailable("the Docker engine does not answer")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_reader, "routed_subnets", tuple)
    monkeypatch.setattr(host_reader, "account_uids", frozenset)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine().have_images()


def planned(engine: FakeEngine, asked: Request, value: Value | None = None) -> Prepared:
    """Prepare, and see that nothing was made for it."""
    prepared = prepare(engine, asked, value)
    assert engine.calls == []
    return prepared


Asked = Callable[[Path], Request]


@pytest.mark.parametrize(
    ("asked", "value", "failure", "code", "remedy"),
    [
        (lambda p: request(p, agent="defualt"), None, UsageError, 64, "default"),
        (lambda p: request(p, arguments="it's"), None, UsageError, 64, "quotes"),
        (lambda p: request(p, override="runcs"), token(), UsageError, 64, "'runc'"),
        (lambda p: request(p, override="x"), token(), UsageError, 64, "runc, runsc"),
        (lambda p: request(p, override="x"), None, UsageError, 64, "runc, runsc"),
        (lambda p: request(p, skills=("none",)), token(), UsageError, 64, "SKILL.md"),
        (request, None, SecretMissing, 78, "claude setup-token"),
        (request, Value(""), SecretMissing, 78, "claude setup-token"),
        (request, Value("sk-" + "x" * 40), SecretMissing, 78, "claude setup-token"),
        (lambda p: request(p, adapter="demo"), Value("no"), SecretMissing, 78, "setup-token"),
    ],
)
def test_each_refusal_has_its_code_and_remedy_before_the_engine_is_asked(
    tmp_path: Path,
    asked: Asked,
    value: Value | None,
    failure: type[BottleError],
    code: int,
    remedy: str,
) -> None:
    engine = Deaf()
    with pytest.raises(failure) as caught:
        prepare(engine, asked(tmp_path), value)
    assert caught.value.code == code
    assert remedy in caught.value.remedy
    assert engine.calls == []


@pytest.mark.parametrize("missing", ["agent", "sidecar", "standin", "hostrule"])
def test_a_missing_image_is_refused(tmp_path: Path, engine: FakeEngine, missing: str) -> None:
    del engine.images[f"claude-bottle/{missing}:current"]
    with pytest.raises(Unavailable, match=f"claude-bottle/{missing}:current is missing"):
        prepare(engine, request(tmp_path), token())
    assert engine.calls == []


def test_a_stale_image_is_refused(tmp_path: Path, engine: FakeEngine) -> None:
    name = "claude-bottle/sidecar:current"
    engine.images[name] = dataclasses.replace(engine.images[name], labels={})
    with pytest.raises(Unavailable, match="sidecar:current is out of date"):
        prepare(engine, request(tmp_path), token())


def test_without_an_engine_it_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        prepare(Deaf(), request(tmp_path), token())
    assert caught.value.code == 69


@pytest.mark.parametrize("where", ["declared", "override"])
def test_an_unknown_runtime_of_the_engine_never_falls_back(
    tmp_path: Path, engine: FakeEngine, where: str
) -> None:
    asked = request(
        tmp_path,
        runtime="runsc" if where == "declared" else "runc",
        override="runsc" if where == "override" else "",
    )
    with pytest.raises(Unavailable, match="no runtime 'runsc'") as caught:
        prepare(engine, asked, token())
    assert "--gvisor" in caught.value.remedy
    assert engine.calls == []


def test_gvisor_is_tried_only_where_it_is_asked_for(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(gvisor, "works", lambda _: tried.append("runsc"))
    engine.information = dataclasses.replace(FACTS, runtimes={"runsc": "runsc"})
    assert planned(engine, request(tmp_path), token()).plan.keeper.runtime == "runc"
    asked = request(tmp_path, runtime="runsc", override="runc")
    assert planned(engine, asked, token()).plan.keeper.runtime == "runc"
    assert tried == []
    asked = request(tmp_path, override="runsc")
    prepared = planned(engine, asked, token())
    assert prepared.plan.keeper.runtime == "runsc"
    assert prepared.plan.sidecar.runtime == "runc"
    assert tried == ["runsc"]


def test_the_token_goes_to_the_sidecar_and_a_placeholder_into_the_bottle(
    tmp_path: Path, engine: FakeEngine
) -> None:
    value = token()
    prepared = planned(engine, request(tmp_path, env={"MINE": "1"}), value)
    told = json.loads(prepared.order.sidecar(prepared.plan, "PEM"))
    (credential,) = told["credentials"]
    assert credential["host"] == API_HOST
    assert credential["value"] == value.reveal()
    assert told["upstream_ca"] == "PEM"
    contents = prepared.order.contents("PEM")
    assert contents.environment["CLAUDE_CODE_OAUTH_TOKEN"] == credential["placeholder"]
    assert contents.environment["MINE"] == "1"
    assert value.reveal().encode() not in contents.archive()
    for thing in (prepared, prepared.plan, prepared.order):
        assert value.reveal() not in repr(thing)


def test_a_placeholder_is_made_anew_for_each_start(tmp_path: Path, engine: FakeEngine) -> None:
    made = [planned(engine, request(tmp_path), token()) for _ in range(2)]
    placeholders = [p.order.contents("").environment["CLAUDE_CODE_OAUTH_TOKEN"] for p in made]
    assert placeholders[0] != placeholders[1]
    assert made[0].plan.session != made[1].plan.session


def test_the_demo_makes_a_token_up_and_says_so(tmp_path: Path, engine: FakeEngine) -> None:
    asked = request(tmp_path, adapter="demo", allowlist=("example.com",))
    prepared = planned(engine, asked)
    assert prepared.secret
    assert (prepared.secret.name, prepared.secret.source) == (TOKEN, "random, for the demo")
    (credential,) = json.loads(prepared.order.sidecar(prepared.plan, None))["credentials"]
    assert credential["value"] != credential["placeholder"]
    assert prepared.order.standin
    assert json.loads(prepared.order.standin(prepared.plan))["script"] == "demo"


def test_a_shell_has_no_secret_even_when_there_is_one(tmp_path: Path, engine: FakeEngine) -> None:
    value = token()
    prepared = planned(engine, request(tmp_path, adapter="shell", arguments="-c 'a b'"), value)
    assert prepared.secret is None
    assert prepared.command == ("bash", "-c", "a b")
    assert json.loads(prepared.order.sidecar(prepared.plan, None))["credentials"] == []
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in prepared.order.contents("").environment


def test_skills_are_found_and_carried(tmp_path: Path, engine: FakeEngine) -> None:
    folder = tmp_path / "skills" / "one"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("# One\n")
    prepared = planned(engine, request(tmp_path, skills=("one",)), token())
    assert prepared.order.contents("").skills == {"one": folder.resolve()}


def test_the_labels_are_of_this_owner(tmp_path: Path, engine: FakeEngine) -> None:
    prepared = planned(engine, request(tmp_path), token())
    labels = prepared.plan.keeper.labels
    assert labels == {
        "claude-bottle": prepared.plan.session,
        "claude-bottle.owner": lock.owner_key(tmp_path),
    }
    assert len(bytes.fromhex(prepared.plan.session)) == 6


def test_slots_begin_anywhere_and_leave_out_what_is_taken(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda count: count - 1)
    engine.known_subnets = (str(Slot(number=SLOTS - 1).inside), "fd00::/64")
    monkeypatch.setattr(host_reader, "routed_subnets", lambda: (str(Slot(number=0).outside),))
    monkeypatch.setattr(host_reader, "account_uids", lambda: Slot(number=1).uids)
    prepared = planned(engine, request(tmp_path), token())
    assert prepared.order.slots == tuple(range(2, SLOTS - 1))
    assert prepared.plan.slot.number == 2
    assert prepared.order.plan_in(Slot(number=9)).slot.number == 9


def test_without_a_free_slot_it_is_unavailable(tmp_path: Path, engine: FakeEngine) -> None:
    engine.known_subnets = ("10.0.0.0/8",)
    with pytest.raises(Unavailable, match="no subnet") as caught:
        prepare(engine, request(tmp_path), token())
    assert "reap" in caught.value.remedy
