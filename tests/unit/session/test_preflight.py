"""Preflight: all that the yes is about is shown, what changed first, and no secret's value."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bottle.core import consent
from bottle.core.allowlist import HostPattern
from bottle.core.consent import Fact
from bottle.core.grade import Grade, grade
from bottle.core.secret import Value
from bottle.engine import host as host_reader
from bottle.errors import Unavailable
from bottle.provision import cache, extra, gvisor
from bottle.session import preflight, registries, ssh
from bottle.session.consents import Consent
from bottle.session.findings import Severity
from bottle.session.preflight import Row
from bottle.session.start import Prepared, Secrets, prepare
from tests.support.fake_engine import FACTS, FakeEngine
from tests.support.starts import add_skill, request, token

WHEN = "2026-01-02T03:04:05+00:00"


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_reader, "routed_subnets", tuple)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(gvisor, "works", lambda _: None)


def prepared(
    folder: Path,
    value: Value | None = None,
    variables: dict[str, Value] | None = None,
    **asked: Any,
) -> Prepared:
    values = Secrets(token=value or token(), variables=variables or {})
    return prepare(FakeEngine().have_images(), request(folder, **asked), values)


def shown(made: Prepared) -> dict[str, str]:
    """Give the rows as label to text, those without a label below the one before."""
    return below_labels(list(preflight.rows(made)))


def below_labels(rows: list[Row]) -> dict[str, str]:
    found: dict[str, str] = {}
    label = ""
    for row in rows:
        label = row.label or label
        found[label] = f"{found[label]}\n{row.text}" if label in found else row.text
    return found


class TestRows:
    def test_everything_is_there_in_the_order_of_reading(self, tmp_path: Path) -> None:
        rows = preflight.rows(prepared(tmp_path))
        assert [row.label for row in rows if row.label] == [
            "agent",
            "manifest",
            "plan",
            "runtime",
            "engine",
            "images",
            "sidecar",
            "egress",
            "secrets",
            "env",
            "ssh",
            "skills",
            "prompt",
            "runs",
            "limits",
            "workspace",
        ]

    def test_who_runs_where_by_which_manifest(self, tmp_path: Path) -> None:
        made = prepared(tmp_path)
        rows = shown(made)
        assert rows["agent"] == "default (claude) in bottle default"
        assert rows["manifest"] == str(tmp_path / "project" / "claude-bottle.json")
        assert made.digest.startswith(rows["plan"])
        assert len(rows["plan"]) >= 12
        assert rows["runtime"] == "runc (shares this host's kernel)"
        assert "Docker 0" in rows["engine"]
        assert rows["sidecar"].startswith("mitmproxy: reads all that passes")
        assert "gone at the end" in rows["workspace"]

    def test_gvisor_is_named(self, tmp_path: Path) -> None:
        assert "gVisor" in shown(prepared(tmp_path, runtime="runsc"))["runtime"]

    def test_what_is_not_there_is_none(self, tmp_path: Path) -> None:
        rows = shown(prepared(tmp_path, adapter="shell"))
        for label in ("secrets", "env", "ssh", "skills", "prompt"):
            assert rows[label] == "none"
        assert "findings" not in rows

    def test_skills_with_the_folder_that_they_are_of(self, tmp_path: Path) -> None:
        add_skill(tmp_path / "skills", "one")
        add_skill(tmp_path / "project" / "skills", "two")
        rows = shown(prepared(tmp_path, of_agent={"skills": ["two", "one"]}))
        assert rows["skills"].splitlines() == [
            f"two from {tmp_path / 'project' / 'skills'}",
            f"one from {tmp_path / 'skills'}",
        ]

    def test_limits(self, tmp_path: Path) -> None:
        assert shown(prepared(tmp_path))["limits"] == (
            "4096 MiB memory, all processors, 1024 processes, /tmp 512 MiB"
        )
        limits = {"memory": "1g", "cpus": 1.5, "pids": 128, "tmp": "64m"}
        assert shown(prepared(tmp_path, limits=limits))["limits"] == (
            "1024 MiB memory, 1.5 processors, 128 processes, /tmp 64 MiB"
        )

    def test_ssh_by_what_it_opens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssh, "check", lambda *_: None)
        entry = {"host": "git.example.com", "key": "~/key", "known_hosts": "known", "port": 2222}
        rows = shown(prepared(tmp_path, ssh=[entry]))
        assert rows["ssh"] == (
            "git@[git.example.com]:2222 with ~/key, known by known: everything there"
        )


class TestImages:
    def test_those_that_are_used(self, tmp_path: Path) -> None:
        assert shown(prepared(tmp_path))["images"].split()[::2] == ["agent", "sidecar"]
        demo = shown(prepared(tmp_path, adapter="demo", allowlist=("example.com",)))
        assert demo["images"].split()[::2] == ["agent", "sidecar", "standin"]

    def test_the_bottles_own_and_whether_it_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "Dockerfile").write_text("FROM ${BASE}\n")
        image = {"packages": ["make", "gcc"], "dockerfile": "Dockerfile"}
        before = shown(prepared(tmp_path, image=image))["images"]
        assert "with gcc, make, Dockerfile: is built after your yes" in before
        monkeypatch.setattr(extra, "present", lambda *_: "sha256:" + "e" * 64)
        after = shown(prepared(tmp_path, image=image))["images"]
        assert "with gcc, make, Dockerfile: is there" in after
        assert before.splitlines()[0] == after.splitlines()[0]


class TestEgress:
    @staticmethod
    def lines(made: Prepared) -> list[str]:
        return shown(made)["egress"].splitlines()

    @staticmethod
    def hosts(made: Prepared) -> dict[str, str]:
        """Give each listed host with what stands beside it."""
        found = [line for line in TestEgress.lines(made)[1:] if not line.startswith(" " * 6)]
        return {line.split()[0]: line.split(maxsplit=1)[1] for line in found}

    def test_every_host_has_its_source_and_its_grade(self, tmp_path: Path) -> None:
        listed = ("github.com", "*.example.com:8443")
        hosts = self.hosts(prepared(tmp_path, allowlist=listed))
        assert list(hosts) == ["api.anthropic.com", "*.example.com:8443", "github.com"]
        assert hosts["api.anthropic.com"].startswith("built in for claude ")
        assert hosts["github.com"].startswith("bottle default ")
        for name, text in hosts.items():
            assert text.endswith(f"  {grade(HostPattern.parse(name)).grade}")

    def test_an_unknown_host_is_never_called_safe(self, tmp_path: Path) -> None:
        made = prepared(tmp_path, allowlist=("somewhere.example.com",))
        text = self.hosts(made)["somewhere.example.com"]
        assert text.endswith(str(Grade.UNKNOWN))
        assert "safe" not in "\n".join(self.lines(made))

    def test_why_a_known_host_is_graded_so(self, tmp_path: Path) -> None:
        made = prepared(tmp_path, allowlist=("github.com",))
        why = grade(HostPattern.parse("github.com")).why
        assert why
        assert f"      {why}" in self.lines(made)

    def test_an_extended_bottles_host_is_told_to_be_one(self, tmp_path: Path) -> None:
        asked = request(tmp_path, adapter="shell", allowlist=("one.example.com",))
        bottle = asked.manifest.bottles["default"]
        (entry,) = bottle.egress.allowlist
        moved = dataclasses.replace(entry, origin="bottles.base.egress.allowlist[0]")
        egress = dataclasses.replace(bottle.egress, allowlist=(moved,))
        bottles = {"default": dataclasses.replace(bottle, egress=egress)}
        manifest = dataclasses.replace(asked.manifest, bottles=bottles)
        asked = dataclasses.replace(asked, manifest=manifest)
        made = prepare(FakeEngine().have_images(), asked, Secrets())
        assert self.hosts(made)["one.example.com"].startswith("extended bottle base ")

    def test_a_registrys_host_is_told_to_be_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mirror = HostPattern.parse("packages.example.com")
        monkeypatch.setattr(registries, "resolve", lambda names: dict.fromkeys(names, (mirror,)))
        egress = {"allowlist": [{"registries": ["pip"]}]}
        made = prepared(tmp_path, adapter="shell", egress=egress)
        assert self.hosts(made)["packages.example.com"].startswith("registry of pip ")

    def test_how_a_foreign_name_reads(self, tmp_path: Path) -> None:
        made = prepared(tmp_path, adapter="shell", allowlist=("p\u0430ypal.com",))
        assert "      reads p\u0430ypal.com" in self.lines(made)
        assert "xn--pypal-4ve.com" in shown(made)["findings"]

    def test_nothing_is_nothing(self, tmp_path: Path) -> None:
        assert self.lines(prepared(tmp_path, adapter="shell")) == ["everything is denied"]

    def test_a_stand_in_is_announced(self, tmp_path: Path) -> None:
        rows = shown(prepared(tmp_path, adapter="demo", allowlist=("example.com",)))
        assert rows["stand-in"].splitlines()[0] == "api.anthropic.com, example.com"
        assert "stand-in" not in shown(prepared(tmp_path))


class TestSecrets:
    def test_of_secrets_and_what_looks_like_one_no_text_is_shown(self, tmp_path: Path) -> None:
        value, private = token(), token().reveal()
        env = {"B": private, "A_KEY": "x" * 20, "MINE": {"from": "HOST_NAME"}}
        made = prepared(tmp_path, value, {"HOST_NAME": Value(private)}, env=env)
        rows = shown(made)
        assert rows["secrets"].splitlines()[::2] == [
            "CLAUDE_BOTTLE_OAUTH_TOKEN (the environment)",
            "MINE (HOST_NAME of the environment)",
        ]
        assert "the agent can read it" in rows["secrets"].splitlines()[3]
        assert rows["env"].splitlines() == [
            "A_KEY=(20 characters)",
            f"B=({len(private)} characters)",
        ]
        changes = preflight.change_rows(made, yes(prepared(tmp_path)))
        text = "\n".join([*rows.values(), *(row.text for row in changes)])
        assert value.reveal() not in text
        assert private not in text
        assert "x" * 20 not in text

    @pytest.mark.parametrize(
        ("text", "shown_as"),
        [
            ("", "PLAIN="),
            ("vi -e", "PLAIN=vi -e"),
            ("a\nsecrets  none", "PLAIN=a secrets none"),
            ("x" * 60, "PLAIN=" + "x" * 60),
            ("x" * 61, "PLAIN=" + "x" * 60 + "… (61 characters)"),
        ],
    )
    def test_a_plain_variable_has_its_text_in_one_line(
        self, tmp_path: Path, text: str, shown_as: str
    ) -> None:
        made = prepared(tmp_path, adapter="shell", env={"PLAIN": text, "TZ": "UTC"})
        assert shown(made)["env"].splitlines() == [shown_as, "TZ=UTC"]


class TestProgram:
    @pytest.mark.parametrize(
        ("prompt", "text"),
        [
            ("be brief", "be brief"),
            ("be\n  brief", "be brief"),
            ("x" * 60, "x" * 60),
            ("x" * 61, "x" * 60 + "… (61 characters)"),
            ("a" + " " * 200 + "b" * 80, "a " + "b" * 58 + "… (281 characters)"),
        ],
    )
    def test_a_prompt_is_shown_to_a_bound_and_its_rest_is_counted(
        self, tmp_path: Path, prompt: str, text: str
    ) -> None:
        rows = shown(prepared(tmp_path, of_agent={"prompt": prompt}))
        assert rows["prompt"] == text
        assert "…" in rows["runs"]
        assert prompt not in rows["runs"]

    def test_it_is_shown_with_its_words(self, tmp_path: Path) -> None:
        made = prepared(
            tmp_path,
            adapter="shell",
            arguments="-c 'echo a; echo' ''",
            of_agent={"args": ["--norc", "-x"]},
        )
        assert shown(made)["runs"] == "bash --norc -x -c 'echo a; echo' ''"

    def test_a_word_that_is_the_prompts_text_is_shown(self, tmp_path: Path) -> None:
        asked = {"prompt": "--resume", "args": ["--resume", "--resume=…"]}
        made = prepared(tmp_path, of_agent=asked)
        shown_words = shown(made)["runs"].split()
        assert shown_words.count("--resume") == 1
        assert shown_words.count("…") == 1
        assert "'--resume=…'" in shown_words
        without = prepared(tmp_path, of_agent={"args": ["--resume"]})
        assert "…" not in shown(without)["runs"]

    def test_no_word_makes_a_line_of_its_own(self, tmp_path: Path) -> None:
        made = prepared(tmp_path, adapter="shell", of_agent={"args": ["a\nsecrets  none"]})
        assert shown(made)["runs"] == "bash 'a\\nsecrets  none'"


def yes(made: Prepared) -> Consent:
    """Give the yes to this plan."""
    return Consent(digest=made.digest, facts=made.facts, when=WHEN)


class TestChanges:
    def rows(self, made: Prepared, before: Consent | None) -> list[Row]:
        return list(preflight.change_rows(made, before))

    def test_a_first_time_is_told_and_nothing_is_compared(self, tmp_path: Path) -> None:
        (row,) = self.rows(prepared(tmp_path), None)
        assert (row.label, row.style) == ("consent", "yellow")
        assert row.text.startswith("new: ")
        assert preflight.changes(prepared(tmp_path), None) == ()

    def test_unchanged(self, tmp_path: Path) -> None:
        (row,) = self.rows(prepared(tmp_path), yes(prepared(tmp_path)))
        assert (row.label, row.style) == ("consent", "")
        assert row.text == "unchanged since your yes of 2026-01-02 03:04:05 UTC"

    def test_an_added_host_a_changed_runtime_and_a_new_secret_are_told(
        self, tmp_path: Path
    ) -> None:
        before = prepared(tmp_path, runtime="runsc", allowlist=("b.example.com",))
        variables = {"HOST_NAME": Value("x")}
        env = {"MINE": {"from": "HOST_NAME"}}
        made = prepared(tmp_path, None, variables, allowlist=("a.example.com",), env=env)
        *rows, last = self.rows(made, yes(before))
        found = below_labels(rows)["changed"].splitlines()
        assert found[:3] == [
            "+ egress a.example.com: bottles.default.egress.allowlist[0]   (more than before)",
            "~ runtime: runsc → runc   (more than before)",
            "+ secret MINE: HOST_NAME of the environment; in the bottle, where the agent can "
            "read it   (more than before)",
        ]
        assert found[3] == "- egress b.example.com: bottles.default.egress.allowlist[0]"
        assert len(found) == 4
        assert [row.style for row in rows] == ["yellow"] * 3 + [""]
        assert last.text.startswith("since your yes of 2026")

    def test_less_is_told_and_widens_nothing(self, tmp_path: Path) -> None:
        before = prepared(tmp_path, allowlist=("a.example.com",), limits={"memory": "2g"})
        made = prepared(tmp_path, runtime="runsc", limits={"memory": "1g"})
        changes = preflight.changes(made, yes(before))
        assert {(c.topic, c.sign) for c in changes} == {
            ("egress", "-"),
            ("runtime", "~"),
            ("limit", "~"),
        }
        assert not any(change.widens for change in changes)

    def test_a_plan_that_differs_in_no_fact_is_not_unchanged(self, tmp_path: Path) -> None:
        made = prepared(tmp_path)
        before = dataclasses.replace(yes(made), digest="0" * 64)
        assert preflight.changes(made, before) == (consent.OTHER,)
        row, last = self.rows(made, before)
        assert (row.label, row.style) == ("changed", "yellow")
        assert row.text == "~ plan: another → this   (more than before)"
        assert last.text.startswith("since your yes of 2026")

    def test_digests_are_compared_whole_and_shown_by_their_beginnings(self, tmp_path: Path) -> None:
        skill = add_skill(tmp_path / "skills")
        before = prepared(tmp_path, of_agent={"skills": ["one"]})
        (skill / "SKILL.md").write_text("# Another\n")
        made = prepared(tmp_path, of_agent={"skills": ["one"]})
        old, new = before.declared.given.skills["one"], made.declared.given.skills["one"]
        (change,) = preflight.changes(made, yes(before))
        assert (change.before, change.now) == (f"sha256 {old}", f"sha256 {new}")
        row, _ = self.rows(made, yes(before))
        told = f"sha256 {old[:12]}… → sha256 {new[:12]}…"
        assert row.text == f"~ skill one: {told}   (more than before)"

    def test_digests_that_begin_alike_differ(self, tmp_path: Path) -> None:
        made = prepared(tmp_path)
        (walls,) = (fact for fact in made.facts if fact.topic == "walls")
        other = dataclasses.replace(
            walls, value=walls.value[:-1] + ("0", "1")[walls.value[-1] == "0"]
        )
        facts = tuple(other if fact == walls else fact for fact in made.facts)
        before = Consent(digest="0" * 64, facts=facts, when=WHEN)
        (change,) = preflight.changes(made, before)
        assert (change.topic, change.widens) == ("walls", True)

    def test_a_plain_variables_text_is_told(self, tmp_path: Path) -> None:
        before = prepared(tmp_path, adapter="shell", env={"TZ": "UTC"})
        made = prepared(tmp_path, adapter="shell", env={"TZ": "CET\nand more"})
        row, _ = self.rows(made, yes(before))
        assert (row.text, row.style) == ("~ variable TZ: 'UTC' → 'CET\\nand more'", "")

    @pytest.mark.parametrize("value", ["", " ", "x", "nan MiB", "MiB 1"])
    def test_an_odd_amount_of_a_record_widens(self, tmp_path: Path, value: str) -> None:
        made = prepared(tmp_path)
        odd = [Fact(topic="limit", name="memory", value=value)]
        facts = tuple(f for f in made.facts if (f.topic, f.name) != ("limit", "memory"))
        before = Consent(digest="0" * 64, facts=(*odd, *facts), when=WHEN)
        (change,) = preflight.changes(made, before)
        assert (change.topic, change.name, change.before) == ("limit", "memory", value)
        assert change.widens == bool(value)


class TestFindings:
    def test_they_stand_last_with_what_to_do(self, tmp_path: Path) -> None:
        variables = {"HOST_NAME": Value("x")}
        env = {"MINE": {"from": "HOST_NAME"}}
        made = prepared(
            tmp_path, None, variables, adapter="shell", env=env, allowlist=("example.com:80",)
        )
        rows = list(preflight.rows(made))[-2:]
        assert [row.label for row in rows] == ["findings", ""]
        assert all(row.text.startswith("warning: ") and "; " in row.text for row in rows)
        assert {row.style for row in rows} == {"yellow"}

    def test_all_kinds_are_looked_for(self, tmp_path: Path) -> None:
        engine = FakeEngine(information=dataclasses.replace(FACTS, cpus=1)).have_images()
        asked = request(
            tmp_path,
            adapter="shell",
            egress={"allowlist": ["example.com:80"], "dlp": {}},
            limits={"cpus": 2},
        )
        made = prepare(engine, asked, Secrets())
        found = preflight.findings(made)
        assert [(f.severity, f.what.split(":")[0].split(" ")[0]) for f in found] == [
            (Severity.ERROR, "bottles.default.egress.dlp"),
            (Severity.ERROR, "limits.cpus"),
            (Severity.WARNING, "example.com"),
        ]
        assert [row.style for row in preflight.rows(made)][-3] == "bold red"

    def test_a_dockerfile_is_warned_of_until_it_is_built(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "Dockerfile").write_text("FROM ${BASE}\n")
        image = {"dockerfile": "Dockerfile"}
        (finding,) = preflight.findings(prepared(tmp_path, image=image))
        assert finding.what.startswith("Dockerfile: what its RUN does has no walls")
        monkeypatch.setattr(extra, "present", lambda *_: "sha256:" + "e" * 64)
        assert preflight.findings(prepared(tmp_path, image=image)) == ()

    def test_where_there_is_nothing_to_say_nothing_is_said(self, tmp_path: Path) -> None:
        assert preflight.findings(prepared(tmp_path)) == ()


def test_a_client_that_cannot_be_asked_leaves_nothing_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_: object) -> None:
        raise Unavailable("npm is missing here")

    monkeypatch.setattr(registries, "resolve", resolve)
    with pytest.raises(Unavailable):
        prepared(tmp_path, egress={"allowlist": [{"registries": ["npm"]}]})
