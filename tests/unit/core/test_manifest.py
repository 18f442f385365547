"""What a manifest means, and the rules that go beyond one key, each with what breaks it alone."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern
from bottle.core.language import SSH_LATER
from bottle.core.manifest import (
    Agent,
    Bottle,
    Client,
    Egress,
    Entry,
    Image,
    Limits,
    Manifest,
    Ssh,
    parse,
    secret_sources,
    survey,
    variables,
)
from bottle.core.place import Later
from bottle.core.rules import Variable
from bottle.errors import ManifestError, Problem
from tests.support.plans import read

SSH = {"host": "git.example.com", "key": "~/.ssh/id", "known_hosts": "hosts"}
VALID: dict[str, Any] = {
    "$schema": "claude-bottle.schema.json",
    "bottles": {
        "default": {
            "extends": "small",
            "runtime": "runsc",
            "env": {"EDITOR": "vi", "KEY": {"from": "MY_KEY", "optional": True}},
            "ssh": [],
            "egress": {
                "allowlist": ["GitHub.com", "*.example.org:8443", {"registries": ["pip"]}],
                "proxy": "mitmproxy",
            },
            "limits": {"memory": "2g"},
        },
        "small": {
            "limits": {"memory": "1g", "tmp": "64m", "cpus": 1.5},
            "image": {"packages": ["jq", "git"]},
            "env": {"EDITOR": "ed", "PAGER": "cat"},
        },
    },
    "agents": {
        "default": {"bottle": "default", "skills": ["review", "Plan_2"], "prompt": "Be brief."},
        "demo": {"bottle": "small", "adapter": "demo"},
        "sh": {
            "bottle": "small",
            "adapter": "shell",
            "prompt": {"file": "p.md"},
            "args": ["-c", "ls"],
            "env": {"EDITOR": "nano"},
        },
    },
}


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


def bottle(**members: Any) -> Bottle:
    """Read the only bottle of a manifest."""
    return read({"bottles": {"b": members}, "agents": {}}).bottles["b"]


class TestWhatItMeans:
    def test_bottles_become_values_with_what_they_extend(self) -> None:
        default, small = "bottles.default", "bottles.small"
        assert read(VALID).bottles["default"] == Bottle(
            name="default",
            runtime="runsc",
            env={
                "EDITOR": Variable(text="vi"),
                "KEY": Variable(secret="MY_KEY", optional=True),  # noqa: S106  # a name
                "PAGER": Variable(text="cat"),
            },
            egress=Egress(
                allowlist=(
                    Entry(
                        pattern=HostPattern("example.org", 8443, True),
                        origin=f"{default}.egress.allowlist[1]",
                    ),
                    Entry(
                        pattern=HostPattern("github.com"), origin=f"{default}.egress.allowlist[0]"
                    ),
                ),
                clients=(Client(name="pip", origin=f"{default}.egress.allowlist[2]"),),
            ),
            limits=Limits(memory=2048, cpus=1.5, pids=1024, tmp=64),
            image=Image(packages=("git", "jq")),
            origins={
                "extends": f"{default}.extends",
                "runtime": f"{default}.runtime",
                "env.EDITOR": f"{default}.env.EDITOR",
                "env.KEY": f"{default}.env.KEY",
                "env.PAGER": f"{small}.env.PAGER",
                "egress.allowlist[0]": f"{default}.egress.allowlist[0]",
                "egress.allowlist[1]": f"{default}.egress.allowlist[1]",
                "egress.allowlist[2]": f"{default}.egress.allowlist[2]",
                "egress.proxy": f"{default}.egress.proxy",
                "limits.memory": f"{default}.limits.memory",
                "limits.tmp": f"{small}.limits.tmp",
                "limits.cpus": f"{small}.limits.cpus",
                "image.packages[0]": f"{small}.image.packages[0]",
                "image.packages[1]": f"{small}.image.packages[1]",
            },
        )

    def test_agents_become_values(self) -> None:
        assert read(VALID).agents == {
            "default": Agent(
                name="default",
                bottle="default",
                adapter="claude",
                skills=("review", "Plan_2"),
                prompt="Be brief.",
            ),
            "demo": Agent(name="demo", bottle="small", adapter="demo"),
            "sh": Agent(
                name="sh",
                bottle="small",
                adapter="shell",
                prompt_file="p.md",
                args=("-c", "ls"),
                env={"EDITOR": Variable(text="nano")},
            ),
        }

    def test_an_empty_manifest_is_one(self) -> None:
        assert read({"bottles": {}, "agents": {}}) == Manifest(bottles={}, agents={})
        assert parse(b"{bottles: {}, agents: {},}") == Manifest(bottles={}, agents={})

    def test_a_bare_bottle_has_the_defaults(self) -> None:
        assert bottle() == Bottle(
            name="b",
            runtime="runc",
            egress=Egress(allowlist=(), clients=(), proxy="mitmproxy"),
            limits=Limits(memory=4096, cpus=0, pids=1024, tmp=512),
        )

    def test_of_what_is_listed_twice_the_first_counts(self) -> None:
        egress = bottle(
            egress={
                "allowlist": [
                    "b.example",
                    "a.example",
                    "B.example:443",
                    {"registries": ["npm", "pip"]},
                    {"registries": ["pip"]},
                ]
            }
        ).egress
        origin = "bottles.b.egress.allowlist"
        assert [(str(e.pattern), e.origin) for e in egress.allowlist] == [
            ("a.example", f"{origin}[1]"),
            ("b.example", f"{origin}[0]"),
        ]
        assert egress.clients == (
            Client(name="npm", origin=f"{origin}[3]"),
            Client(name="pip", origin=f"{origin}[3]"),
        )

    def test_an_agents_variables_lie_over_those_of_its_bottle(self) -> None:
        manifest = read(VALID)
        found = list(variables(manifest, manifest.agents["sh"]))
        assert found == [
            ("EDITOR", Variable(text="nano"), "agents.sh.env.EDITOR"),
            ("PAGER", Variable(text="cat"), "bottles.small.env.PAGER"),
        ]

    @pytest.mark.parametrize(
        ("more", "name"),
        [
            ({}, "git.example.com"),
            ({"port": 22}, "git.example.com"),
            ({"port": 2222}, "[git.example.com]:2222"),
        ],
    )
    def test_an_ssh_host_is_named_as_in_known_hosts(self, more: dict[str, Any], name: str) -> None:
        (entry,) = bottle(ssh=[{**SSH, **more}]).ssh
        assert entry.name == name
        assert entry == Ssh(
            host="git.example.com",
            key="~/.ssh/id",
            known_hosts="hosts",
            port=more.get("port", 22),
            user="git",
            origin="bottles.b.ssh[0]",
        )


BROKEN = [
    ("bottles", ..., "bottles"),
    ("agents", ..., "agents"),
    ("bottles", [], "bottles"),
    ("agents", None, "agents"),
    ("$schema", 1, "$schema"),
    ("extra", {}, "extra"),
    ("bottles/small", "x", "bottles.small"),
    ("bottles/Default", {}, "bottles.Default"),
    ("bottles/default/runtime", "kata", "bottles.default.runtime"),
    ("bottles/default/extends", "smal", "bottles.default.extends"),
    ("bottles/small/extends", "small", "bottles.small.extends"),
    ("bottles/default/env/PATH", "x", "bottles.default.env.PATH"),
    ("bottles/default/egress/allowlist", ["*"], "bottles.default.egress.allowlist[0]"),
    ("bottles/default/limits/tmp", "4g", "bottles.default.limits.tmp"),
    ("bottles/default/limits/pids", 512, "bottles.default.limits.pids"),
    ("bottles/small/limits/pids", 512, "bottles.small.limits.pids"),
    ("bottles/default/ssh", [SSH, SSH], "bottles.default.ssh[1]"),
    ("agents/default/bottle", ..., "agents.default.bottle"),
    ("agents/default/bottle", "defalt", "agents.default.bottle"),
    ("agents/default/bottle", "", "agents.default.bottle"),
    ("agents/default/bottle", None, "agents.default.bottle"),
    ("agents/default/adapter", "codex", "agents.default.adapter"),
    ("agents/default/adapter", "demo", "agents.default.adapter"),
    ("agents/demo/adapter", "claude", "agents.demo.adapter"),
    ("agents/demo/adapter", ..., "agents.demo.adapter"),
    ("agents/default/skills", ["a", "a"], "agents.default.skills[1]"),
    ("agents/default/env", {"A": 1}, "agents.default.env.A"),
]


class TestWhatItIsNot:
    @pytest.mark.parametrize(
        ("place", "value", "path"),
        BROKEN,
        ids=[f"{place}={value}"[:50] for place, value, _ in BROKEN],
    )
    def test_one_mistake_is_one_problem_at_its_path(
        self, place: str, value: object, path: str
    ) -> None:
        found = problems(changed(place, value))
        assert path in [problem.path for problem in found]
        assert all(p.found and p.wanted and p.remedy for p in found)
        if place != "bottles":  # what refers to these breaks too
            assert len(found) == 1

    def test_the_valid_one_is_none_of_these(self) -> None:
        assert survey(json.dumps(VALID).encode())[1] == ()

    @pytest.mark.parametrize("value", [None, True, 3, 1.5, "text", []])
    def test_what_is_no_object_is_refused_whole(self, value: object) -> None:
        assert [problem.path for problem in problems(value)] == [""]

    def test_every_problem_is_told_at_once(self) -> None:
        content = {
            "bottles": {
                "a": {
                    "runtime": "x",
                    "ssh": [1],
                    "egress": {"allowlist": ["http://h.x"], "inspct": {}},
                    "limits": {"memory": "1g", "tmp": "2g"},
                    "extends": "z",
                }
            },
            "agents": {"b": {"bottle": "c", "skils": []}, "demo": {"bottle": "a"}},
        }
        assert [problem.path for problem in problems(content)] == [
            "bottles.a.runtime",
            "bottles.a.ssh[0]",
            "bottles.a.egress.inspct",
            "bottles.a.egress.allowlist[0]",
            "agents.b.skils",
            "bottles.a.extends",
            "bottles.a.limits.tmp",
            "agents.b.bottle",
            "agents.demo.adapter",
        ]

    def test_what_can_be_read_is_there_beside_the_problems(self) -> None:
        content = changed("agents/default/skills", ["review", "../x"])
        manifest, found = survey(json.dumps(content).encode())
        assert [problem.path for problem in found] == ["agents.default.skills[1]"]
        assert manifest.agents["default"].skills == ("review", "")
        assert manifest.bottles == read(VALID).bottles

    @pytest.mark.parametrize(
        ("place", "value", "remedy"),
        [
            ("bottles/default/egress/alowlist", [], "did you mean 'allowlist'?"),
            ("bottles/default/runtime", "runsx", "did you mean 'runsc'?"),
            ("bottles/default/extends", "smal", "did you mean 'small'?"),
            ("agents/default/bottle", "smal", "did you mean 'small'?"),
            ("agents/default/bottle", "zzz", "declare it under bottles"),
            ("agents/default/adapter", "demo", "only the agent of that name is the demo"),
            (
                *("agents/demo/adapter", "claude"),
                "that name is the demo's: rename the agent, or add adapter: 'demo'",
            ),
            (
                *("agents/demo/adapter", ...),
                "that name is the demo's: rename the agent, or add adapter: 'demo'",
            ),
            ("bottles/default/egress/zzz", [], "take it out"),
            ("bottles/default/egress/inspect", {}, "add one, or leave the key out"),
            ("bottles/default/ssh", [SSH, SSH], "remove one of them"),
            ("bottles/default/limits/tmp", "63m", "write a size from 64m to 1024g"),
            ("agents/default/args", "x", "write a list"),
            ("bottles/default/limits/tmp", "4g", "what lies in /tmp counts into the memory"),
            ("bottles/default/limits/pids", 512, "gVisor's own threads count too"),
        ],
    )
    def test_the_remedy_says_what_to_write(self, place: str, value: object, remedy: str) -> None:
        (problem,) = problems(changed(place, value))
        assert problem.remedy == remedy


class TestWhatFitsTogether:
    def test_what_lies_in_tmp_is_at_most_the_memory(self) -> None:
        assert bottle(limits={"memory": "1g", "tmp": "1g"}).limits.tmp == 1024
        assert bottle(limits={"memory": "512m"}).limits.tmp == 512
        (problem,) = problems(
            {"bottles": {"b": {"limits": {"memory": "1g", "tmp": "1025m"}}}, "agents": {}}
        )
        assert (problem.path, problem.wanted) == (
            "bottles.b.limits.tmp",
            "at most the memory, 1024m",
        )

    def test_limits_that_extended_bottles_share_are_told_once_where_they_were_said(self) -> None:
        content: dict[str, Any] = {
            "bottles": {
                "base": {"runtime": "runsc", "limits": {"pids": 512}},
                "one": {"extends": "base"},
                "two": {"extends": "one"},
                "shared": {"extends": "base", "runtime": "runc"},
            },
            "agents": {},
        }
        assert [problem.path for problem in problems(content)] == ["bottles.base.limits.pids"]
        content["bottles"]["base"]["runtime"] = "runc"
        assert read(content).bottles["two"].limits.pids == 512

    @pytest.mark.parametrize(
        ("other", "clash"),
        [
            (SSH, True),
            ({**SSH, "user": "other"}, True),
            ({**SSH, "host": "GIT.example.com."}, True),
            ({**SSH, "port": 22}, True),
            ({**SSH, "port": 2222}, False),
            ({**SSH, "host": "other.example.com"}, False),
        ],
    )
    def test_each_ssh_host_stands_once_also_among_those_extended(
        self, other: dict[str, Any], clash: bool
    ) -> None:
        content = {
            "bottles": {"base": {"ssh": [SSH]}, "b": {"extends": "base", "ssh": [other]}},
            "agents": {},
        }
        if not clash:
            assert len(read(content).bottles["b"].ssh) == 2
            return
        (problem,) = problems(content)
        assert problem.path == "bottles.b.ssh[0]"
        assert problem.wanted == "each host once; bottles.base.ssh[0] names it too"

    @pytest.mark.parametrize(
        ("name", "adapter", "fits"),
        [
            ("demo", "demo", True),
            ("a", "claude", True),
            ("a", "demo", False),
            ("demo", "shell", False),
        ],
    )
    def test_the_demo_is_the_demo(self, name: str, adapter: str, fits: bool) -> None:
        content = {
            "bottles": {"b": {}},
            "agents": {name: {"bottle": "b", "adapter": adapter}},
        }
        if fits:
            assert read(content).agents[name].adapter == adapter
        else:
            assert [p.path for p in problems(content)] == [f"agents.{name}.adapter"]


class TestSecretSources:
    """What is taken out of the launcher's environment before any program runs."""

    def test_are_those_named_anywhere_in_the_manifest(self) -> None:
        content = {
            "bottles": {
                "base": {"env": {"A": {"from": "OF_BASE"}, "B": {"from": "REPLACED"}}},
                "b": {"extends": "base", "env": {"B": "plain", "C": {"from": "OF_B"}}},
                "unused": {"env": {"A": {"from": "OF_UNUSED", "optional": True}}},
            },
            "agents": {"a": {"bottle": "b", "env": {"A": {"from": "OF_A"}, "D": "OF_NOBODY"}}},
        }
        assert secret_sources(read(content)) == {
            *("OF_BASE", "REPLACED", "OF_B", "OF_UNUSED", "OF_A"),
        }

    def test_of_a_manifest_without_secrets_there_are_none(self) -> None:
        assert secret_sources(read(_one(env={"A": "plain"}))) == frozenset()

    def test_are_there_beside_what_is_wrong_elsewhere(self) -> None:
        content = {
            "bottles": {"b": {"env": {"A": {"from": "OF_B"}, "PATH": "x"}, "runtime": "kata"}},
            "agents": {"a": {"bottle": "nowhere", "env": {"C": {"from": "OF_A"}}}},
        }
        manifest, problems = survey(json.dumps(content).encode())
        assert len(problems) == 3
        assert secret_sources(manifest) == {"OF_B", "OF_A"}


