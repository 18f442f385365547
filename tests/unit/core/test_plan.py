"""What one agent's entry compiles to; the properties of all plans are in tests/property."""

from __future__ import annotations

import dataclasses

import pytest

from bottle.core.manifest import parse
from bottle.core.plan import (
    API_HOST,
    CONTENTS,
    KEEPER,
    OUTSIDE,
    PROOF,
    SIDECAR,
    STANDIN,
    WATCH,
    Listed,
    choose,
)
from bottle.core.plan import compile as compile_plan
from bottle.errors import UsageError
from tests.support import plans

LISTS = ("github.com", "*.example.org", "b.example:8443")


def test_the_members_of_a_bottle() -> None:
    plan = plans.plan()
    assert [c.name for c in plan.containers] == ["cb-0123456789ab-agent", "cb-0123456789ab-sidecar"]
    assert [n.name for n in plan.networks] == ["cb-0123456789ab-inside", "cb-0123456789ab-outside"]
    assert (plan.standin, plan.pins) == (None, ())


def test_the_demo_is_closed_and_its_names_are_pinned() -> None:
    plan = plans.plan(adapter="demo", allowlist=LISTS)
    assert plan.outside.internal
    pins = {pin.host: pin.address for pin in plan.pins}
    assert pins == dict.fromkeys((API_HOST, "github.com", "b.example"), "10.231.0.243")


@pytest.mark.parametrize("adapter", ["claude", "shell"])
def test_a_test_may_bring_a_stand_in_which_closes_the_outside(adapter: str) -> None:
    plan = plans.plan(adapter=adapter, standin_names=("a.example", "a.example", API_HOST))
    assert plan.outside.internal
    assert [pin.host for pin in plan.pins] == ["a.example", API_HOST]
    assert plan.standin
    assert {a.network for a in plan.standin.attachments} == {plan.outside.name}


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [
        ("claude", [(API_HOST, "built in for claude")]),
        ("demo", [(API_HOST, "built in for demo")]),
        ("shell", []),
    ],
)
def test_the_allowlist_says_where_each_entry_comes_from(
    adapter: str, expected: list[tuple[str, str]]
) -> None:
    plan = plans.plan(adapter=adapter, allowlist=LISTS)
    named = "bottles.default.egress.allowlist"
    mine = [(text, f"{named}[{index}]") for index, text in enumerate(LISTS)]
    expected = sorted([*expected, *mine], key=lambda e: e[0].strip("*."))
    listed = [(str(e.pattern), e.source) for e in plan.listed]
    assert sorted(listed, key=lambda e: e[0].strip("*.")) == expected
    assert [e.pattern for e in plan.listed] == sorted(e.pattern for e in plan.listed)


def test_listing_a_built_in_host_changes_nothing() -> None:
    plan = plans.plan(allowlist=(API_HOST,))
    assert [(str(e.pattern), e.source) for e in plan.listed] == [(API_HOST, "built in for claude")]


def test_what_package_clients_are_configured_for_is_listed_with_its_source() -> None:
    """Only of the clients that the bottle names, and after what is built in or listed by hand."""
    named = "bottles.default.egress.allowlist"
    entries = ("wheels.example", {"registries": ["pip"]})
    content = plans.manifest(adapter="shell")
    content["bottles"]["default"]["egress"]["allowlist"] = list(entries)
    plan = compile_plan(plans.read(content), "default", plans.host())
    assert plan.listed == (
        Listed(
            pattern=plans.CLIENTS["pip"][1],
            source=f"pip's configuration, for {named}[1]",
            short="registry of pip",
            client="pip",
        ),
        Listed(
            pattern=plans.CLIENTS["pip"][0],
            source=f"{named}[0]",
            short="bottle default",
            client="pip",
        ),
    )


@pytest.mark.parametrize(
    ("entry", "client"),
    [
        ("wheels.example", "pip"),
        ("*.wheels.example:8443", "pip"),
        ("files.wheels.example", "pip"),
        ("modules.example:22", "npm"),
        ("*.modules.example", ""),
        ("wheels.example.org", ""),
    ],
)
@pytest.mark.parametrize("asked", [(), ({"registries": ["pip", "npm"]},)])
def test_an_entry_that_lets_a_registry_through_names_the_client(
    entry: str, client: str, asked: tuple[object, ...]
) -> None:
    """Whether a client is asked for or not, at any port: what is there, others can publish."""
    content = plans.manifest(adapter="shell")
    content["bottles"]["default"]["egress"]["allowlist"] = [entry, *asked]
    found = compile_plan(plans.read(content), "default", plans.host()).listed
    assert {str(listed.pattern): listed.client for listed in found}[entry] == client


