"""What a yes is about, and which changes need another."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bottle.core import consent
from bottle.core import plan as planning
from bottle.core.consent import OTHER, Change, Fact, changes, facts, walls
from bottle.core.flags import container_arguments, network_arguments
from bottle.core.form import digest_of
from bottle.core.language import RUNTIMES
from bottle.core.parts import ContainerPlan, NetworkPlan
from bottle.core.plan import Given
from bottle.core.secret import Secret
from tests.support import plans

GIVEN = Given(
    arguments=("--resume", "a b"),
    skills={"review": "d" * 64},
    dockerfile="e" * 64,
    secrets=(Secret(name="KEY", source="MY_KEY of the environment", kept="in the bottle"),),
)
SSH = {"host": "git.example.com", "key": "k", "known_hosts": "h"}
DECLARED: dict[str, Any] = {
    "allowlist": ("github.com",),
    "env": {"EDITOR": "vi", "KEY": {"from": "MY_KEY"}},
    "image": {"packages": ["jq"]},
    "ssh": [SSH, {**SSH, "port": 2222, "access": "read", "repositories": ["a/b"]}],
}


def of(**changes: Any) -> dict[tuple[str, str], str]:
    found = facts(plans.plan(**{"given": GIVEN, **DECLARED, **changes}))
    assert list(found) == sorted(found)
    return {(fact.topic, fact.name): fact.value for fact in found}


def test_everything_is_a_fact() -> None:
    assert of() == {
        ("adapter", ""): "claude",
        ("arguments", ""): "'--resume' 'a b'",
        ("bottle", ""): "default",
        ("dockerfile", ""): f"sha256 {'e' * 64}",
        ("egress", "api.anthropic.com"): "built in for claude",
        ("egress", "github.com"): "bottles.default.egress.allowlist[0]",
        ("image", "agent"): "0" * 64,
        ("image", "sidecar"): "0" * 63 + "1",
        ("limit", "cpus"): "no limit",
        ("limit", "memory"): "4096 MiB",
        ("limit", "pids"): "1024",
        ("limit", "tmp"): "512 MiB",
        ("package", "jq"): "of Debian",
        ("runtime", ""): "runc",
        ("secret", "KEY"): "MY_KEY of the environment; in the bottle",
        ("sidecar", ""): "mitmproxy",
        ("skill", "review"): f"sha256 {'d' * 64}",
        ("ssh", "git@[git.example.com]:2222"): "k, h: read a/b",
        ("ssh", "git@git.example.com"): "k, h: everything there",
        ("variable", "EDITOR"): "'vi'",
        ("walls", ""): f"sha256 {walls()}",
    }


def test_what_is_not_there_is_no_fact() -> None:
    topics = {topic for topic, _ in of(given=Given(), env={}, ssh=[], image={}, allowlist=())}
    assert topics == {
        *("adapter", "bottle", "egress", "image", "limit", "runtime", "sidecar", "walls"),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", "''"),
        ("a b", "'a b'"),
        ("a\n\x1b[2J", r"'a\n\x1b[2J'"),
        ("x" * 60, f"'{'x' * 60}'"),
    ],
)
def test_a_short_text_is_kept_as_it_is_written(text: str, value: str) -> None:
    assert of(env={"EDITOR": text})[("variable", "EDITOR")] == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EDITOR", "canary" + "x" * 55),
        ("EDITOR", "canary\n" * 1000),
        ("MY_TOKEN", "canary of a test"),
        ("ANYTHING", "sk-" + "canary-of-a-test"),
    ],
)
def test_of_a_long_text_and_of_what_looks_secret_a_digest_is_kept(name: str, text: str) -> None:
    found = of(env={name: text})
    assert found[("variable", name)] == f"sha256 {digest_of(text)}"
    assert "canary" not in str(found)


def test_facts_differ_where_a_digest_begins_alike() -> None:
    """A person is shown twelve digits, and what is compared are all of them."""
    one, two = ("d" * 12 + end * 52 for end in "de")
    before, now = (
        facts(plans.plan(given=Given(skills={"review": digest}), **DECLARED))
        for digest in (one, two)
    )
    assert [(c.topic, c.name, c.widens) for c in changes(before, now)] == [
        ("skill", "review", True)
    ]


def test_a_prompt_is_known_by_its_length_and_digest() -> None:
    content = plans.manifest()
    content["agents"]["default"]["prompt"] = "Be brief."
    plan = planning.compile(plans.read(content), "default", plans.host())
    prompt = next(fact for fact in facts(plan) if fact.topic == "prompt")
    assert prompt.value == f"9 characters, sha256 {digest_of('Be brief.')}"


def one(topic: str, before: str, now: str) -> Change:
    """Give the only change between two values; an empty one is not there."""
    was = (Fact(topic=topic, name="n", value=before),) if before else ()
    is_ = (Fact(topic=topic, name="n", value=now),) if now else ()
    (change,) = changes(was, is_)
    assert (change.topic, change.name, change.before, change.now) == (topic, "n", before, now)
    return change


JUDGED = [
    ("egress", "", "a", True),
    ("egress", "a", "b", False),  # the same host, listed elsewhere
    ("egress", "a", "", False),
    ("secret", "", "a", True),
    ("secret", "a", "b", True),
    ("secret", "a", "", False),
    ("ssh", "", "a", True),
    ("ssh", "a", "b", True),
    ("ssh", "a", "", False),
    ("skill", "", "a", True),
    ("skill", "a", "b", True),
    ("skill", "a", "", False),
    ("package", "", "a", True),
    ("package", "a", "", False),
    ("dockerfile", "", "a", True),
    ("dockerfile", "a", "b", True),
    ("dockerfile", "a", "", False),
    ("runtime", "runsc", "runc", True),
    ("runtime", "runc", "runsc", False),
    ("runtime", "runsc", "other", True),
    ("limit", "512 MiB", "513 MiB", True),
    ("limit", "513 MiB", "512 MiB", False),
    ("limit", "9 MiB", "10 MiB", True),
    ("limit", "1.5", "no limit", True),
    ("limit", "no limit", "2", False),
    ("limit", "1.5", "", True),
    ("limit", "", "2", False),
    ("limit", "strange", "2", True),
    ("limit", "2", "strange", True),
    ("limit", "2", " ", True),
    ("limit", "2", "nan", True),
    ("sidecar", "mitmproxy", "other", True),
    ("walls", "a", "b", True),
    ("walls", "a", "", True),
    ("unheard of", "", "a", True),
    ("unheard of", "a", "b", True),
    ("unheard of", "a", "", True),
    *(
        (topic, before, now, False)
        for topic in ("prompt", "arguments", "variable", "bottle", "adapter", "image")
        for before, now in (("", "a"), ("a", "b"), ("a", ""))
    ),
]


@pytest.mark.parametrize(("topic", "before", "now", "widens"), JUDGED)
def test_what_lets_more_through_widens(topic: str, before: str, now: str, widens: bool) -> None:
    assert one(topic, before, now).widens == widens


@pytest.mark.parametrize(
    ("before", "now", "sign"), [("", "a", "+"), ("a", "", "-"), ("a", "b", "~")]
)
def test_a_change_has_a_sign(before: str, now: str, sign: str) -> None:
    assert one("egress", before, now).sign == sign


def test_every_topic_is_judged_or_widens_on_purpose() -> None:
    topics = {topic for topic, _ in of()} | {"prompt"}
    assert topics - consent._JUDGES.keys() == {"sidecar", "walls"}
    assert consent._JUDGES.keys() <= topics


def test_equal_facts_are_no_change() -> None:
    known = facts(plans.plan(given=GIVEN, **DECLARED))
    assert changes(known, known) == changes((), ()) == ()


def test_what_widens_stands_first_and_each_part_in_order() -> None:
    before = (
        Fact(topic="egress", name="gone.example", value="x"),
        Fact(topic="runtime", name="", value="runsc"),
    )
    now = (
        Fact(topic="variable", name="A", value="x"),
        Fact(topic="runtime", name="", value="runc"),
        Fact(topic="egress", name="new.example", value="x"),
    )
    assert [(c.sign, c.topic, c.name) for c in changes(before, now)] == [
        ("+", "egress", "new.example"),
        ("~", "runtime", ""),
        ("-", "egress", "gone.example"),
        ("+", "variable", "A"),
    ]


def test_a_start_of_another_session_is_no_change() -> None:
    one = facts(plans.plan(slot=1, given=GIVEN, **DECLARED))
    assert changes(one, facts(plans.plan(slot=2, given=GIVEN, **DECLARED))) == ()


class TestWalls:
    @pytest.mark.parametrize(
        "declared",
        [{"limits": {"pids": 2000}}, {"runtime": "runsc"}, {"adapter": "demo"}],
        ids=str,
    )
    def test_they_are_the_programs_and_not_a_manifests(self, declared: dict[str, Any]) -> None:
        assert walls() == walls.__wrapped__()
        assert of(**declared)[("walls", "")] == f"sha256 {walls()}"

    @pytest.mark.parametrize("runtime", RUNTIMES)
    @pytest.mark.parametrize("role", ["agent", "sidecar", "standin"])
    def test_a_wall_less_of_any_is_another_digest(
        self, role: str, runtime: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Under either runtime, and of the stand-in that only some bottles have."""
        before, told = walls(), 0

        def less(plan: ContainerPlan) -> tuple[str, ...]:
            nonlocal told
            words = container_arguments(plan)
            if plan.role != role or (role == "agent" and plan.runtime != runtime):
                return words
            told += 1
            return tuple(word for word in words if word != "--read-only")

        monkeypatch.setattr("bottle.core.form.container_arguments", less)
        assert walls.__wrapped__() != before
        assert told
        monkeypatch.setattr("bottle.core.form.container_arguments", container_arguments)
        assert walls.__wrapped__() == before

    def test_a_network_that_is_open_is_another_digest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = walls()

        def less(plan: NetworkPlan) -> tuple[str, ...]:
            return tuple(word for word in network_arguments(plan) if word != "--internal")

        monkeypatch.setattr("bottle.core.form.network_arguments", less)
        assert walls.__wrapped__() != before


