"""Base: pulled where it can be, else bootstrapped in one run that also downloads packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from bottle.engine.port import Engine
from bottle.errors import TimeLimit, Unavailable
from bottle.provision import base
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done


class Offline:
    """An engine that reaches no registry."""

    def pull(self, *_: Any) -> str:
        raise TimeLimit("docker pull took longer than 20 s")


def test_one_run_makes_the_base_and_downloads_everything() -> None:
    words = base.bootstrap_command(Path("/room/base.tar"), Path("/room/out"))
    hooks = [word for word in words if word.startswith("--customize-hook=")]
    assert words[0] == "mmdebstrap"
    assert words[-2:] == ("trixie", "/room/base.tar")
    assert "--download-only" in hooks[0]
    assert hooks[1] == "--customize-hook=copy-out /debs /room/out"
    assert "sources.list" in hooks[2]


@pytest.mark.parametrize("root", [True, False])
def test_what_bootstrapping_needs_is_installed_first(root: bool) -> None:
    machine = FakeMachine(root=root, programs={"apt-get", "sudo"})
    machine.when("mmdebstrap --variant", done(errors="no mirror answers", code=1))
    progress = FakeProgress()
    with pytest.raises(Unavailable, match="no mirror answers"):
        base.renew(cast("Engine", Offline()), machine, progress, install=True)
    install = next(line for line in machine.lines if " install " in line)
    wanted = "--no-install-recommends mmdebstrap debian-archive-keyring"
    assert install.endswith(wanted + " uidmap" * (not root))


def test_nothing_is_installed_that_was_not_announced() -> None:
    machine = FakeMachine(root=False, programs={"apt-get", "sudo", "mmdebstrap"})
    with pytest.raises(Unavailable, match="debian-archive-keyring uidmap: missing") as error:
        base.renew(cast("Engine", Offline()), machine, FakeProgress())
    assert (error.value.code, machine.ran) == (69, [])
    assert "run ./setup" in error.value.remedy


def test_without_apt_the_pull_must_work() -> None:
    with pytest.raises(Unavailable, match="could not be pulled") as error:
        base.renew(cast("Engine", Offline()), FakeMachine(system="Darwin"), FakeProgress())
    assert "registry" in error.value.remedy