def test_what_was_extended_is_told_in_a_few_words() -> None:
    content = plans.manifest(extends="base", allowlist=("a.example",))
    content["bottles"]["base"] = {"egress": {"allowlist": ["b.example", "*.b.example"]}}
    found = compile_plan(plans.read(content), "default", plans.host()).listed
    assert {str(entry.pattern): (entry.short, entry.built_in) for entry in found} == {
        API_HOST: ("built in for claude", True),
        "a.example": ("bottle default", False),
        "b.example": ("extended bottle base", False),
        "*.b.example": ("extended bottle base", False),
    }


def test_a_client_that_was_not_asked_for_its_hosts_is_no_empty_list() -> None:
    content = plans.manifest(adapter="shell")
    content["bottles"]["default"]["egress"]["allowlist"] = [{"registries": ["pip"]}]
    with pytest.raises(KeyError):
        compile_plan(plans.read(content), "default", plans.host(registries={}))


def test_a_setting_says_where_it_comes_from_and_has_no_secret() -> None:
    plan = plans.plan(env={"EDITOR": "vi", "KEY": {"from": "MY_KEY", "optional": True}})
    assert [dataclasses.asdict(setting) for setting in plan.settings] == [
        {
            "name": "EDITOR",
            "text": "vi",
            "secret": "",
            "optional": False,
            "source": "bottles.default.env.EDITOR",
        },
        {
            "name": "KEY",
            "text": "",
            "secret": "MY_KEY",
            "optional": True,
            "source": "bottles.default.env.KEY",
        },
    ]


@pytest.mark.parametrize(("adapter", "standin"), [("demo", True), ("claude", False)])
def test_nothing_starts_before_what_it_needs(adapter: str, standin: bool) -> None:
    steps = {step.name: step.needs for step in plans.plan(adapter=adapter).steps}
    assert (STANDIN in steps) == (STANDIN in steps[SIDECAR]) == standin
    assert {OUTSIDE} <= set(steps[SIDECAR])
    assert set(steps[CONTENTS]) == {KEEPER, SIDECAR}
    assert set(steps[PROOF]) == {CONTENTS, WATCH}
    assert list(steps)[-1] == PROOF


def test_the_allowlist_in_force_is_what_is_listed() -> None:
    plan = plans.plan(allowlist=LISTS)
    assert plan.allowlist.decide("x.example.org", 443).allowed
    assert plan.allowlist.decide(API_HOST, 443).allowed
    assert not plan.allowlist.decide("example.org", 443).allowed


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        plans.plan().keeper.runtime = "runc"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("defalt", "did you mean 'default'? the manifest declares: default"),
        ("zzz", "the manifest declares: default"),
    ],
)
def test_an_unknown_agent_is_a_usage_error_with_a_suggestion(name: str, remedy: str) -> None:
    manifest = plans.read(plans.manifest())
    with pytest.raises(UsageError) as caught:
        compile_plan(manifest, name, plans.host())
    assert caught.value.happened == f"there is no agent {name!r}"
    assert caught.value.remedy == remedy
    with pytest.raises(UsageError):
        choose(parse(b'{"bottles": {}, "agents": {}}'), name)


def test_a_plan_is_of_its_session_and_slot() -> None:
    plan = plans.plan(slot=9)
    assert (plan.session, plan.slot.number) == (plans.SESSION, 9)


@pytest.mark.parametrize(
    ("names", "known"), [((), "none"), (("b", "a", "c"), "a, b, c")], ids=["none", "some"]
)
def test_the_agents_that_there_are_are_named(names: tuple[str, ...], known: str) -> None:
    content = {"bottles": {"x": {}}, "agents": {name: {"bottle": "x"} for name in names}}
    with pytest.raises(UsageError) as caught:
        choose(plans.read(content), "quite another")
    assert caught.value.remedy == f"the manifest declares: {known}"


@pytest.mark.parametrize("adapter", ["claude", "demo"])
def test_the_launcher_itself_fills_and_proves_the_bottle(adapter: str) -> None:
    steps = plans.plan(adapter=adapter).steps
    assert [step.name for step in steps if step.alone] == [CONTENTS, PROOF]
