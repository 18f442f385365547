"""Parts: what their fields mean to Docker."""

from __future__ import annotations

import dataclasses

import pytest

from bottle.core.parts import NetworkPlan, Tmpfs
from tests.support import plans

NETWORK = NetworkPlan(name="n", bridge="cb-1", subnet="10.0.0.16/28", internal=True, labels={})


def test_tmpfs_options_are_as_docker_takes_them() -> None:
    place = Tmpfs(path="/x", mib=3, uid=5, mode="0755", executable=True)
    assert place.options == "rw,exec,nosuid,nodev,size=3m,mode=0755,uid=5,gid=5"
    assert ",noexec," in dataclasses.replace(place, executable=False).options


def test_the_gateway_is_the_first_address_of_the_subnet() -> None:
    assert NETWORK.gateway == "10.0.0.17"


@pytest.mark.parametrize(
    ("internal", "option"), [(True, "inhibit_ipv4=true"), (False, "enable_icc=false")]
)
def test_a_bridge_is_named_and_closed(internal: bool, option: str) -> None:
    options = dataclasses.replace(NETWORK, internal=internal).options
    words = [f"{name}={value}" for name, value in options.items()]
    assert words == [
        "com.docker.network.bridge.name=cb-1",
        f"com.docker.network.bridge.{option}",
    ]


def test_amounts_are_what_the_engine_counts() -> None:
    keeper = dataclasses.replace(plans.plan().keeper, memory_mib=2, cpus=1.5)
    assert (keeper.memory, keeper.nano_cpus) == (2 * 1024 * 1024, 1_500_000_000)
    assert dataclasses.replace(keeper, cpus=0).nano_cpus == 0
