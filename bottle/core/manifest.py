"""Manifest: what the JSON5 file `claude-bottle.json` declares, as frozen values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bottle.core import document
from bottle.core.allowlist import HostPattern, PatternError
from bottle.errors import ManifestError, Problem

RUNTIMES: Final = ("runc", "runsc")
SIDECARS: Final = ("mitmproxy",)
NOT_YET_SIDECARS: Final = ("pipelock",)
ADAPTERS: Final = ("claude", "shell", "demo")
DEMO: Final = "demo"
"""The reserved agent: only it runs the demo adapter, against a stand-in of the API."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SKILL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LONGEST_PROMPT = 64 * 1024
_SHOWN = 60
_Entry = TypeVar("_Entry")

_RESERVED = re.compile(
    r"(?i:(https?|all|no|ftp)_proxy)|PATH|HOME|USER|SHELL|IFS|ENV|BASH_ENV|LD_\w*|NODE_\w*|PYTHON\w*"
    r"|SSL_CERT_\w+|\w*_CA_BUNDLE|GIT_SSL_\w+|GIT_PROXY\w*|GIT_CONFIG\w*|PIP_CERT|PIP_PROXY"
    r"|CARGO_HTTP_\w+"
    r"|npm_config_\w+|ANTHROPIC_\w+|CLAUDE_\w+"
)


@dataclass(frozen=True, kw_only=True)
class Egress:
    """What may leave a bottle, and the sidecar that guards it."""

    allowlist: tuple[HostPattern, ...] = ()
    proxy: str = "mitmproxy"


@dataclass(frozen=True, kw_only=True)
class Bottle:
    """A named kind of container: runtime, environment, egress."""

    name: str
    runtime: str = "runc"
    env: Mapping[str, str] = field(default_factory=dict)
    egress: Egress = field(default_factory=Egress)


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A named entry to start: a bottle, what runs in it, its skills and its prompt."""

    name: str
    bottle: str
    adapter: str = "claude"
    skills: tuple[str, ...] = ()
    prompt: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Every bottle and agent by name; each agent's bottle exists."""

    bottles: Mapping[str, Bottle]
    agents: Mapping[str, Agent]


def parse(content: bytes) -> Manifest:
    """Read a manifest; raise ManifestError with every problem at once."""
    reader = _Reader()
    manifest = reader.manifest(document.read(content))
    if reader.problems:
        raise ManifestError(tuple(reader.problems))
    return manifest


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name most like `name`, as a sentence, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


