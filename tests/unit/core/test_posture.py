"""Posture: a recorded bottle equals its plan; each single change to the record is found.

The record is what Docker Engine 20.10 reported of a bottle with these plans (ids and places of the
engine replaced), with `cat` as its command.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bottle.core import posture
from bottle.core.posture import Difference
from tests.support.plans import IMAGES, plan

RECORD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "support" / "recorded" / "engine-20.10.json").read_text()
)
IMAGE = RECORD["keeper"]["Image"]
COMMAND = ("tini", "--", "cat")


def _recorded_plan() -> Any:
    made = plan()
    return dataclasses.replace(
        made,
        keeper=dataclasses.replace(made.keeper, image=IMAGE, command=COMMAND),
        sidecar=dataclasses.replace(made.sidecar, image=IMAGE, command=COMMAND),
    )


PLAN = _recorded_plan()
WANTED: dict[str, dict[str, object]] = {
    "keeper": dict(posture.of_container(PLAN.keeper)),
    "sidecar": dict(posture.of_container(PLAN.sidecar)),
    "inside": dict(posture.of_network(PLAN.inside)),
    "outside": dict(posture.of_network(PLAN.outside)),
}


def compare(which: str, record: dict[str, Any]) -> list[tuple[str, str]]:
    found = posture.diff(which, WANTED[which], record)
    assert {difference.subject for difference in found} <= {which}
    return [(difference.field, difference.found) for difference in found]


def locate(record: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Find the place of a dotted path, whose own names may hold dots."""
    place = record
    while path not in place:
        name = next(n for n in place if path.startswith(f"{n}.") and isinstance(place[n], dict))
        place, path = place[name], path[len(name) + 1 :]
    return place, path


