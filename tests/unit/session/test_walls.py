"""Walls: every witness is heard, and one that speaks against the plan is enough."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from bottle.core import interior, posture
from bottle.core.plan import API_HOST, Plan
from bottle.core.posture import Difference
from bottle.engine.port import Completed
from bottle.errors import Unavailable, WallDiffers
from bottle.provision import hostrule
from bottle.session.walls import Watch, prove
from tests.support.fake_engine import FakeEngine, FakePipe
from tests.support.plans import SESSION, plan

UNLISTED = "unlisted.invalid"
DENIED = "HTTP/1.1 403 Forbidden\r\nx-claude-bottle: denied; not listed\r\n\r\n"
TUNNEL = "HTTP/1.1 200 Connection established\r\n\r\n"
RULE = json.dumps({"nftables": [{"metainfo": {}}, *hostrule._EXPECTED]})


def answered(status: int, more: str = "") -> dict[str, str]:
    return {"tunnel": TUNNEL, "answer": f"HTTP/1.1 {status} Text\r\n{more}\r\n"}


def reported(wanted: Mapping[str, object]) -> dict[str, object]:
    """Give what is wanted as an engine would report it, by dotted path."""
    return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in wanted.items()}


@dataclass
class Witnesses(FakeEngine):
    """An engine on which a bottle is as planned, but for what a test changes."""

    plan: Plan = field(default_factory=plan)
    changed: dict[str, dict[str, object]] = field(default_factory=dict)
    """Name of a thing to fields that the engine reports otherwise."""
    ways: dict[str, object] = field(
        default_factory=lambda: {UNLISTED: {"tunnel": DENIED}, API_HOST: answered(404)}
    )
    rule: str = RULE
    seen: dict[str, object] = field(default_factory=lambda: {"wire": 5, "heard": []})
    output: bytes | None = None
    pid: int = 0
    asked: list[str] = field(default_factory=list)
    """What was run inside."""

    def inspect_container(self, name: str) -> Mapping[str, Any]:
        (container,) = (c for c in self.plan.containers if c.name == name)
        found = {**reported(posture.of_container(container)), **self.changed.get(name, {})}
        return {**found, "State": {"Pid": self.pid}} if self.pid else found

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        (network,) = (n for n in self.plan.networks if n.name == name)
        report = reported(posture.of_network(network))
        report["IPAM.Config"] = [{"Subnet": network.subnet}]
        present = sorted(posture.members(self.plan, network))
        report["Containers"] = {f"{number}": {"Name": n} for number, n in enumerate(present)}
        return {**report, **self.changed.get(name, {})}

    def start_once(self, image: str, command: Any, flags: Any) -> FakePipe:
        pipe = super().start_once(image, command, flags)
        pipe.say(json.dumps({"udp": [1, 2], "tcp": [3], "rule": self.rule}))
        pipe.on_send = lambda _: (json.dumps(self.seen),)
        return pipe

    def execute(self, name: str, command: Any, *, user: str, stdin: bytes, seconds: float) -> Any:
        super().execute(name, command, user=user, stdin=stdin, seconds=seconds)
        self.asked.append(stdin.decode())
        output = json.dumps({"ways": self.ways}).encode() if self.output is None else self.output
        return Completed(code=0, output=output, errors=b"what went wrong")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Difference]:
    """What the comparison of the interior gives; its own tests are in core."""
    found: list[Difference] = []
    monkeypatch.setattr(interior, "differences", lambda *_: tuple(found))
    return found


@pytest.fixture
def together() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


Rows = list[Difference]


def judge(engine: Witnesses, together: Executor) -> None:
    prove(engine, engine.plan, Watch(engine, engine.plan), together)


def differences(engine: Witnesses, together: Executor) -> str:
    with pytest.raises(WallDiffers) as caught:
        judge(engine, together)
    assert caught.value.code == 70
    return caught.value.happened


@pytest.mark.usefixtures("rows")
class TestTheProof:
    def test_a_bottle_as_planned_passes(self, together: Executor) -> None:
        judge(Witnesses(), together)

    def test_the_engines_report_counts(self, together: Executor) -> None:
        engine = Witnesses()
        engine.changed = {
            engine.plan.keeper.name: {"HostConfig.Privileged": True},
            engine.plan.sidecar.name: {"HostConfig.ReadonlyRootfs": False},
            engine.plan.inside.name: {"Internal": False},
        }
        told = differences(engine, together)
        assert f"{engine.plan.keeper.name}: HostConfig.Privileged" in told
        assert f"{engine.plan.sidecar.name}: HostConfig.ReadonlyRootfs" in told
        assert f"{engine.plan.inside.name}: Internal" in told

    def test_a_stranger_on_a_network_counts(self, together: Executor) -> None:
        engine = Witnesses()
        engine.changed = {engine.plan.inside.name: {"Containers": {"x": {"Name": "stranger"}}}}
        assert "stranger" in differences(engine, together)

    def test_the_interior_counts(self, together: Executor, rows: Rows) -> None:
        rows.append(Difference(subject="s", field="kernel", wanted="runc", found="other"))
        assert "s: kernel is other, planned runc" in differences(Witnesses(), together)

    @pytest.mark.parametrize("rule", ["", "{}", RULE.replace("-300", "0"), "no JSON"])
    def test_the_host_rule_counts(self, together: Executor, rule: str) -> None:
        assert "nftables table" in differences(Witnesses(rule=rule), together)

    def test_what_the_host_heard_counts(self, together: Executor) -> None:
        engine = Witnesses(seen={"wire": 5, "heard": ["udp on the bridge"]})
        assert "sockets of the host is udp on the bridge" in differences(engine, together)

    def test_a_silent_wire_proves_nothing(self, together: Executor) -> None:
        engine = Witnesses(seen={"wire": 0, "heard": []})
        assert "the wire is nothing, planned our probes" in differences(engine, together)

    @pytest.mark.parametrize(
        "way",
        [
            answered(200),
            {"tunnel": "HTTP/1.1 403 Forbidden\r\n\r\n"},
            {"tunnel": DENIED.replace("403", "200")},
            {"error": "TimeoutError: timed out"},
            {},
        ],
    )
    def test_an_unlisted_host_must_be_denied_by_the_sidecar(
        self, together: Executor, way: dict[str, str]
    ) -> None:
        engine = Witnesses()
        engine.ways[UNLISTED] = way
        assert "an unlisted host" in differences(engine, together)

    def test_every_difference_is_told_at_once(self, together: Executor, rows: Rows) -> None:
        engine = Witnesses(rule="", seen={"wire": 0, "heard": ["tcp"]})
        engine.ways[UNLISTED] = {}
        engine.changed = {engine.plan.outside.name: {"Internal": True}}
        rows.append(Difference(subject="s", field="f", wanted="w", found="x"))
        assert len(differences(engine, together).splitlines()) == 1 + 6

    @pytest.mark.parametrize("output", [b"", b"Traceback", b"{"])
    def test_a_bottle_that_cannot_be_looked_at_is_refused(
        self, together: Executor, output: bytes
    ) -> None:
        told = differences(Witnesses(output=output), together)
        assert "could not be looked at from within: what went wrong" in told


@pytest.mark.usefixtures("rows")
class TestTheWayToTheModel:
    @pytest.mark.parametrize("status", [200, 401, 403, 404, 500, 529])
    def test_any_answer_of_its_own_will_do(self, together: Executor, status: int) -> None:
        engine = Witnesses()
        engine.ways[API_HOST] = answered(status)
        judge(engine, together)

    @pytest.mark.parametrize(
        "way",
        [
            answered(502),
            answered(504),
            answered(403, "x-claude-bottle: denied\r\n"),
            {"tunnel": DENIED},
            {"tunnel": "HTTP/1.1 502 Bad Gateway\r\n\r\n"},
            {"error": "SSLCertVerificationError: x"},
            {},
        ],
    )
    def test_without_one_it_is_unavailable(self, together: Executor, way: dict[str, str]) -> None:
        engine = Witnesses()
        engine.ways[API_HOST] = way
        with pytest.raises(Unavailable, match=f"the way to {API_HOST} does not work") as caught:
            judge(engine, together)
        assert caught.value.code == 69

    def test_a_wall_goes_before_it(self, together: Executor) -> None:
        engine = Witnesses(rule="")
        engine.ways[API_HOST] = {}
        assert "nftables" in differences(engine, together)

    def test_a_shell_needs_none(self, together: Executor) -> None:
        engine = Witnesses(plan=plan(adapter="shell"))
        engine.ways = {UNLISTED: {"tunnel": DENIED}}
        judge(engine, together)
        assert API_HOST not in engine.asked[0].rsplit("main(", 1)[1]


@pytest.mark.usefixtures("rows")
class TestTheProbes:
    def test_the_inner_one_runs_as_the_agent_through_its_door(self, together: Executor) -> None:
        engine = Witnesses()
        judge(engine, together)
        uid = engine.plan.slot.agent_uid
        name, user, *command = engine.commands[-1]
        assert (name, user) == (engine.plan.keeper.name, f"{uid}:{uid}")
        assert command == ["/opt/bottle/enter", "/usr/bin/python3", "-IS", "-"]

    def test_it_is_told_where_to_send(self, together: Executor) -> None:
        engine = Witnesses()
        judge(engine, together)
        call = engine.asked[0].splitlines()[-1]
        request = json.loads(call.removeprefix("main('").removesuffix("')"))
        slot = engine.plan.slot
        assert request["hosts"] == [str(slot.inside[1]), str(slot.outside[1])]
        assert request["ways"] == [UNLISTED, API_HOST]
        assert request["proxy"] == [engine.plan.sidecar_address, 8080]
        assert (request["udp"], request["tcp"]) == ([1, 2], [3])
        compile(engine.asked[0], "inside", "exec")

    def test_the_outer_one_carries_the_sessions_labels(self, together: Executor) -> None:
        engine = Witnesses()
        judge(engine, together)
        image, *_, bridge = engine.commands[0]
        assert image == engine.plan.images["hostrule"]
        assert bridge == engine.plan.inside.bridge
        assert engine.things[f"cb-{SESSION}-watch"].session == SESSION

    def test_an_outer_one_that_ends_is_unavailable(self, together: Executor) -> None:
        engine = Witnesses()
        watch = Watch(engine, engine.plan)
        watch.listening()
        watch.end()
        with pytest.raises(Unavailable):
            watch.seen()
        assert engine.things == {}
        with pytest.raises(Unavailable, match="watch on the host rule ended"):
            prove(engine, engine.plan, watch, together)


@pytest.mark.usefixtures("rows")
class TestGvisor:
    """Under gVisor the host's own process table is asked what runs."""

    @pytest.fixture
    def engine(self) -> Witnesses:
        return Witnesses(plan=plan(runtime="runsc"))

    def test_its_sandbox_passes(self, engine: Witnesses, together: Executor) -> None:
        with subprocess.Popen(["runsc-sandbox", "60"], executable="/bin/sleep") as sandbox:
            engine.pid = sandbox.pid
            try:
                judge(engine, together)
            finally:
                sandbox.kill()

    @pytest.mark.parametrize("pid", [os.getpid(), 1 << 30])
    def test_anything_else_does_not(self, engine: Witnesses, together: Executor, pid: int) -> None:
        engine.pid = pid
        assert "host process" in differences(engine, together)
