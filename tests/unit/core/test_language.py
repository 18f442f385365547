"""Every key of a manifest: what it takes, and what breaks its rule alone; so says the schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bottle.core import language
from bottle.core.allowlist import HostPattern
from bottle.core.language import ADAPTERS, AGENT, BOTTLE, MANIFEST, REGISTRIES, RUNTIMES
from bottle.core.place import Place
from bottle.core.rules import Prompt, Registries, Variable
from bottle.core.shape import Record

SSH = {"host": "git.example.com", "key": "~/.ssh/id", "known_hosts": "~/.ssh/known_hosts"}


def put(path: str, value: object) -> dict[str, Any]:
    """Give an object in which a value stands at a path: `limits.memory`."""
    first, _, rest = path.partition(".")
    return {first: put(rest, value) if rest else value}


def problems(record: Record, value: object) -> list[tuple[str, str]]:
    at = Place()
    record.read(value, at)
    return [(problem.path, problem.wanted) for problem in at.problems]


def marked(record: Record, value: object) -> bool:
    return not Draft202012Validator(record.schema()).is_valid(value)


def meant(record: Record, path: str, value: object) -> Any:
    at = Place()
    found = record.read(put(path, value), at)
    assert at.problems == []
    for name in path.split("."):
        found = found[name]
    return found


def _secret(name: str, *, optional: bool = False) -> Variable:
    return Variable(secret=name, optional=optional)


TAKEN: list[tuple[str, object, object]] = [
    ("extends", "base", "base"),
    *(("runtime", word, word) for word in RUNTIMES),
    ("env.A", "", Variable()),
    ("env.A", "a\nb", Variable(text="a\nb")),
    ("env.A", {"from": "B"}, _secret("B")),
    ("env.A", {"from": "B", "optional": True}, _secret("B", optional=True)),
    ("env.A", {"from": "A", "for": ["a.example"]}, _secret("A")),
    ("ssh", [], ()),
    ("ssh", [SSH], (SSH,)),
    ("egress.allowlist", ["A.Example:8443"], (HostPattern("a.example", 8443),)),
    ("egress.allowlist", ["*.a.example"], (HostPattern("a.example", 443, True),)),
    ("egress.allowlist", [{"registries": ["pip"]}], (Registries(clients=("pip",)),)),
    ("egress.allowlist", [{"registries": [*REGISTRIES]}], (Registries(clients=REGISTRIES),)),
    ("egress.proxy", "mitmproxy", "mitmproxy"),
    ("limits.memory", "512m", 512),
    ("limits.memory", "4G", 4096),
    ("limits.memory", "1024g", 1024 * 1024),
    ("limits.cpus", 0.1, 0.1),
    ("limits.cpus", 1024, 1024),
    ("limits.pids", 128, 128),
    ("limits.pids", 65536.0, 65536),
    ("limits.tmp", "64M", 64),
    ("image.packages", ["build-essential", "g++", "libc6.1"], None),
    ("image.dockerfile", "Dockerfile", "Dockerfile"),
    ("image.dockerfile", "./a/.b/c d.é", "./a/.b/c d.é"),
    ("image.dockerfile", "./x", "./x"),
    ("image.dockerfile", "..a/b..", "..a/b.."),
]
"""Where, what is written, what it means (None: not looked at here)."""


@pytest.mark.parametrize(("path", "value", "expected"), TAKEN)
def test_a_bottle_takes(path: str, value: object, expected: object) -> None:
    found = meant(BOTTLE, path, value)
    assert found == (tuple(value) if expected is None else expected)  # type: ignore[arg-type]  # a list
    assert not marked(BOTTLE, put(path, value))


HOST, PLAIN = "a host, *.host or host:port", "a plain host name"
OWNER = "a wildcard below one owner's name"
BELOW = "the path of a file below the manifest's folder"
KEYS = "one of egress, env, extends, image, limits, runtime, ssh"
SSH_KEYS = "one of access, host, key, known_hosts, port, repositories, user"
EGRESS_KEYS = "one of allowlist, budget, dlp, inspect, proxy, upstream_ca"
RANGE, TMP = "a size from 512m to 1024g", "a size from 64m to 1024g"

REFUSED: list[tuple[str, object, str, str, bool]] = [
    ("extends", 1, "extends", "the name of a bottle", True),
    ("runtime", "kata", "runtime", "one of 'runc', 'runsc'", True),
    ("runtime", ["runc"], "runtime", "one of 'runc', 'runsc'", True),
    ("runtimes", "runc", "runtimes", KEYS, True),
    ("privileged", True, "privileged", KEYS, True),
    ("env", [], "env", "an object", True),
    ("env.A", 1, "env.A", "text, or an object with from, optional, for", True),
    ("env.1A", "x", "env.1A", "a variable name", True),
    ("env", {"A=B": "x"}, "env['A=B']", "a variable name", True),
    ("env", {"A\n": "x"}, "env['A\\n']", "a variable name", True),
    ("env.LD_PRELOAD", "x", "env.LD_PRELOAD", "a variable that is free", True),
    ("env.PATH", {"from": "B"}, "env.PATH", "a variable that is free", True),
    ("env.A", {}, "env.A.from", "a value", True),
    ("env.A", {"from": "B", "value": "x"}, "env.A.value", "one of for, from, optional", True),
    ("env.A", {"from": "a b"}, "env.A.from", "the name of a variable of this host", True),
    ("env.A", {"from": ""}, "env.A.from", "the name of a variable of this host", True),
    ("env.A", {"from": "DOCKER_HOST"}, "env.A.from", "a variable that holds a secret", True),
    ("env.A", {"from": "PATH"}, "env.A.from", "a variable that holds a secret", True),
    ("env.A", {"from": "B", "optional": "yes"}, "env.A.optional", "true or false", True),
    ("env.A", {"from": "B", "for": []}, "env.A.for", "at least one entry", True),
    ("env.A", {"from": "B", "for": ["*.a.b"]}, "env.A.for[0]", PLAIN, False),
    ("ssh", {}, "ssh", "a list", True),
    ("ssh", ["git@a.b"], "ssh[0]", "an object", True),
    ("ssh", [{k: v for k, v in SSH.items() if k != "key"}], "ssh[0].key", "a value", True),
    ("ssh", [{k: v for k, v in SSH.items() if k != "host"}], "ssh[0].host", "a value", True),
    ("ssh", [{**SSH, "known_hosts": None}], "ssh[0].known_hosts", "the path of a file", True),
    ("ssh", [{**SSH, "host": "1.2.3.4"}], "ssh[0].host", PLAIN, False),
    ("ssh", [{**SSH, "host": "git@a.b"}], "ssh[0].host", PLAIN, False),
    ("ssh", [{**SSH, "host": "localhost"}], "ssh[0].host", PLAIN, False),
    ("ssh", [{**SSH, "host": "-oProxyCommand=x.b"}], "ssh[0].host", PLAIN, False),
    ("ssh", [{**SSH, "port": 0}], "ssh[0].port", "a whole number from 1 to 65535", True),
    ("ssh", [{**SSH, "port": 65536}], "ssh[0].port", "a whole number from 1 to 65535", True),
    ("ssh", [{**SSH, "port": "22"}], "ssh[0].port", "a whole number from 1 to 65535", True),
    ("ssh", [{**SSH, "user": "-x"}], "ssh[0].user", "a user's name", True),
    ("ssh", [{**SSH, "user": "a b"}], "ssh[0].user", "a user's name", True),
    ("ssh", [{**SSH, "key": "a\nb"}], "ssh[0].key", "the path of a file", True),
    ("ssh", [{**SSH, "key": ""}], "ssh[0].key", "the path of a file", True),
    (
        "ssh",
        [{**SSH, "repositories": ["x"]}],
        "ssh[0].repositories[0]",
        "a repository as owner/name",
        True,
    ),
    ("ssh", [{**SSH, "repositories": []}], "ssh[0].repositories", "at least one entry", True),
    ("ssh", [{**SSH, "access": "rw"}], "ssh[0].access", "one of 'read', 'write'", True),
    ("ssh", [{**SSH, "password": "x"}], "ssh[0].password", SSH_KEYS, True),
    ("egress", None, "egress", "an object", True),
    ("egress.pins", {}, "egress.pins", EGRESS_KEYS, True),
    ("egress.proxy", "squid", "egress.proxy", "one of 'mitmproxy', 'pipelock'", True),
    ("egress.allowlist", "a.example", "egress.allowlist", "a list", True),
    ("egress.allowlist", ["*"], "egress.allowlist[0]", HOST, False),
    (
        "egress.allowlist",
        ["a.b", 2],
        "egress.allowlist[1]",
        f"{HOST}, or an object with registries",
        True,
    ),
    ("egress.allowlist", ["10.0.0.1"], "egress.allowlist[0]", HOST, False),
    ("egress.allowlist", ["x" * 301], "egress.allowlist[0]", "at most 300", True),
    ("egress.allowlist", ["*.com"], "egress.allowlist[0]", HOST, False),
    ("egress.allowlist", ["*.co.uk"], "egress.allowlist[0]", OWNER, False),
    ("egress.allowlist", ["*.github.io"], "egress.allowlist[0]", OWNER, False),
    ("egress.allowlist", ["*.xn--p1ai"], "egress.allowlist[0]", HOST, False),
    ("egress.allowlist", [{}], "egress.allowlist[0].registries", "a value", True),
    (
        "egress.allowlist",
        [{"registries": []}],
        "egress.allowlist[0].registries",
        "at least one entry",
        True,
    ),
    ("egress.allowlist", [{"registries": "pip"}], "egress.allowlist[0].registries", "a list", True),
    (
        "egress.allowlist",
        [{"registries": ["pipp"]}],
        "egress.allowlist[0].registries[0]",
        "one of 'pip', 'npm'",
        True,
    ),
    (
        "egress.allowlist",
        [{"registries": ["pip", "pip"]}],
        "egress.allowlist[0].registries[1]",
        "each entry once",
        True,
    ),
    (
        "egress.inspect",
        {"a.b": "look"},
        "egress.inspect['a.b']",
        "one of 'inspect', 'splice'",
        True,
    ),
    ("egress.inspect", {}, "egress.inspect", "at least one entry", True),
    ("egress.inspect", {"*": "inspect"}, "egress.inspect['*']", HOST, False),
    ("egress.upstream_ca", 1, "egress.upstream_ca", "the path of a file", True),
    ("limits", [], "limits", "an object", True),
    ("limits.swap", "1g", "limits.swap", "one of cpus, memory, pids, tmp", True),
    ("limits.memory", "511m", "limits.memory", RANGE, False),
    ("limits.memory", "1025g", "limits.memory", RANGE, False),
    ("limits.memory", 4, "limits.memory", "a size", True),
    ("limits.memory", "4", "limits.memory", "a size", True),
    ("limits.memory", "0g", "limits.memory", "a size", True),
    ("limits.memory", "-1g", "limits.memory", "a size", True),
    ("limits.memory", "1.5g", "limits.memory", "a size", True),
    ("limits.memory", "1 g", "limits.memory", "a size", True),
    ("limits.memory", "1gb", "limits.memory", "a size", True),
    ("limits.memory", "1g\n", "limits.memory", "a size", True),
    ("limits.memory", "\u0661g", "limits.memory", "a size", True),
    ("limits.memory", "1000000m", "limits.memory", "a size", True),
    ("limits.tmp", "63m", "limits.tmp", TMP, False),
    ("limits.tmp", "16m", "limits.tmp", TMP, False),
    ("limits.cpus", 0, "limits.cpus", "a number from 0.1 to 1024", True),
    ("limits.cpus", -1, "limits.cpus", "a number from 0.1 to 1024", True),
    ("limits.cpus", "2", "limits.cpus", "a number from 0.1 to 1024", True),
    ("limits.cpus", 1025, "limits.cpus", "a number from 0.1 to 1024", True),
    ("limits.pids", 127, "limits.pids", "a whole number from 128 to 65536", True),
    ("limits.pids", 65537, "limits.pids", "a whole number from 128 to 65536", True),
    ("limits.pids", 200.5, "limits.pids", "a whole number from 128 to 65536", True),
    ("limits.pids", True, "limits.pids", "a whole number from 128 to 65536", True),
    ("image", "debian", "image", "an object", True),
    ("image.name", "debian", "image.name", "one of dockerfile, packages", True),
    ("image.packages", ["Git"], "image.packages[0]", "the name of a Debian package", True),
    ("image.packages", ["-y"], "image.packages[0]", "the name of a Debian package", True),
    ("image.packages", ["git-"], "image.packages[0]", "the name of a Debian package", True),
    (
        "image.packages",
        ["jq", "libc6--"],
        "image.packages[1]",
        "the name of a Debian package",
        True,
    ),
    ("image.packages", ["a;b"], "image.packages[0]", "the name of a Debian package", True),
    ("image.packages", ["git=1"], "image.packages[0]", "the name of a Debian package", True),
    ("image.packages", ["g"], "image.packages[0]", "the name of a Debian package", True),
    ("image.packages", ["gg", "gg"], "image.packages[1]", "each entry once", True),
    *(
        ("image.dockerfile", path, "image.dockerfile", BELOW, True)
        for path in (
            *("", "/", "/etc/passwd", "..", ".", "./", "../a", "a/../b", "a/..", "a/", "a//b"),
            *("a/./b", "././a", "./../a", "a\\b", "a\nb", "a\n", "..\n", "a\x7f"),
        )
    ),
    ("image.dockerfile", "a" * 1025, "image.dockerfile", "at most 1024", True),
]
"""Where, what is written, where it is told, what is wanted, and whether the schema says so too."""


@pytest.mark.parametrize(("path", "value", "told", "wanted", "by_schema"), REFUSED)
def test_a_bottle_refuses(
    path: str, value: object, told: str, wanted: str, by_schema: bool
) -> None:
    content = put(path, value)
    assert problems(BOTTLE, content) == [(told, wanted)]
    assert marked(BOTTLE, content) == by_schema


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("egress.proxy", "pipelock"),
        ("egress.inspect", {"*.a.example:80": "splice"}),
        ("egress.upstream_ca", "ca.pem"),
        ("egress.dlp", None),
        ("egress.budget", {"a.b": 1}),
        ("env.A", {"from": "B", "for": ["a.b"]}),
    ],
)
def test_what_is_for_later_is_read_and_noted(path: str, value: object) -> None:
    at = Place()
    BOTTLE.read(put(path, value), at)
    assert at.problems == []
    (later,) = at.later
    assert later.path.startswith(path)
    assert later.reason
    assert not marked(BOTTLE, put(path, value))


AGENTS_TAKEN: list[tuple[str, object, object]] = [
    *(("adapter", word, word) for word in ADAPTERS),
    ("skills", ["a", "A_b-1"], ("a", "A_b-1")),
    ("prompt", "be\nbrief", Prompt(text="be\nbrief")),
    ("prompt", {"file": "prompts/a.md"}, Prompt(file="prompts/a.md")),
    ("prompt", {"file": "./a.md"}, Prompt(file="./a.md")),
    ("args", ["--model", "", "x\ny"], ("--model", "", "x\ny")),
    ("env", {"A": "x", "B": {"from": "C"}}, {"A": Variable(text="x"), "B": _secret("C")}),
]


@pytest.mark.parametrize(("name", "value", "expected"), AGENTS_TAKEN)
def test_an_agent_takes(name: str, value: object, expected: object) -> None:
    content = {"bottle": "b", name: value}
    at = Place()
    assert AGENT.read(content, at)[name] == expected
    assert at.problems == []
    assert not marked(AGENT, content)


SKILL = "the name of a skill"
AGENTS_REFUSED: list[tuple[str, object, str, str]] = [
    ("bottle", None, "bottle", "the name of a bottle"),
    ("adapter", "codex", "adapter", "one of 'claude', 'shell', 'demo'"),
    ("skills", "review", "skills", "a list"),
    *(
        ("skills", [name], "skills[0]", SKILL)
        for name in ("../x", ".hidden", "a/b", "", "a b", "-a", "a\n", "é", "x" * 65, 1, None)
    ),
    ("skills", ["a", "a"], "skills[1]", "each entry once"),
    ("prompt", 5, "prompt", "text, or an object with file"),
    ("prompt", {}, "prompt.file", "a value"),
    ("prompt", {"file": "../a"}, "prompt.file", BELOW),
    ("prompt", {"file": "a", "text": "b"}, "prompt.text", "one of file"),
    ("args", "--x", "args", "a list"),
    ("args", [1], "args[0]", "text"),
    ("args", ["x" * 4097], "args[0]", "at most 4096"),
    ("env", {"PATH": "x"}, "env.PATH", "a variable that is free"),
    ("image", "x", "image", "one of adapter, args, bottle, env, prompt, skills"),
]


@pytest.mark.parametrize(("name", "value", "told", "wanted"), AGENTS_REFUSED)
def test_an_agent_refuses(name: str, value: object, told: str, wanted: str) -> None:
    content = {"bottle": "b", name: value}
    assert problems(AGENT, content) == [(told, wanted)]
    assert marked(AGENT, content)


def test_an_agent_has_a_bottle() -> None:
    assert problems(AGENT, {}) == [("bottle", "a value")]


@pytest.mark.parametrize("name", ["a", "0", "a-b_1", "x" * 40])
def test_a_name(name: str) -> None:
    content = {"bottles": {name: {}}, "agents": {name: {"bottle": name}}}
    assert problems(MANIFEST, content) == []
    assert not marked(MANIFEST, content)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("", "bottles['']"),
        ("A", "bottles.A"),
        ("-a", "bottles.-a"),
        ("a.b", "bottles['a.b']"),
        ("a\n", "bottles['a\\n']"),
        ("é", "bottles['é']"),
        ("x" * 41, "bottles." + "x" * 41),
    ],
)
def test_what_is_no_name(name: str, path: str) -> None:
    content: dict[str, Any] = {"bottles": {name: {}}, "agents": {}}
    assert problems(MANIFEST, content) == [(path, "a name")]
    assert marked(MANIFEST, content)


def test_the_remedies_of_hosts_and_variables_say_what_to_write() -> None:
    at = Place()
    BOTTLE.read(
        {
            "env": {"LD_PRELOAD": "x", "A": {"from": "TERM"}},
            "egress": {"allowlist": ["https://a.example", "*.co.uk"]},
        },
        at,
    )
    assert [problem.remedy for problem in at.problems] == [
        "it makes programs load code before they begin",
        "the launcher needs it itself",
        "write the host alone, without a scheme",
        "anybody can register a name below co.uk: name the hosts",
    ]


class TestSchema:
    def test_it_is_one_and_is_json(self) -> None:
        schema = language.schema()
        Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"

    def test_every_key_is_explained(self) -> None:
        def explained(value: Any) -> None:
            if isinstance(value, dict):
                for member in value.get("properties", {}).values():
                    assert member["description"].endswith(".")
                for inner in value.values():
                    explained(inner)

        explained(language.schema())

    def test_what_is_for_later_says_so_to_an_editor_and_nothing_else_does(self) -> None:
        shut = language.schema()["properties"]["bottles"]["additionalProperties"]["properties"]
        egress = shut["egress"]["properties"]
        said = {n for n, member in egress.items() if "Not supported yet." in member["description"]}
        assert said == {"inspect", "upstream_ca", "dlp", "budget"}
        assert [
            n for n, member in shut.items() if "Not supported yet." in member["description"]
        ] == ["ssh"]

    def test_it_is_made_of_what_the_parser_reads_by(self) -> None:
        assert language.schema()["properties"].keys() == MANIFEST.keys.keys()
        bottle = language.schema()["properties"]["bottles"]["additionalProperties"]
        assert bottle == BOTTLE.schema()