def other(value: object) -> object:
    """Give another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [*value, "sabotage"]
    return "sabotage"


@pytest.mark.parametrize("which", WANTED)
def test_the_recorded_bottle_is_its_plan(which: str) -> None:
    assert compare(which, RECORD[which]) == []


def every_wanted() -> Iterator[Any]:
    for which, fields in WANTED.items():
        for path in fields:
            yield pytest.param(which, path, id=f"{which}-{path}")


@pytest.mark.parametrize(("which", "path"), list(every_wanted()))
def test_a_changed_field_is_exactly_that_difference(which: str, path: str) -> None:
    record = copy.deepcopy(RECORD[which])
    place, name = locate(record, path)
    if path.endswith(("MaskedPaths", "ReadonlyPaths")):
        place[name] = place[name][:1]  # more of them is no difference
    else:
        place[name] = other(place[name])
    assert [field for field, _ in compare(which, record)] == [path]


@pytest.mark.parametrize(("which", "path"), list(every_wanted()))
def test_a_missing_field_is_a_difference_unless_it_may_be_missing(which: str, path: str) -> None:
    record = copy.deepcopy(RECORD[which])
    place, name = locate(record, path)
    del place[name]
    may_be_missing = not WANTED[which][path] or path.endswith(".Gateway")
    expected = [] if may_be_missing else [path]
    assert [field for field, _ in compare(which, record)] == expected


def unplanned(which: str) -> Iterator[str]:
    """List every leaf of the record that no plan speaks of and that says nothing."""
    leaves = posture._leaves(RECORD[which], "")
    volatile = posture._VOLATILE
    for path, value in leaves:
        if path not in WANTED[which] and not value and not volatile.fullmatch(path):
            yield path


@pytest.mark.parametrize(
    ("which", "path"), [(which, path) for which in WANTED for path in unplanned(which)]
)
@pytest.mark.parametrize("value", [True, 1, "x", ["x"], {"x": {"y": "z"}}])
def test_a_field_nobody_planned_fails_by_name_when_it_speaks(
    which: str, path: str, value: object
) -> None:
    record = copy.deepcopy(RECORD[which])
    place, name = locate(record, path)
    place[name] = value
    shown = f"{path}.x.y" if isinstance(value, dict) else path
    assert [field for field, _ in compare(which, record)] == [shown]


@pytest.mark.parametrize("which", WANTED)
@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_a_field_of_a_newer_engine_passes_while_it_says_nothing(which: str, value: object) -> None:
    record = {**RECORD[which], "Newer": value}
    if "HostConfig" in record:
        record["HostConfig"] = {**record["HostConfig"], "Newer": value}
    assert compare(which, record) == []


@pytest.mark.parametrize("which", WANTED)
def test_a_field_of_a_newer_engine_fails_by_name_when_it_speaks(which: str) -> None:
    assert compare(which, {**RECORD[which], "Newer": {"Way": "out"}}) == [("Newer.Way", "out")]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("HostConfig.Privileged", True),
        ("HostConfig.CapAdd", ["NET_RAW"]),
        ("HostConfig.Binds", ["/:/host"]),
        ("HostConfig.PidMode", "host"),
        ("HostConfig.UsernsMode", "host"),
        ("HostConfig.ExtraHosts", ["host:host-gateway"]),
        ("HostConfig.GroupAdd", ["0"]),
        ("HostConfig.Devices", [{"PathOnHost": "/dev/kvm"}]),
        ("HostConfig.PublishAllPorts", True),
        ("HostConfig.PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
        ("HostConfig.VolumesFrom", ["x"]),
        ("HostConfig.OomScoreAdj", -500),
        ("HostConfig.SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("Mounts", [{"Type": "bind"}]),
        ("Config.Tty", True),
        ("Config.WorkingDir", "/workspace"),
        ("Config.WorkingDir", ""),
        ("State.Paused", True),
        ("RestartCount", 1),
        ("NetworkSettings.Ports", {"80/tcp": None, "81/tcp": [{}]}),
    ],
)
def test_the_ways_that_weaken_a_container_are_found(path: str, value: object) -> None:
    record = copy.deepcopy(RECORD["keeper"])
    place, name = locate(record, path)
    place[name] = value
    found = compare("keeper", record)
    assert found
    assert all(field.startswith(path) for field, _ in found)


@pytest.mark.parametrize(("cpus", "nano"), [(0.1, 100_000_000), (1.23456789, 1_234_567_890)])
def test_processors_are_expected_as_they_were_planned(cpus: float, nano: int) -> None:
    keeper = dataclasses.replace(PLAN.keeper, cpus=cpus)
    wanted = posture.of_container(keeper)
    record = copy.deepcopy(RECORD["keeper"])
    assert [d.field for d in posture.diff("keeper", wanted, record)] == ["HostConfig.NanoCpus"]
    record["HostConfig"]["NanoCpus"] = nano
    assert posture.diff("keeper", wanted, record) == ()
    record["HostConfig"]["NanoCpus"] = nano + 1
    assert [d.field for d in posture.diff("keeper", wanted, record)] == ["HostConfig.NanoCpus"]


def test_one_more_network_is_found() -> None:
    record = copy.deepcopy(RECORD["keeper"])
    record["NetworkSettings"]["Networks"]["bridge"] = {
        "IPAMConfig": None,
        "IPAddress": "172.17.0.2",
        "Gateway": "172.17.0.1",
    }
    assert compare("keeper", record) == [
        ("NetworkSettings.Networks.bridge.Gateway", "172.17.0.1"),
        ("NetworkSettings.Networks.bridge.IPAddress", "172.17.0.2"),
    ]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda env: env.reverse(), True),
        (lambda env: env.append("TOKEN=x"), False),
        (lambda env: env.pop(), False),
        (lambda env: env.append(env[0]), False),
    ],
)
def test_the_environment_is_compared_whatever_its_order(change: Any, same: bool) -> None:
    record = copy.deepcopy(RECORD["keeper"])
    change(record["Config"]["Env"])
    assert [field for field, _ in compare("keeper", record)] == ([] if same else ["Config.Env"])


@pytest.mark.parametrize(
    ("configuration", "same"),
    [
        ([{"Subnet": "10.231.0.224/28", "Gateway": "10.231.0.225"}], True),
        ([{"Subnet": "10.231.0.224/28", "IPRange": "10.231.0.224/29"}], False),
        ([{"Subnet": "10.231.0.224/27"}], False),
        ([{"Subnet": "10.231.0.224/28"}, {"Subnet": "fd00::/64"}], False),
        ([], False),
        (None, False),
    ],
)
def test_a_network_has_its_subnet_alone(configuration: object, same: bool) -> None:
    record = copy.deepcopy(RECORD["inside"])
    record["IPAM"]["Config"] = configuration
    assert [field for field, _ in compare("inside", record)] == ([] if same else ["IPAM.Config"])


@pytest.mark.parametrize(("value", "same"), [(True, True), (False, True), ("yes", False)])
def test_a_newer_engine_may_say_that_a_network_has_ipv4(value: object, same: bool) -> None:
    record = {**RECORD["inside"], "EnableIPv4": value}
    assert [f for f, _ in compare("inside", record)] == ([] if same else ["EnableIPv4"])


def test_labels_of_the_image_are_the_containers_too() -> None:
    record = copy.deepcopy(RECORD["keeper"])
    record["Config"]["Labels"]["claude-bottle.digest"] = "d"
    wanted = WANTED["keeper"]
    labels = {"claude-bottle.digest": "d"}
    assert posture.diff("keeper", wanted, record, labels) == ()
    assert [d.field for d in posture.diff("keeper", wanted, record, {})] == [
        "Config.Labels.claude-bottle.digest"
    ]
    assert len(posture.diff("keeper", wanted, record, {"claude-bottle.digest": "e"})) == 1


def test_an_image_cannot_replace_a_label_of_the_plan() -> None:
    labels = {"claude-bottle": "another"}
    assert posture.diff("keeper", WANTED["keeper"], RECORD["keeper"], labels) == ()


def test_the_members_of_each_network() -> None:
    demo = plan(adapter="demo")
    assert demo.standin
    assert posture.members(demo, demo.inside) == {demo.keeper.name, demo.sidecar.name}
    assert posture.members(demo, demo.outside) == {demo.sidecar.name, demo.standin.name}


@pytest.mark.parametrize("network", ["inside", "outside"])
def test_a_stranger_on_a_network_is_named(network: str) -> None:
    planned = getattr(PLAN, network)
    record = copy.deepcopy(RECORD[network])
    assert posture.membership(PLAN, planned, record) == ()
    record["Containers"]["f" * 64] = {"Name": "intruder"}
    (difference,) = posture.membership(PLAN, planned, record)
    assert difference.subject == planned.name
    assert "intruder" in difference.found
    assert "intruder" not in difference.wanted


@pytest.mark.parametrize(
    "record", [{}, {"Containers": None}, {"Containers": {}}, {"Containers": {"a": {}}}]
)
def test_a_report_without_the_planned_members_proves_nothing(record: dict[str, Any]) -> None:
    (difference,) = posture.membership(PLAN, PLAN.inside, record)
    assert (difference.field, PLAN.keeper.name in difference.wanted) == ("Containers", True)


@pytest.mark.parametrize(
    ("gateway", "fields"), [("10.231.0.225", []), ("10.9.9.9", ["IPAM.Config"])]
)
def test_a_networks_gateway_is_its_own_first_address(gateway: str, fields: list[str]) -> None:
    record = copy.deepcopy(RECORD["inside"])
    record["IPAM"]["Config"] = [{"Subnet": PLAN.inside.subnet, "Gateway": gateway}]
    assert [field for field, _ in compare("inside", record)] == fields


@pytest.mark.parametrize("gateway", ["", None, "10.231.0.225", "10.9.9.9"])
def test_so_is_the_gateway_of_a_container(gateway: str | None) -> None:
    record = copy.deepcopy(RECORD["keeper"])
    record["NetworkSettings"]["Networks"][PLAN.inside.name]["Gateway"] = gateway
    found = [field for field, _ in compare("keeper", record)]
    path = f"NetworkSettings.Networks.{PLAN.inside.name}.Gateway"
    assert found == ([path] if gateway == "10.9.9.9" else [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CgroupnsMode", "host"),
        ("OomKillDisable", True),
        ("MemorySwappiness", 60),
        ("Isolation", "x"),
    ],
)
def test_a_setting_of_the_host_is_no_book_keeping(name: str, value: object) -> None:
    record = copy.deepcopy(RECORD["keeper"])
    record["HostConfig"][name] = value
    assert [field for field, _ in compare("keeper", record)] == [f"HostConfig.{name}"]


def test_a_difference_reads_as_a_sentence_and_is_bounded() -> None:
    assert str(Difference(subject="s", field="f", wanted="w", found="g")) == "s: f is g, planned w"
    record = {**RECORD["keeper"], "Newer": "x" * 1000}
    ((_, found),) = compare("keeper", record)
    assert len(found) == 200


def test_a_plan_for_another_image_is_a_difference() -> None:
    wanted = posture.of_container(dataclasses.replace(PLAN.keeper, image=IMAGES["agent"]))
    assert {d.field for d in posture.diff("keeper", wanted, RECORD["keeper"])} == {
        "Image",
        "Config.Image",
    }