class _Reader:
    """Walks plain values, collecting problems; what it returns counts only when there are none."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def manifest(self, value: object) -> Manifest:
        top = self._object(value, "", {"$schema", "bottles", "agents"}, {"bottles", "agents"})
        if "$schema" in top:
            self._text(top["$schema"], "$schema")
        bottles = self._named(top.get("bottles", {}), "bottles", self._bottle)
        agents = self._named(top.get("agents", {}), "agents", self._agent)
        for agent in agents.values():
            self._check_bottle(agent, top.get("bottles"))
        return Manifest(bottles=bottles, agents=agents)

    def _check_bottle(self, agent: Agent, declared: object) -> None:
        names = declared if isinstance(declared, dict) else {}
        path = f"agents.{agent.name}.bottle"
        told = any(problem.path == path for problem in self.problems)
        if agent.bottle not in names and not told:
            self._add(
                path,
                repr(agent.bottle),
                "the name of a bottle",
                nearest(agent.bottle, names) or "declare it under bottles",
            )

    def _bottle(self, name: str, value: object, path: str) -> Bottle:
        members = self._object(value, path, {"runtime", "env", "ssh", "egress"})
        if self._list(members.get("ssh", []), f"{path}.ssh"):
            self._add(
                f"{path}.ssh",
                "entries",
                "an empty list",
                "ssh is not supported yet; use https remotes",
            )
        return Bottle(
            name=name,
            runtime=self._choice(members.get("runtime", "runc"), f"{path}.runtime", RUNTIMES),
            env=self._env(members.get("env", {}), f"{path}.env"),
            egress=self._egress(members.get("egress", {}), f"{path}.egress"),
        )

    def _env(self, value: object, path: str) -> dict[str, str]:
        found = {}
        for name, content in self._object(value, path, None).items():
            where = f"{path}.{name}" if _VARIABLE.fullmatch(name) else f"{path}[{name[:_SHOWN]!r}]"
            if not _VARIABLE.fullmatch(name):
                self._add(
                    where,
                    repr(name[:_SHOWN]),
                    "a variable name",
                    "letters, digits and _, not starting with a digit",
                )
            elif _RESERVED.fullmatch(name):
                self._add(where, name, "a variable that weakens no wall", "it is set by the bottle")
            found[name] = self._text(content, where)
        return found

    def _egress(self, value: object, path: str) -> Egress:
        members = self._object(value, path, {"allowlist", "proxy"})
        listed = self._list(members.get("allowlist", []), f"{path}.allowlist")
        patterns = [self._pattern(v, f"{path}.allowlist[{i}]") for i, v in enumerate(listed)]
        proxy = members.get("proxy", "mitmproxy")
        if proxy in NOT_YET_SIDECARS:
            self._add(f"{path}.proxy", repr(proxy), "'mitmproxy'", f"{proxy} is not supported yet")
        else:
            self._choice(proxy, f"{path}.proxy", SIDECARS)
        return Egress(allowlist=tuple(p for p in patterns if p))

    def _pattern(self, value: object, path: str) -> HostPattern | None:
        text = self._text(value, path)
        if not isinstance(value, str):
            return None
        try:
            return HostPattern.parse(text)
        except PatternError as error:
            self._add(path, repr(text[:_SHOWN]), "a host name", str(error))
            return None

    def _agent(self, name: str, value: object, path: str) -> Agent:
        keys = {"bottle", "adapter", "skills", "prompt"}
        members = self._object(value, path, keys, {"bottle"})
        skills = self._list(members.get("skills", []), f"{path}.skills")
        adapter = self._choice(members.get("adapter", "claude"), f"{path}.adapter", ADAPTERS)
        if (adapter == DEMO) != (name == DEMO):
            self._add(
                f"{path}.adapter",
                repr(adapter),
                "'demo' for the agent demo, and for it alone",
                "rename the agent or choose another adapter",
            )
        prompt = self._text(members.get("prompt", ""), f"{path}.prompt")
        if len(prompt.encode()) > _LONGEST_PROMPT:
            self._add(f"{path}.prompt", f"{len(prompt)} characters", "at most 64 KiB")
        return Agent(
            name=name,
            bottle=self._text(members["bottle"], f"{path}.bottle") if "bottle" in members else "",
            adapter=adapter,
            skills=self._skills(skills, f"{path}.skills"),
            prompt=prompt,
        )

    def _skills(self, values: list[object], path: str) -> tuple[str, ...]:
        names: list[str] = []
        for index, value in enumerate(values):
            name = self._text(value, f"{path}[{index}]")
            if isinstance(value, str) and not _SKILL.fullmatch(name):
                self._add(
                    f"{path}[{index}]",
                    repr(name[:_SHOWN]),
                    "the name of a skill",
                    "letters, digits, - and _: it names a folder",
                )
            elif name in names:
                self._add(f"{path}[{index}]", repr(name), "each skill once", "remove the repeat")
            names.append(name)
        return tuple(names)

    def _named(
        self, value: object, path: str, read: Callable[[str, object, str], _Entry]
    ) -> dict[str, _Entry]:
        found = {}
        for name, content in self._object(value, path, None).items():
            if _NAME.fullmatch(name):
                found[name] = read(name, content, f"{path}.{name}")
                continue
            self._add(
                f"{path}[{name[:_SHOWN]!r}]",
                repr(name[:_SHOWN]),
                "a name",
                "small letters, digits, - and _, at most 40",
            )
        return found

    def _object(
        self,
        value: object,
        path: str,
        keys: set[str] | None,
        required: frozenset[str] | set[str] = frozenset(),
    ) -> dict[str, object]:
        if not isinstance(value, dict):
            self._add(path, _kind(value), "an object")
            return {}
        dot = f"{path}." if path else ""
        for name in value if keys is not None else ():
            if name not in (keys or ()):
                self._add(
                    f"{dot}{name[:_SHOWN]}",
                    "an unknown key",
                    f"one of {', '.join(sorted(keys or ()))}",
                    nearest(name, keys or ()),
                )
        for name in sorted(required - value.keys()):
            self._add(f"{dot}{name}", "nothing", "a value", f"add {name}")
        return {k: v for k, v in value.items() if keys is None or k in keys}

    def _list(self, value: object, path: str) -> list[object]:
        if isinstance(value, list):
            return value
        self._add(path, _kind(value), "a list")
        return []

    def _text(self, value: object, path: str) -> str:
        if isinstance(value, str) and "\0" not in value:
            return value
        self._add(path, _kind(value) if not isinstance(value, str) else "a NUL character", "text")
        return ""

    def _choice(self, value: object, path: str, choices: tuple[str, ...]) -> str:
        if isinstance(value, str) and value in choices:
            return value
        found = repr(value[:_SHOWN]) if isinstance(value, str) else _kind(value)
        self._add(
            path,
            found,
            "one of " + ", ".join(map(repr, choices)),
            nearest(value, choices) if isinstance(value, str) else "",
        )
        return choices[0]

    def _add(self, path: str, found: str, wanted: str, remedy: str = "") -> None:
        self.problems.append(Problem(path=path, found=found, wanted=wanted, remedy=remedy))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
