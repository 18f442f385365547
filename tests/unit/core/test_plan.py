"""What one agent's entry compiles to; the properties of all plans are in tests/property."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from bottle.core.manifest import _RESERVED, parse
from bottle.core.plan import API_HOST, Plan, Tmpfs, choose
from bottle.core.plan import compile as compile_plan
from bottle.errors import UsageError
from tests.support import plans

LISTS = ("github.com", "*.example.org", "b.example:8443")


def test_the_members_of_a_bottle() -> None:
    plan = plans.plan()
    assert [c.name for c in plan.containers] == ["cb-0123456789ab-agent", "cb-0123456789ab-sidecar"]
    assert [n.name for n in plan.networks] == ["cb-0123456789ab-inside", "cb-0123456789ab-outside"]
    assert (plan.standin, plan.pins) == (None, ())


def test_the_agent_is_on_the_inside_alone_and_the_sidecar_on_both() -> None:
    plan = plans.plan()
    places = {c.role: {a.network: a.address for a in c.attachments} for c in plan.containers}
    assert places == {
        "agent": {plan.inside.name: "10.231.0.227"},
        "sidecar": {plan.outside.name: "10.231.0.242", plan.inside.name: "10.231.0.226"},
    }
    assert plan.sidecar_address == "10.231.0.226"


def test_the_inside_has_no_way_out_and_no_host() -> None:
    inside = plans.plan().inside
    assert inside.internal
    assert inside.options["com.docker.network.bridge.inhibit_ipv4"] == "true"
    assert inside.bridge.startswith("cb-")


@pytest.mark.parametrize("declared", [{}, {"adapter": "demo"}, {"runtime": "runsc"}])
def test_bridge_names_fit_into_the_kernels_15_characters(declared: dict[str, Any]) -> None:
    bridges = [network.bridge for network in plans.plan(**declared).networks]
    assert all(len(bridge) <= 15 for bridge in bridges)
    assert len(set(bridges)) == 2
    assert not bridges[1].startswith("cb-"), "the host rule would cut the sidecar off"


@pytest.mark.parametrize("runtime", ["runc", "runsc"])
def test_only_the_agent_runs_on_the_chosen_runtime(runtime: str) -> None:
    plan = plans.plan(adapter="demo", runtime=runtime)
    assert [c.runtime for c in plan.containers] == [runtime, "runc", "runc"]
    neighbours = [name for name in plan.keeper.sysctls if "neigh" in name]
    assert bool(neighbours) == (runtime == "runc")
    assert plan.keeper.sysctls["net.ipv4.ip_unprivileged_port_start"] == "1024"


def test_who_is_on_the_outside_forwards_nothing() -> None:
    plan = plans.plan(adapter="demo")
    assert plan.standin
    for container in (plan.sidecar, plan.standin):
        assert container.sysctls["net.ipv4.ip_forward"] == "0"


def test_no_one_resolves_but_the_sidecar() -> None:
    plan = plans.plan(adapter="demo")
    servers = {container.role: container.dns for container in plan.containers}
    assert servers == {"agent": ("127.0.0.1",), "sidecar": (), "standin": ("127.0.0.1",)}


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
    expected = sorted(
        [*expected, *((text, named) for text in LISTS)], key=lambda e: e[0].strip("*.")
    )
    listed = [(str(e.pattern), e.source) for e in plan.listed]
    assert sorted(listed, key=lambda e: e[0].strip("*.")) == expected
    assert [e.pattern for e in plan.listed] == sorted(e.pattern for e in plan.listed)


def test_listing_a_built_in_host_changes_nothing() -> None:
    plan = plans.plan(allowlist=(API_HOST,))
    assert [(str(e.pattern), e.source) for e in plan.listed] == [(API_HOST, "built in for claude")]


def test_the_allowlist_in_force_is_what_is_listed() -> None:
    plan = plans.plan(allowlist=LISTS)
    assert plan.allowlist.decide("x.example.org", 443).allowed
    assert plan.allowlist.decide(API_HOST, 443).allowed
    assert not plan.allowlist.decide("example.org", 443).allowed


def test_the_agents_own_variables_are_not_the_containers() -> None:
    plan = plans.plan(env={"EDITOR": "vi"})
    assert "EDITOR" not in plan.keeper.environment


def test_what_the_bottle_sets_no_manifest_can_replace() -> None:
    free = {name for name in plans.plan().keeper.environment if not _RESERVED.fullmatch(name)}
    assert free == {"LANG"}


def test_every_proxy_variable_names_the_sidecar_by_address() -> None:
    environment = plans.plan().keeper.environment
    named = {n: v for n, v in environment.items() if n.lower().endswith("_proxy") and v}
    names = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    assert set(named) == names | {name.lower() for name in names}
    assert set(named.values()) == {"http://10.231.0.226:8080"}
    assert environment["NO_PROXY"] == environment["no_proxy"] == ""


def test_only_places_of_the_agents_may_hold_programs() -> None:
    keeper = plans.plan().keeper
    assert {t.path for t in keeper.tmpfs if t.executable} == {"/tmp", "/home/agent", "/workspace"}
    owners = {t.path: t.uid for t in keeper.tmpfs}
    assert owners["/run/bottle"] == owners["/etc/ssl/certs"] == keeper.uid


def test_tmpfs_options_are_as_docker_takes_them() -> None:
    place = Tmpfs(path="/x", mib=3, uid=5, mode="0755", executable=True)
    assert place.options == "rw,exec,nosuid,nodev,size=3m,mode=0755,uid=5,gid=5"
    assert ",noexec," in dataclasses.replace(place, executable=False).options


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
    manifest = parse(json.dumps(plans.manifest()).encode())
    with pytest.raises(UsageError) as caught:
        compile_plan(manifest, name, plans.host())
    assert caught.value.happened == f"there is no agent {name!r}"
    assert caught.value.remedy == remedy
    with pytest.raises(UsageError):
        choose(parse(b'{"bottles": {}, "agents": {}}'), name)


def test_images_are_named_by_identity() -> None:
    plan: Plan = plans.plan(adapter="demo")
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", c.image) for c in plan.containers)
    assert {c.role: c.image for c in plan.containers}.items() <= plans.IMAGES.items()
