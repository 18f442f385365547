"""Declared: what a start asks for is checked with no engine, and holds no secret's value."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern
from bottle.core.form import digest_of_bytes
from bottle.core.secret import TOKEN
from bottle.errors import BottleError, ManifestError, Unavailable, UsageError
from bottle.session import registries
from bottle.session.declared import EXPOSED, KEPT, Request, declare
from tests.support.starts import add_skill, request

MIRROR = HostPattern.parse("packages.example.com")


def project(state: Path) -> Path:
    """Make the folder that the manifest is said to stand in."""
    folder = state / "project"
    folder.mkdir()
    return folder


class TestRefused:
    @pytest.mark.parametrize(
        ("asked", "failure", "code", "remedy"),
        [
            (lambda p: request(p, agent="defualt"), UsageError, 64, "'default'"),
            (lambda p: request(p, arguments="it's"), UsageError, 64, "quotes"),
            (lambda p: request(p, override="runcs"), UsageError, 64, "'runc'"),
            (lambda p: request(p, override="x"), UsageError, 64, "runc, runsc"),
            (lambda p: request(p, of_agent={"skills": ["one"]}), ManifestError, 65, "manifest"),
        ],
    )
    def test_each_has_its_code_and_remedy(
        self,
        tmp_path: Path,
        asked: Callable[[Path], Request],
        failure: type[BottleError],
        code: int,
        remedy: str,
    ) -> None:
        with pytest.raises(failure) as caught:
            declare(asked(tmp_path))
        assert caught.value.code == code
        assert remedy in caught.value.remedy

    def test_a_missing_skill_is_a_problem_of_the_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError) as caught:
            declare(request(tmp_path, of_agent={"skills": ["one"]}))
        (problem,) = caught.value.problems
        assert problem.path == "agents.default.skills[0]"
        assert caught.value.source == str(tmp_path / "project" / "claude-bottle.json")

    def test_the_command_line_goes_before_the_files(self, tmp_path: Path) -> None:
        """What was mistyped is told before what is missing in a manifest of somebody's."""
        with pytest.raises(UsageError):
            declare(request(tmp_path, override="x", of_agent={"skills": ["one"]}))

    def test_a_client_that_cannot_be_asked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolve(names: Any) -> Any:
            if named := list(names):
                raise Unavailable(f"{named} is missing here")
            return {}

        monkeypatch.setattr(registries, "resolve", resolve)
        egress = {"allowlist": [{"registries": ["npm"]}]}
        with pytest.raises(Unavailable, match="npm"):
            declare(request(tmp_path, egress=egress))
        assert declare(request(tmp_path)).registries == {}


class TestRuntime:
    @pytest.mark.parametrize(
        ("declared", "override", "expected"),
        [
            ("runc", "", "runc"),
            ("runsc", "", "runsc"),
            ("runc", "runsc", "runsc"),
            ("runsc", "runc", "runc"),
            ("runc", "runc", "runc"),
        ],
    )
    def test_the_asked_one_goes_before_the_bottles(
        self, tmp_path: Path, declared: str, override: str, expected: str
    ) -> None:
        asked = request(tmp_path, runtime=declared, override=override)
        assert declare(asked).bottle.runtime == expected
        assert asked.manifest.bottles["default"].runtime == declared


class TestCommand:
    def test_its_words_stand_after_the_manifests(self, tmp_path: Path) -> None:
        asked = request(
            tmp_path, adapter="shell", arguments="-c 'a b'", of_agent={"args": ["--norc"]}
        )
        found = declare(asked)
        assert found.command == ("bash", "--norc", "-c", "a b")
        assert found.given.arguments == ("-c", "a b")

    def test_the_prompt_of_a_file_is_as_one_of_the_manifest(self, tmp_path: Path) -> None:
        (project(tmp_path) / "prompt.md").write_text("be brief")
        of_file = declare(request(tmp_path, of_agent={"prompt": {"file": "prompt.md"}}))
        of_text = declare(request(tmp_path, of_agent={"prompt": "be brief"}))
        assert of_file.command == of_text.command
        assert "be brief" in of_file.command
        assert of_file.agent.prompt == of_file.manifest.agents["default"].prompt == "be brief"


class TestGiven:
    def test_files_are_told_by_their_digests(self, tmp_path: Path) -> None:
        add_skill(tmp_path / "skills")
        (project(tmp_path) / "Dockerfile").write_bytes(b"FROM ${BASE}\n")
        asked = request(tmp_path, of_agent={"skills": ["one"]}, image={"dockerfile": "Dockerfile"})
        found = declare(asked)
        assert found.given.skills == {"one": found.referents.skills[0].digest}
        assert found.given.dockerfile == digest_of_bytes(b"FROM ${BASE}\n")

    def test_without_any_there_are_none(self, tmp_path: Path) -> None:
        given = declare(request(tmp_path, adapter="shell")).given
        assert (given.skills, given.dockerfile, given.secrets, given.arguments) == (
            {},
            "",
            (),
            (),
        )

    @pytest.mark.parametrize(
        ("adapter", "source"),
        [("claude", "the environment"), ("demo", "random, for the demo"), ("shell", "")],
    )
    def test_the_token_stays_in_the_sidecar(
        self, tmp_path: Path, adapter: str, source: str
    ) -> None:
        secrets = declare(request(tmp_path, adapter=adapter)).given.secrets
        expected = [(TOKEN, source, KEPT)] if source else []
        assert [(s.name, s.source, s.kept) for s in secrets] == expected

    def test_secrets_by_name_and_source_and_where_they_will_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINE", "the value")
        before = dict(os.environ)
        env = {
            "B": {"from": "MINE"},
            "A": {"from": "OTHER", "optional": True},
            "PLAIN": "text",
        }
        found = declare(request(tmp_path, adapter="shell", env=env))
        assert [(s.name, s.source, s.kept) for s in found.given.secrets] == [
            ("A", "OTHER of the environment, if it is there", EXPOSED),
            ("B", "MINE of the environment", EXPOSED),
        ]
        assert "the value" not in repr(found)
        assert dict(os.environ) == before

    def test_an_agents_own_variable_goes_before_its_bottles(self, tmp_path: Path) -> None:
        env = {"A": {"from": "MINE"}, "B": "text"}
        own = {"env": {"A": "text", "B": {"from": "OTHER"}}}
        found = declare(request(tmp_path, adapter="shell", env=env, of_agent=own))
        assert [(s.name, s.source) for s in found.given.secrets] == [
            ("B", "OTHER of the environment")
        ]


def test_only_the_named_clients_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(names: Any) -> dict[str, tuple[HostPattern, ...]]:
        asked.extend(names)
        return dict.fromkeys(asked, (MIRROR,))

    monkeypatch.setattr(registries, "resolve", resolve)
    egress = {"allowlist": ["example.com", {"registries": ["pip"]}]}
    assert declare(request(tmp_path, egress=egress)).registries == {"pip": (MIRROR,)}
    assert asked == ["pip"]
