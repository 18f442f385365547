"""Every plan of every manifest has the walls: nothing declared takes one away."""

from __future__ import annotations

import copy
import dataclasses
import ipaddress
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core import form as forming
from bottle.core import posture
from bottle.core.flags import container_arguments, network_arguments
from bottle.core.members import Host
from bottle.core.parts import ContainerPlan
from bottle.core.plan import Given, Plan
from bottle.core.plan import compile as compile_plan
from bottle.core.slot import SLOTS, Slot
from tests.support import plans, strategies
from tests.support.strategies import examples

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
        "--cpus",
        "--interactive",
        "--rm",
        "--workdir",
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A valid manifest and all else that a plan is made of."""

    content: dict[str, Any]
    agent: str
    host: Host
    given: Given
    standins: tuple[str, ...]

    def plan(self, **changes: Any) -> Plan:
        case = dataclasses.replace(self, **changes)
        return compile_plan(
            plans.read(case.content),
            case.agent,
            case.host,
            case.given,
            standin_names=case.standins,
        )

    @property
    def bottle(self) -> Any:
        """The plain values of the agent's own bottle."""
        return self.content["bottles"][self.content["agents"][self.agent]["bottle"]]


@st.composite
def cases(draw: st.DrawFn, *, standins: bool = True) -> Case:
    content = draw(strategies.manifests())
    return Case(
        content=content,
        agent=draw(st.sampled_from(sorted(content["agents"]))),
        host=draw(strategies.HOST),
        given=draw(strategies.GIVEN),
        standins=draw(strategies.STANDIN_NAMES) if standins else (),
    )


def flags(container: ContainerPlan) -> list[tuple[str, str]]:
    """Give the flags before the image as (name, value)."""
    words = container_arguments(container)
    before = words[: words.index(container.image)]
    return [(name, value) for name, _, value in (word.partition("=") for word in before)]


def values(container: ContainerPlan, flag: str) -> list[str]:
    return [value for name, value in flags(container) if name == flag]


# -- laws of every plan


def only_known_flags_are_used(plan: Plan) -> None:
    for container in plan.containers:
        assert {name for name, _ in flags(container)} <= ALLOWED_FLAGS
        assert "docker.sock" not in " ".join(container_arguments(container))


def each_wall_is_said_once(plan: Plan) -> None:
    walls = {
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--read-only": "",
        "--ipc": "private",
        "--cgroupns": "private",
        "--log-driver": "none",
        "--pull": "never",
        "--workdir": "/",
        "--no-healthcheck": "",
        "--restart": "no",
        "--ulimit": "core=0:0",
    }
    for container in plan.containers:
        assert {flag: values(container, flag) for flag in walls} == {
            flag: [value] for flag, value in walls.items()
        }


def the_agent_is_on_the_inside_alone_and_resolves_nothing(plan: Plan) -> None:
    assert values(plan.keeper, "--network") == [plan.inside.name]
    assert [place.network for place in plan.keeper.attachments] == [plan.inside.name]
    assert plan.inside.internal
    assert "--internal" in network_arguments(plan.inside)
    assert values(plan.keeper, "--dns") == ["127.0.0.1"]
    assert [v for v in values(plan.keeper, "--sysctl") if "unprivileged_port" in v] == [
        "net.ipv4.ip_unprivileged_port_start=1024"
    ]


def each_is_on_the_right_networks(plan: Plan) -> None:
    inside, outside = plan.inside.name, plan.outside.name
    expected = {"agent": {inside}, "sidecar": {inside, outside}, "standin": {outside}}
    for container in plan.containers:
        places = {place.network for place in container.attachments}
        assert places == expected[container.role]
        (network,) = values(container, "--network")
        assert network in places
    assert ("--internal" in network_arguments(plan.outside)) == plan.outside.internal


def addresses_lie_in_their_subnets_and_are_nobody_elses(plan: Plan) -> None:
    subnets = {n.name: ipaddress.IPv4Network(n.subnet) for n in plan.networks}
    assert not subnets[plan.inside.name].overlaps(subnets[plan.outside.name])
    places = [place for c in plan.containers for place in c.attachments]
    addresses = [ipaddress.IPv4Address(place.address) for place in places]
    assert len(set(addresses)) == len(addresses)
    for place, address in zip(places, addresses, strict=True):
        usable = list(subnets[place.network].hosts())[1:]  # the first is the gateway's
        assert address in usable


