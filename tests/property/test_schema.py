"""The JSON Schema and the parser agree, and where they differ the difference is listed here."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bottle.core import language
from bottle.errors import ManifestError, Problem
from tests.support import plans, strategies
from tests.support.strategies import examples

ORACLE: Final = Draft202012Validator(language.schema())

_BOTTLE: Final = r"bottles\.[^.]+\."
_HOST: Final = "a host, *.host or host:port"
_OWNER: Final = "a wildcard below one owner's name"
_REFERENCES: Final = "the name of a bottle|no circle|at most 16"

DIFFERENCES: Final = (
    ("", r"line \d+, column \d+", "whole characters|text|a shorter number|a finite number"),
    ("", r"line \d+, column \d+", "at most 32 levels"),
    ("", "", "at most 65536 bytes"),
    ("what a host name is", rf"{_BOTTLE}egress\.allowlist\[\d+\]", f"{re.escape(_HOST)}|{_OWNER}"),
    ("what a host name is", rf"{_BOTTLE}egress\.inspect(\.|\[).*", f"{re.escape(_HOST)}|{_OWNER}"),
    ("what a host name is", rf"{_BOTTLE}ssh\[\d+\]\.host", "a plain host name"),
    ("what a host name is", r".*\.env(\.|\[).*\.for\[\d+\]", "a plain host name"),
    (
        "each host once",
        rf"{_BOTTLE}ssh\[\d+\]",
        r"each host once; bottles\..*\.ssh\[\d+\] names .*",
    ),
    ("what another place names", rf"{_BOTTLE}extends", _REFERENCES),
    ("what another place names", r"agents\.[^.]+\.bottle", "the name of a bottle"),
    ("what another place names", r"agents\.[^.]+\.adapter", "another adapter|the adapter 'demo'"),
    ("how large a size is", rf"{_BOTTLE}limits\.(memory|tmp)", r"a size from \d+m to 1024g"),
    ("what another limit is", rf"{_BOTTLE}limits\.tmp", r"at most the memory, \d+m"),
    ("what another limit is", rf"{_BOTTLE}limits\.pids", "at least 1024 with runsc"),
    ("how much there is", "bottles", "at most 20000"),
)
"""What JSON Schema cannot say: why, at which path, and what is wanted there."""


def problems(content: object) -> tuple[Problem, ...]:
    try:
        plans.read(content)
    except ManifestError as error:
        return error.problems
    return ()


def listed(problem: Problem) -> bool:
    """Say whether JSON Schema cannot know of a problem."""
    return any(
        re.fullmatch(path, problem.path) and re.fullmatch(wanted, problem.wanted)
        for _, path, wanted in DIFFERENCES
    )


def check(content: object) -> None:
    found = problems(content)
    if not ORACLE.is_valid(content):
        assert found, "an editor marks what the parser takes"
    else:
        assert [problem for problem in found if not listed(problem)] == []


class TestAgreement:
    """An unknown key is an error: an ignored key is a wall its author believed in."""

    @given(strategies.manifests())
    def test_about_what_is_valid(self, content: dict[str, Any]) -> None:
        assert ORACLE.is_valid(content)
        assert problems(content) == ()

    @examples(2.5)
    @given(strategies.spoiled())
    def test_about_what_is_nearly_valid(self, contents: list[Any]) -> None:
        for content in contents:
            check(content)

    @examples(3)
    @given(st.one_of(strategies.NEARLY, strategies.STRUCTURES))
    def test_about_anything(self, content: object) -> None:
        check(content)


def bottle(**members: Any) -> dict[str, Any]:
    return {"bottles": {"b": members}, "agents": {}}


def agent(name: str = "a", **members: Any) -> dict[str, Any]:
    return {"bottles": {"b": {}}, "agents": {name: {"bottle": "b", **members}}}


SSH: Final = {"host": "git.example.com", "key": "k", "known_hosts": "h"}


@pytest.mark.parametrize(
    "content",
    [
        bottle(env={"A": "\0"}),
        bottle(env={"A": "\ud800"}),
        bottle(egress={"dlp": 10**60}),
        bottle(egress={"dlp": json.loads("[" * 32 + "]" * 32)}),
        bottle(env={"A": "x" * 65530}),
        bottle(egress={"allowlist": ["10.0.0.1"]}),
        bottle(egress={"allowlist": ["*.co.uk"]}),
        bottle(egress={"inspect": {"*": "splice"}}),
        bottle(ssh=[{**SSH, "host": "*.example.com"}]),
        bottle(env={"A": {"from": "B", "for": ["a b"]}}),
        bottle(ssh=[SSH, {**SSH, "user": "other"}]),
        bottle(extends="other"),
        bottle(extends="b"),
        agent(bottle="other"),
        agent(adapter="demo"),
        agent("demo", adapter="shell"),
        bottle(limits={"memory": "511m"}),
        bottle(limits={"tmp": "999999g"}),
        bottle(limits={"tmp": "63m"}),
        bottle(limits={"memory": "1g", "tmp": "2g"}),
        bottle(runtime="runsc", limits={"pids": 128}),
    ],
    ids=lambda content: json.dumps(content)[:60],
)
def test_a_listed_difference_is_one(content: object) -> None:
    assert ORACLE.is_valid(content)
    found = problems(content)
    assert found
    assert all(map(listed, found))


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        bottle(unheard_of=1),
        bottle(runtime="kata"),
        bottle(env={"PATH": "x"}),
        bottle(env={"A": {"from": "DOCKER_HOST"}}),
        bottle(env={"A": {"optional": True}}),
        bottle(limits={"pids": 127}),
        bottle(limits={"memory": "4"}),
        bottle(limits={"cpus": 0}),
        bottle(egress={"allowlist": [{"registries": []}]}),
        bottle(egress={"inspect": {}}),
        bottle(env={"MY_PROXY": "x"}),
        bottle(image={"packages": ["jq-"]}),
        bottle(egress={"allowlist": [{"registries": ["pip", "pip"]}]}),
        bottle(ssh=[{"host": "a.b"}]),
        bottle(image={"packages": ["A"]}),
        bottle(image={"dockerfile": "../Dockerfile"}),
        agent(skills=["../x"]),
        agent(prompt={"file": "/etc/passwd"}),
        agent(prompt={"file": "a\n"}),
        agent("Bad"),
        agent("bad\n"),
    ],
    ids=lambda content: json.dumps(content)[:60],
)
def test_what_an_editor_marks_is_refused(content: object) -> None:
    assert not ORACLE.is_valid(content)
    found = problems(content)
    assert found
    assert not all(map(listed, found))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(language.schema())
