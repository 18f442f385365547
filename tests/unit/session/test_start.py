"""Start: what is checked before anything is made, and what the lifetime is then told."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bottle.core.form import form
from bottle.core.plan import API_HOST
from bottle.core.secret import TOKEN, Value
from bottle.core.slot import SLOTS, Slot
from bottle.engine import host as host_reader
from bottle.engine.port import EngineFacts, ImageFacts
from bottle.errors import BottleError, ManifestError, SecretMissing, Unavailable, UsageError
from bottle.provision import cache, extra, gvisor
from bottle.session import lock
from bottle.session.consents import Subject
from bottle.session.declared import Request
from bottle.session.standin import Standin
from bottle.session.start import Prepared, Secrets, prepare, preview
from tests.support.fake_engine import FACTS, FakeEngine
from tests.support.starts import add_skill, request, token

SHELL: Mapping[str, Any] = {"adapter": "shell"}
ENV: Mapping[str, Any] = {
    "A": {"from": "FIRST"},
    "B": {"from": "SECOND"},
    "C": {"from": "THIRD", "optional": True},
    "D": "plain",
}
IMAGE: Mapping[str, Any] = {"packages": ["make"], "dockerfile": "Dockerfile"}
MADE = "sha256:" + "e" * 64


class Deaf(FakeEngine):
    """An engine that does not answer."""

    def facts(self) -> EngineFacts:
        raise Unavailable("the Docker engine does not answer")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_reader, "routed_subnets", tuple)
    monkeypatch.setattr(host_reader, "account_uids", frozenset)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine().have_images()


def given(value: Value | None = None, **variables: str) -> Secrets:
    """Give a token and the host's variables."""
    return Secrets(token=value, variables={n: Value(text) for n, text in variables.items()})


def planned(engine: FakeEngine, asked: Request, values: Secrets | None = None) -> Prepared:
    """Prepare, and see that nothing was made for it."""
    prepared = prepare(engine, asked, values or given())
    assert engine.calls == []
    return prepared


class TestRefused:
    @pytest.mark.parametrize(
        ("asked", "value", "failure", "code", "remedy"),
        [
            (lambda p: request(p, agent="defualt"), None, UsageError, 64, "default"),
            (lambda p: request(p, arguments="it's"), None, UsageError, 64, "quotes"),
            (lambda p: request(p, override="x"), None, UsageError, 64, "runc, runsc"),
            (
                lambda p: request(p, of_agent={"skills": ["one"]}),
                token(),
                ManifestError,
                65,
                "manifest",
            ),
            (request, None, SecretMissing, 78, "claude setup-token"),
            (request, Value(""), SecretMissing, 78, "claude setup-token"),
            (request, Value("sk-" + "x" * 40), SecretMissing, 78, "claude setup-token"),
            (lambda p: request(p, adapter="demo"), Value("no"), SecretMissing, 78, "setup-token"),
            (
                lambda p: request(p, **SHELL, env={"A": {"from": "MINE"}}),
                None,
                SecretMissing,
                78,
                "optional",
            ),
        ],
    )
    def test_each_has_its_code_and_remedy_before_the_engine_is_asked(
        self,
        tmp_path: Path,
        asked: Callable[[Path], Request],
        value: Value | None,
        failure: type[BottleError],
        code: int,
        remedy: str,
    ) -> None:
        engine = Deaf()
        with pytest.raises(failure) as caught:
            prepare(engine, asked(tmp_path), given(value))
        assert caught.value.code == code
        assert remedy in caught.value.remedy
        assert engine.calls == []

    @pytest.mark.parametrize("missing", ["agent", "sidecar", "standin", "hostrule"])
    def test_a_missing_image(self, tmp_path: Path, engine: FakeEngine, missing: str) -> None:
        del engine.images[f"claude-bottle/{missing}:current"]
        with pytest.raises(Unavailable, match=f"claude-bottle/{missing}:current is missing"):
            prepare(engine, request(tmp_path), given(token()))
        assert engine.calls == []

    def test_a_stale_image(self, tmp_path: Path, engine: FakeEngine) -> None:
        name = "claude-bottle/sidecar:current"
        engine.images[name] = dataclasses.replace(engine.images[name], labels={})
        with pytest.raises(Unavailable, match="sidecar:current is out of date"):
            prepare(engine, request(tmp_path), given(token()))

    def test_without_an_engine(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable) as caught:
            prepare(Deaf(), request(tmp_path), given(token()))
        assert caught.value.code == 69

    def test_without_a_free_slot(self, tmp_path: Path, engine: FakeEngine) -> None:
        engine.known_subnets = ("10.0.0.0/8",)
        with pytest.raises(Unavailable, match="no subnet") as caught:
            prepare(engine, request(tmp_path), given(token()))
        assert "reap" in caught.value.remedy


