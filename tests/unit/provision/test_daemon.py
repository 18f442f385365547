"""Daemon: what is found, what is installed, and what the engine is started with."""

from __future__ import annotations

import pytest

from bottle.errors import Unavailable
from bottle.provision import daemon
from bottle.provision.daemon import State
from bottle.provision.machine import SYSTEM_PATH
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done

STOPPED = done(
    errors="Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?",
    code=1,
)
DENIED = done(errors="permission denied while trying to connect to the Docker daemon", code=1)
BARE = {"apt-get", "sudo"}
WHOLE = BARE | {"docker", "dockerd"}


def test_a_working_engine_is_found_and_nothing_is_installed() -> None:
    machine = FakeMachine(programs=WHOLE)
    machine.when("docker version", done("28.5.1\n"))
    assert daemon.look(machine) is State.ANSWERS
    daemon.ensure(machine, FakeProgress(), State.ANSWERS)
    assert machine.lines == ["docker version --format {{.Server.Version}}"]


def test_a_stopped_engine() -> None:
    machine = FakeMachine(programs=WHOLE)
    machine.when("docker version", STOPPED)
    assert daemon.look(machine) is State.STOPPED
    assert daemon.changes(machine, State.STOPPED) == ("start the Docker engine",)


def test_no_engine() -> None:
    assert daemon.look(FakeMachine(programs=BARE)) is State.MISSING


def test_no_engine_and_no_apt() -> None:
    with pytest.raises(Unavailable, match="not Debian or Ubuntu"):
        daemon.look(FakeMachine())


def test_macos_installs_nothing() -> None:
    with pytest.raises(Unavailable) as error:
        daemon.look(FakeMachine(system="Darwin", programs={"docker"}))
    assert "Docker Desktop" in error.value.remedy


def test_an_account_without_access_is_told_what_the_group_means() -> None:
    machine = FakeMachine(root=False, programs=WHOLE)
    machine.when("docker version", DENIED)
    with pytest.raises(Unavailable) as error:
        daemon.look(machine)
    assert "equals being root" in error.value.remedy
    assert not any("usermod" in line for line in machine.lines)


@pytest.mark.parametrize("by", ["variable", "context"])
def test_an_engine_elsewhere_is_not_replaced_by_one_here(by: str) -> None:
    where = "tcp://198.51.100.7:2376"
    environment = {"DOCKER_HOST": where} if by == "variable" else {}
    machine = FakeMachine(programs=WHOLE, environment=environment)
    text = f"Cannot connect to the Docker daemon at {where}. Is the docker daemon running?"
    machine.when("docker version", done(errors=text, code=1))
    with pytest.raises(Unavailable, match=r"tcp://198\.51\.100\.7:2376 does not answer"):
        daemon.look(machine)


@pytest.mark.parametrize(("candidate", "client"), [("28.2", True), ("(none)", False)])
def test_the_client_is_installed_where_it_is_a_package_of_its_own(
    candidate: str, client: bool
) -> None:
    machine = FakeMachine(programs=BARE, processes={"dockerd": (7,)})
    machine.when("apt-cache policy docker-cli", done(f"docker-cli:\n  Candidate: {candidate}\n"))
    machine.when("docker version", done("20.10.24"))
    progress = FakeProgress()
    daemon.ensure(machine, progress, State.MISSING)
    install = next(line for line in machine.lines if " install " in line)
    wanted = "install --yes --no-install-recommends docker.io iptables iproute2"
    assert install.endswith(wanted + " docker-cli" * client)
    assert progress.steps[-1] == "start the Docker engine"


def test_without_root_it_goes_through_sudo_and_says_so() -> None:
    machine = FakeMachine(root=False, programs=BARE, environment={"https_proxy": "p"})
    machine.when("docker version", done("20.10.24"))
    assert "through sudo" in daemon.changes(machine, State.MISSING)[0]
    progress = FakeProgress()
    daemon.ensure(machine, progress, State.MISSING)
    install = next(line for line in machine.lines if " install " in line)
    assert install.startswith(
        "sudo --non-interactive --preserve-env=LANG,https_proxy env DEBIAN_FRONTEND="
    )
    assert any("(through sudo)" in step for step in progress.steps)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("/run/systemd/system",), "systemctl start docker"),
        (("/run/initctl", "/etc/init.d/docker"), "service docker start"),
        (("/etc/init.d/docker",), "exec dockerd"),
    ],
)
def test_the_init_system_starts_it_where_one_runs(files: tuple[str, ...], words: str) -> None:
    machine = FakeMachine(programs=WHOLE, files=dict.fromkeys(files, ""))
    machine.when("docker version", done("20.10.24"))
    daemon.start(machine)
    assert words in machine.lines[0]


def test_one_that_is_just_starting_is_awaited_and_not_started_twice() -> None:
    machine = FakeMachine(programs=WHOLE, processes={"dockerd": (7,)})
    machine.when("docker version", STOPPED, STOPPED, done("20.10.24"))
    daemon.start(machine, sleep=lambda _: None)
    assert all("dockerd" not in line for line in machine.lines)


def test_what_the_log_says_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    machine = FakeMachine(programs=WHOLE, files={daemon.LOG: "starting\nno iptables here\n"})
    machine.when("docker version", STOPPED)
    with pytest.raises(Unavailable, match="no iptables here") as error:
        daemon.start(machine, sleep=lambda _: None)
    assert daemon.LOG in error.value.remedy


ENVIRONMENT = {
    "CLAUDE_BOTTLE_OAUTH_TOKEN": "canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "PATH": "/home/somebody/bin",
    "HOME": "/home/somebody",
    "LANG": "de_DE.UTF-8",
    "HTTPS_PROXY": "http://proxy",
    "SSL_CERT_FILE": "/etc/ca.pem",
}


@pytest.mark.parametrize("root", [True, False])
def test_our_own_daemon_knows_nothing_of_the_person(root: bool) -> None:
    machine = FakeMachine(root=root, programs=WHOLE, environment=ENVIRONMENT)
    words, environment = daemon.own_start(machine)
    assert environment == {
        "PATH": SYSTEM_PATH,
        "HOME": "/root",
        "LANG": "de_DE.UTF-8",
        "HTTPS_PROXY": "http://proxy",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }
    assert "setsid" in words
    assert "http://proxy" not in " ".join(words)
    assert (words[0] == "sudo") is not root


def test_a_daemon_out_of_reach_cannot_be_reloaded() -> None:
    with pytest.raises(Unavailable, match="no dockerd"):
        daemon.reload(FakeMachine())
