"""The words of Docker's command line, for each decision of a plan."""

from __future__ import annotations

import dataclasses

import pytest

from bottle.core.flags import container_arguments, network_arguments
from bottle.core.parts import ContainerPlan
from tests.support.plans import plan

PLAN = plan()
CLOSED = plan(adapter="demo")
STANDIN = CLOSED.containers[2]


def test_an_internal_network() -> None:
    assert network_arguments(PLAN.inside) == (
        "--driver=bridge",
        "--ipv6=false",
        "--subnet=10.231.0.224/28",
        "--opt=com.docker.network.bridge.name=cb-01234567",
        "--opt=com.docker.network.bridge.inhibit_ipv4=true",
        "--label=claude-bottle=0123456789ab",
        "--label=claude-bottle.owner=o",
        "--internal",
        "cb-0123456789ab-inside",
    )


def test_an_open_network_lets_its_members_not_talk_to_each_other() -> None:
    words = network_arguments(PLAN.outside)
    assert "--opt=com.docker.network.bridge.enable_icc=false" in words
    assert "--internal" not in words
    assert words[-1] == "cb-0123456789ab-outside"


@pytest.mark.parametrize("container", [PLAN.keeper, PLAN.sidecar, STANDIN], ids=lambda c: c.role)
@pytest.mark.parametrize(
    "word",
    [
        "--interactive",
        "--rm",
        "--workdir=/",
        "--pull=never",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--ipc=private",
        "--log-driver=none",
        "--no-healthcheck",
        "--restart=no",
        "--ulimit=core=0:0",
        "--label=claude-bottle=0123456789ab",
        "--label=claude-bottle.owner=o",
    ],
)
def test_every_container_is_made_with(container: ContainerPlan, word: str) -> None:
    assert word in container_arguments(container)


def test_the_agents_container() -> None:
    words = container_arguments(PLAN.keeper)
    expected = [
        "--name=cb-0123456789ab-agent",
        "--hostname=bottle",
        "--runtime=runc",
        "--user=60129:60129",
        "--network=cb-0123456789ab-inside",
        "--ip=10.231.0.227",
        "--memory=4294967296",
        "--memory-swap=4294967296",
        "--pids-limit=1024",
        "--cpu-shares=512",
        "--dns=127.0.0.1",
        "--dns-option=timeout:1",
        "--sysctl=net.ipv4.ip_unprivileged_port_start=1024",
        "--env=HTTPS_PROXY=http://10.231.0.226:8080",
        "--tmpfs=/workspace:rw,exec,nosuid,nodev,size=2048m,mode=0755,uid=60130,gid=60130",
        "--tmpfs=/run/bottle:rw,noexec,nosuid,nodev,size=64m,mode=0755,uid=60129,gid=60129",
    ]
    assert set(expected) <= set(words)


@pytest.mark.parametrize(
    ("cpus", "words"),
    [
        (None, []),
        (2, ["--cpus=2"]),
        (10, ["--cpus=10"]),
        (0.1, ["--cpus=0.1"]),
        (1.5, ["--cpus=1.5"]),
        (1.23456789, ["--cpus=1.23456789"]),
        (0.1234567891, ["--cpus=0.123456789"]),
        (1023.999999, ["--cpus=1023.999999"]),
        (1024, ["--cpus=1024"]),
    ],
)
def test_processors_are_told_as_exactly_as_the_engine_reports_them(
    cpus: float | None, words: list[str]
) -> None:
    keeper = plan(limits={} if cpus is None else {"cpus": cpus}).keeper
    told = [word for word in container_arguments(keeper) if word.startswith("--cpus")]
    assert told == words
    assert [round(float(word[7:]) * 1e9) for word in told] == ([keeper.nano_cpus] if cpus else [])


def test_what_runs_comes_last_and_only_it_follows_the_image() -> None:
    keeper = dataclasses.replace(PLAN.keeper, command=("first", "--", "second"))
    assert container_arguments(keeper)[-4:] == ("--entrypoint=first", keeper.image, "--", "second")


def test_only_the_first_network_is_given_at_creation() -> None:
    words = container_arguments(PLAN.sidecar)
    networks = [word for word in words if word.startswith(("--network", "--ip="))]
    assert networks == ["--network=cb-0123456789ab-outside", "--ip=10.231.0.242"]