def uids_are_distinct_and_no_accounts(plan: Plan) -> None:
    uids = [container.uid for container in plan.containers] + [plan.slot.agent_uid]
    assert len(set(uids)) == len(uids)
    assert all(60100 <= uid <= 60999 for uid in uids)
    owners = {mount.uid for c in plan.containers for mount in c.tmpfs}
    assert owners <= set(uids)


def the_sidecar_is_never_on_another_runtime(plan: Plan) -> None:
    assert plan.keeper.runtime == plan.bottle.runtime
    assert {c.runtime for c in plan.containers if c is not plan.keeper} == {"runc"}


def walls_of(container: ContainerPlan) -> dict[str, object]:
    """Give the fields of a report that show a container's walls."""
    return {
        "HostConfig.CapDrop": ["ALL"],
        "HostConfig.SecurityOpt": ["no-new-privileges"],
        "HostConfig.ReadonlyRootfs": True,
        "HostConfig.Runtime": container.runtime,
        "HostConfig.NetworkMode": container.attachments[0].network,
        "HostConfig.IpcMode": "private",
        "HostConfig.CgroupnsMode": "private",
        "HostConfig.LogConfig.Type": "none",
        "HostConfig.RestartPolicy.Name": "no",
        "HostConfig.Dns": list(container.dns),
        "HostConfig.Memory": container.memory,
        "HostConfig.MemorySwap": container.memory,
        "HostConfig.PidsLimit": container.pids,
        "HostConfig.Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}],
        "Config.User": f"{container.uid}:{container.uid}",
        "Config.Image": container.image,
        "Config.Entrypoint": [container.command[0]],
        "Config.WorkingDir": "/",
        "Config.Healthcheck.Test": ["NONE"],
        **{f"HostConfig.Tmpfs.{mount.path}": mount.options for mount in container.tmpfs},
        **{f"HostConfig.Sysctls.{name}": value for name, value in container.sysctls.items()},
    }


def posture_speaks_of_every_wall(plan: Plan) -> None:
    for container in plan.containers:
        wanted, walls = posture.of_container(container), walls_of(container)
        assert {name: wanted.get(name) for name in walls} == walls
    for network in plan.networks:
        wanted = posture.of_network(network)
        walls = {"Internal": network.internal, "EnableIPv6": False}
        walls |= {f"Options.{name}": value for name, value in network.options.items()}
        assert {name: wanted.get(name) for name in walls} == walls


def limits_are_always_set_and_swap_is_none(plan: Plan) -> None:
    for container in plan.containers:
        assert values(container, "--memory") == values(container, "--memory-swap")
        assert container.memory >= 256 * 1024 * 1024
        assert container.pids >= 128
        assert all(mount.mib <= container.memory_mib for mount in container.tmpfs)
    # what the engine is told is what it is expected to report
    told = [round(float(value) * 1e9) for value in values(plan.keeper, "--cpus")]
    assert told == ([plan.keeper.nano_cpus] if plan.keeper.cpus else [])


def pins_come_only_with_an_internal_outside_and_a_stand_in(plan: Plan) -> None:
    if plan.pins:
        assert plan.standin
        assert {pin.address for pin in plan.pins} == {plan.standin.attachments[0].address}
    hosts = [pin.host for pin in plan.pins]
    assert len(set(hosts)) == len(hosts)
    assert bool(plan.pins) == bool(plan.standin) == plan.outside.internal


def steps_wait_only_for_what_comes_before(plan: Plan) -> None:
    done: set[str] = set()
    for step in plan.steps:
        assert set(step.needs) <= done
        assert step.name not in done
        done.add(step.name)
    assert plan.steps[-1].name == "prove the walls"


def everything_carries_the_labels(plan: Plan) -> None:
    everything: list[Any] = [*plan.networks, *plan.containers]
    assert {thing.labels["claude-bottle"] for thing in everything} == {plan.session}
    assert len({str(thing.labels) for thing in everything}) == 1
    assert all(len(thing.labels) == 2 for thing in everything)
    assert all(thing.name.startswith(f"cb-{plan.session}-") for thing in everything)


Law = Callable[[Plan], None]
LAWS: tuple[Law, ...] = (
    only_known_flags_are_used,
    each_wall_is_said_once,
    the_agent_is_on_the_inside_alone_and_resolves_nothing,
    each_is_on_the_right_networks,
    addresses_lie_in_their_subnets_and_are_nobody_elses,
    uids_are_distinct_and_no_accounts,
    the_sidecar_is_never_on_another_runtime,
    posture_speaks_of_every_wall,
    limits_are_always_set_and_swap_is_none,
    pins_come_only_with_an_internal_outside_and_a_stand_in,
    steps_wait_only_for_what_comes_before,
    everything_carries_the_labels,
)


