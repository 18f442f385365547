"""Whatever a manifest holds, reading it gives a Manifest or every problem, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core.manifest import DEMO, Manifest, parse
from bottle.errors import ManifestError
from tests.support import strategies

WORDS = (
    *("bottles", "agents", "default", "demo", "runtime", "env", "ssh", "egress", "allowlist"),
    *("proxy", "bottle", "adapter", "skills", "prompt", "$schema", "a"),
)
KEYS = st.sampled_from(WORDS)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["default", "demo", "claude", "runsc", "pipelock", "a.b", "*", "", "\0"]),
    st.text(max_size=10),
)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, st.text(max_size=4)), inner)
    ),
    max_leaves=20,
)
NEARLY = st.fixed_dictionaries(
    {
        "bottles": st.dictionaries(KEYS, st.dictionaries(KEYS, STRUCTURES, max_size=4), max_size=3),
        "agents": st.dictionaries(KEYS, st.dictionaries(KEYS, STRUCTURES, max_size=4), max_size=3),
    }
)
MARKS = (
    *("{", "}", "[", "]", ":", ",", "'", '"', "//", "/*", "*/", "\\", "\n", "0x", "1e9", "+", "-"),
    *(".5", "NaN", "Infinity", "null", "true", "bottles", "agents", "\\u", "\\x4", "\u2028"),
)
FRAGMENTS = st.lists(st.sampled_from(MARKS), max_size=30).map("".join)


def outcome(content: bytes) -> Manifest | ManifestError:
    """Read; anything but the two promised outcomes is raised and fails the test."""
    try:
        return parse(content)
    except ManifestError as error:
        return error


def check(content: bytes) -> None:
    result = outcome(content)
    if isinstance(result, ManifestError):
        assert result.problems
        assert result.code == 65
        assert all(problem.found and problem.wanted for problem in result.problems)
    else:
        assert all(agent.bottle in result.bottles for agent in result.agents.values())
        assert all((a.adapter == DEMO) == (a.name == DEMO) for a in result.agents.values())


class TestAnythingIsReadOrRefused:
    """An invalid manifest starts nothing: each problem is told with what was found and wanted."""

    @given(st.binary(max_size=300))
    def test_any_bytes(self, content: bytes) -> None:
        check(content)

    @given(st.text(max_size=300))
    def test_any_text(self, text: str) -> None:
        check(text.encode(errors="surrogatepass"))

    @given(FRAGMENTS)
    def test_any_run_of_json5_marks(self, text: str) -> None:
        check(text.encode())

    @given(STRUCTURES)
    def test_any_structure(self, value: object) -> None:
        check(json.dumps(value).encode())

    @given(NEARLY)
    def test_any_structure_that_is_nearly_a_manifest(self, value: object) -> None:
        check(json.dumps(value).encode())

    @given(st.sampled_from(["[", "{a:", '{"a":', "-", "/*", "'\\", "[[1],"]), st.integers(1, 6000))
    def test_any_depth(self, opening: str, times: int) -> None:
        check((opening * times).encode())


class TestAValidManifest:
    """What a manifest declares is what is read, whatever its notation."""

    @given(strategies.manifests())
    def test_is_read(self, content: dict[str, Any]) -> None:
        manifest = parse(json.dumps(content).encode())
        assert manifest.bottles.keys() == content["bottles"].keys()
        for name, declared in content["bottles"].items():
            bottle = manifest.bottles[name]
            assert bottle.name == name
            assert bottle.runtime == declared.get("runtime", "runc")
            assert bottle.env == declared.get("env", {})
            listed = declared.get("egress", {}).get("allowlist", [])
            assert len(bottle.egress.allowlist) == len(listed)
        for name, declared in content["agents"].items():
            agent = manifest.agents[name]
            assert (agent.name, agent.bottle) == (name, declared["bottle"])
            assert agent.adapter == declared.get("adapter", "claude")
            assert agent.skills == tuple(declared.get("skills", ()))
            assert agent.prompt == declared.get("prompt", "")

    @given(strategies.manifests())
    def test_means_the_same_in_every_notation(self, content: dict[str, Any]) -> None:
        manifest = parse(json.dumps(content).encode())
        assert parse(json.dumps(content, ensure_ascii=False, indent=2).encode()) == manifest
        remarked = json.dumps(content, ensure_ascii=False) + "\n// a remark"
        assert parse(remarked.encode()) == manifest

    @given(strategies.manifests(), st.data())
    def test_with_one_unknown_key_is_refused_at_that_key(
        self, content: dict[str, Any], data: st.DataObject
    ) -> None:
        places = [("", content)]
        places += [(f"bottles.{n}.", b) for n, b in content["bottles"].items()]
        places += [(f"agents.{n}.", a) for n, a in content["agents"].items()]
        path, place = data.draw(st.sampled_from(places))
        place["unheard_of"] = data.draw(STRUCTURES.filter(lambda v: "\\ud" not in json.dumps(v)))
        with pytest.raises(ManifestError) as caught:
            parse(json.dumps(content).encode())
        assert [problem.path for problem in caught.value.problems] == [f"{path}unheard_of"]

    @given(strategies.manifests(), st.text(max_size=40))
    def test_cannot_name_an_image_a_mount_or_a_pin(
        self, content: dict[str, Any], value: str
    ) -> None:
        for key in ("image", "mounts", "volumes", "pins", "standin", "unsafe", "privileged"):
            changed = copy.deepcopy(content)
            next(iter(changed["bottles"].values()))[key] = value.replace("\0", "")
            assert isinstance(outcome(json.dumps(changed).encode()), ManifestError)
