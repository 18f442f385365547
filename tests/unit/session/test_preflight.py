"""Preflight: all that the yes is about is shown, and no secret's value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bottle.core.secret import Value
from bottle.session import preflight
from bottle.session.start import Prepared, prepare
from tests.support.fake_engine import FakeEngine
from tests.support.starts import request, token


def prepared(folder: Path, value: Value | None = None, **asked: Any) -> Prepared:
    return prepare(FakeEngine().have_images(), request(folder, **asked), value)


def shown(folder: Path, value: Value | None = None, **asked: Any) -> dict[str, str]:
    """Give the rows as label to text, those without a label below the one before."""
    found: dict[str, str] = {}
    label = ""
    for name, text in preflight.rows(prepared(folder, value, **asked)):
        label = name or label
        found[label] = f"{found[label]}\n{text}" if label in found else text
    return found


def test_everything_is_there_in_the_order_of_reading(tmp_path: Path) -> None:
    labels = [name for name, _ in preflight.rows(prepared(tmp_path, token())) if name]
    assert labels == [
        "agent",
        "manifest",
        "runtime",
        "engine",
        "images",
        "egress",
        "secrets",
        "env",
        "skills",
        "prompt",
        "runs",
        "workspace",
    ]


def test_who_runs_where_by_which_manifest(tmp_path: Path) -> None:
    rows = shown(tmp_path, token())
    assert rows["agent"] == "default (claude) in bottle default"
    assert rows["manifest"] == "claude-bottle.json"
    assert rows["runtime"] == "runc (shares this host's kernel)"
    assert "gone at the end" in rows["workspace"]


def test_gvisor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bottle.provision.gvisor.works", lambda _: None)
    assert "gVisor" in shown(tmp_path, token(), runtime="runsc")["runtime"]


def test_images_are_those_that_are_used(tmp_path: Path) -> None:
    assert shown(tmp_path, token())["images"].split()[::2] == ["agent", "sidecar"]
    demo = shown(tmp_path, adapter="demo", allowlist=("example.com",))
    assert demo["images"].split()[::2] == ["agent", "sidecar", "standin"]


def test_every_listed_host_has_its_source(tmp_path: Path) -> None:
    rows = shown(tmp_path, token(), allowlist=("github.com", "*.example.com:8443"))
    assert [line.split(maxsplit=1) for line in rows["egress"].splitlines()[1:]] == [
        ["api.anthropic.com", "built in for claude"],
        ["*.example.com:8443", "bottles.default.egress.allowlist"],
        ["github.com", "bottles.default.egress.allowlist"],
    ]


def test_a_stand_in_is_announced(tmp_path: Path) -> None:
    rows = shown(tmp_path, adapter="demo", allowlist=("example.com",))
    assert rows["stand-in"].splitlines()[0] == "api.anthropic.com, example.com"
    assert "stand-in" not in shown(tmp_path, token())


def test_secrets_and_variables_are_names(tmp_path: Path) -> None:
    value = token()
    private = token().reveal()
    rows = shown(tmp_path, value, env={"B": private, "A": private})
    assert rows["secrets"].splitlines()[0] == "CLAUDE_BOTTLE_OAUTH_TOKEN (the environment)"
    assert rows["env"] == "A, B"
    text = "\n".join(rows.values())
    assert value.reveal() not in text
    assert private not in text


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    rows = shown(tmp_path, adapter="shell")
    assert [rows[label] for label in ("secrets", "env", "skills", "prompt")] == ["none"] * 4


def test_skills_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "skills" / "one"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("")
    assert shown(tmp_path, token(), skills=("one",))["skills"] == "one"


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
    tmp_path: Path, prompt: str, text: str
) -> None:
    rows = shown(tmp_path, token(), prompt=prompt)
    assert rows["prompt"] == text
    assert "…" in rows["runs"]
    assert prompt not in rows["runs"]


def test_the_program_is_shown_with_its_words(tmp_path: Path) -> None:
    rows = shown(tmp_path, adapter="shell", arguments="-c 'echo a; echo' ''")
    assert rows["runs"] == "bash -c 'echo a; echo' ''"
