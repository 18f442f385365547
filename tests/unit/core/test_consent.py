"""What a yes is about, and which changes need another."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bottle.core import consent
from bottle.core import plan as planning
from bottle.core.consent import Change, Fact, changes, facts, walls
from bottle.core.flags import container_arguments
from bottle.core.form import digest_of
from bottle.core.parts import ContainerPlan
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
        ("dockerfile", ""): "sha256 eeeeeeeeeeee",
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
        ("skill", "review"): "sha256 dddddddddddd",
        ("ssh", "git@[git.example.com]:2222"): "k, h: read a/b",
        ("ssh", "git@git.example.com"): "k, h: everything there",
        ("variable", "EDITOR"): f"sha256 {digest_of('vi')[:12]}",
        ("walls", ""): walls()[:12],
    }


def test_what_is_not_there_is_no_fact() -> None:
    topics = {topic for topic, _ in of(given=Given(), env={}, ssh=[], image={}, allowlist=())}
    assert topics == {
        *("adapter", "bottle", "egress", "image", "limit", "runtime", "sidecar", "walls"),
    }


def test_no_value_of_a_variable_is_kept() -> None:
    found = of(env={"EDITOR": "canary-of-a-test"})
    assert "canary-of-a-test" not in str(found)
    assert ("variable", "EDITOR") in found


def test_a_prompt_is_known_by_its_length_and_digest() -> None:
    content = plans.manifest()
    content["agents"]["default"]["prompt"] = "Be brief."
    plan = planning.compile(plans.read(content), "default", plans.host())
    prompt = next(fact for fact in facts(plan) if fact.topic == "prompt")
    assert prompt.value == f"9 characters, sha256 {digest_of('Be brief.')[:12]}"


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
    def test_they_are_the_programs_and_not_a_manifests(self) -> None:
        assert walls() == walls()
        assert {
            value for (topic, _), value in of(limits={"pids": 2000}).items() if topic == "walls"
        } == {walls()[:12]}

    def test_a_wall_less_is_another_digest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = walls()

        def less(plan: ContainerPlan) -> tuple[str, ...]:
            return tuple(w for w in container_arguments(plan) if w != "--read-only")

        monkeypatch.setattr("bottle.core.form.container_arguments", less)
        assert walls.__wrapped__() != before


def test_a_fact_and_a_change_cannot_be_altered() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fact(topic="t", name="n", value="v").value = "x"  # type: ignore[misc]