@pytest.mark.parametrize(
    ("entry", "use"),
    [
        ({}, "everything there"),
        ({"access": "read"}, "read"),
        ({"repositories": ["a/b", "c/d"]}, "a/b c/d"),
        ({"access": "write", "repositories": ["a/b"]}, "write a/b"),
    ],
)
def test_the_use_of_an_ssh_host_is_told_in_words(entry: dict[str, Any], use: str) -> None:
    (ssh,) = bottle(ssh=[{**SSH, **entry}]).ssh
    assert ssh.use == use


class TestWhatIsForLater:
    """What is understood and not supported yet is kept, so that a start can refuse it."""

    @pytest.mark.parametrize(
        ("members", "path"),
        [
            ({"ssh": [SSH]}, "bottles.b.ssh[0]"),
            ({"egress": {"proxy": "pipelock"}}, "bottles.b.egress.proxy"),
            ({"egress": {"inspect": {"a.b": "splice"}}}, "bottles.b.egress.inspect"),
            ({"egress": {"upstream_ca": "ca"}}, "bottles.b.egress.upstream_ca"),
            ({"egress": {"dlp": None}}, "bottles.b.egress.dlp"),
            ({"egress": {"budget": {"a": 1}}}, "bottles.b.egress.budget"),
            ({"env": {"A": {"from": "B", "for": ["a.b"]}}}, "bottles.b.env.A.for"),
        ],
    )
    def test_it_is_the_bottles_and_of_those_that_extend_it(
        self, members: dict[str, Any], path: str
    ) -> None:
        content = {
            "bottles": {"b": members, "c": {"extends": "b"}, "other": {}},
            "agents": {},
        }
        bottles = read(content).bottles
        assert [later.path for later in bottles["b"].later] == [path]
        assert bottles["c"].later == bottles["b"].later
        assert bottles["other"].later == ()

    @pytest.mark.parametrize("length", [1, 60, 61, 128])
    def test_also_for_the_longest_names(self, length: int) -> None:
        later = bottle(env={"A" * length: {"from": "B", "for": ["a.b"]}}).later
        assert len(later) == 1

    @pytest.mark.parametrize(
        ("base", "own"),
        [
            ({"egress": {"proxy": "pipelock"}}, {"egress": {"proxy": "mitmproxy"}}),
            ({"env": {"A": {"from": "B", "for": ["a.b"]}}}, {"env": {"A": "x"}}),
            ({"env": {"A": {"from": "B", "for": ["a.b"]}}}, {"env": {"A": {"from": "C"}}}),
        ],
    )
    def test_what_is_replaced_is_asked_for_no_more(
        self, base: dict[str, Any], own: dict[str, Any]
    ) -> None:
        content = {"bottles": {"base": base, "b": {"extends": "base", **own}}, "agents": {}}
        bottles = read(content).bottles
        assert (len(bottles["base"].later), bottles["b"].later) == (1, ())

    def test_an_agent_has_its_own(self) -> None:
        content = {
            "bottles": {"b": {}},
            "agents": {
                "a": {"bottle": "b", "env": {"A": {"from": "B", "for": ["a.b"]}}},
                "ab": {"bottle": "b"},
            },
        }
        agents = read(content).agents
        assert [later.path for later in agents["a"].later] == ["agents.a.env.A.for"]
        assert agents["ab"].later == ()
        assert isinstance(agents["a"].later[0], Later)


