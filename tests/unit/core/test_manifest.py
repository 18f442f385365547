"""Every rule of a manifest, each with a manifest that breaks that rule alone."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern
from bottle.core.manifest import Agent, Bottle, Egress, Manifest, _Reader, nearest, parse
from bottle.errors import ManifestError, Problem

VALID: dict[str, Any] = {
    "$schema": "claude-bottle.schema.json",
    "bottles": {
        "default": {
            "runtime": "runsc",
            "env": {"EDITOR": "vi", "LANG": "de_DE.UTF-8"},
            "ssh": [],
            "egress": {"allowlist": ["GitHub.com", "*.example.org:8443"], "proxy": "mitmproxy"},
        },
        "small": {},
    },
    "agents": {
        "default": {"bottle": "default", "skills": ["review", "Plan_2"], "prompt": "Be brief."},
        "demo": {"bottle": "small", "adapter": "demo"},
        "sh": {"bottle": "small", "adapter": "shell"},
    },
}


def read(content: object) -> Manifest:
    return parse(json.dumps(content).encode())


def problems(content: object) -> tuple[Problem, ...]:
    with pytest.raises(ManifestError) as caught:
        read(content)
    return caught.value.problems


def changed(path: str, value: object) -> dict[str, Any]:
    """Give the valid manifest with one place changed; `...` as value removes it."""
    content = copy.deepcopy(VALID)
    *way, last = path.split("/")
    place = content
    for name in way:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def test_a_manifest_becomes_values() -> None:
    manifest = read(VALID)
    assert manifest.bottles == {
        "default": Bottle(
            name="default",
            runtime="runsc",
            env={"EDITOR": "vi", "LANG": "de_DE.UTF-8"},
            egress=Egress(
                allowlist=(HostPattern("github.com"), HostPattern("example.org", 8443, True))
            ),
        ),
        "small": Bottle(name="small", runtime="runc", env={}, egress=Egress()),
    }
    assert manifest.agents == {
        "default": Agent(
            name="default",
            bottle="default",
            adapter="claude",
            skills=("review", "Plan_2"),
            prompt="Be brief.",
        ),
        "demo": Agent(name="demo", bottle="small", adapter="demo"),
        "sh": Agent(name="sh", bottle="small", adapter="shell"),
    }


def test_an_empty_manifest_is_one() -> None:
    assert read({"bottles": {}, "agents": {}}) == Manifest(bottles={}, agents={})


BROKEN = [
    ("bottles", ..., "bottles"),
    ("agents", ..., "agents"),
    ("bottles", [], "bottles"),
    ("agents", None, "agents"),
    ("$schema", 1, "$schema"),
    ("extra", {}, "extra"),
    ("bottles/default", "x", "bottles.default"),
    ("bottles/Default", {}, "bottles['Default']"),
    ("bottles/" + "x" * 41, {}, f"bottles['{'x' * 41}']"),
    ("bottles/-x", {}, "bottles['-x']"),
    ("bottles/default/runtime", "kata", "bottles.default.runtime"),
    ("bottles/default/runtime", None, "bottles.default.runtime"),
    ("bottles/default/runtime", ["runc"], "bottles.default.runtime"),
    ("bottles/default/privileged", True, "bottles.default.privileged"),
    ("bottles/default/ssh", [{"host": "a"}], "bottles.default.ssh"),
    ("bottles/default/ssh", {}, "bottles.default.ssh"),
    ("bottles/default/env", [], "bottles.default.env"),
    ("bottles/default/env/A", 1, "bottles.default.env.A"),
    ("bottles/default/env/1A", "x", "bottles.default.env['1A']"),
    ("bottles/default/env/A=B", "x", "bottles.default.env['A=B']"),
    ("bottles/default/egress", None, "bottles.default.egress"),
    ("bottles/default/egress/pins", {}, "bottles.default.egress.pins"),
    ("bottles/default/egress/proxy", "pipelock", "bottles.default.egress.proxy"),
    ("bottles/default/egress/proxy", "squid", "bottles.default.egress.proxy"),
    ("bottles/default/egress/proxy", {}, "bottles.default.egress.proxy"),
    ("bottles/default/egress/allowlist", "a.example", "bottles.default.egress.allowlist"),
    ("bottles/default/egress/allowlist", ["*"], "bottles.default.egress.allowlist[0]"),
    ("bottles/default/egress/allowlist", ["a.b", 2], "bottles.default.egress.allowlist[1]"),
    ("bottles/default/egress/allowlist", ["10.0.0.1"], "bottles.default.egress.allowlist[0]"),
    ("agents/default/bottle", ..., "agents.default.bottle"),
    ("agents/default/bottle", "defalt", "agents.default.bottle"),
    ("agents/default/bottle", "", "agents.default.bottle"),
    ("agents/default/bottle", None, "agents.default.bottle"),
    ("agents/default/adapter", "codex", "agents.default.adapter"),
    ("agents/default/adapter", "demo", "agents.default.adapter"),
    ("agents/demo/adapter", "claude", "agents.demo.adapter"),
    ("agents/default/skills", "review", "agents.default.skills"),
    ("agents/default/skills", ["../x"], "agents.default.skills[0]"),
    ("agents/default/skills", [".hidden"], "agents.default.skills[0]"),
    ("agents/default/skills", ["a", "a"], "agents.default.skills[1]"),
    ("agents/default/skills", [1], "agents.default.skills[0]"),
    ("agents/default/prompt", 5, "agents.default.prompt"),
    ("agents/default/image", "x", "agents.default.image"),
]


@pytest.mark.parametrize(
    ("place", "value", "path"), BROKEN, ids=[f"{place}={value}"[:50] for place, value, _ in BROKEN]
)
def test_one_mistake_is_one_problem_at_its_path(place: str, value: object, path: str) -> None:
    found = problems(changed(place, value))
    assert path in [problem.path for problem in found]
    assert all(problem.found and problem.wanted for problem in found)
    if place not in ("bottles", "agents", "bottles/default"):  # what refers to these breaks too
        assert len(found) == 1


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "text", []])
def test_what_is_no_object_is_refused_whole(value: object) -> None:
    assert next(p.path for p in problems(value)) == ""


RESERVED = [
    "HTTP_PROXY",
    "https_proxy",
    "All_Proxy",
    "NO_PROXY",
    "ftp_proxy",
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "NODE_OPTIONS",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "PYTHONPATH",
    "PYTHONHTTPSVERIFY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_NO_VERIFY",
    "GIT_SSL_CAINFO",
    "GIT_PROXY_COMMAND",
    "GIT_CONFIG_COUNT",
    "PIP_CERT",
    "PIP_PROXY",
    "npm_config_cafile",
    "CARGO_HTTP_CAINFO",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_BOTTLE_OAUTH_TOKEN",
]


@pytest.mark.parametrize("name", RESERVED)
def test_a_variable_that_weakens_a_wall_is_refused(name: str) -> None:
    (problem,) = problems(changed(f"bottles/default/env/{name}", "x"))
    assert problem.path == f"bottles.default.env.{name}"
    assert problem.remedy == "it is set by the bottle"


@pytest.mark.parametrize("name", ["PATHS", "MY_HOME", "ENVIRONMENT", "PROXY", "_", "a1", "EDITOR"])
def test_other_variables_are_free(name: str) -> None:
    manifest = read(changed(f"bottles/default/env/{name}", "x"))
    assert manifest.bottles["default"].env[name] == "x"


def test_every_problem_is_told_at_once() -> None:
    content = {
        "bottles": {"a": {"runtime": "x", "ssh": [1], "egress": {"allowlist": ["http://h.x"]}}},
        "agents": {"b": {"bottle": "c", "skils": []}},
    }
    assert [problem.path for problem in problems(content)] == [
        "bottles.a.ssh",
        "bottles.a.runtime",
        "bottles.a.egress.allowlist[0]",
        "agents.b.skils",
        "agents.b.bottle",
    ]


@pytest.mark.parametrize(
    ("place", "value", "remedy"),
    [
        ("bottles/default/egress/alowlist", [], "did you mean 'allowlist'?"),
        ("bottles/default/runtime", "runsx", "did you mean 'runsc'?"),
        ("agents/default/bottle", "smal", "did you mean 'small'?"),
        ("agents/default/bottle", "zzz", "declare it under bottles"),
        ("bottles/default/ssh", [{}], "ssh is not supported yet; use https remotes"),
        ("bottles/default/egress/proxy", "pipelock", "pipelock is not supported yet"),
    ],
)
def test_the_remedy_says_what_to_write(place: str, value: object, remedy: str) -> None:
    (problem,) = problems(changed(place, value))
    assert problem.remedy == remedy


def test_a_prompt_is_at_most_64_kib_in_bytes() -> None:
    # a document of that size is refused before, so the reader is asked directly
    reader = _Reader()
    reader.manifest(changed("agents/default/prompt", "é" * 32769))
    assert [problem.path for problem in reader.problems] == ["agents.default.prompt"]
    reader = _Reader()
    reader.manifest(changed("agents/default/prompt", "é" * 32768))
    assert reader.problems == []


@pytest.mark.parametrize(
    ("name", "suggestion"), [("defalt", "did you mean 'default'?"), ("", ""), ("xyz", "")]
)
def test_the_nearest_name_is_suggested(name: str, suggestion: str) -> None:
    assert nearest(name, ("default", "small")) == suggestion
