"""Consent: what a person said yes to, as facts, and what has changed since.

A change widens when the bottle may do more, or get more, than before; what this module cannot
judge widens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bottle.core import plan as planning
from bottle.core.allowlist import HostPattern, PatternError
from bottle.core.form import digest as digest_of_form
from bottle.core.form import digest_of, fixed, form
from bottle.core.language import RUNTIMES
from bottle.core.manifest import Agent, Bottle, Manifest
from bottle.core.members import Host
from bottle.core.plan import Plan, Setting
from bottle.core.slot import Slot
from bottle.core.variables import looks_secret

_LONGEST_TEXT: Final = 60


@dataclass(frozen=True, kw_only=True, order=True)
class Fact:
    """One thing that a yes is about."""

    topic: str
    name: str
    """Which one of its kind; empty when there is one only."""
    value: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """A fact that is not as it was: `before` or `now` is empty when it was not or is not there."""

    topic: str
    name: str
    before: str
    now: str
    widens: bool

    @property
    def subject(self) -> str:
        """What has changed, in a few words."""
        return f"{self.topic} {self.name}".strip()

    @property
    def sign(self) -> str:
        """`+` for what is new, `-` for what is gone, `~` for what is another."""
        if not self.before:
            return "+"
        return "~" if self.now else "-"


def facts(plan: Plan) -> tuple[Fact, ...]:
    """Give everything that a yes to this plan is about, in a fixed order."""
    return tuple(
        Fact(topic=topic, name=name, value=value) for topic, name, value in sorted(_facts(plan))
    )


_Row = tuple[str, str, str]


def _facts(plan: Plan) -> Iterator[_Row]:
    agent, bottle, given = plan.agent, plan.bottle, plan.given
    yield "bottle", "", bottle.name
    yield "adapter", "", agent.adapter
    yield "runtime", "", bottle.runtime
    yield "sidecar", "", bottle.egress.proxy
    yield "walls", "", f"sha256 {walls()}"
    for entry in plan.listed:
        yield "egress", str(entry.pattern), entry.source
    for secret in given.secrets:
        yield "secret", secret.name, f"{secret.source}; {secret.kept}"
    for setting in plan.settings:
        if not setting.secret:
            yield "variable", setting.name, _plain(setting)
    for ssh in bottle.ssh:
        yield "ssh", f"{ssh.user}@{ssh.name}", f"{ssh.key}, {ssh.known_hosts}: {ssh.use}"
    for name, digest in given.skills.items():
        yield "skill", name, f"sha256 {digest}"
    if agent.prompt:
        count = f"{len(agent.prompt)} characters"
        yield "prompt", "", f"{count}, sha256 {digest_of(agent.prompt)}"
    if words := (*agent.args, *given.arguments):
        yield "arguments", "", " ".join(map(repr, words))
    yield from _sizes(plan)
    yield from _image(plan)


def _plain(setting: Setting) -> str:
    """Give a variable's text where it is short and no secret, else a digest of it."""
    if len(setting.text) > _LONGEST_TEXT or looks_secret(setting.name, setting.text):
        return f"sha256 {digest_of(setting.text)}"
    return repr(setting.text)


def _sizes(plan: Plan) -> Iterator[_Row]:
    limits = plan.bottle.limits
    yield "limit", "memory", f"{limits.memory} MiB"
    yield "limit", "cpus", f"{limits.cpus:g}" if limits.cpus else _UNLIMITED
    yield "limit", "pids", str(limits.pids)
    yield "limit", "tmp", f"{limits.tmp} MiB"


def _image(plan: Plan) -> Iterator[_Row]:
    for package in plan.bottle.image.packages:
        yield "package", package, "of Debian"
    if plan.given.dockerfile:
        yield "dockerfile", "", f"sha256 {plan.given.dockerfile}"
    for container in plan.containers:
        yield "image", container.role, container.image.removeprefix("sha256:")


