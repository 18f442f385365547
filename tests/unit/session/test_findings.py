"""Findings: what a person should know, how much it matters, and that an error stops."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern
from bottle.core.manifest import Ssh
from bottle.core.plan import Listed
from bottle.session import findings, ssh
from bottle.session.declared import declare
from bottle.session.findings import Finding, NotStartable, Severity
from tests.support.fake_engine import FACTS
from tests.support.starts import request

ERROR = Finding(severity=Severity.ERROR, what="an error", remedy="correct it")
OTHER = Finding(severity=Severity.ERROR, what="another error", remedy="leave it out")
WARNING = Finding(severity=Severity.WARNING, what="a warning")
NOTE = Finding(severity=Severity.NOTE, what="a note")


def declaration(state: Path, **asked: Any) -> list[Finding]:
    return list(findings.of_declaration(declare(request(state, **asked))))


def errors(found: list[Finding]) -> list[str]:
    """Give what the errors say; each says what to do too."""
    wrong = [finding for finding in found if finding.severity is Severity.ERROR]
    assert all(finding.remedy for finding in wrong)
    return [finding.what for finding in wrong]


LATER: dict[str, dict[str, Any]] = {
    "bottles.default.env.A.for": {"env": {"A": {"from": "MINE", "for": ["example.com"]}}},
    "bottles.default.egress.inspect": {"egress": {"inspect": {"example.com": "splice"}}},
    "bottles.default.egress.upstream_ca": {"egress": {"upstream_ca": "ca.pem"}},
    "bottles.default.egress.dlp": {"egress": {"dlp": {}}},
    "bottles.default.egress.budget": {"egress": {"budget": {}}},
    "bottles.default.egress.proxy": {"egress": {"proxy": "pipelock"}},
    "agents.default.env.A.for": {
        "of_agent": {"env": {"A": {"from": "MINE", "for": ["example.com"]}}}
    },
}


class TestNotYet:
    @pytest.mark.parametrize("path", LATER)
    def test_what_is_not_supported_yet_is_an_error_that_names_it(
        self, tmp_path: Path, path: str
    ) -> None:
        (what,) = errors(declaration(tmp_path, adapter="shell", **LATER[path]))
        assert what.startswith(f"{path}: ")
        assert errors(declaration(tmp_path, adapter="shell")) == []

    def test_ssh_is_one_of_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssh, "check", lambda *_: None)  # its files are of no interest here
        more = {"repositories": ["a/b"], "access": "read"}
        entry = {"host": "git.example.com", "key": "key", "known_hosts": "known", **more}
        found = errors(declaration(tmp_path, adapter="shell", ssh=[entry]))
        assert found
        assert all(what.startswith("bottles.default.ssh[0]") for what in found)


class TestSecrets:
    def test_one_that_the_agent_can_read_is_warned_of(self, tmp_path: Path) -> None:
        env = {"MINE": {"from": "HOST_NAME"}, "PLAIN": "text"}
        (finding,) = declaration(tmp_path, adapter="shell", env=env)
        assert finding.severity is Severity.WARNING
        assert finding.what.startswith("MINE: the agent can read")

    def test_the_token_it_cannot_read_is_not(self, tmp_path: Path) -> None:
        assert declaration(tmp_path) == []


class TestEnvironment:
    ENV: Mapping[str, Any] = {
        "A": {"from": "ONE"},
        "B": {"from": "TWO", "optional": True},
        "C": "text",
    }

    @pytest.mark.parametrize(
        ("names", "told"), [((), ["A: ONE"]), (("TWO",), ["A: ONE"]), (("ONE",), [])]
    )
    def test_a_secret_that_is_missing_is_a_note(
        self, tmp_path: Path, names: tuple[str, ...], told: list[str]
    ) -> None:
        declared = declare(request(tmp_path, adapter="shell", env=self.ENV))
        found = list(findings.of_environment(declared, names))
        assert [finding.what.split(" is ")[0] for finding in found] == told
        assert {finding.severity for finding in found} <= {Severity.NOTE}


def test_a_dockerfile_that_is_to_be_built_has_no_walls() -> None:
    (finding,) = findings.of_build("image/Dockerfile")
    assert finding.severity is Severity.WARNING
    assert finding.what == "image/Dockerfile: what its RUN does has no walls"
    assert finding.remedy
    assert list(findings.of_build("")) == []


class TestPlainTexts:
    """What looks like a secret should not stand in a manifest."""

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("API_KEY", "x" * 8, True),
            ("api_token", "correct horse", True),
            ("PLAIN", "ghp_" + "x" * 8, True),
            ("PLAIN", "-----BEGIN " + "X", True),
            ("API_KEY", "x" * 7, False),
            ("API_KEY", "", False),
            ("KEYBOARD", "de-latin1", False),
            ("PLAIN", "text of no interest", False),
        ],
    )
    @pytest.mark.parametrize("of", ["bottle", "agent"])
    def test_one_that_looks_like_a_secret_is_warned_of(
        self, tmp_path: Path, of: str, name: str, text: str, told: bool
    ) -> None:
        env = {name: text}
        asked: dict[str, Any] = {"env": env} if of == "bottle" else {"of_agent": {"env": env}}
        found = declaration(tmp_path, adapter="shell", **asked)
        assert [f.severity for f in found] == [Severity.WARNING] * told
        assert all(f.what.startswith(f"{name}: it looks like a secret") for f in found)
        assert all(f.remedy == f'write {name}: {{from: "{name}"}}, and export it' for f in found)
        assert text == "" or text not in repr(found)

    def test_one_that_comes_from_the_environment_is_not(self, tmp_path: Path) -> None:
        env = {"API_KEY": {"from": "API_KEY"}}
        found = declaration(tmp_path, adapter="shell", env=env)
        assert [f.what.startswith("API_KEY: the agent can read") for f in found] == [True]


class TestPrompt:
    @pytest.mark.parametrize(
        ("adapter", "prompt", "told"),
        [("shell", "be brief", True), ("shell", "", False), ("claude", "be brief", False)],
    )
    def test_one_that_no_model_reads_is_a_note(
        self, tmp_path: Path, adapter: str, prompt: str, told: bool
    ) -> None:
        found = declaration(tmp_path, adapter=adapter, of_agent={"prompt": prompt})
        assert [f.severity for f in found] == [Severity.NOTE] * told
        assert all(f.what == "the prompt is not used: shell asks no model" for f in found)

    def test_one_of_a_file_too(self, tmp_path: Path) -> None:
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "prompt.md").write_text("be brief")
        (finding,) = declaration(
            tmp_path, adapter="shell", of_agent={"prompt": {"file": "prompt.md"}}
        )
        assert finding.severity is Severity.NOTE


class TestProcesses:
    @pytest.mark.parametrize(
        ("runtime", "override", "pids", "fits"),
        [
            ("runc", "", 128, True),
            ("runc", "runsc", 1023, False),
            ("runc", "runsc", 1024, True),
            ("runsc", "", 1024, True),
            ("runsc", "runc", 2048, True),
        ],
    )
    def test_gvisor_asked_for_at_a_start_needs_its_own_too(
        self, tmp_path: Path, runtime: str, override: str, pids: int, fits: bool
    ) -> None:
        """What the manifest itself says of both is judged as it is read."""
        asked = {"runtime": runtime, "override": override, "limits": {"pids": pids}}
        found = errors(declaration(tmp_path, adapter="shell", **asked))
        told = f"limits.pids is {pids}: gVisor's own threads count too"
        assert found == ([] if fits else [told])


class TestHosts:
    @staticmethod
    def of(*texts: str) -> list[Finding]:
        patterns = map(HostPattern.parse, texts)
        return list(findings.of_hosts(Listed(pattern=p, source="s", short="s") for p in patterns))

    def test_plain_ones_are_no_finding(self) -> None:
        assert self.of("example.com", "*.example.com:8443", "例え.example") == []

    @pytest.mark.parametrize("host", ["p\u0430ypal.com", "*.\u0430pple.com", "xn--pple-43d.com"])
    def test_one_that_could_be_mistaken_is_named(self, host: str) -> None:
        found = self.of("example.com", host)
        assert found
        for finding in found:
            assert finding.severity is Severity.WARNING
            assert finding.what.startswith(str(HostPattern.parse(host)))

    def test_plain_http_is_told_to_be_none(self) -> None:
        (finding,) = self.of("example.com", "example.com:80")
        assert finding.severity is Severity.WARNING
        assert finding.what.startswith("example.com:80: plain HTTP does not pass")


class TestHost:
    def of(self, state: Path, **limits: Any) -> list[Finding]:
        engine = dataclasses.replace(FACTS, cpus=4, memory=8 << 30)
        return list(findings.of_host(declare(request(state, limits=limits)), engine))

    @pytest.mark.parametrize(("cpus", "fits"), [(0.5, True), (4, True), (4.5, False), (9, False)])
    def test_processors_that_are_not_there_are_an_error(
        self, tmp_path: Path, cpus: float, fits: bool
    ) -> None:
        """The engine would refuse the container."""
        found = self.of(tmp_path, cpus=cpus)
        assert [f.severity for f in found] == ([] if fits else [Severity.ERROR])
        assert all(f"limits.cpus is {cpus:g}" in f.what for f in found)

    @pytest.mark.parametrize(("memory", "fits"), [("4g", True), ("8g", True), ("9g", False)])
    def test_memory_that_is_not_there_is_a_warning(
        self, tmp_path: Path, memory: str, fits: bool
    ) -> None:
        found = self.of(tmp_path, memory=memory)
        assert [f.severity for f in found] == ([] if fits else [Severity.WARNING])
        assert all("9216 MiB" in f.what and "8192" in f.what for f in found)

    def test_without_limits_there_is_nothing_to_compare(self, tmp_path: Path) -> None:
        assert self.of(tmp_path) == []


class TestSshText:
    def test_everything_there(self) -> None:
        entry = Ssh(host="git.example.com", key="~/key", known_hosts="known")
        assert findings.ssh_text(entry) == (
            "git@git.example.com with ~/key, known by known: everything there"
        )

    def test_what_is_named(self) -> None:
        entry = Ssh(
            host="git.example.com",
            key="~/key",
            known_hosts="known",
            port=2222,
            user="me",
            repositories=("a/b", "c/d"),
            access="read",
        )
        assert findings.ssh_text(entry) == (
            "me@[git.example.com]:2222 with ~/key, known by known: read a/b c/d"
        )


class TestStop:
    @pytest.mark.parametrize(
        ("found", "told"),
        [((ERROR,), "an error"), ((NOTE, ERROR, WARNING, OTHER), "an error; another error")],
    )
    def test_an_error_stops_and_is_named(self, found: tuple[Finding, ...], told: str) -> None:
        with pytest.raises(NotStartable) as caught:
            findings.stop_at_errors(found)
        assert caught.value.code == 69
        assert caught.value.happened == f"this cannot be started: {told}"
        assert caught.value.remedy == ERROR.remedy
        assert set(findings.errors(found)) == {ERROR, OTHER} & set(found)

    @pytest.mark.parametrize("found", [(), (WARNING,), (NOTE, WARNING)])
    def test_nothing_else_does(self, found: tuple[Finding, ...]) -> None:
        findings.stop_at_errors(found)
        assert findings.errors(found) == ()


class TestText:
    @pytest.mark.parametrize(
        ("finding", "text"),
        [(ERROR, "error: an error; correct it"), (WARNING, "warning: a warning")],
    )
    def test_it_says_how_much_it_matters_and_what_to_do(self, finding: Finding, text: str) -> None:
        assert str(finding) == text

    def test_each_kind_is_shown_in_a_way_of_its_own(self) -> None:
        assert len({findings.ALARMING[severity] for severity in Severity}) == len(Severity)
        assert "red" in findings.ALARMING[Severity.ERROR]


def test_the_worst_stands_first() -> None:
    assert list(Severity) == [Severity.ERROR, Severity.WARNING, Severity.NOTE]
