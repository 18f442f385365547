"""DockerEngine's own part: the words it gives to the docker command, and what it makes of answers.

A shell script stands where the command would; whether Docker does what the words say is judged in
tests/integration and tests/isolation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bottle.engine.docker import DockerEngine
from bottle.engine.port import Labelled, SubnetTaken
from bottle.errors import BottleError, TimeLimit, Unavailable
from tests.support.plans import plan

Scripted = Callable[[str], DockerEngine]
PLAN = plan()


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[list[str]]]:
    """Give what the command was called with, call by call."""

    def read() -> list[list[str]]:
        text = (tmp_path / "calls").read_text()
        return [call.split("\0") for call in text.split("\0\n") if call]

    return read


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    """Give an engine whose docker command notes its words and then runs a script."""

    def make(script: str) -> DockerEngine:
        command = tmp_path / "docker"
        note = f'printf "%s\\0" "$@" >>{tmp_path}/calls; echo >>{tmp_path}/calls'
        command.write_text(f"#!/bin/sh\n{note}\n{script}\n")
        command.chmod(0o755)
        engine = DockerEngine()
        vars(engine)["_docker"] = (str(command),)
        return engine

    return make


def test_a_network_is_created_as_planned(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    scripted("exit 0").create_network(PLAN.inside)
    ((*words, name),) = calls()
    assert words[:2] == ["network", "create"]
    assert "--internal" in words
    assert name == PLAN.inside.name


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        ("Pool overlaps with other one on this address space", SubnetTaken),
        (
            "cannot create network: conflicts with network: networks have overlapping IPv4",
            SubnetTaken,
        ),
        ("failed to allocate gateway: Address already in use", Unavailable),
        ("something else", Unavailable),
        ("Cannot connect to the Docker daemon at unix:///x. Is it running?", Unavailable),
    ],
)
def test_only_a_taken_subnet_is_tried_elsewhere(
    scripted: Scripted, message: str, failure: type[Exception]
) -> None:
    with pytest.raises(failure) as caught:
        scripted(f"echo 'Error response from daemon: {message}' >&2; exit 1").create_network(
            PLAN.inside
        )
    assert isinstance(caught.value, failure)


def test_a_container_joins_its_further_networks_before_it_starts(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    scripted("exit 0").create_container(PLAN.sidecar)
    create, connect = calls()
    assert create[0] == "create"
    assert f"--network={PLAN.outside.name}" in create
    assert connect == [
        "network",
        "connect",
        "--ip=10.231.0.226",
        PLAN.inside.name,
        PLAN.sidecar.name,
    ]


@pytest.mark.parametrize(
    ("message", "start"),
    [
        ("Cannot connect to the Docker daemon at unix:///x", "the Docker engine does not answer"),
        ("permission denied while trying to connect", "the Docker engine does not answer"),
        (
            "failed to connect to the docker API at unix:///x; check if the path is correct",
            "the Docker engine does not answer",
        ),
        ("No such image: x", "docker create failed: No such image: x"),
    ],
)
def test_a_failure_says_what_docker_said(scripted: Scripted, message: str, start: str) -> None:
    with pytest.raises(Unavailable) as caught:
        scripted(f"echo '{message}' >&2; exit 1").create_container(PLAN.keeper)
    assert caught.value.happened.startswith(start)
    assert message in caught.value.happened


def test_stdin_reaches_the_command_and_its_streams_come_back(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    engine = scripted("cat; echo oops >&2; exit 7")
    done = engine.execute("c", ["a", "b c"], user="5:5", stdin=b"in", seconds=5)
    assert (done.code, done.output, done.errors) == (7, b"in", b"oops\n")
    assert calls() == [["exec", "--interactive", "--user=5:5", "c", "a", "b c"]]


def test_a_one_shot_container_is_never_pulled_nor_kept(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    scripted("exit 0").run_once("image", ["x"], flags=["--network=none"])
    (words,) = calls()
    assert words[0] == "run"
    assert {"--rm", "--pull=never", "--log-driver=none"} <= set(words)
    assert words[-3:] == ["--network=none", "image", "x"]


def test_a_slow_command_is_a_time_limit(scripted: Scripted) -> None:
    with pytest.raises(TimeLimit, match=r"docker run took longer than 0\.1 s"):
        scripted("exec sleep 5").run_once("image", ["x"], flags=[], seconds=0.1)


def test_a_signal_to_our_group_does_not_reach_the_command(scripted: Scripted) -> None:
    done = scripted("cut -d' ' -f6 /proc/$$/stat").run_once("image", ["x"], flags=[])
    assert done.code == 0
    assert int(done.output) != os.getsid(0)


def test_the_agents_exit_code_passes_through(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    engine = scripted("exit 42")
    environment = {"TERM": "xterm"}
    for terminal in (True, False):
        code = engine.interact(
            "c",
            ["x"],
            user="5:5",
            terminal=terminal,
            environment=environment,
            meanwhile=lambda: None,
        )
        assert code == 42
    with_terminal, without = calls()
    assert "--tty" in with_terminal
    assert "--tty" not in without
    assert "--env=TERM=xterm" in without
    assert without[-2:] == ["c", "x"]


def test_labelled_things_are_told_apart(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    listing = """case "$1 $2" in
      ps*) printf 'c1\\tabc\\towner\\nc2\\tdef\\t\\n';;
      network*) printf 'n1\\tabc\\towner\\n';;
    esac"""
    assert scripted(listing).labelled("abc") == (
        Labelled(kind="container", name="c1", session="abc", owner="owner"),
        Labelled(kind="container", name="c2", session="def", owner=""),
        Labelled(kind="network", name="n1", session="abc", owner="owner"),
    )
    assert all("label=claude-bottle=abc" in call for call in calls())
    assert "--all" in calls()[0]


def test_removing_takes_containers_first_and_asks_nothing_for_nothing(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    engine = scripted("exit 1")  # what is not there is no error
    engine.remove(["a", "b"], ["n"])
    engine.remove([], [], ["v"])
    assert calls() == [
        ["rm", "--force", "--volumes", "a", "b"],
        ["network", "rm", "n"],
        ["volume", "rm", "v"],
    ]


def test_subnets_of_all_networks(scripted: Scripted) -> None:
    networks = [
        {"IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}, {"Subnet": "fd00::/64"}]}},
        {"IPAM": {"Config": None}},
        {"IPAM": {"Config": [{}]}},
    ]
    script = f"[ $2 = ls ] && echo 'a b' || cat <<'E'\n{json.dumps(networks)}\nE"
    assert scripted(script).subnets() == ("10.0.0.0/24", "fd00::/64")


def test_a_network_that_went_meanwhile_has_no_subnet(scripted: Scripted) -> None:
    network = json.dumps([{"IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}}])
    gone = "echo 'Error response from daemon: network b not found' >&2; exit 1"
    script = f"[ $2 = ls ] && echo 'a b' && exit; echo '{network}'; {gone}"
    assert scripted(script).subnets() == ("10.0.0.0/24",)


def test_inspecting_gives_the_whole_report(scripted: Scripted) -> None:
    engine = scripted("""echo '[{"Name": "x", "More": [1]}]'""")
    assert engine.inspect_container("x") == {"Name": "x", "More": [1]}
    assert engine.inspect_network("x") == {"Name": "x", "More": [1]}


def test_pulling_gives_the_digest(scripted: Scripted) -> None:
    engine = scripted("""[ $1 = pull ] || echo '["debian@sha256:1"]'""")
    assert engine.pull("debian", 5) == "debian@sha256:1"


def test_an_image_tells_its_layers_and_its_configuration(scripted: Scripted) -> None:
    config = {"Labels": {"a": "b"}, "Volumes": {"/x": {}}, "OnBuild": None, "Env": ["A=b"]}
    report = {"Id": "sha256:1", "Config": config, "RootFS": {"Layers": ["sha256:2", "sha256:3"]}}
    image = scripted(f"cat <<'E'\n{json.dumps([report])}\nE").image("x")
    assert image is not None
    assert image.layers == ("sha256:2", "sha256:3")
    assert image.config == config


@pytest.mark.parametrize("report", [{}, {"RootFS": None}, {"RootFS": {"Layers": None}}])
def test_an_image_may_tell_of_no_layers(scripted: Scripted, report: dict[str, object]) -> None:
    text = json.dumps([{"Id": "sha256:1", "Config": None, **report}])
    image = scripted(f"cat <<'E'\n{text}\nE").image("x")
    assert image is not None
    assert (image.layers, image.config) == ((), {})


def test_an_image_is_read_from_a_pipe(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    with scripted("printf archive; echo remark >&2").saved("x") as stream:
        assert stream.read(4) == b"arch"
    assert calls() == [["save", "x"]]


def test_an_archive_that_is_not_whole_is_no_archive(scripted: Scripted) -> None:
    def read() -> None:
        with scripted("printf arch; echo 'No such image: x' >&2; exit 1").saved("x") as stream:
            assert stream.read() == b"arch"

    with pytest.raises(Unavailable, match="docker save failed: No such image: x"):
        read()


def test_who_leaves_early_leaves_nothing_behind(scripted: Scripted, tmp_path: Path) -> None:
    script = f"echo $$ >{tmp_path}/pid; exec cat /dev/zero"

    def read() -> None:
        with scripted(script).saved("x") as stream:
            assert stream.read(1) == b"\0"
            raise LookupError

    with pytest.raises(LookupError):
        read()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_images_are_found_by_their_label(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    engine = scripted("printf 'a:1\\nb/c:2\\n<none>:<none>\\n'")
    assert engine.tagged("x=y") == ("a:1", "b/c:2")
    assert "--filter=label=x=y" in calls()[0]


def test_an_image_that_is_in_use_stays(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    scripted("echo conflict >&2; exit 1").remove_image("x:1")
    assert calls() == [["image", "rm", "x:1"]]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what puts a docker command on the path that notes its words: it has no buildx."""

    def make(script: str) -> None:
        command = tmp_path / "docker"
        note = f'printf "%s\\0" "$@" >>{tmp_path}/calls; echo >>{tmp_path}/calls'
        known = 'case $1 in buildx) exit;; image) echo \'[{"Id": "sha256:1"}]\'; exit;; esac'
        command.write_text(f"#!/bin/sh\n{note}\n{known}\n{script}\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return make


def test_a_build_reaches_the_network_only_when_it_is_said(
    docker: Callable[[str], None], calls: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    docker("exit 0")
    engine, given = DockerEngine(), {"BASE": "b:1"}
    engine.build(tmp_path, "x:1", arguments=given, labels={"l": "1"}, fresh=False)
    engine.build(tmp_path, "x:1", arguments={}, labels={}, fresh=True, network=True)
    alone, connected = (set(call) for call in calls() if call[0] == "build")
    always = {"build", "--quiet", "--force-rm", "--tag=x:1", str(tmp_path)}
    assert alone == always | {"--network=none", "--build-arg=BASE=b:1", "--label=l=1"}
    assert connected == always | {"--network=default", "--no-cache"}


@pytest.mark.parametrize(("network", "remedy"), [(False, "--no-cache"), (True, "its Dockerfile")])
def test_a_build_that_fails_tells_its_last_lines(
    docker: Callable[[str], None], tmp_path: Path, network: bool, remedy: str
) -> None:
    docker("printf 'Step 1\\nStep 2\\ncurl: no route\\nreturned a non-zero code: 7\\n' >&2; exit 1")
    with pytest.raises(Unavailable, match="curl: no route returned a non-zero code: 7") as error:
        DockerEngine().build(tmp_path, "x:1", arguments={}, labels={}, fresh=False, network=network)
    assert remedy in error.value.remedy


def test_an_attached_container_is_started_on_our_pipe(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    pipe = scripted("cat").start("c")
    pipe.send(b"line\n")
    assert pipe.line(5) == "line"
    pipe.end()
    assert calls() == [["start", "--attach", "--interactive", "c"]]


def test_an_agent_that_speaks_in_lines_has_nothing_to_read(
    scripted: Scripted, calls: Callable[[], list[list[str]]]
) -> None:
    pipe = scripted("echo line; exit 3").stream("c", ["x", "y z"], user="5:5")
    assert (pipe.line(5), pipe.line(5)) == ("line", None)
    assert pipe.wait(5) == 3
    pipe.end()
    assert calls() == [["exec", "--user=5:5", "c", "x", "y z"]]


def test_without_a_docker_command_the_remedy_is_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    operations: list[Callable[[DockerEngine], object]] = [
        lambda engine: engine.facts(),
        lambda engine: engine.image("x"),
        lambda engine: engine.subnets(),
        lambda engine: engine.labelled(),
        lambda engine: engine.start("x"),
    ]
    for operation in operations:
        with pytest.raises(BottleError) as caught:
            operation(DockerEngine())
        assert caught.value.code == 69
        assert "./setup" in caught.value.remedy
