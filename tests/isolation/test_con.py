"""Consent: nothing is made that nobody agreed to, and a named secret goes into its bottle alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from bottle.provision import extra
from tests.support import bottles, launcher
from tests.support.hunt import hunting
from tests.support.launcher import Place, processes_of, remains

SAID: Final = "echo here"


def declare(folder: Path, *, allowlist: tuple[str, ...] = (), **bottle: Any) -> None:
    """Write the folder's own manifest: a shell that says something."""
    declared = {"egress": {"allowlist": list(allowlist)}, **bottle}
    agent = {"bottle": "default", "adapter": "shell", "args": ["-c", SAID]}
    values = {"bottles": {"default": declared}, "agents": {"default": agent}}
    (folder / "claude-bottle.json").write_text(json.dumps(values))


def begun(place: Place, done: subprocess.CompletedProcess[str]) -> bool:
    """Say whether a start made anything; what it said and what the engine has must agree."""
    ran = "here" in done.stdout.splitlines()
    assert ran == bool(place.sessions())
    assert remains(bottles.need(), place) == []
    return ran


@pytest.mark.claim("CON-1")
class TestNothingIsMadeThatNobodyAgreedTo:
    """Each refusal stands beside the same start with the word that agrees to it."""

    def test_a_manifest_that_is_new_here(self, tmp_path: Path) -> None:
        bottles.need()
        place = Place(folder=tmp_path)
        declare(tmp_path)
        refused = place.invoke("start", "--yes")
        assert (refused.returncode, begun(place, refused)) == (64, False)
        assert "--accept-new" in refused.stderr
        agreed = place.invoke("start", "--yes", "--accept-new")
        assert (agreed.returncode, begun(place, agreed)) == (0, True)

    def test_nobody_to_ask(self, tmp_path: Path) -> None:
        bottles.need()
        place = Place(folder=tmp_path)
        declare(tmp_path)
        refused = place.invoke("start")
        assert (refused.returncode, begun(place, refused)) == (64, False)
        assert "--yes" in refused.stderr

    @pytest.mark.parametrize(
        "more",
        [
            {"allowlist": ("example.com",)},
            {"limits": {"memory": "5g"}},
            {"image": {"packages": []}},
        ],
        ids=["a host", "memory", "nothing"],
    )
    def test_more_than_was_agreed_to(self, tmp_path: Path, more: dict[str, Any]) -> None:
        bottles.need()
        place = Place(folder=tmp_path)
        declare(tmp_path)
        assert place.invoke("start", "--yes", "--accept-new").returncode == 0
        before = place.sessions()
        declare(tmp_path, **more)
        again = place.invoke("start", "--yes")
        if "image" in more:  # the control: no package is no more
            assert (again.returncode, place.sessions() > before) == (0, True)
            return
        assert (again.returncode, place.sessions()) == (64, before)
        assert "--accept-changes" in again.stderr
        assert place.invoke("start", "--yes", "--accept-changes").returncode == 0
        assert place.sessions() > before

    def test_what_is_not_supported_yet_is_not_left_out(self, tmp_path: Path) -> None:
        bottles.need()
        place = Place(folder=tmp_path)
        declare(tmp_path, egress={"budget": {"example.com": "1m"}})
        refused = place.invoke("start", "--yes", "--accept-new")
        assert (refused.returncode, begun(place, refused)) == (69, False)
        assert "bottles.default.egress.budget" in refused.stderr

    def test_a_dockerfile_has_a_yes_of_its_own(self, tmp_path: Path) -> None:
        engine = bottles.need()
        place = Place(folder=tmp_path)
        (tmp_path / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nRUN : {tmp_path}\n")
        declare(tmp_path, image={"dockerfile": "Dockerfile"})
        before = engine.tagged(extra.LABEL)
        refused = place.invoke("start", "--yes")
        assert (refused.returncode, begun(place, refused)) == (64, False)
        assert "--accept-new --accept-dockerfile" in refused.stderr
        refused = place.invoke("start", "--yes", "--accept-new")
        assert (refused.returncode, begun(place, refused)) == (64, False)
        assert "--accept-dockerfile" in refused.stderr
        assert engine.tagged(extra.LABEL) == before
        try:
            agreed = place.invoke(
                "start", "--yes", "--accept-new", "--accept-dockerfile", seconds=180
            )
            assert (agreed.returncode, begun(place, agreed)) == (0, True)
        finally:
            for name in set(engine.tagged(extra.LABEL)) - set(before):
                engine.remove_image(name)


@pytest.mark.claim("SEC-3")
@pytest.mark.parametrize("runtime", bottles.RUNTIMES)
class TestANamedSecretGoesIntoItsBottleAlone:
    """The look that finds a decoy everywhere finds the secret in its bottle, and nowhere after."""

    def test_through_the_real_launcher(self, runtime: str, tmp_path: Path) -> None:
        engine = bottles.need(runtime)
        place = Place(folder=tmp_path)
        declare(tmp_path, runtime=runtime, env={"INNER": {"from": "OUTER"}})
        words = ("-c", "printf %s $INNER | sha256sum; exec sleep 60")
        manifest = json.loads((tmp_path / "claude-bottle.json").read_text())
        manifest["agents"]["default"]["args"] = words
        (tmp_path / "claude-bottle.json").write_text(json.dumps(manifest))
        with hunting(engine, tmp_path) as hunt:
            given = {"OUTER": hunt.token}
            with launcher.start(place, "--accept-new", environment=given) as running:
                running.wait_said(hashlib.sha256(hunt.token.encode()).hexdigest())
                name = f"cb-{running.session}-agent"
                during = hunt.look(name)
                inside = processes_of([str(engine.inspect_container(name)["Id"])])
            after = hunt.look()
        hunt.require_found(during, after)
        kinds = [where.split(":") for where in during["token"]]
        # the kernel goes on showing what the launcher was started with; inside, the agent has it
        assert {int(pid) for kind, pid, *_ in kinds if kind == "environ"} <= inside | {running.pid}
        assert {kind for kind, *_ in kinds} <= {"environ", "memory"}
        assert after["token"] == []
        assert hunt.token not in running.told()
        for record in (place.state / "consents").iterdir():
            assert hunt.token not in record.read_text()
