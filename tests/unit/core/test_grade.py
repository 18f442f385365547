"""Grade: what each entry gives away, the worst that it lets through, and no registry by name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core.allowlist import HostPattern, canonical
from bottle.core.grade import _ENTRIES, _TABLE, Grade, Graded, grade

WORST_FIRST = tuple(Grade)


def _grade(text: str) -> Grade:
    return grade(HostPattern.parse(text)).grade


class TestTable:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("github.com", Grade.PUBLISHES),
            ("api.github.com", Grade.PUBLISHES),
            ("uploads.github.com", Grade.PUBLISHES),
            ("gist.github.com", Grade.PUBLISHES),
            ("codeload.github.com", Grade.READS),
            ("raw.githubusercontent.com", Grade.READS),
            ("results-receiver.actions.githubusercontent.com", Grade.PUBLISHES),
            ("gitlab.com", Grade.PUBLISHES),
            ("bitbucket.org", Grade.PUBLISHES),
            ("codeberg.org", Grade.PUBLISHES),
            ("pastebin.com", Grade.PUBLISHES),
            ("bucket.s3.eu-central-1.amazonaws.com", Grade.PUBLISHES),
            ("storage.googleapis.com", Grade.PUBLISHES),
            ("account.blob.core.windows.net", Grade.PUBLISHES),
            ("hooks.slack.com", Grade.PUBLISHES),
            ("discord.com", Grade.PUBLISHES),
            ("api.telegram.org", Grade.PUBLISHES),
            ("webhook.site", Grade.PUBLISHES),
            ("some.ngrok.io", Grade.PUBLISHES),
            ("auth.docker.io", Grade.PUBLISHES),
            ("somebody.pages.dev", Grade.PUBLISHES),
            ("somebody.github.io", Grade.PUBLISHES),
            ("o1.ingest.sentry.io", Grade.PUBLISHES),
            ("claude.ai", Grade.PUBLISHES),
            ("downloads.claude.ai", Grade.READS),
            ("api.anthropic.com", Grade.VENDOR),
            ("example.com", Grade.UNKNOWN),
        ],
    )
    def test_hosts(self, text: str, expected: Grade) -> None:
        assert _grade(text) is expected

    @pytest.mark.parametrize(
        "text",
        [
            "notgithub.com",
            "github.com.example.com",
            "github.community",
            "com.github.example",
            "some.githubusercontent.com",
            "telegram.org",
        ],
    )
    def test_what_only_resembles_a_host_of_the_table_is_unknown(self, text: str) -> None:
        assert _grade(text) is Grade.UNKNOWN

    def test_the_port_makes_no_difference(self) -> None:
        assert grade(HostPattern.parse("github.com:22")) == grade(HostPattern.parse("github.com"))

    def test_a_host_of_the_table_is_told_with_its_page(self) -> None:
        assert grade(HostPattern.parse("gitlab.com")) == Graded(
            grade=Grade.PUBLISHES,
            why="code hosting: any account can push and comment, and share snippets",
            source="https://docs.gitlab.com/user/snippets/",
        )

    def test_nothing_is_called_safe(self) -> None:
        assert not any("safe" in grade.value for grade in Grade)

    def test_each_host_stands_once_in_its_canonical_spelling(self) -> None:
        hosts = [host for _, _, hosts in _TABLE for host in hosts.split()]
        assert len(hosts) == len(set(hosts)) == len(_ENTRIES)
        assert [host for host in hosts if canonical(host) != host] == []

    @pytest.mark.parametrize("host", _ENTRIES)
    def test_each_entry_has_a_reason_and_a_page(self, host: str) -> None:
        entry = _ENTRIES[host]
        page = urlsplit(entry.source)
        assert (page.scheme, page.query) == ("https", "")
        assert canonical(page.netloc) == page.netloc
        assert re.fullmatch(r"[a-z]\S*( \S+)+", entry.why)

    def test_nothing_in_the_table_is_unknown(self) -> None:
        assert Grade.UNKNOWN not in {entry.grade for entry in _ENTRIES.values()}

    @pytest.mark.parametrize("word", ["np" + "m", "py" + "pi", "crat" + "es", "deb" + "ian"])
    def test_no_registry_of_packages_stands_in_the_table(self, word: str) -> None:
        assert [host for host in _ENTRIES if word in host] == []


class TestWildcards:
    @pytest.mark.parametrize(
        ("text", "expected", "reason"),
        [
            ("*.github.com", Grade.PUBLISHES, "code hosting"),
            ("*.github.io", Grade.PUBLISHES, "hosting: a name below"),
            ("*.example.github.io", Grade.PUBLISHES, "as github.io: "),
            ("*.telegram.org", Grade.PUBLISHES, "with api.telegram.org: "),
            ("*.windows.net", Grade.PUBLISHES, "with core.windows.net: "),
            (
                "*.githubusercontent.com",
                Grade.PUBLISHES,
                "with actions.githubusercontent.com: ",
            ),
            ("*.anthropic.com", Grade.VENDOR, "vendor keeps"),
            ("*.raw.githubusercontent.com", Grade.READS, "gives out"),
            ("*.claude.com", Grade.UNKNOWN, "not in the table"),
            ("*.example.com", Grade.UNKNOWN, "not in the table"),
        ],
    )
    def test_the_worst_counts(self, text: str, expected: Grade, reason: str) -> None:
        graded = grade(HostPattern.parse(text))
        assert graded.grade is expected
        assert reason in graded.why

    def test_one_mild_host_below_says_nothing_of_the_others(self) -> None:
        assert _grade("platform.claude.com") is Grade.VENDOR
        assert _grade("*.claude.com") is Grade.UNKNOWN

    def test_a_name_without_a_star_does_not_let_through_what_lies_below(self) -> None:
        assert _grade("telegram.org") is Grade.UNKNOWN
        assert _grade("*.telegram.org") is Grade.PUBLISHES


class TestRegistries:
    @pytest.mark.parametrize("registry", ["pip", "npm"])
    @pytest.mark.parametrize("text", ["mirror.example.com", "*.example.com", "api.anthropic.com"])
    def test_a_registry_publishes_whatever_its_host(self, text: str, registry: str) -> None:
        graded = grade(HostPattern.parse(text), registry=registry)
        assert graded.grade is Grade.PUBLISHES
        assert graded.why.startswith(f"packages ({registry}): ")
        assert graded.grade is not _grade(text)


LABELS = st.sampled_from(["api", "raw", "com", "io", "x", "github", "xn--p1ai", "_a", "1"])
HOSTS = st.one_of(
    st.sampled_from(sorted(_ENTRIES)),
    st.builds(
        lambda labels, host: ".".join([*labels, host]),
        st.lists(LABELS, max_size=3),
        st.sampled_from(sorted(_ENTRIES)),
    ),
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.sampled_from(sorted(host.partition(".")[2] for host in _ENTRIES)),
)
PATTERNS = st.builds(HostPattern, HOSTS, st.integers(1, 65535), st.booleans())


class TestAnyPattern:
    """A pattern that lets more through is never graded milder, and every pattern has a grade."""

    @given(PATTERNS)
    def test_has_a_grade_and_a_reason(self, pattern: HostPattern) -> None:
        graded = grade(pattern)
        assert graded.grade in WORST_FIRST
        assert graded.why
        assert bool(graded.source) == (graded.grade is not Grade.UNKNOWN)

    @given(st.builds(HostPattern, st.text(), st.integers(), st.booleans()), st.text())
    def test_no_text_is_refused(self, pattern: HostPattern, registry: str) -> None:
        assert grade(pattern, registry=registry).why

    @given(HOSTS, st.lists(LABELS, min_size=1, max_size=3), st.booleans())
    def test_narrower_is_never_worse(self, host: str, labels: list[str], below: bool) -> None:
        narrow = HostPattern(".".join([*labels, host]), below=below)
        wide = HostPattern(host, below=True)
        worst = WORST_FIRST.index(grade(wide).grade)
        assert worst <= WORST_FIRST.index(grade(narrow).grade)

    @given(HOSTS)
    def test_a_star_is_never_milder_than_each_host_it_lets_through(self, host: str) -> None:
        wide = HostPattern(host, below=True)
        for entry in filter(wide.matches, _ENTRIES):
            known = grade(HostPattern(entry)).grade
            assert WORST_FIRST.index(grade(wide).grade) <= WORST_FIRST.index(known)
