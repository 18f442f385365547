"""A yes is about facts: what is equal is no change, and what lets more through widens."""

from __future__ import annotations

import copy
import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from bottle.core.allowlist import Allowlist, HostPattern
from bottle.core.consent import Change, Fact, changes, facts
from bottle.core.secret import Secret
from tests.property.test_plan import Case, cases
from tests.support.strategies import examples

SSH = {"host": "added.example", "key": "k", "known_hosts": "h"}
SECRET = Secret(name="ADDED-", source="the environment", kept="in the bottle")


def with_host(case: Case) -> Case:
    bottle = case.bottle
    egress = bottle.setdefault("egress", {})
    egress["allowlist"] = [*egress.get("allowlist", []), "added.example"]
    return case


def with_ssh(case: Case) -> Case:
    bottle = case.bottle
    bottle["ssh"] = [*bottle.get("ssh", []), SSH]
    return case


def with_secret(case: Case) -> Case:
    secrets = (*case.given.secrets, SECRET)
    return dataclasses.replace(case, given=dataclasses.replace(case.given, secrets=secrets))


def with_skill(case: Case) -> Case:
    skills = {**case.given.skills, "added-": "0" * 64}
    return dataclasses.replace(case, given=dataclasses.replace(case.given, skills=skills))


WIDENINGS = {
    "egress": (with_host, "added.example"),
    "ssh": (with_ssh, "git@added.example"),
    "secret": (with_secret, SECRET.name),
    "skill": (with_skill, "added-"),
}


def with_runtime(case: Case, runtime: str) -> Case:
    bottle = case.bottle
    bottle["runtime"] = runtime
    bottle["limits"] = {**bottle.get("limits", {}), "pids": 2048}
    return case


FACTS = st.lists(
    st.builds(
        Fact,
        topic=st.sampled_from(["egress", "secret", "ssh", "skill", "package", "unheard of"]),
        name=st.sampled_from(["a", "b", "c"]),
        value=st.sampled_from(["1", "2"]),
    ),
    unique_by=lambda fact: (fact.topic, fact.name),
    max_size=8,
).map(tuple)


HOSTS = [
    *("example.org", "a.example.org", "b.example.org", "a.a.example.org", "b.a.example.org"),
    *("b.a.a.example.org", "aexample.org", "example.net", "a.example.net"),
]
PORTS = (443, 80)
ENTRIES = st.lists(
    st.builds(
        lambda star, host, port: f"{star}{host}{port}",
        st.sampled_from(["", "*."]),
        st.sampled_from(["example.org", "a.example.org", "a.a.example.org", "example.net"]),
        st.sampled_from(["", ":80"]),
    ),
    max_size=4,
    unique=True,
)


def listed(entries: list[str]) -> tuple[Fact, ...]:
    return tuple(Fact(topic="egress", name=entry, value="x") for entry in entries)


def reached(entries: list[str]) -> set[tuple[str, int]]:
    """Give all of the hosts above and the ports that entries let through."""
    allowlist = Allowlist.of(HostPattern.parse(entry) for entry in entries)
    return {
        (host, port) for host in HOSTS for port in PORTS if allowlist.decide(host, port).allowed
    }


def turned(change: Change) -> tuple[str, str, str, str]:
    return change.topic, change.name, change.now, change.before


class TestChanges:
    """What changed since the last yes stands first, and what widens needs a yes of its own."""

    @given(cases())
    def test_equal_facts_are_no_change(self, case: Case) -> None:
        known = facts(case.plan())
        assert changes(known, known) == ()
        assert known == facts(case.plan(content=copy.deepcopy(case.content)))
        assert len({(fact.topic, fact.name) for fact in known}) == len(known)
        assert all(fact.value for fact in known)

    @given(cases(), st.sampled_from(sorted(WIDENINGS)))
    def test_more_widens_and_less_never_does(self, case: Case, topic: str) -> None:
        add, name = WIDENINGS[topic]
        less = facts(case.plan())
        more = facts(add(dataclasses.replace(case, content=copy.deepcopy(case.content))).plan())
        (added,) = changes(less, more)
        assert (added.topic, added.name, added.sign, added.widens) == (topic, name, "+", True)
        (gone,) = changes(more, less)
        assert (gone.topic, gone.name, gone.sign, gone.widens) == (topic, name, "-", False)

    @examples(0.5)
    @given(cases())
    def test_a_kernel_shared_again_widens(self, case: Case) -> None:
        own, shared = (
            facts(with_runtime(dataclasses.replace(case, content=content), runtime).plan())
            for runtime, content in (
                ("runsc", copy.deepcopy(case.content)),
                ("runc", copy.deepcopy(case.content)),
            )
        )
        assert [(c.topic, c.sign, c.widens) for c in changes(own, shared)] == [
            ("runtime", "~", True)
        ]
        assert [(c.topic, c.sign, c.widens) for c in changes(shared, own)] == [
            ("runtime", "~", False)
        ]

    @examples(5)
    @given(FACTS, FACTS)
    def test_everything_that_differs_is_told_once(
        self, before: tuple[Fact, ...], now: tuple[Fact, ...]
    ) -> None:
        found = changes(before, now)
        differing = set(before) ^ set(now)
        assert {(c.topic, c.name) for c in found} == {(f.topic, f.name) for f in differing}
        assert len({(c.topic, c.name) for c in found}) == len(found)
        assert sorted(map(turned, found)) == sorted(
            (c.topic, c.name, c.before, c.now) for c in changes(now, before)
        )
        assert [c.widens for c in found] == sorted((c.widens for c in found), reverse=True)
        for change in found:
            if change.topic == "unheard of":
                assert change.widens
            elif change.sign == "-":
                assert not change.widens
            elif change.sign == "+":
                assert change.widens

    @examples(5)
    @given(ENTRIES, ENTRIES)
    def test_an_entry_widens_unless_one_before_let_all_of_it_through(
        self, before: list[str], now: list[str]
    ) -> None:
        """Asked of the allowlist itself, over every name that the entries can mean."""
        found = changes(listed(before), listed(now))
        assert {c.name for c in found if c.widens} == {
            entry
            for entry in set(now) - set(before)
            if not any(reached([entry]) <= reached([old]) for old in before)
        }
        if not any(c.widens for c in found):
            assert reached(now) <= reached(before)
