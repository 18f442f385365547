"""Gate: a bottle that differs from its plan, by whatever hand, never runs the agent."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest

from bottle.core.plan import Plan
from bottle.core.slot import Slot
from bottle.engine.docker import DockerEngine
from bottle.engine.port import Attached
from bottle.engine.process import Pipe
from bottle.errors import WallDiffers
from bottle.provision import hostrule
from bottle.session import run
from bottle.session.agreement import Answers
from bottle.session.lifetime import Order
from tests.support import bottles, launcher
from tests.support.launcher import Place
from tests.support.tampered import Hand, Tampered, instead, with_, without

AGENT: Final = r"create --name=cb-\w+-agent "
SIDECAR: Final = r"create --name=cb-\w+-sidecar "
INSIDE: Final = r"network create .*-inside$"
OUTSIDE: Final = r"network create .*-outside$"
INHIBIT: Final = "com.docker.network.bridge.inhibit_ipv4"


class Front:
    """A console that says nothing."""

    interactive = False

    def say(self, text: str, style: str = "") -> None:
        pass

    def row(self, label: str, text: str, style: str = "") -> None:
        pass

    def result(self, text: str, style: str = "") -> None:
        pass

    def ask(self, question: str, *, default: bool = False) -> bool:
        raise AssertionError(f"{question} {default}")

    def step(self, title: str) -> AbstractContextManager[None]:  # noqa: ARG002
        return contextlib.nullcontext()

    def lent(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def forget_input(self) -> None:
        pass


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Place(folder=tmp_path)


def start_demo(engine: DockerEngine, runtime: str) -> int:
    """Run the demo as `invoke start --agent demo --yes` does."""
    asked = run.Asked(agent="demo", runtime=runtime, answers=Answers(yes=True))
    return run.start(engine, Front(), asked, None)


def questions(place: Place) -> list[Mapping[str, Any]]:
    """Give what the stand-in of the model's API was asked: its own testimony."""
    (session,) = place.sessions()
    lines = (place.state / "audit" / f"{session}.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    return [r for r in told if r["event"] == "request" and r["method"] == "POST"]


def refused(engine: Tampered, place: Place, runtime: str = "runc") -> str:
    """Start; demand that it was refused, that nothing of the agent ran and nothing remains."""
    with pytest.raises(WallDiffers) as caught:
        start_demo(engine, runtime)
    assert caught.value.code == 70
    assert engine.touched == 1, "the hand met nothing"
    assert engine.entered == []
    assert questions(place) == []
    assert launcher.remains(engine, place) == []
    return str(caught.value)


def connect_elsewhere(engine: Tampered, name: str) -> None:
    done = DockerEngine._run(engine, ["network", "connect", "bridge", name])
    assert done.code == 0, done.errors


def add_stranger(engine: Tampered, name: str) -> None:
    session = name.split("-")[1]
    network: Any = engine.inspect_network(name)
    free = ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"])[10]
    flags = [f"--label=claude-bottle={session}", f"--network={name}", f"--ip={free}"]
    more = ["--rm", "--detach", f"--name=stranger-{session}", "--entrypoint=sleep"]
    words = ["run", *more, *flags, hostrule.IMAGE, "99"]
    done = DockerEngine._run(engine, words)
    assert done.code == 0, done.errors


ROOT: Final = Hand(where=AGENT, does={"HostConfig.ReadonlyRootfs": without("--read-only")})
ADDED: Final = Hand(
    where=AGENT,
    does={
        "HostConfig.Binds": with_("--volume=/etc:/mnt:ro"),
        "HostConfig.CapAdd": with_("--cap-add=NET_RAW"),
        "HostConfig.Devices": with_("--device=/dev/null:/dev/more"),
        "HostConfig.Dns ": instead("--dns=.*", "--dns=127.0.0.2"),
        "HostConfig.GroupAdd": with_("--group-add=0"),
        "HostConfig.MemorySwap": instead("--memory-swap=.*", "--memory-swap=-1"),
        "HostConfig.PidMode": with_("--pid=host"),
        "HostConfig.PidsLimit": instead("--pids-limit=.*", "--pids-limit=-1"),
        "HostConfig.PublishAllPorts": with_("--publish-all"),
        "HostConfig.SecurityOpt": with_("--security-opt=seccomp=unconfined"),
        "HostConfig.Sysctls.net.ipv4.ip_forward": with_("--sysctl=net.ipv4.ip_forward=1"),
        "Config.Env": with_("--env=ADDED=1"),
    },
)
TAKEN: Final = Hand(
    where=AGENT,
    does={
        "HostConfig.CapDrop": without("--cap-drop"),
        "HostConfig.IpcMode": instead("--ipc=.*", "--ipc=shareable"),
        "HostConfig.LogConfig.Type": without("--log-driver"),
        "HostConfig.SecurityOpt": without("--security-opt"),
        "HostConfig.Ulimits": without("--ulimit"),
        "Config.Healthcheck": without("--no-healthcheck"),
        "Config.WorkingDir": instead("--workdir=.*", "--workdir=/tmp"),
    },
)
ON_SIDECAR: Final = Hand(
    where=SIDECAR,
    does={
        "HostConfig.CapAdd": with_("--cap-add=NET_ADMIN"),
        "HostConfig.Sysctls.net.ipv4.ip_forward": without("--sysctl"),
    },
)
OPEN_INSIDE: Final = Hand(where=INSIDE, does={"inside: Internal": without("--internal")})
OPEN_OUTSIDE: Final = Hand(where=OUTSIDE, does={"outside: Internal": without("--internal")})
ADDRESS: Final = Hand(where=INSIDE, does={"inhibit_ipv4 is nothing": without(f"--opt={INHIBIT}")})


def runs_under(runtime: str) -> Hand:
    change = instead("--runtime=.*", f"--runtime={runtime}")
    does = {"HostConfig.Runtime": change, "kernel is ": change}
    return Hand(where=AGENT, does=does, runtimes=(runtime,))


HANDS: Final = {
    "root-runc": ("runc", ROOT),
    "added-runc": ("runc", ADDED),
    "taken-runc": ("runc", TAKEN),
    "sidecar-runc": ("runc", ON_SIDECAR),
    "inside-runc": ("runc", OPEN_INSIDE),
    "outside-runc": ("runc", OPEN_OUTSIDE),
    "address-runc": ("runc", ADDRESS),
    "runsc-for-runc": ("runc", runs_under("runsc")),
    "root-runsc": ("runsc", ROOT),
    "inside-runsc": ("runsc", OPEN_INSIDE),
    "runc-for-runsc": ("runsc", runs_under("runc")),
}


@pytest.mark.claim("GATE-1")
class TestADifference:
    """Any difference removes the bottle and ends with 70, naming each field."""

    @pytest.mark.parametrize("runtime", bottles.RUNTIMES)
    def test_without_one_the_agent_runs(self, place: Place, runtime: str) -> None:
        bottles.need(runtime)
        engine = Tampered(where=AGENT)
        assert start_demo(engine, runtime) == 0
        assert engine.touched == 1
        assert len(engine.entered) == 1
        assert questions(place) != []

    @pytest.mark.parametrize(("runtime", "hand"), HANDS.values(), ids=HANDS)
    def test_is_refused_and_each_is_named(self, place: Place, runtime: str, hand: Hand) -> None:
        for used in (runtime, *hand.runtimes):
            bottles.need(used)
        told = refused(Tampered(where=hand.where, change=hand.change), place, runtime)
        assert [name for name in hand.does if name not in told] == []

    def test_a_second_network(self, place: Place) -> None:
        bottles.need()
        told = refused(Tampered(where=AGENT, after=connect_elsewhere), place)
        assert "NetworkSettings.Networks.bridge" in told
        assert "network devices is eth0 eth1 lo" in told

    def test_a_stranger_on_inside(self, place: Place) -> None:
        bottles.need()
        told = refused(Tampered(where=INSIDE, after=add_stranger), place)
        (line,) = (line for line in told.splitlines() if "inside: Containers is" in line)
        assert "stranger-" in line.partition(", planned ")[0]


def lie(seen: dict[str, Any]) -> None:
    seen["HostConfig"] |= {"ReadonlyRootfs": True, "CapAdd": None, "Binds": None}
    seen["Mounts"] = []


@pytest.mark.claim("GATE-1")
class TestAnEngineThatReportsOtherwise:
    """What the kernel reports inside is compared too, whatever the engine says."""

    def test_is_refused(self, place: Place) -> None:
        bottles.need()
        kept = ("HostConfig.ReadonlyRootfs", "HostConfig.CapAdd", "HostConfig.Binds")
        does = {name: change for hand in (ROOT, ADDED) for name, change in hand.does.items()}
        hand = Hand(where=AGENT, does={name: does[name] for name in kept})
        told = refused(Tampered(where=AGENT, change=hand.change, report=lie), place)
        assert "HostConfig" not in told
        assert "write_root is worked, planned EROFS" in told
        assert "agent CapBnd is 0000000000002000" in told
        assert "mount /mnt is" in told

    def test_an_engine_whose_own_filter_is_off(self, place: Place) -> None:
        """As with a daemon that was told so: it reports nothing of it."""
        bottles.need()

        def hide(seen: dict[str, Any]) -> None:
            seen["HostConfig"]["SecurityOpt"] = ["no-new-privileges"]

        change = with_("--security-opt=seccomp=unconfined")
        told = refused(Tampered(where=AGENT, change=change, report=hide), place)
        assert "PID 1 Seccomp is 0, planned 2" in told
        assert "HostConfig" not in told


class Unruled(DockerEngine):
    """Looks for the host rule under a name that no table has: as on a host without it."""

    def start_once(self, image: str, command: Sequence[str], flags: Sequence[str]) -> Pipe:
        changed = [word.replace('"claude_bottle"', '"claude_bottle_gone"') for word in command]
        assert changed != list(command)
        return super().start_once(image, changed, flags)


def uncovered(order: Order) -> Order:
    """Plan bridges of a name that the host rule does not cover: a host without it, for them."""

    def plan_in(slot: Slot) -> Plan:
        plan = order.plan_in(slot)
        bridge = plan.inside.bridge.replace("cb-", "cz-")
        return dataclasses.replace(plan, inside=dataclasses.replace(plan.inside, bridge=bridge))

    return dataclasses.replace(order, plan_in=plan_in)


class Unfiltered(DockerEngine):
    """Takes the reverse path filter off the bridge of each network that it makes."""

    def create_network(self, plan: Any) -> None:
        super().create_network(plan)
        path = f"/proc/sys/net/ipv4/conf/{plan.bridge}/rp_filter"
        flags = ("--network=host", "--user=0:0", "--entrypoint=sh", "--cap-add=NET_ADMIN")
        words = ["-c", f"echo 0 > {path}"]
        more = ("--security-opt=systempaths=unconfined",)
        assert self.run_once(hostrule.IMAGE, words, flags=(*flags, *more)).code == 0


@pytest.mark.claim("GATE-1")
class TestTheHostRule:
    """A host that would hear the bottle is a difference.

    The real rule stays meanwhile: other bottles rely on it.
    """

    def test_whose_table_is_missing(self, place: Place) -> None:
        bottles.need()
        with pytest.raises(WallDiffers, match=r"nftables table inet claude_bottle is missing"):
            start_demo(Unruled(), "runc")
        assert questions(place) == []
        assert launcher.remains(DockerEngine(), place) == []

    @pytest.mark.parametrize(
        ("engine", "runtime"),
        [(DockerEngine, "runc"), (Unfiltered, "runc"), (Unfiltered, "runsc")],
    )
    def test_that_does_not_hold_for_the_bridge(
        self, place: Place, engine: type[DockerEngine], runtime: str
    ) -> None:
        bottles.need(runtime)
        lifetime = launcher.unstarted(engine(), place, runtime, change=uncovered)
        with pytest.raises(WallDiffers, match="sockets of the host is udp") as caught, lifetime:
            pytest.fail("it started")
        assert "nftables table" not in str(caught.value)  # the table is there: heard, not read

    def test_that_holds(self, place: Place) -> None:
        bottles.need()
        with launcher.unstarted(Unfiltered(), place) as lifetime:
            pipe: Attached = lifetime.stream(["echo", "it runs"])
            assert pipe.line(5) == "it runs"
