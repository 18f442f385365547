"""Allowlist: which entries can be written, and what each of them lets through."""

from __future__ import annotations

import pytest

from bottle.core.allowlist import (
    Allowlist,
    Decision,
    HostPattern,
    PatternError,
    Reason,
    canonical,
    normalised,
)


def _listed(*texts: str) -> Allowlist:
    return Allowlist.of(HostPattern.parse(text) for text in texts)


ADVICE = (
    *(
        f"write the host alone, without {what}"
        for what in (
            *("a scheme", "a path", "a query", "a fragment", "a user", "percent signs"),
            "spaces or control characters",
        )
    ),
    "write a host name; IP addresses cannot be listed",
    "write the port as a number from 1 to 65535",
    "name each host; a bare * would open everything",
    "a * stands only at the front, as in *.example.com",
    "anybody can register a name below a top-level domain: name the hosts",
    "write the full name, as in host.example.com",
    "write an international name that can be registered (IDNA 2008, UTS 46)",
    "write a plain host name, as in github.com or *.example.com",
)
"""What a person is told to write instead."""


class TestCanonical:
    @pytest.mark.parametrize(
        ("spelled", "name"),
        [
            ("example.com", "example.com"),
            ("EXAMPLE.Com", "example.com"),
            ("example.com.", "example.com"),
            ("a-b.c_d.example", "a-b.c_d.example"),
            ("_acme.example.com", "_acme.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.example", "1.example"),
            ("1e9.x1", "1e9.x1"),
            ("a" * 63 + ".example", "a" * 63 + ".example"),
            (".".join(["a" * 49] * 4 + ["b" * 53]), ".".join(["a" * 49] * 4 + ["b" * 53])),
        ],
    )
    def test_one_spelling(self, spelled: str, name: str) -> None:
        assert canonical(spelled) == name

    @pytest.mark.parametrize(
        "spelled",
        [
            "",
            ".",
            "localhost",
            "example.com..",
            ".example.com",
            "a..b",
            "-a.example",
            "a-.example",
            "a b.example",
            "a.example ",
            "a.example\n",
            "a.example\x00",
            "a/b.example",
            "a:1.example",
            "*.example.com",
            "bücher.example",
            "xn--a.example",
            "xn--.example",
            "xn--bcher-kva-.example",
            "xn--example-.example",
            "xn--bcher-kvb.example",
            "xn--0-.example",
            "xn--ls8h.example",
            "\uff41.example",
            "\u212a.example",
            "example。com",
            "a" * 64 + ".example",
            ".".join(["a" * 49] * 6),
            "1.2.3.4",
            "1.2.3.4.",
            "1.2",
            "example.1",
            "a.example.1",
            "example.0x1",
            "example.0x",
            "0x7f.1",
            "2130706433",
        ],
    )
    def test_what_is_no_name(self, spelled: str) -> None:
        assert canonical(spelled) is None


