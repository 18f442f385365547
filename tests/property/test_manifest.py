"""Whatever a manifest holds, reading it gives a Manifest or every problem, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core.manifest import DEMO, Bottle, Manifest, parse
from bottle.core.place import Later
from bottle.core.rules import Variable
from bottle.errors import ManifestError, Problem
from tests.property.test_document import written
from tests.support import plans, strategies
from tests.support.strategies import STRUCTURES, examples


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
        assert len(set(result.problems)) == len(result.problems)
        for problem in result.problems:
            check_problem(problem, alone=len(result.problems) == 1)
    else:
        assert all(agent.bottle in result.bottles for agent in result.agents.values())
        assert all((a.adapter == DEMO) == (a.name == DEMO) for a in result.agents.values())


OF_ALL = {"an object", "at most 65536 bytes"}
"""What is wanted of a manifest as a whole: that has no place in it."""


def check_problem(problem: Problem, *, alone: bool) -> None:
    """A person is told where, what was found, what was wanted and what to do, in plain letters."""
    told = (problem.path, problem.found, problem.wanted, problem.remedy)
    assert all(told[1:]), problem
    assert problem.path or (alone and problem.wanted in OF_ALL), problem
    assert all(text.isprintable() and len(text) < 500 for text in told), problem


class TestAnythingIsReadOrRefused:
    """An invalid manifest starts nothing: each problem is told with what was found and wanted."""

    @examples(20)
    @given(st.binary(max_size=300))
    def test_any_bytes(self, content: bytes) -> None:
        check(content)

    @examples(20)
    @given(st.text(max_size=300))
    def test_any_text(self, text: str) -> None:
        check(text.encode(errors="surrogatepass"))

    @examples(3)
    @given(STRUCTURES)
    def test_any_structure(self, value: object) -> None:
        check(json.dumps(value).encode())

    @given(strategies.NEARLY)
    def test_any_structure_that_is_nearly_a_manifest(self, value: object) -> None:
        check(json.dumps(value).encode())

    @given(strategies.spoiled())
    def test_any_manifest_with_a_mistake(self, contents: list[Any]) -> None:
        for content in contents:
            check(json.dumps(content).encode())

    def test_a_problem_of_which_less_is_told_is_noticed(self) -> None:
        whole = Problem(path="agents.a", found="1", wanted="an object", remedy="write an object")
        check_problem(whole, alone=False)
        check_problem(dataclasses.replace(whole, path=""), alone=True)
        for name in ("path", "found", "wanted", "remedy"):
            less = dataclasses.replace(whole, **{name: ""})
            with pytest.raises(AssertionError):
                check_problem(less, alone=False)
        with pytest.raises(AssertionError):
            check_problem(dataclasses.replace(whole, found="\x1b[2J"), alone=False)


# -- what it means


def ancestors(content: dict[str, Any], name: str) -> list[str]:
    """List a bottle and those that it extends, the farthest first."""
    parent = content["bottles"][name].get("extends")
    return [*(ancestors(content, parent) if parent else []), name]


def by_hand(base: Any, own: Any) -> Any:
    """Merge plain values: lists add, maps merge, everything else is replaced."""
    if isinstance(base, list) and isinstance(own, list):
        return [*base, *own]
    secret = isinstance(own, dict) and "from" in own  # one value, whatever it replaces
    if isinstance(base, dict) and isinstance(own, dict) and not secret and "from" not in base:
        return {k: by_hand(base[k], own[k]) if k in base else own[k] for k in own} | {
            k: base[k] for k in base if k not in own
        }
    return own


def flattened(content: dict[str, Any]) -> dict[str, Any]:
    """Write every bottle out in full, so that none extends another."""
    bottles = {}
    for name in content["bottles"]:
        whole: Any = {}
        for ancestor in ancestors(content, name):
            whole = by_hand(whole, content["bottles"][ancestor])
        bottles[name] = {key: member for key, member in whole.items() if key != "extends"}
        if packages := whole.get("image", {}).get("packages"):
            image = {**whole["image"], "packages": list(dict.fromkeys(packages))}
            bottles[name]["image"] = image
    return {**content, "bottles": bottles}


def without_origins(bottle: Bottle) -> Bottle:
    """Leave out where each setting was said."""
    egress = bottle.egress
    return dataclasses.replace(
        bottle,
        ssh=tuple(dataclasses.replace(entry, origin="") for entry in bottle.ssh),
        egress=dataclasses.replace(
            egress,
            allowlist=tuple(dataclasses.replace(entry, origin="") for entry in egress.allowlist),
            clients=tuple(dataclasses.replace(client, origin="") for client in egress.clients),
        ),
        origins={},
        later=(),
    )


def asked(later: tuple[Later, ...]) -> set[str]:
    return {one.reason for one in later}


def declared(value: Any) -> Variable:
    if isinstance(value, str):
        return Variable(text=value)
    return Variable(secret=value["from"], optional=value.get("optional", False))


class TestAValidManifest:
    """What a manifest declares is what is read, whatever its notation."""

    @given(strategies.manifests())
    def test_is_read(self, content: dict[str, Any]) -> None:
        manifest = plans.read(content)
        assert manifest.bottles.keys() == content["bottles"].keys()
        for name, whole in flattened(content)["bottles"].items():
            bottle = manifest.bottles[name]
            assert bottle.name == name
            assert bottle.runtime == whole.get("runtime", "runc")
            assert bottle.env == {n: declared(v) for n, v in whole.get("env", {}).items()}
            assert [s.key for s in bottle.ssh] == [s["key"] for s in whole.get("ssh", [])]
            assert bottle.limits.pids == whole.get("limits", {}).get("pids", 1024)
            assert bottle.limits.cpus == whole.get("limits", {}).get("cpus", 0)
            assert set(bottle.image.packages) == set(whole.get("image", {}).get("packages", []))
            assert bottle.image.dockerfile == whole.get("image", {}).get("dockerfile", "")
            assert bottle.egress.proxy == whole.get("egress", {}).get("proxy", "mitmproxy")
        for name, said in content["agents"].items():
            agent, prompt = manifest.agents[name], said.get("prompt", "")
            assert (agent.name, agent.bottle) == (name, said["bottle"])
            assert agent.adapter == said.get("adapter", "claude")
            assert agent.skills == tuple(said.get("skills", ()))
            assert agent.args == tuple(said.get("args", ()))
            assert agent.env == {n: declared(v) for n, v in said.get("env", {}).items()}
            text, file = (prompt, "") if isinstance(prompt, str) else ("", prompt["file"])
            assert (agent.prompt, agent.prompt_file) == (text, file)

    @examples(0.4)
    @given(strategies.manifests(), st.data())
    def test_means_the_same_in_every_notation(
        self, content: dict[str, Any], data: st.DataObject
    ) -> None:
        manifest = plans.read(content)
        assert parse(data.draw(written(content)).lstrip("\ufeff").encode()) == manifest
        assert parse(json.dumps(content, ensure_ascii=False, indent=2).encode()) == manifest

    @given(strategies.manifests())
    def test_means_what_it_means_with_its_bottles_written_out(
        self, content: dict[str, Any]
    ) -> None:
        extended, written_out = plans.read(content), plans.read(flattened(content))
        assert extended.agents == written_out.agents
        for name, bottle in extended.bottles.items():
            other = written_out.bottles[name]
            assert without_origins(bottle) == without_origins(other)
            assert asked(bottle.later) == asked(other.later)

    @given(strategies.manifests())
    def test_says_of_everything_where_it_was_said(self, content: dict[str, Any]) -> None:
        for name, bottle in plans.read(content).bottles.items():
            line = ancestors(content, name)
            egress = bottle.egress
            entries: list[Any] = [*egress.allowlist, *egress.clients, *bottle.ssh]
            paths = {*bottle.origins.values(), *(entry.origin for entry in entries)}
            assert all(path.split(".")[1] in line for path in paths)
            for entry in entries:
                assert entry.origin in bottle.origins.values()

    @given(strategies.manifests(), st.data())
    def test_with_one_unknown_key_is_refused_at_that_key(
        self, content: dict[str, Any], data: st.DataObject
    ) -> None:
        places = [("", content)]
        places += [(f"bottles.{n}.", b) for n, b in content["bottles"].items()]
        places += [(f"agents.{n}.", a) for n, a in content["agents"].items()]
        path, place = data.draw(st.sampled_from(places))
        place["unheard_of"] = data.draw(strategies.PLAIN)
        with pytest.raises(ManifestError) as caught:
            plans.read(content)
        assert [problem.path for problem in caught.value.problems] == [f"{path}unheard_of"]

    @given(strategies.manifests(), st.text(max_size=40))
    def test_cannot_name_a_mount_a_port_or_a_pin(self, content: dict[str, Any], value: str) -> None:
        for key in ("mounts", "volumes", "ports", "pins", "standin", "unsafe", "privileged"):
            changed = copy.deepcopy(content)
            next(iter(changed["bottles"].values()))[key] = value.replace("\0", "")
            assert isinstance(outcome(json.dumps(changed).encode()), ManifestError)
