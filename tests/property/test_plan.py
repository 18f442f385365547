"""Every plan of every manifest has the walls: nothing declared takes one away."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bottle.core import posture
from bottle.core.flags import container_arguments, network_arguments
from bottle.core.manifest import parse
from bottle.core.plan import ContainerPlan, Host, Plan
from bottle.core.plan import compile as compile_plan
from bottle.core.slot import SLOTS, Slot
from tests.support import strategies

ALLOWED_FLAGS = frozenset(
    {
        "--name",
        "--hostname",
        "--runtime",
        "--user",
        "--network",
        "--ip",
        "--memory",
        "--memory-swap",
        "--pids-limit",
        "--cpu-shares",
        "--interactive",
        "--rm",
        "--pull",
        "--cap-drop",
        "--security-opt",
        "--read-only",
        "--ipc",
        "--cgroupns",
        "--log-driver",
        "--no-healthcheck",
        "--restart",
        "--ulimit",
        "--label",
        "--tmpfs",
        "--env",
        "--sysctl",
        "--dns",
        "--dns-option",
        "--entrypoint",
    }
)
"""Nothing here mounts, publishes, adds a capability or a device, or shares a namespace."""

Case = tuple[dict[str, Any], str, Host, tuple[str, ...]]


@st.composite
def cases(draw: st.DrawFn, *, standins: bool = True) -> Case:
    content = draw(strategies.manifests())
    agent = draw(st.sampled_from(sorted(content["agents"])))
    names = draw(strategies.STANDIN_NAMES) if standins else ()
    return content, agent, draw(strategies.HOST), names


def compiled(case: Case) -> Plan:
    content, agent, host, names = case
    return compile_plan(parse(json.dumps(content).encode()), agent, host, standin_names=names)


def flags(container: ContainerPlan) -> list[tuple[str, str]]:
    """Give the flags before the image as (name, value)."""
    words = container_arguments(container)
    before = words[: words.index(container.image)]
    return [(name, value) for name, _, value in (word.partition("=") for word in before)]


class TestWalls:
    """Every bottle has the same walls; no manifest key, prompt or variable weakens one."""

    @given(cases())
    def test_only_known_flags_are_used(self, case: Case) -> None:
        for container in compiled(case).containers:
            given_flags = flags(container)
            assert {name for name, _ in given_flags} <= ALLOWED_FLAGS
            for name, value in (
                ("--cap-drop", "ALL"),
                ("--security-opt", "no-new-privileges"),
                ("--read-only", ""),
                ("--ipc", "private"),
                ("--cgroupns", "private"),
                ("--log-driver", "none"),
                ("--pull", "never"),
            ):
                assert [v for n, v in given_flags if n == name] == [value]

    @given(cases())
    def test_networks_are_the_plans_own_and_the_right_ones(self, case: Case) -> None:
        plan = compiled(case)
        assert plan.inside.internal
        inside, outside = plan.inside.name, plan.outside.name
        expected = {"agent": {inside}, "sidecar": {inside, outside}, "standin": {outside}}
        for container in plan.containers:
            places = {place.network for place in container.attachments}
            assert places == expected[container.role]
            (network,) = [value for name, value in flags(container) if name == "--network"]
            assert network in places
        assert "--internal" in network_arguments(plan.inside)
        assert ("--internal" in network_arguments(plan.outside)) == plan.outside.internal

    @given(cases())
    def test_addresses_lie_in_their_subnets_and_are_nobody_elses(self, case: Case) -> None:
        plan = compiled(case)
        subnets = {n.name: ipaddress.IPv4Network(n.subnet) for n in plan.networks}
        assert not subnets[plan.inside.name].overlaps(subnets[plan.outside.name])
        places = [place for c in plan.containers for place in c.attachments]
        addresses = [ipaddress.IPv4Address(place.address) for place in places]
        assert len(set(addresses)) == len(addresses)
        for place, address in zip(places, addresses, strict=True):
            usable = list(subnets[place.network].hosts())[1:]  # the first is the gateway's
            assert address in usable

    @given(cases())
    def test_uids_are_distinct_and_no_accounts(self, case: Case) -> None:
        plan = compiled(case)
        uids = [container.uid for container in plan.containers] + [plan.slot.agent_uid]
        assert len(set(uids)) == len(uids)
        assert all(60100 <= uid <= 60999 for uid in uids)
        owners = {mount.uid for c in plan.containers for mount in c.tmpfs}
        assert owners <= set(uids)

    @given(cases())
    def test_everything_carries_the_labels(self, case: Case) -> None:
        plan = compiled(case)
        expected = {"claude-bottle": plan.session, "claude-bottle.owner": case[2].owner}
        assert all(network.labels == expected for network in plan.networks)
        assert all(container.labels == expected for container in plan.containers)
        names = [n.name for n in plan.networks] + [c.name for c in plan.containers]
        assert all(name.startswith(f"cb-{plan.session}-") for name in names)

    @given(cases())
    def test_the_sidecar_is_never_on_another_runtime(self, case: Case) -> None:
        plan = compiled(case)
        assert plan.keeper.runtime == plan.bottle.runtime
        assert {c.runtime for c in plan.containers if c is not plan.keeper} == {"runc"}

    @given(cases())
    def test_posture_speaks_of_every_wall(self, case: Case) -> None:
        for container in compiled(case).containers:
            wanted = posture.of_container(container)
            assert wanted["HostConfig.CapDrop"] == ["ALL"]
            assert wanted["HostConfig.ReadonlyRootfs"] is True
            assert wanted["HostConfig.Runtime"] == container.runtime
            for mount in container.tmpfs:
                assert f"HostConfig.Tmpfs.{mount.path}" in wanted


class TestSecrets:
    """A plan holds no secret and nothing of the manifest's free text."""

    @given(cases())
    def test_free_text_of_the_manifest_reaches_no_flag(self, case: Case) -> None:
        content, agent, host, names = case
        canary = "canary-of-a-test"
        for bottle in content["bottles"].values():
            bottle.setdefault("env", {})["CANARY"] = canary
        content["agents"][agent]["prompt"] = canary
        content["agents"][agent]["skills"] = [canary]
        plan = compiled((content, agent, host, names))
        for container in plan.containers:
            assert canary not in " ".join(container_arguments(container))
            assert canary not in str(posture.of_container(container))
            assert "CANARY" not in container.environment
        assert canary not in " ".join(w for n in plan.networks for w in network_arguments(n))