@functools.cache
def walls() -> str:
    """Give a digest of the walls that this program gives to every bottle, under each runtime."""
    forms = [_bare(runtime, names) for runtime in RUNTIMES for names in ((), ("a.example",))]
    return digest_of("\n".join(map(digest_of_form, forms)))


def _bare(runtime: str, standin_names: tuple[str, ...]) -> dict[str, Any]:
    """Give the form of a bottle that asks for nothing."""
    bottle = Bottle(name="b", runtime=runtime)
    agent = Agent(name="a", bottle="b", adapter="shell")
    images = dict.fromkeys(("agent", "sidecar", "standin"), "")
    host = Host(session="", owner="", slot=Slot(number=0), images=images)
    manifest = Manifest(bottles={"b": bottle}, agents={"a": agent})
    plan = planning.compile(manifest, "a", fixed(host), standin_names=standin_names)
    return form(plan)


# -- changes

_UNLIMITED: Final = "no limit"


def changes(before: tuple[Fact, ...], now: tuple[Fact, ...]) -> tuple[Change, ...]:
    """Compare two sets of facts; those that widen stand first."""
    was, is_ = _by_name(before), _by_name(now)
    reachable = [name for topic, name in was if topic == "egress"]
    found = [
        _change(key, was.get(key, ""), is_.get(key, ""), reachable)
        for key in sorted(was.keys() | is_.keys())
        if was.get(key) != is_.get(key)
    ]
    return tuple(sorted(found, key=lambda change: not change.widens))


def _change(key: tuple[str, str], before: str, now: str, reachable: list[str]) -> Change:
    topic, name = key
    covered = topic == "egress" and any(_covers(entry, name) for entry in reachable)
    widens = _widens(topic, before, now) and not covered
    return Change(topic=topic, name=name, before=before, now=now, widens=widens)


def _covers(listed: str, entry: str) -> bool:
    """Say whether all that an entry lets through was let through by one that was listed."""
    try:
        old, new = HostPattern.parse(listed), HostPattern.parse(entry)
    except PatternError:  # of a record that somebody else wrote
        return False
    return old.port == new.port and (old.matches(new.host) if old.below else old == new)


OTHER: Final = Change(topic="plan", name="", before="another", now="this", widens=True)
"""What has changed where a plan is another one although no fact is: that is not to be judged."""


def _by_name(known: tuple[Fact, ...]) -> dict[tuple[str, str], str]:
    return {(fact.topic, fact.name): fact.value for fact in known}


def _widens(topic: str, before: str, now: str) -> bool:
    judge = _JUDGES.get(topic)
    return judge is None or judge(before, now)


def _when_there(before: str, now: str) -> bool:  # noqa: ARG001  # as the others
    return bool(now)


def _when_new(before: str, now: str) -> bool:
    return bool(now) and not before


def _never(before: str, now: str) -> bool:  # noqa: ARG001  # as the others
    return False


def _when_shared(before: str, now: str) -> bool:  # noqa: ARG001  # as the others
    return now != "runsc"


def _when_raised(before: str, now: str) -> bool:
    try:
        return not _amount(now) <= _amount(before)  # what is no number is not less either
    except (ValueError, IndexError):
        return True


def _amount(text: str) -> float:
    return float("inf") if text in ("", _UNLIMITED) else float(text.split()[0])


_JUDGES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "runtime": _when_shared,
    "egress": _when_new,
    "secret": _when_there,
    "ssh": _when_there,
    "skill": _when_there,
    "package": _when_new,
    "dockerfile": _when_there,
    "limit": _when_raised,
    # what an agent is told to do with the same rights
    "prompt": _never,
    "arguments": _never,
    "variable": _never,
    "bottle": _never,
    # what it brings along is judged by its hosts and secrets
    "adapter": _never,
    # built by this program from pinned parts; what a manifest adds to them is judged above
    "image": _never,
}
"""Topic to whether a change of it widens; any other topic does."""