class TestWalls:
    """Every bottle has the same walls; no manifest key, prompt or variable weakens one."""

    @examples(2)
    @given(cases())
    def test_every_law_holds_for_every_plan(self, case: Case) -> None:
        plan = case.plan()
        for law in LAWS:
            law(plan)


Break = Callable[[Plan, pytest.MonkeyPatch], Plan]


def with_plan(**changes: Any) -> Break:
    return lambda plan, _patch: dataclasses.replace(plan, **changes)


def with_keeper(**changes: Any) -> Break:
    def broken(plan: Plan, _patch: pytest.MonkeyPatch) -> Plan:
        return dataclasses.replace(plan, keeper=dataclasses.replace(plan.keeper, **changes))

    return broken


def with_inside(**changes: Any) -> Break:
    def broken(plan: Plan, _patch: pytest.MonkeyPatch) -> Plan:
        return dataclasses.replace(plan, inside=dataclasses.replace(plan.inside, **changes))

    return broken


def with_posture(of: str, forgotten: str) -> Break:
    """Let posture say nothing of one field: what the engine reports there could be anything."""

    def broken(plan: Plan, patch: pytest.MonkeyPatch) -> Plan:
        whole = getattr(posture, of)

        def less(of_what: object) -> posture.Wanted:
            return {name: value for name, value in whole(of_what).items() if name != forgotten}

        patch.setattr(posture, of, less)
        return plan

    return broken


EXAMPLE = plans.plan(adapter="demo", limits={"cpus": 2})

BREAKS: tuple[tuple[Law, Break], ...] = (
    (only_known_flags_are_used, with_keeper(environment={"X": "/var/run/docker.sock"})),
    (each_wall_is_said_once, with_keeper(image="--read-only")),
    (the_agent_is_on_the_inside_alone_and_resolves_nothing, with_keeper(dns=("10.0.0.1",))),
    (the_agent_is_on_the_inside_alone_and_resolves_nothing, with_inside(internal=False)),
    (each_is_on_the_right_networks, with_keeper(attachments=EXAMPLE.sidecar.attachments)),
    (addresses_lie_in_their_subnets_and_are_nobody_elses, with_inside(subnet="10.231.9.0/28")),
    (uids_are_distinct_and_no_accounts, with_keeper(uid=0)),
    (uids_are_distinct_and_no_accounts, with_keeper(uid=EXAMPLE.sidecar.uid)),
    (the_sidecar_is_never_on_another_runtime, with_keeper(runtime="other")),
    *(
        (posture_speaks_of_every_wall, with_posture("of_container", field))
        for field in walls_of(EXAMPLE.keeper)
    ),
    (posture_speaks_of_every_wall, with_posture("of_network", "Internal")),
    (posture_speaks_of_every_wall, with_posture("of_network", "EnableIPv6")),
    (limits_are_always_set_and_swap_is_none, with_keeper(pids=1)),
    (everything_carries_the_labels, with_inside(labels={"claude-bottle": "x"})),
    (pins_come_only_with_an_internal_outside_and_a_stand_in, with_plan(standin=None)),
    (steps_wait_only_for_what_comes_before, with_plan(steps=EXAMPLE.steps[::-1])),
)


def test_every_law_has_a_break() -> None:
    assert {law for law, _ in BREAKS} == set(LAWS)
    assert len(set(LAWS)) == len(LAWS)


