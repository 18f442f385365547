"""Members: what each network and container of a bottle is given."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bottle.core.plan import Plan
from tests.support import plans


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


def test_the_limits_are_the_agents_alone() -> None:
    limits = {"memory": "2g", "cpus": 1.5, "pids": 2048, "tmp": "64m"}
    plan = plans.plan(adapter="demo", limits=limits)
    keeper = plan.keeper
    assert (keeper.memory, keeper.nano_cpus, keeper.pids) == (2 << 30, 1_500_000_000, 2048)
    sizes = {place.path: place.mib for place in keeper.tmpfs}
    assert (sizes["/tmp"], sizes["/workspace"]) == (64, 1024)
    others = [(c.memory_mib, c.cpus, c.pids) for c in plan.containers if c is not keeper]
    assert others == [(512, 0, 256), (256, 0, 128)]


def test_without_limits_there_are_the_usual_ones() -> None:
    keeper = plans.plan().keeper
    assert (keeper.memory_mib, keeper.cpus, keeper.pids) == (4096, 0, 1024)


def test_the_agents_own_variables_are_not_the_containers() -> None:
    plan = plans.plan(env={"EDITOR": "vi"})
    assert "EDITOR" not in plan.keeper.environment


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


def test_images_are_named_by_identity() -> None:
    plan: Plan = plans.plan(adapter="demo")
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", c.image) for c in plan.containers)
    assert {c.role: c.image for c in plan.containers}.items() <= plans.IMAGES.items()


def test_everyone_is_told_the_gateway_that_nobody_holds() -> None:
    plan = plans.plan(adapter="demo")
    gateways = {network.name: network.gateway for network in plan.networks}
    places = [place for container in plan.containers for place in container.attachments]
    assert {(place.network, place.gateway) for place in places} == set(gateways.items())