def _one(**members: Any) -> dict[str, Any]:
    return {"bottles": {"a": members}, "agents": {}}


def _extended(times: int, **members: Any) -> dict[str, Any]:
    bottles = {f"b{n:x}": {"extends": "a"} for n in range(times)}
    return {"bottles": {"a": members, **bottles}, "agents": {}}


def _agents_without_bottles(size: int) -> dict[str, Any]:
    return {
        "bottles": {f"bottle{n:x}": {} for n in range(size)},
        "agents": {f"a{n:x}": {"bottle": f"bottlf{n:x}"} for n in range(size)},
    }


def _agents_with_later(size: int) -> dict[str, Any]:
    env = {"A": {"from": "B", "for": ["a.b"]}}
    return {
        "bottles": {"b": {}},
        "agents": {f"a{n:x}": {"bottle": "b", "env": env} for n in range(size)},
    }


def _circle(size: int) -> dict[str, Any]:
    bottles = {f"b{n:x}": {"extends": f"b{(n + 1) % size:x}"} for n in range(size)}
    return {"bottles": bottles, "agents": {}}


def _bottles(size: int, **members: Any) -> dict[str, Any]:
    return {"bottles": {f"b{n:x}": members for n in range(size)}, "agents": {}}


HEAVY: dict[str, Callable[[int], Any]] = {
    "unknown keys": lambda size: {f"k{n:x}": 1 for n in range(size)},
    "unknown keys of a bottle": lambda size: _one(**{f"allow{n:x}": 1 for n in range(size)}),
    "bottles that are not there": _agents_without_bottles,
    "things for later": lambda size: _bottles(size, egress={"dlp": 1}),
    "agents with things for later": _agents_with_later,
    "a long circle": _circle,
    "a long list extended often": lambda size: _extended(
        size, egress={"allowlist": [f"a{n:x}.b" for n in range(3 * size)]}
    ),
    "secrets for hosts": lambda size: _one(
        env={f"a{n:x}": {"from": "A", "for": ["a.b"]} for n in range(size)}
    ),
    "wildcards": lambda size: _one(egress={"allowlist": [f"*.a{n:x}.b" for n in range(size)]}),
    "international names": lambda size: _one(
        egress={"allowlist": [f"\u00fc{n:x}.b" for n in range(size)]}
    ),
    "ssh hosts": lambda size: _one(ssh=[{"host": "a.b", "key": "k", "known_hosts": "k"}] * size),
    "wrong entries": lambda size: _one(egress={"allowlist": [1] * size}),
}