class TestRuntime:
    @pytest.mark.parametrize("start", ["prepare", "preview"])
    @pytest.mark.parametrize("where", ["declared", "override"])
    def test_one_that_the_engine_does_not_know_never_falls_back(
        self, tmp_path: Path, engine: FakeEngine, where: str, start: str
    ) -> None:
        asked = request(
            tmp_path,
            runtime="runsc" if where == "declared" else "runc",
            override="runsc" if where == "override" else "",
        )
        begin: Mapping[str, Callable[[FakeEngine, Request], Prepared]] = {
            "prepare": partial(prepare, values=given(token())),
            "preview": preview,
        }
        with pytest.raises(Unavailable, match="no runtime 'runsc'") as caught:
            begin[start](engine, asked)
        assert "--gvisor" in caught.value.remedy
        assert engine.calls == []

    def test_gvisor_is_tried_only_where_it_is_asked_for(
        self, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[str] = []
        monkeypatch.setattr(gvisor, "works", lambda _: tried.append("runsc"))
        engine.information = dataclasses.replace(FACTS, runtimes={"runsc": "runsc"})
        assert planned(engine, request(tmp_path, **SHELL)).form.keeper.runtime == "runc"
        asked = request(tmp_path, **SHELL, runtime="runsc", override="runc")
        assert planned(engine, asked).form.keeper.runtime == "runc"
        asked = request(tmp_path, **SHELL, override="runsc")
        assert preview(engine, asked).form.keeper.runtime == "runsc"
        assert tried == []
        prepared = planned(engine, asked)
        assert prepared.form.keeper.runtime == "runsc"
        assert prepared.form.sidecar.runtime == "runc"
        assert tried == ["runsc"]


class TestToken:
    def test_it_goes_to_the_sidecar_and_a_placeholder_into_the_bottle(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        value = token()
        prepared = planned(engine, request(tmp_path, env={"MINE": "1"}), given(value))
        order = prepared.making.order()
        plan = order.plan_in(Slot(number=3))
        told = json.loads(order.sidecar(plan, "PEM"))
        (credential,) = told["credentials"]
        assert credential["host"] == API_HOST
        assert credential["value"] == value.reveal()
        assert told["upstream_ca"] == "PEM"
        contents = order.contents("PEM")
        assert contents.environment["CLAUDE_CODE_OAUTH_TOKEN"] == credential["placeholder"]
        assert contents.environment["MINE"] == "1"
        assert value.reveal().encode() not in contents.archive()
        for thing in (prepared, plan, order, contents, prepared.making.environment):
            assert value.reveal() not in repr(thing)

    def test_a_placeholder_is_made_anew_for_each_start(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        made = [planned(engine, request(tmp_path), given(token())).making for _ in range(2)]
        names = [m.contents("").environment["CLAUDE_CODE_OAUTH_TOKEN"] for m in made]
        assert names[0] != names[1]
        assert made[0].session != made[1].session

    def test_the_demo_makes_one_up(self, tmp_path: Path, engine: FakeEngine) -> None:
        asked = request(tmp_path, adapter="demo", allowlist=("example.com",))
        order = planned(engine, asked).making.order()
        plan = order.plan_in(Slot(number=3))
        (credential,) = json.loads(order.sidecar(plan, None))["credentials"]
        assert credential["value"] != credential["placeholder"]
        assert order.standin
        assert json.loads(order.standin(plan))["script"] == "demo"

    def test_a_shell_gets_none_even_when_there_is_one(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        making = planned(engine, request(tmp_path, **SHELL), given(token())).making
        assert making.environment.token is None
        assert json.loads(making.sidecar(making.plan_in(Slot(number=3)), None))["credentials"] == []
        assert making.contents("").environment == {}


class TestSecrets:
    def refused(self, engine: FakeEngine, asked: Request, values: Secrets) -> SecretMissing:
        with pytest.raises(SecretMissing) as caught:
            prepare(engine, asked, values)
        assert caught.value.code == 78
        assert engine.calls == []
        return caught.value

    def test_each_reaches_the_variable_that_asks_for_it(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        values = given(FIRST="1", SECOND="2", THIRD="3", OTHER="4")
        making = planned(engine, request(tmp_path, **SHELL, env=ENV), values).making
        assert making.contents("").environment == {"A": "1", "B": "2", "C": "3", "D": "plain"}

    def test_one_may_have_two_names(self, tmp_path: Path, engine: FakeEngine) -> None:
        env = {"A": {"from": "MINE"}, "B": {"from": "MINE"}}
        making = planned(engine, request(tmp_path, **SHELL, env=env), given(MINE="1")).making
        assert making.contents("").environment == {"A": "1", "B": "1"}

    def test_an_optional_one_may_be_missing(self, tmp_path: Path, engine: FakeEngine) -> None:
        values = given(FIRST="1", SECOND="2")
        making = planned(engine, request(tmp_path, **SHELL, env=ENV), values).making
        assert "C" not in making.contents("").environment

    def test_all_that_are_missing_are_named_at_once(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        asked = request(tmp_path, **SHELL, env=ENV)
        error = self.refused(engine, asked, given(THIRD="3"))
        assert "FIRST (for A), SECOND (for B)" in error.happened
        assert "THIRD" not in error.happened

    def test_the_token_among_them(self, tmp_path: Path, engine: FakeEngine) -> None:
        asked = request(tmp_path, env=ENV)
        assert TOKEN in self.refused(engine, asked, given(FIRST="1")).happened
        assert TOKEN not in self.refused(engine, asked, given(token(), FIRST="1")).happened

    def test_what_an_agent_sets_itself_is_not_missing(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        own = {"env": {"A": "text", "B": {"from": "THIRD"}}}
        asked = request(tmp_path, **SHELL, env=ENV, of_agent=own)
        environment = planned(engine, asked, given(THIRD="3")).making.contents("").environment
        assert environment == {"A": "text", "B": "3", "C": "3", "D": "plain"}

    def test_no_value_is_in_a_plan_a_fact_a_text_or_an_exception(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        value = secrets.token_hex(16)
        values = given(FIRST=value, SECOND=value)
        prepared = planned(engine, request(tmp_path, **SHELL, env=ENV), values)
        making = prepared.making
        plan = making.plan_in(Slot(number=3))
        assert value.encode() in making.contents("").archive()
        assert value.encode() not in making.sidecar(plan, None)
        shown = (values, prepared, prepared.facts, plan, making.order(), making.contents(""))
        for text in (*map(repr, shown), json.dumps(form(plan)), json.dumps(form(prepared.form))):
            assert value not in text
        error = self.refused(engine, request(tmp_path, **SHELL, env=ENV), given(FIRST=value))
        assert value not in f"{error!r} {error.happened} {error.remedy} {error.values()}"

    def test_a_token_of_the_wrong_shape_is_not_repeated(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        value = secrets.token_hex(16)
        error = self.refused(engine, request(tmp_path), given(Value(value)))
        assert value not in f"{error!r} {error.happened} {error.remedy}"


class TestForm:
    """What the yes is about says nothing of a single start."""

    def test_it_is_the_same_for_each_start(self, tmp_path: Path, engine: FakeEngine) -> None:
        asked = request(tmp_path, env={"A": {"from": "MINE"}})
        first = planned(engine, asked, given(token(), MINE="1"))
        engine.known_subnets = (str(Slot(number=0).inside),)
        second = planned(engine, asked, given(token(), MINE="2"))
        assert first.making.session != second.making.session
        assert first.digest == second.digest
        assert json.dumps(form(first.form)) == json.dumps(form(second.form))
        assert first.facts == second.facts

    def test_it_is_the_same_for_other_launchers(self, tmp_path: Path, engine: FakeEngine) -> None:
        here = planned(engine, request(tmp_path), given(token()))
        asked = dataclasses.replace(request(tmp_path), state=tmp_path / "other")
        there = planned(engine, asked, given(token()))
        assert here.making.owner != there.making.owner
        assert here.digest == there.digest

    def test_it_is_a_previews(self, tmp_path: Path, engine: FakeEngine) -> None:
        asked = request(tmp_path, env={"A": {"from": "MINE"}})
        assert (
            preview(engine, asked).digest == planned(engine, asked, given(token(), MINE="1")).digest
        )
        assert engine.calls == []

    @pytest.mark.parametrize(
        "other",
        [
            {"allowlist": ("example.com",)},
            {"override": "runsc"},
            {"env": {"A": "text"}},
            {"env": {"A": {"from": "MINE", "optional": True}}},
            {"limits": {"pids": 512}},
            {"image": {"packages": ["make"]}},
            {"arguments": "--verbose"},
            {"of_agent": {"prompt": "be brief"}},
            {"of_agent": {"skills": ["one"]}},
        ],
    )
    def test_it_is_another_for_another_request(
        self, tmp_path: Path, engine: FakeEngine, other: dict[str, Any]
    ) -> None:
        add_skill(tmp_path / "skills")
        engine.information = dataclasses.replace(FACTS, runtimes={"runsc": "runsc"})
        before = preview(engine, request(tmp_path))
        after = preview(engine, request(tmp_path, **other))
        assert before.digest != after.digest
        assert before.facts != after.facts

    @pytest.mark.parametrize("image", ["agent", "sidecar"])
    def test_it_is_another_for_other_images(
        self, tmp_path: Path, engine: FakeEngine, image: str
    ) -> None:
        before = preview(engine, request(tmp_path))
        name = f"claude-bottle/{image}:current"
        other = "sha256:" + "f" * 64
        engine.images[name] = dataclasses.replace(engine.images[name], identity=other)
        assert preview(engine, request(tmp_path)).digest != before.digest

    def test_its_slot_is_of_no_start(self, tmp_path: Path, engine: FakeEngine) -> None:
        engine.known_subnets = (str(Slot(number=0).inside),)
        prepared = planned(engine, request(tmp_path, **SHELL))
        assert prepared.form.slot.number == 0
        assert 0 not in prepared.making.slots


class TestOwnImage:
    """A bottle's own image is known by what it is made of, before it is there and after."""

    @pytest.fixture
    def asked(self, tmp_path: Path) -> Request:
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
        return request(tmp_path, **SHELL, image=IMAGE)

    def test_one_that_is_not_there_is_to_be_built_of_this(
        self, engine: FakeEngine, asked: Request
    ) -> None:
        prepared = planned(engine, asked)
        assert prepared.missing
        assert prepared.missing.packages == ("make",)
        assert prepared.missing.dockerfile == b"ARG BASE\nFROM ${BASE}\n"
        assert prepared.to_build == "Dockerfile"
        assert prepared.form.keeper.image.startswith("claude-bottle/agent-extra:")
        order = prepared.making.order(MADE)
        assert order.plan_in(Slot(number=3)).keeper.image == MADE

    def test_one_that_is_there_is_used(
        self, engine: FakeEngine, asked: Request, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = planned(engine, asked)
        monkeypatch.setattr(extra, "present", lambda *_: MADE)
        prepared = planned(engine, asked)
        assert prepared.missing is None
        assert prepared.to_build == ""
        assert prepared.digest == before.digest
        plan = prepared.making.order().plan_in(Slot(number=3))
        assert plan.keeper.image == MADE
        assert plan.sidecar.image == before.form.sidecar.image

    def test_one_of_that_name_that_nobody_judged_is_not(
        self, engine: FakeEngine, asked: Request
    ) -> None:
        name = planned(engine, asked).form.keeper.image
        engine.images[name] = ImageFacts(reference=name, identity=MADE, labels={})
        assert planned(engine, asked).missing

    def test_without_a_wish_it_is_everybodys(self, tmp_path: Path, engine: FakeEngine) -> None:
        prepared = planned(engine, request(tmp_path, **SHELL))
        assert prepared.missing is None
        image = engine.images["claude-bottle/agent:current"].identity
        assert prepared.form.keeper.image == image
        assert prepared.making.order().plan_in(Slot(number=3)).keeper.image == image

    def test_of_packages_alone_no_dockerfile_is_to_be_built(
        self, tmp_path: Path, engine: FakeEngine
    ) -> None:
        prepared = planned(engine, request(tmp_path, **SHELL, image={"packages": ["make"]}))
        assert prepared.missing
        assert prepared.to_build == ""


@pytest.mark.parametrize("override", ["", "runc"])
def test_the_yes_is_to_this_agent_of_this_manifest_as_it_is_asked_for(
    tmp_path: Path, engine: FakeEngine, override: str
) -> None:
    asked = request(tmp_path, **SHELL, override=override)
    path = tmp_path / "project" / "claude-bottle.json"
    for prepared in (planned(engine, asked), preview(engine, asked)):
        assert prepared.subject == Subject(manifest=path, agent="default", runtime=override)


def test_skills_are_read_once_and_carried(tmp_path: Path, engine: FakeEngine) -> None:
    folder = add_skill(tmp_path / "skills")
    prepared = planned(engine, request(tmp_path, **SHELL, of_agent={"skills": ["one"]}))
    (folder / "SKILL.md").write_text("changed since")
    (skill,) = prepared.making.contents("").skills
    assert (skill.name, skill.files[0].content) == ("one", b"# Skill\n")


def test_the_labels_are_of_this_owner(tmp_path: Path, engine: FakeEngine) -> None:
    making = planned(engine, request(tmp_path, **SHELL)).making
    assert making.plan_in(Slot(number=3)).keeper.labels == {
        "claude-bottle": making.session,
        "claude-bottle.owner": lock.owner_key(tmp_path),
    }
    assert len(bytes.fromhex(making.session)) == 6


def test_slots_begin_anywhere_and_leave_out_what_is_taken(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda count: count - 1)
    engine.known_subnets = (str(Slot(number=SLOTS - 1).inside), "fd00::/64")
    monkeypatch.setattr(host_reader, "routed_subnets", lambda: (str(Slot(number=0).outside),))
    monkeypatch.setattr(host_reader, "account_uids", lambda: Slot(number=1).uids)
    order = planned(engine, request(tmp_path, **SHELL)).making.order()
    assert order.slots == tuple(range(2, SLOTS - 1))
    assert order.plan_in(Slot(number=9)).slot.number == 9


def test_a_tests_own_stand_in_plays_the_outside(tmp_path: Path, engine: FakeEngine) -> None:
    standin = Standin(names=("example.com",), script="answer", answer="hello")
    asked = dataclasses.replace(request(tmp_path, **SHELL), standin=standin)
    order = planned(engine, asked).making.order()
    assert order.standin
    told = json.loads(order.standin(order.plan_in(Slot(number=3))))
    assert (told["names"], told["script"], told["answer"]) == (["example.com"], "answer", "hello")
    assert planned(engine, request(tmp_path, **SHELL)).form.standin is None
