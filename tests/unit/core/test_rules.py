"""Rules: each takes what it is for, and refuses what no pattern can tell."""

from __future__ import annotations

import pytest

from bottle.core import rules
from bottle.core.allowlist import HostPattern
from bottle.core.shape import Unfit


class TestPattern:
    @pytest.mark.parametrize(
        ("text", "pattern"),
        [
            ("github.com", HostPattern("github.com")),
            ("*.example.com:8443", HostPattern("example.com", 8443, True)),
            ("co.uk", HostPattern("co.uk")),
            ("*.amazon.co.uk", HostPattern("amazon.co.uk", below=True)),
            ("*.b\u00fccher.example", HostPattern("xn--bcher-kva.example", below=True)),
        ],
    )
    def test_what_can_be_listed(self, text: str, pattern: HostPattern) -> None:
        assert rules.pattern(text) == pattern

    @pytest.mark.parametrize("text", ["*.co.uk", "*.CO.UK.", "*.github.io", "*.foo.ck", "*.com"])
    def test_a_star_over_names_that_anybody_registers_is_refused(self, text: str) -> None:
        with pytest.raises(Unfit) as caught:
            rules.pattern(text)
        assert "anybody can register a name below" in caught.value.remedy

    def test_what_is_no_entry_says_what_to_write(self) -> None:
        with pytest.raises(Unfit) as caught:
            rules.pattern("https://example.com")
        assert (caught.value.wanted, caught.value.remedy) == (
            "a host, *.host or host:port",
            "write the host alone, without a scheme",
        )


def test_a_plain_host_is_one() -> None:
    assert rules.host("GitHub.com.") == "github.com"
    for text in ("localhost", "10.0.0.1", "b\u00fccher.example", "*.example.com", "a:22"):
        with pytest.raises(Unfit):
            rules.host(text)


def test_variables_are_free_or_hold_a_secret() -> None:
    assert rules.free("EDITOR") == rules.readable("EDITOR") == "EDITOR"
    assert rules.free("LANG") == "LANG"  # a bottle's may be another than the launcher's
    with pytest.raises(Unfit, match="secret"):
        rules.readable("LANG")
    with pytest.raises(Unfit, match="free"):
        rules.free("LD_PRELOAD")


@pytest.mark.parametrize(("text", "mib"), [("512m", 512), ("1g", 1024), ("2G", 2048)])
def test_sizes_are_mebibytes(text: str, mib: int) -> None:
    assert rules.bounded_size(512, 2048)(text) == mib


@pytest.mark.parametrize("text", ["511m", "2049m", "3g"])
def test_sizes_have_bounds(text: str) -> None:
    with pytest.raises(Unfit, match="from 512m to 2g"):
        rules.bounded_size(512, 2048)(text)