class TestNormalised:
    """UTS 46: what a browser makes of a text, before it asks for a name."""

    @pytest.mark.parametrize(
        ("spelled", "name"),
        [
            ("Example.COM.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bu\u0308cher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("中文.example", "xn--fiq228c.example"),
            ("\uff45\uff58ample\uff0ecom", "example.com"),
            ("example\u3002com", "example.com"),
            ("example\uff61com\uff61", "example.com"),
            ("exa\u00admple.com", "example.com"),
            ("\u212aelvin.example", "kelvin.example"),
            ("\u2460.example", "1.example"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ],
    )
    def test_one_spelling(self, spelled: str, name: str) -> None:
        assert normalised(spelled) == name
        assert canonical(name) == name

    @pytest.mark.parametrize(
        "spelled",
        [
            "",
            "\u3002",
            "ü",
            "ü..example",
            "\uff11.2.3.4",
            "127\u3002\uff10\u30020.1",
            "0\uff587f.1",
            "ü.1",
            "ü\uff0f.example",
            "ü:443.example",
            "ü .example",
            "ü\0.example",
            "\u2100.example",
            "-ü.example",
            "ü-.example",
            "ab--ü.example",
            "xn--ü.example",
            "a\u200db.example",
            "\u0301a.example",
            "\U0001f600.example",
            "\u202eabc.example",
            "\ud800.example",
            "ü" * 60 + ".example",
            "ü." * 127 + "example",
            "ü" * 100_000,
        ],
    )
    def test_what_is_no_name(self, spelled: str) -> None:
        assert normalised(spelled) is None


class TestParse:
    @pytest.mark.parametrize(
        ("text", "pattern", "written"),
        [
            ("example.com", HostPattern("example.com"), "example.com"),
            ("Example.COM.", HostPattern("example.com"), "example.com"),
            ("example.com:443", HostPattern("example.com"), "example.com"),
            ("example.com:8443", HostPattern("example.com", 8443), "example.com:8443"),
            ("*.example.com", HostPattern("example.com", 443, True), "*.example.com"),
            ("*.example.com:80", HostPattern("example.com", 80, True), "*.example.com:80"),
            ("example.com:1", HostPattern("example.com", 1), "example.com:1"),
            ("example.com:65535", HostPattern("example.com", 65535), "example.com:65535"),
            (
                "_x.b\u00fccher.example",
                HostPattern("_x.xn--bcher-kva.example"),
                "_x.xn--bcher-kva.example",
            ),
            ("Bücher.example", HostPattern("xn--bcher-kva.example"), "xn--bcher-kva.example"),
            (
                "*.bücher.example:80",
                HostPattern("xn--bcher-kva.example", 80, True),
                "*.xn--bcher-kva.example:80",
            ),
            ("example\u3002com", HostPattern("example.com"), "example.com"),
        ],
    )
    def test_what_can_be_written(self, text: str, pattern: HostPattern, written: str) -> None:
        assert HostPattern.parse(text) == pattern
        assert str(pattern) == written
        assert HostPattern.parse(written) == pattern

    @pytest.mark.parametrize(
        ("text", "advice"),
        [
            ("https://example.com", "without a scheme"),
            ("example.com/path", "without a path"),
            ("user@example.com", "without a user"),
            ("%65xample.com", "without percent signs"),
            ("example.com\\a", "without a path"),
            ("example.com?a", "without a query"),
            ("example.com#a", "without a fragment"),
            ("example.com ", "without spaces or control"),
            ("example.com\n", "without spaces or control"),
            ("exa\0mple.com", "without spaces or control"),
            ("exa\u200bmple.com", "without spaces or control"),
            ("exa\u00a0mple.com", "without spaces or control"),
            ("\u202eexample.com", "without spaces or control"),
            ("[127.0.0.1]", "IP addresses cannot"),
            ("fe80::1", "IP addresses cannot"),
            ("0177.0.0.1", "IP addresses cannot"),
            ("127.1:80", "IP addresses cannot"),
            ("\uff11\uff12\uff17.1", "IP addresses cannot"),
            ("[::1]", "IP addresses cannot"),
            ("[::1]:443", "IP addresses cannot"),
            ("::1", "IP addresses cannot"),
            ("1.2.3.4", "IP addresses cannot"),
            ("1.2.3.4:443", "IP addresses cannot"),
            ("0x7f000001", "IP addresses cannot"),
            ("*.1.2.3.4", "IP addresses cannot"),
            ("example.com:", "from 1 to 65535"),
            ("example.com:0", "from 1 to 65535"),
            ("example.com:65536", "from 1 to 65535"),
            ("example.com:0443", "from 1 to 65535"),
            ("example.com:https", "from 1 to 65535"),
            ("example.com:+443", "from 1 to 65535"),
            ("example.com:4\uff143", "from 1 to 65535"),
            ("", "name each host"),
            ("*", "name each host"),
            ("*.", "name each host"),
            ("*:443", "name each host"),
            ("a.*.example", "only at the front"),
            ("*.*.example", "only at the front"),
            ("*example.com", "only at the front"),
            ("localhost", "full name"),
            ("*.com", "below a top-level domain"),
            ("*.com.", "below a top-level domain"),
            ("*.рф", "below a top-level domain"),
            ("\U0001f600.example", "can be registered"),
            ("xn--a.example", "can be registered"),
            ("\uff0a.example", "below a top-level domain"),
            ("a.\uff0a.example", "only at the front"),
            ("\uff2c\uff4f\uff43\uff41\uff4c", "full name"),
            ("exa mple.com", "without spaces"),
            ("-a.example", "plain host name"),
            ("a" * 64 + ".example", "plain host name"),
        ],
    )
    def test_what_cannot(self, text: str, advice: str) -> None:
        with pytest.raises(PatternError) as caught:
            HostPattern.parse(text)
        (sentence,) = (known for known in ADVICE if advice in known)
        assert str(caught.value) == sentence


class TestDecide:
    ALLOWLIST = _listed("example.com", "*.wild.example", "ports.example:8443", "ports.example")

    @pytest.mark.parametrize(
        ("host", "port", "name", "pattern"),
        [
            ("example.com", 443, "example.com", "example.com"),
            ("EXAMPLE.com.", 443, "example.com", "example.com"),
            ("a.wild.example", 443, "a.wild.example", "*.wild.example"),
            ("a.b.wild.example", 443, "a.b.wild.example", "*.wild.example"),
            ("ports.example", 443, "ports.example", "ports.example"),
            ("ports.example", 8443, "ports.example", "ports.example:8443"),
            ("\uff45xample.com", 443, "example.com", "example.com"),
            ("example\u3002com", 443, "example.com", "example.com"),
            ("ü.wild.example", 443, "xn--tda.wild.example", "*.wild.example"),
            ("xn--tda.wild.example", 443, "xn--tda.wild.example", "*.wild.example"),
        ],
    )
    def test_what_is_listed(self, host: str, port: int, name: str, pattern: str) -> None:
        assert self.ALLOWLIST.decide(host, port) == Decision(
            allowed=True, reason=Reason.LISTED, pattern=pattern, host=name
        )

    @pytest.mark.parametrize(
        ("host", "port", "reason"),
        [
            ("evil.example", 443, Reason.NOT_LISTED),
            ("a.example.com", 443, Reason.NOT_LISTED),
            ("example.com.evil.example", 443, Reason.NOT_LISTED),
            ("notexample.com", 443, Reason.NOT_LISTED),
            ("wild.example", 443, Reason.NOT_LISTED),
            ("notwild.example", 443, Reason.NOT_LISTED),
            ("example.com", 80, Reason.PORT_NOT_LISTED),
            ("example.com", 0, Reason.PORT_NOT_LISTED),
            ("a.wild.example", 22, Reason.PORT_NOT_LISTED),
            ("1.2.3.4", 443, Reason.ADDRESS),
            ("16909060", 443, Reason.ADDRESS),
            ("0x01020304", 443, Reason.ADDRESS),
            ("[::1]", 443, Reason.ADDRESS),
            ("::1", 443, Reason.ADDRESS),
            ("localhost", 443, Reason.NOT_A_NAME),
            ("", 443, Reason.NOT_A_NAME),
            ("example.com\n", 443, Reason.NOT_A_NAME),
            ("example.com\x00.evil.example", 443, Reason.NOT_A_NAME),
            ("ex\u0430mple.com", 443, Reason.NOT_LISTED),
            ("xn--a.wild.example", 443, Reason.NOT_A_NAME),
            ("\U0001f600.wild.example", 443, Reason.NOT_A_NAME),
            ("user@example.com", 443, Reason.NOT_A_NAME),
            ("example.com%00", 443, Reason.NOT_A_NAME),
            ("example.com:443", 443, Reason.NOT_A_NAME),
            ("beef.cafe:443", 443, Reason.NOT_A_NAME),
            ("https://example.com", 443, Reason.NOT_A_NAME),
            ("https://example.com:443/a:b", 443, Reason.NOT_A_NAME),
            ("a:b:c.example", 443, Reason.NOT_A_NAME),
            ("*.wild.example", 443, Reason.NOT_A_NAME),
            ("0177.0.0.1", 443, Reason.ADDRESS),
            ("127.1", 443, Reason.ADDRESS),
            ("1.2.3.4.", 443, Reason.ADDRESS),
            ("0x7f.0.0.1", 443, Reason.ADDRESS),
            ("::ffff:1.2.3.4", 443, Reason.ADDRESS),
            ("[fe80::1%eth0]", 443, Reason.ADDRESS),
            ("[fe80::1%25eth0.example]", 443, Reason.ADDRESS),
            ("FE80::1", 443, Reason.ADDRESS),
            ("2001:db8::1", 443, Reason.ADDRESS),
            ("2001:db8:0:0:0:0:0:1", 443, Reason.ADDRESS),
            ("::", 443, Reason.ADDRESS),
            ("[::", 443, Reason.ADDRESS),
            ("\uff11\uff12\uff17.0.0.1", 443, Reason.ADDRESS),
            ("127\u30020\u30020\u30021", 443, Reason.ADDRESS),
        ],
    )
    def test_what_is_not(self, host: str, port: int, reason: Reason) -> None:
        decision = self.ALLOWLIST.decide(host, port)
        assert (decision.allowed, decision.reason, decision.pattern) == (False, reason, "")
        unread = (Reason.ADDRESS, Reason.NOT_A_NAME)
        assert decision.host == ("" if reason in unread else normalised(host))

    def test_an_empty_list_denies_everything(self) -> None:
        assert not _listed().decide("example.com", 443).allowed

    def test_the_order_of_entries_does_not_count(self) -> None:
        assert _listed("b.example", "a.example", "b.example") == _listed("a.example", "b.example")
