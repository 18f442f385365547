"""Properties of the allowlist and of the sidecar's rules, over names and bytes of any kind."""

from __future__ import annotations

import string

from hypothesis import assume, given
from hypothesis import strategies as st

from bottle.core.addresses import refused
from bottle.core.allowlist import (
    Allowlist,
    HostPattern,
    PatternError,
    Reason,
    canonical,
    normalised,
)
from bottle.core.egress import Credential, Head, injected, judge_credentials, judge_head, parse
from tests.support.strategies import examples

_LABELS = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=10).filter(
    lambda label: not label.startswith("-") and not label.endswith("-")
)
_NAMES = (
    st.lists(_LABELS, min_size=2, max_size=4)
    .map(".".join)
    .filter(lambda name: canonical(name) is not None)
)
_PORTS = st.integers(1, 65535)
_PATTERNS = st.builds(HostPattern, _NAMES, _PORTS, st.booleans())
_ALLOWLISTS = st.lists(_PATTERNS, max_size=6).map(Allowlist.of)


class TestDenyByDefault:
    """ "Deny by default": what no entry means is denied, however it is spelled."""

    @examples(5)
    @given(_ALLOWLISTS, st.text(max_size=40), _PORTS)
    def test_any_text(self, allowlist: Allowlist, host: str, port: int) -> None:
        decision = allowlist.decide(host, port)
        if decision.allowed:
            name = normalised(host)
            assert name is not None
            assert canonical(name) == name == decision.host
            assert any(p.matches(name) and p.port == port for p in allowlist.patterns)
        else:
            assert decision.reason is not Reason.LISTED

    @given(_ALLOWLISTS, _NAMES, _PORTS)
    def test_any_name(self, allowlist: Allowlist, host: str, port: int) -> None:
        meant = any(
            p.port == port and (host.endswith(f".{p.host}") if p.below else host == p.host)
            for p in allowlist.patterns
        )
        assert allowlist.decide(host, port).allowed == meant

    @given(_PATTERNS, _NAMES)
    def test_an_entry_never_opens_what_only_ends_alike(
        self, pattern: HostPattern, front: str
    ) -> None:
        glued = front + pattern.host
        assume(canonical(glued) is not None and not glued.endswith("." + pattern.host))
        assert not Allowlist.of([pattern]).decide(glued, pattern.port).allowed

    @given(st.ip_addresses(), _ALLOWLISTS, _PORTS)
    def test_no_address(self, address: object, allowlist: Allowlist, port: int) -> None:
        assert allowlist.decide(str(address), port).reason is Reason.ADDRESS


class TestAddingAnEntry:
    """Adding an entry never denies what was allowed, and opens only what the entry means."""

    @examples(5)
    @given(st.lists(_PATTERNS, max_size=4), _PATTERNS, st.data())
    def test_never_denies(
        self, patterns: list[HostPattern], added: HostPattern, data: st.DataObject
    ) -> None:
        aimed = data.draw(st.sampled_from([*patterns, added]))
        front = "a." if aimed.below else ""
        host = data.draw(st.one_of(st.just(front + aimed.host), _NAMES))
        port = data.draw(st.one_of(st.just(aimed.port), _PORTS))
        before = Allowlist.of(patterns).decide(host, port)
        after = Allowlist.of([*patterns, added]).decide(host, port)
        alone = Allowlist.of([added]).decide(host, port)
        assert after.allowed == (before.allowed or alone.allowed)


class TestSpelling:
    """One name, one spelling: what is compared is canonical."""

    @examples(5)
    @given(st.text(max_size=40))
    def test_canonical_is_stable(self, text: str) -> None:
        name = canonical(text)
        assert name is None or canonical(name) == name
        assert name is None or normalised(text) == name

    @examples(5)
    @given(st.text(max_size=40))
    def test_normalised_is_canonical(self, text: str) -> None:
        name = normalised(text)
        assert name is None or canonical(name) == normalised(name) == name

    @given(_PATTERNS)
    def test_an_entry_is_read_back(self, pattern: HostPattern) -> None:
        assert HostPattern.parse(str(pattern)) == pattern

    @given(_PATTERNS, st.data())
    def test_case_and_dot_do_not_count(self, pattern: HostPattern, data: st.DataObject) -> None:
        host = f"a.{pattern.host}" if pattern.below else pattern.host
        spelled = "".join(data.draw(st.sampled_from([c, c.upper()])) for c in host)
        spelled += data.draw(st.sampled_from(["", "."]))
        assume(canonical(host) is not None)
        assert Allowlist.of([pattern]).decide(spelled, pattern.port).host == host

    @examples(5)
    @given(st.text(max_size=60))
    def test_any_text_is_an_entry_or_says_why_not(self, text: str) -> None:
        try:
            pattern = HostPattern.parse(text)
        except PatternError as error:
            assert str(error)  # noqa: PT017  # both outcomes are right
        else:
            assert canonical(pattern.host) == pattern.host


_HEADERS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=4)
_HEADS = st.builds(
    Head,
    method=st.one_of(st.just(b"GET"), st.binary(max_size=8)),
    authority=st.one_of(st.just(b""), st.binary(max_size=20)),
    path=st.one_of(st.just(b"/"), st.binary(max_size=60)),
    version=st.one_of(st.just(b"HTTP/1.1"), st.binary(max_size=9)),
    headers=_HEADERS.map(lambda lines: ((b"host", b"a.example"), *lines)),
)
_CREDENTIAL = Credential(host="a.example", placeholder="p" * 20, value="v" * 20)


class TestRequests:
    """A request that passes has one host, one line a header, and no credential but the bottle's."""

    @given(_HEADS)
    def test_judging_never_raises(self, head: Head) -> None:
        judge_credentials(head, _CREDENTIAL)
        if judge_head(head, "a.example", 443) is None:
            assert len(head.values(b"host")) == 1
            assert all(set(b"\r\n\0").isdisjoint(n + v) for n, v in head.headers)

    @given(_HEADS)
    def test_the_value_goes_only_where_the_placeholder_was(self, head: Head) -> None:
        for (_, before), (_, after) in zip(
            head.headers, injected(head.headers, _CREDENTIAL), strict=True
        ):
            assert after == before or b"p" * 20 in before

    @given(st.text(max_size=200))
    def test_any_configuration_is_read_or_refused(self, line: str) -> None:
        try:
            parse(line)
        except ValueError as error:
            assert str(error)  # noqa: PT017  # both outcomes are right

    @given(st.text(max_size=40))
    def test_any_text_is_an_address_or_refused(self, text: str) -> None:
        assert refused(text) is None or refused(text)
