"""Check: all agents or one, every problem of their files at once, and reports of both kinds."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern
from bottle.core.grade import grade
from bottle.errors import ManifestError, Problem, Unavailable, UsageError
from bottle.session import check, findings, manifests, registries, ssh
from bottle.session.check import Checked
from bottle.session.findings import Severity
from bottle.session.manifests import Found
from tests.support.starts import add_skill

MIRROR = HostPattern.parse("packages.example.com")
AGENTS: Mapping[str, Any] = {
    "one": {"bottle": "web", "adapter": "shell", "skills": ["first"]},
    "two": {"bottle": "base", "prompt": {"file": "prompt.md"}},
}
BOTTLES: Mapping[str, Any] = {
    "base": {"egress": {"allowlist": ["example.com"]}, "limits": {"memory": "2g"}},
    "web": {"extends": "base", "runtime": "runsc", "egress": {"allowlist": ["*.example.org"]}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a manifest's folder where everything is there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / "project"
    place.mkdir()
    (place / "prompt.md").write_text("be brief")
    add_skill(place / "skills", "first")
    return place


def found(
    folder: Path, bottles: Mapping[str, Any] = BOTTLES, agents: Mapping[str, Any] = AGENTS
) -> Found:
    path = folder / "some.json"
    path.write_text(json.dumps({"bottles": bottles, "agents": agents}))
    return manifests.find(str(path), "")


def checked(seen: Found, *agents: str) -> tuple[Checked, ...]:
    return check.check(seen, agents)


def problems(seen: Found, *agents: str) -> list[Problem]:
    with pytest.raises(ManifestError, match=r"some\.json: \d problem") as caught:
        checked(seen, *agents)
    assert caught.value.code == 65
    return list(caught.value.problems)


class TestValid:
    def test_all_agents_by_name(self, folder: Path) -> None:
        assert [one.declared.agent.name for one in checked(found(folder))] == ["one", "two"]

    def test_one_alone(self, folder: Path) -> None:
        assert [one.declared.agent.name for one in checked(found(folder), "two")] == ["two"]

    def test_one_that_is_not_there(self, folder: Path) -> None:
        with pytest.raises(UsageError) as caught:
            checked(found(folder), "oen")
        assert caught.value.code == 64
        assert "'one'" in caught.value.remedy

    def test_hosts_with_where_each_comes_from(self, folder: Path) -> None:
        one, two = checked(found(folder))
        assert [(str(e.pattern), e.source) for e in one.listed] == [
            ("example.com", "bottles.base.egress.allowlist[0]"),
            ("*.example.org", "bottles.web.egress.allowlist[0]"),
        ]
        assert {e.source for e in two.listed if e.built_in} == {"built in for claude"}

    @pytest.mark.parametrize(("value", "told"), [(None, True), ("", True), ("x", False)])
    def test_a_secret_that_is_not_there_is_a_note(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, told: bool
    ) -> None:
        if value is None:
            monkeypatch.delenv("CB_TEST_ONE", raising=False)
        else:
            monkeypatch.setenv("CB_TEST_ONE", value)
        env = {"MINE": {"from": "CB_TEST_ONE"}}
        (one,) = checked(found(folder, {"web": {"env": env}}, {"a": {"bottle": "web"}}))
        assert [f.severity for f in one.findings] == [Severity.WARNING] + [Severity.NOTE] * told

    def test_secrets_are_taken_before_a_client_is_asked(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[bool] = []

        def resolve(names: Iterable[str]) -> dict[str, tuple[HostPattern, ...]]:
            seen.append("CB_TEST_ONE" in os.environ)
            return dict.fromkeys(names, (MIRROR,))

        monkeypatch.setenv("CB_TEST_ONE", "x")
        monkeypatch.setattr(registries, "resolve", resolve)
        env = {"MINE": {"from": "CB_TEST_ONE"}}
        web = {"env": env, "egress": {"allowlist": [{"registries": ["pip"]}]}}
        (one,) = checked(found(folder, {"web": web}, {"a": {"bottle": "web"}}))
        assert seen == [False]
        assert not [f for f in one.findings if "not set" in f.what]

    def test_skills_of_the_person_are_in_their_home(self, folder: Path) -> None:
        (folder / "skills").rename(folder / "gone")
        add_skill(folder.parent / ".claude" / "skills", "first")
        assert checked(found(folder), "one")

    def test_no_agents_are_no_problem(self, folder: Path) -> None:
        seen = found(folder, agents={})
        assert checked(seen) == ()
        assert [text for text, _ in check.lines(seen, ())] == [
            f"{seen.path} is valid: 2 bottles, 0 agents"
        ]


class TestProblems:
    def test_of_several_agents_at_once(self, folder: Path) -> None:
        (folder / "prompt.md").unlink()
        (folder / "skills").rename(folder / "gone")
        seen = found(folder)
        paths = [problem.path for problem in problems(seen)]
        assert paths == ["agents.one.skills[0]", "agents.two.prompt.file"]

    def test_of_one_agent_only_its_own(self, folder: Path) -> None:
        (folder / "prompt.md").unlink()
        assert [p.path for p in problems(found(folder), "two")] == ["agents.two.prompt.file"]
        assert [one.declared.agent.name for one in checked(found(folder), "one")] == ["one"]

    def test_what_bottles_share_is_told_once(self, folder: Path) -> None:
        entry = {"host": "git.example.com", "key": "key", "known_hosts": "known"}
        base = {"ssh": [entry], "image": {"dockerfile": "Dockerfile"}}
        bottles = {"base": base, "web": {"extends": "base"}}
        agents = {name: {"bottle": "web"} for name in ("one", "two")}
        assert sorted(p.path for p in problems(found(folder, bottles, agents))) == [
            "bottles.base.image.dockerfile",
            "bottles.base.ssh[0].key",
            "bottles.base.ssh[0].known_hosts",
        ]

    def test_of_a_bottle_that_no_agent_uses(self, folder: Path) -> None:
        bottles = {**BOTTLES, "more": {"image": {"dockerfile": "Dockerfile"}}}
        seen = found(folder, bottles)
        assert [p.path for p in problems(seen)] == ["bottles.more.image.dockerfile"]
        assert checked(seen, "one")


class TestFindings:
    def test_what_is_not_supported_yet_would_stop_a_start(self, folder: Path) -> None:
        bottles = {"web": {"egress": {"proxy": "pipelock"}}}
        (one,) = checked(found(folder, bottles, {"a": {"bottle": "web"}}))
        (finding,) = one.findings
        assert finding.severity is Severity.ERROR
        assert finding.what.startswith("bottles.web.egress.proxy: ")

    def test_hosts_are_looked_at(self, folder: Path) -> None:
        bottles = {"web": {"egress": {"allowlist": ["example.com:80"]}}}
        (one,) = checked(found(folder, bottles, {"a": {"bottle": "web", "adapter": "shell"}}))
        assert [f.what.split(": ")[0] for f in one.findings] == ["example.com:80"]

    def test_clients_are_asked_and_one_that_is_missing_is_an_error(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolve(names: Iterable[str]) -> dict[str, tuple[HostPattern, ...]]:
            (name,) = names
            if name == "npm":
                raise Unavailable("npm is missing here", "install npm")
            return {name: (MIRROR,)}

        monkeypatch.setattr(registries, "resolve", resolve)
        bottles = {"web": {"egress": {"allowlist": [{"registries": ["npm", "pip"]}]}}}
        (one,) = checked(found(folder, bottles, {"a": {"bottle": "web", "adapter": "shell"}}))
        assert [(str(e.pattern), e.client) for e in one.listed] == [(str(MIRROR), "pip")]
        (finding,) = one.findings
        assert finding.severity is Severity.ERROR
        assert finding.what == "registries: npm is missing here"
        assert finding.remedy == "install npm"

    def test_each_client_is_asked_once_and_its_trouble_is_told_to_each_who_names_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def resolve(names: Iterable[str]) -> dict[str, tuple[HostPattern, ...]]:
            (name,) = names
            asked.append(name)
            if name == "npm":
                raise Unavailable("npm is missing here", "install npm")
            return {name: (MIRROR,)}

        monkeypatch.setattr(registries, "resolve", resolve)
        both: Mapping[str, Any] = {"egress": {"allowlist": [{"registries": ["npm", "pip"]}]}}
        pip: Mapping[str, Any] = {"egress": {"allowlist": [{"registries": ["pip"]}]}}
        bottles = {"both": both, "pip": pip}
        agents = {
            name: {"bottle": bottle, "adapter": "shell"}
            for name, bottle in (("a", "both"), ("b", "pip"), ("c", "both"))
        }
        one, two, three = checked(found(folder, bottles, agents))
        assert sorted(asked) == ["npm", "pip"]
        assert [len(c.findings) for c in (one, two, three)] == [1, 0, 1]
        assert one.listed == three.listed

    def test_those_of_a_preflight_are_told_before_it(self, folder: Path) -> None:
        (folder / "Dockerfile").write_text("FROM ${BASE}\n")
        web = {"image": {"dockerfile": "Dockerfile"}, "env": {"SOME_KEY": "text of a secret"}}
        agents = {"a": {"bottle": "web", "adapter": "shell", "prompt": "be brief"}}
        (one,) = checked(found(folder, {"web": web}, agents))
        assert {(f.severity, f.what.split(":")[0]) for f in one.findings} == {
            (Severity.WARNING, "SOME_KEY"),
            (Severity.WARNING, "Dockerfile"),
            (Severity.NOTE, "the prompt is not used"),
        }


class TestReports:
    def test_as_json(self, folder: Path) -> None:
        seen = found(folder)
        values = json.loads(json.dumps(check.as_values(seen, checked(seen))))
        assert set(values) == {"manifest", "valid", "problems", "agents"}
        assert (values["manifest"], values["valid"]) == (str(seen.path), True)
        assert values["problems"] == []
        assert set(values["agents"]) == {"one", "two"}
        one = values["agents"]["one"]
        assert one == {
            "bottle": "web",
            "adapter": "shell",
            "runtime": "runsc",
            "startable": True,
            "allowlist": [
                {
                    "host": "example.com",
                    "source": "bottles.base.egress.allowlist[0]",
                    "grade": "unknown",
                },
                {
                    "host": "*.example.org",
                    "source": "bottles.web.egress.allowlist[0]",
                    "grade": "unknown",
                },
            ],
            "settings": [
                {"name": "runtime", "value": "runsc", "source": "bottles.web.runtime"},
                {
                    "name": "limits.memory",
                    "value": "2048 MiB",
                    "source": "bottles.base.limits.memory",
                },
                {
                    "name": "skill",
                    "value": f"first from {folder / 'skills'}",
                    "source": "agents.one.skills",
                },
            ],
            "findings": [],
        }

    def test_one_that_cannot_be_started_is_told_to_be_none(self, folder: Path) -> None:
        bottles = {"web": {}, "later": {"egress": {"proxy": "pipelock"}}}
        agents = {name: {"bottle": name, "adapter": "shell"} for name in bottles}
        seen = found(folder, bottles, agents)
        both = checked(seen)
        values = check.as_values(seen, both)["agents"]
        assert {name: values[name]["startable"] for name in values} == {
            "later": False,
            "web": True,
        }
        texts = [text for text, _ in check.lines(seen, both)]
        assert "later: shell in later, runc, and cannot be started yet" in texts
        assert "web: shell in web, runc" in texts

    def test_hosts_with_their_grades(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A registry's host can be published to, however it came to be listed."""
        monkeypatch.setattr(registries, "resolve", lambda names: dict.fromkeys(names, (MIRROR,)))
        listed = ["github.com", "example.com", "*.example.com", {"registries": ["pip"]}]
        web = {"egress": {"allowlist": listed}}
        seen = found(folder, {"web": web}, {"a": {"bottle": "web", "adapter": "shell"}})
        done = checked(seen)
        grades = {
            e["host"]: e["grade"] for e in check.as_values(seen, done)["agents"]["a"]["allowlist"]
        }
        assert grades == {
            "example.com": "unknown",
            "*.example.com": str(grade(MIRROR, registry="pip").grade),
            "github.com": str(grade(HostPattern.parse("github.com")).grade),
            "packages.example.com": str(grade(MIRROR, registry="pip").grade),
        }
        assert len(set(grades.values())) > 1
        texts = [text.split()[:2] for text, _ in check.lines(seen, done)]
        assert all([host, grades[host]] in texts for host in grades)

    def test_settings_with_what_they_are_and_where_each_was_said(self, folder: Path) -> None:
        base = {
            "limits": {"cpus": 1.5, "pids": 2048, "tmp": "64m"},
            "image": {"packages": ["jq"]},
            "env": {"SHARED": "of the bottle", "MINE": {"from": "CB_TEST_ONE"}},
        }
        web = {"extends": "base", "image": {"packages": ["make"]}, "env": {"SOME_KEY": "x" * 20}}
        own = {"SHARED": "of the agent", "LONG": "y" * 61}
        agents = {"a": {"bottle": "web", "adapter": "shell", "env": own}}
        (one,) = checked(found(folder, {"base": base, "web": web}, agents))
        assert set(one.settings) == {
            ("limits.cpus", "1.5", "bottles.base.limits.cpus"),
            ("limits.pids", "2048", "bottles.base.limits.pids"),
            ("limits.tmp", "64 MiB", "bottles.base.limits.tmp"),
            (
                "image.packages",
                "jq make",
                "bottles.base.image.packages[0], bottles.web.image.packages[0]",
            ),
            ("env.MINE", "from CB_TEST_ONE", "bottles.base.env.MINE"),
            ("env.SHARED", "of the agent", "agents.a.env.SHARED"),
            ("env.SOME_KEY", "(20 characters)", "bottles.web.env.SOME_KEY"),
            ("env.LONG", "y" * 60 + "… (61 characters)", "agents.a.env.LONG"),
        }

    def test_hosts_of_ssh_are_settings_too(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ssh, "check", lambda *_: None)  # its files are of no interest here
        entry = {"host": "git.example.com", "key": "key", "known_hosts": "known"}
        (one,) = checked(found(folder, {"web": {"ssh": [entry]}}, {"a": {"bottle": "web"}}))
        text = "git@git.example.com with key, known by known: everything there"
        assert one.settings == (("ssh", text, "bottles.web.ssh[0]"),)

    def test_findings_as_json(self, folder: Path) -> None:
        bottles = {"web": {"egress": {"allowlist": ["example.com:80"]}}}
        seen = found(folder, bottles, {"a": {"bottle": "web", "adapter": "shell"}})
        values = json.loads(json.dumps(check.as_values(seen, checked(seen))))
        (finding,) = values["agents"]["a"]["findings"]
        assert set(finding) == {"severity", "what", "remedy"}
        assert finding["severity"] == "warning"

    def test_as_text(self, folder: Path) -> None:
        seen = found(folder)
        texts = [text for text, _ in check.lines(seen, checked(seen, "one"))]
        assert texts[0] == f"{seen.path} is valid: 2 bottles, 1 agent"
        assert "one: shell in web, runsc" in texts
        told = [text.split() for text in texts[3:]]
        assert ["example.com", "unknown", "bottles.base.egress.allowlist[0]"] in told
        assert "  limits.memory = 2048 MiB  (bottles.base.limits.memory)" in texts
        assert "  runtime = runsc  (bottles.web.runtime)" in texts

    def test_findings_as_text_with_what_to_do(self, folder: Path) -> None:
        bottles = {"web": {"egress": {"proxy": "pipelock"}}}
        seen = found(folder, bottles, {"a": {"bottle": "web"}})
        *_, (text, style) = check.lines(seen, checked(seen))
        assert text.startswith("  error: bottles.web.egress.proxy: ")
        assert "; take it out" in text
        assert style == findings.ALARMING[Severity.ERROR]
        assert "red" in style

    def test_without_a_remedy_nothing_dangles(self, folder: Path) -> None:
        bottles = {"web": {"egress": {"allowlist": ["example.com:80"]}}}
        seen = found(folder, bottles, {"a": {"bottle": "web", "adapter": "shell"}})
        (one,) = checked(seen)
        (finding,) = one.findings
        bare = dataclasses.replace(finding, remedy="")
        *_, (text, _) = check.lines(seen, (dataclasses.replace(one, findings=(bare,)),))
        assert text == f"  warning: {finding.what}"