def _calls(content: object) -> int:
    """Count the calls of Python functions that reading takes: work, and no time of a machine."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        with suppress(ManifestError):
            parse(text)
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("content", HEAVY.values(), ids=HEAVY)
def test_twice_the_mistakes_take_twice_the_work(content: Callable[[int], Any]) -> None:
    """Where each was compared with each, a manifest of 64 KiB took up to 24 seconds."""
    parse(b'{bottles: {a: {egress: {allowlist: ["*.a.b", "xn--9ca.b"]}}}, agents: {}}')  # warm up
    assert _calls(content(300)) < 2.5 * _calls(content(150))


class TestValues:
    """What is declared arrives in its field, in words that a person reads."""

    def test_of_a_bottle(self) -> None:
        declared = {
            "egress": {"proxy": "pipelock"},
            "image": {"packages": ["jq2", "jq"], "dockerfile": "docker/Dockerfile"},
        }
        bottle = read(_one(**declared)).bottles["a"]
        assert bottle.egress.proxy == "pipelock"
        assert bottle.image == Image(packages=("jq", "jq2"), dockerfile="docker/Dockerfile")

    def test_of_what_comes_later(self) -> None:
        ssh = [{"host": "a.b", "key": "k", "known_hosts": "h"}]
        (later,) = read(_one(ssh=ssh)).bottles["a"].later
        assert later == Later(path="bottles.a.ssh[0]", reason=SSH_LATER)

    @pytest.mark.parametrize(
        ("agent", "problem"),
        [
            (
                {"bottle": "b"},
                ("agents.x.bottle", "'b'", "the name of a bottle", "declare it under bottles"),
            ),
            (
                {"bottle": "a", "adapter": "demo"},
                (
                    "agents.x.adapter",
                    "'demo'",
                    "another adapter",
                    "only the agent of that name is the demo",
                ),
            ),
            ({}, ("agents.x.bottle", "nothing", "a value", "add bottle")),
        ],
    )
    def test_of_problems(self, agent: dict[str, Any], problem: tuple[str, ...]) -> None:
        manifest, problems = survey(json.dumps({**_one(), "agents": {"x": agent}}).encode())
        assert [(p.path, p.found, p.wanted, p.remedy) for p in problems] == [problem]
        assert manifest.agents["x"].bottle == agent.get("bottle", "")

    def test_of_limits_that_do_not_fit(self) -> None:
        _, problems = survey(json.dumps(_one(limits={"memory": "600m", "tmp": "700m"})).encode())
        _, usual = survey(json.dumps(_one(limits={"tmp": "5g"})).encode())
        assert [p.path for p in (*problems, *usual)] == ["bottles.a.limits.tmp"] * 2

    def test_of_the_demo_that_is_none(self) -> None:
        declared = {**_one(), "agents": {"demo": {"bottle": "a"}}}
        _, (problem,) = survey(json.dumps(declared).encode())
        assert (problem.path, problem.found) == ("agents.demo.adapter", "'claude'")
        assert problem.wanted == "the adapter 'demo'"