@pytest.mark.parametrize(("law", "broken"), BREAKS, ids=[law.__name__ for law, _ in BREAKS])
def test_a_plan_that_breaks_a_law_is_noticed(
    law: Law, broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    law(EXAMPLE)
    plan = broken(EXAMPLE, monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        law(plan)


class TestSecrets:
    """A plan holds no secret and nothing of the manifest's free text."""

    @given(cases())
    def test_free_text_of_the_manifest_reaches_no_flag(self, case: Case) -> None:
        canary = "canary-of-a-test"
        for bottle in case.content["bottles"].values():
            bottle.setdefault("env", {}).update({"CANARY": canary, "TAKEN": {"from": "CANARY_X"}})
        agent = case.content["agents"][case.agent]
        agent.update(prompt=canary, skills=[canary], args=[canary], env={"CANARY_2": canary})
        plan = case.plan()
        for container in plan.containers:
            told = " ".join(container_arguments(container))
            expected = str(posture.of_container(container))
            for word in (canary, "CANARY", "TAKEN"):
                assert word not in told
                assert word not in expected
        assert canary not in " ".join(w for n in plan.networks for w in network_arguments(n))

    @given(cases())
    def test_the_form_has_no_value_of_a_variable(self, case: Case) -> None:
        canary = "canary-of-a-test"
        for bottle in case.content["bottles"].values():
            bottle.setdefault("env", {})["CANARY"] = canary
        case.content["agents"][case.agent].setdefault("env", {})["CANARY_2"] = canary
        form = forming.form(case.plan())
        assert canary not in json.dumps(form)
        assert {"CANARY", "CANARY_2"} <= form["environment"].keys()


class TestPins:
    """A pin exempts one name at one address, and only where nothing outside can be reached."""

    @given(cases(standins=False))
    def test_no_manifest_sets_a_pin_but_for_the_reserved_demo(self, case: Case) -> None:
        assert bool(case.plan().pins) == (case.agent == "demo")


class TestAllowlist:
    """What may be reached is what is built in, what the bottle lists, and the package clients'."""

    @given(cases())
    def test_each_entry_has_its_source_and_nothing_is_added(self, case: Case) -> None:
        plan = case.plan()
        listed = {entry.pattern for entry in plan.bottle.egress.allowlist}
        clients = {client.name for client in plan.bottle.egress.clients}
        found = {entry.pattern for entry in plan.listed}
        of_clients = {p for name in clients for p in case.host.registries[name]}
        built_in = {entry.pattern for entry in plan.listed if entry.built_in}
        assert found == listed | of_clients | built_in
        assert {str(pattern) for pattern in built_in} <= {"api.anthropic.com"}
        assert all(entry.source and entry.short for entry in plan.listed)
        for entry in plan.listed:
            named = {
                name
                for name, hosts in case.host.registries.items()
                if any(entry.pattern.matches(host.host) for host in hosts)
            }
            assert entry.client in (named or {""})
        assert [e.pattern for e in plan.listed] == sorted(found)


class TestPlansAreValues:
    """Equal input gives an equal plan; nothing else is looked at."""

    @examples(0.6)
    @given(cases())
    def test_equal_input_gives_an_equal_plan_and_form(self, case: Case) -> None:
        first, second = case.plan(), case.plan(content=copy.deepcopy(case.content))
        assert first == second
        one, two = forming.form(first), forming.form(second)
        assert json.dumps(one) == json.dumps(two)
        assert forming.digest(one) == forming.digest(two)

    @examples(0.6)
    @given(cases(), strategies.HOST)
    def test_the_fixed_form_says_nothing_of_a_single_start(self, case: Case, other: Host) -> None:
        later = dataclasses.replace(
            case.host, session=other.session, owner=other.owner, slot=other.slot
        )
        one = forming.form(case.plan(host=forming.fixed(case.host)))
        two = forming.form(case.plan(host=forming.fixed(later)))
        assert json.dumps(one).encode() == json.dumps(two).encode()
        moved = dataclasses.replace(case.host, images=dict.fromkeys(case.host.images, "sha256:x"))
        three = forming.form(case.plan(host=forming.fixed(moved)))
        assert forming.digest(one) == forming.digest(two) != forming.digest(three)

    @examples(0.6)
    @given(cases())
    def test_the_order_of_a_manifests_keys_does_not_count(self, case: Case) -> None:
        form = forming.form(case.plan())
        turned = forming.form(case.plan(content=reordered(case.content)))
        assert forming.digest(form) == forming.digest(turned)

    @examples(0.6)
    @given(cases(), st.tuples(st.integers(0, SLOTS - 1), st.integers(0, SLOTS - 1)))
    def test_two_slots_share_neither_user_nor_address(
        self, case: Case, numbers: tuple[int, int]
    ) -> None:
        one, two = (case.plan(host=in_slot(case.host, number)) for number in numbers)
        if numbers[0] == numbers[1]:
            assert one == two
            return
        assert not users(one) & users(two)
        assert not any(
            ipaddress.IPv4Network(a.subnet).overlaps(ipaddress.IPv4Network(b.subnet))
            for a in one.networks
            for b in two.networks
        )


def reordered(value: Any) -> Any:
    """Turn the order of every object's members around."""
    if isinstance(value, dict):
        return {key: reordered(member) for key, member in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def in_slot(host: Host, number: int) -> Host:
    return dataclasses.replace(host, slot=Slot(number=number))


def users(plan: Plan) -> set[int]:
    return {container.uid for container in plan.containers} | {plan.slot.agent_uid}