class TestPins:
    """A pin exempts one name at one address, and only where nothing outside can be reached."""

    @given(cases())
    def test_pins_come_only_with_an_internal_outside_and_a_stand_in(self, case: Case) -> None:
        plan = compiled(case)
        if plan.pins:
            assert plan.outside.internal
            assert plan.standin
            assert {pin.address for pin in plan.pins} == {plan.standin.attachments[0].address}
        hosts = [pin.host for pin in plan.pins]
        assert len(set(hosts)) == len(hosts)
        assert bool(plan.pins) == bool(plan.standin) == plan.outside.internal

    @given(cases(standins=False))
    def test_no_manifest_sets_a_pin_but_for_the_reserved_demo(self, case: Case) -> None:
        assert bool(compiled(case).pins) == (case[1] == "demo")


class TestPlansAreValues:
    """Equal input gives an equal plan; nothing else is looked at."""

    @given(cases())
    def test_equal_input_gives_an_equal_plan(self, case: Case) -> None:
        first, second = compiled(case), compiled(json_copy(case))
        assert first == second
        pairs = zip(first.containers, second.containers, strict=True)
        assert all(container_arguments(a) == container_arguments(b) for a, b in pairs)

    @given(cases(), st.tuples(st.integers(0, SLOTS - 1), st.integers(0, SLOTS - 1)))
    def test_two_slots_share_neither_user_nor_address(
        self, case: Case, numbers: tuple[int, int]
    ) -> None:
        content, agent, host, names = case
        one, two = (compiled((content, agent, in_slot(host, number), names)) for number in numbers)
        if numbers[0] == numbers[1]:
            assert one == two
            return
        assert not users(one) & users(two)
        assert not any(
            ipaddress.IPv4Network(a.subnet).overlaps(ipaddress.IPv4Network(b.subnet))
            for a in one.networks
            for b in two.networks
        )


def json_copy(case: Case) -> Case:
    content, agent, host, names = case
    return json.loads(json.dumps(content)), agent, host, names


def in_slot(host: Host, number: int) -> Host:
    return Host(
        session=host.session, owner=host.owner, slot=Slot(number=number), images=host.images
    )


def users(plan: Plan) -> set[int]:
    return {container.uid for container in plan.containers} | {plan.slot.agent_uid}