def listed(*entries: str) -> tuple[Fact, ...]:
    return tuple(Fact(topic="egress", name=entry, value="x") for entry in entries)


class TestCoveredEntries:
    """An entry that one listed before lets through as well lets nothing more through."""

    @pytest.mark.parametrize(
        ("before", "now", "widens"),
        [
            ("*.a.example", "b.a.example", False),
            ("*.a.example", "c.b.a.example", False),
            ("*.a.example", "*.b.a.example", False),
            ("*.a.example:8443", "b.a.example:8443", False),
            ("*.a.example", "a.example", True),
            ("*.a.example", "b.a.example:8443", True),
            ("*.a.example:8443", "b.a.example", True),
            ("*.a.example", "ba.example", True),
            ("*.b.a.example", "*.a.example", True),
            ("*.b.a.example", "c.a.example", True),
            ("b.a.example", "*.a.example", True),
            ("b.a.example", "*.b.a.example", True),
            ("a.example", "b.a.example", True),
            ("a.example", "a.example:8443", True),
            # what a record of somebody else's says
            ("*", "b.a.example", True),
            ("*.", "b.a.example", True),
            ("*.example", "b.a.example", True),
            ("", "b.a.example", True),
            ("*.a.example\n", "b.a.example", True),
            ("x" * 100_000, "b.a.example", True),
        ],
    )
    def test_are_no_widening(self, before: str, now: str, widens: bool) -> None:
        (gone, new) = sorted(changes(listed(before), listed(now)), key=lambda change: change.now)
        assert (gone.name, gone.sign, gone.widens) == (before, "-", False)
        assert (new.name, new.sign, new.widens) == (now, "+", widens)
        both = changes(listed(before), listed(before, now))
        assert [(c.name, c.widens) for c in both] == [(now, widens)]

    def test_any_of_many_covers(self) -> None:
        before = listed("z.example", "*.a.example", "not an entry")
        found = changes(before, (*before, *listed("b.a.example", "b.example")))
        assert [(c.name, c.widens) for c in found] == [("b.example", True), ("b.a.example", False)]

    def test_an_entry_covers_no_other_topic(self) -> None:
        secret = Fact(topic="secret", name="b.a.example", value="x")
        assert [c.widens for c in changes(listed("*.a.example"), (secret,))] == [True, False]
        elsewhere = (Fact(topic="ssh", name="*.a.example", value="x"),)
        assert [c.widens for c in changes(elsewhere, listed("b.a.example"))] == [True, False]


def test_what_no_fact_tells_of_widens() -> None:
    assert (OTHER.sign, OTHER.widens) == ("~", True)
    assert OTHER.topic not in consent._JUDGES
    assert OTHER.topic not in {topic for topic, _ in of()}


def test_a_fact_and_a_change_cannot_be_altered() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fact(topic="t", name="n", value="v").value = "x"  # type: ignore[misc]
