"""Decisions agree with a second reading of the rules, over every spelling a client can send.

The second reading is written from the words of the rules and shares nothing with the first: it
maps letters by tables of its own and encodes international labels by the standard library's codec.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core.allowlist import Allowlist, Decision, HostPattern, Reason
from tests.support.strategies import examples

# -- the second reading

DOTS = "\u3002\uff0e\uff61"
"""The full stops of UTS 46 beside the ASCII one."""

INTERNATIONAL = "äöüéñçßабвж中文日本αβγ"
"""The letters beyond ASCII that are generated below, in small: each may stand in a name."""


def plain(character: str) -> str:
    """Give what a character means: small, of ordinary width, with ordinary full stops."""
    if character == "\u00ad":
        return ""  # an invisible hyphen
    if character in DOTS:
        return "."
    if "\uff01" <= character <= "\uff5e":
        character = chr(ord(character) - 0xFEE0)
    return character.lower()


def is_number(label: str) -> bool:
    """Say whether a browser reads a last label as part of an IPv4 address."""
    if label.startswith("0x"):
        return all(digit in "0123456789abcdef" for digit in label[2:])
    return label != "" and all(digit in "0123456789" for digit in label)


def is_label(label: str, *, beyond: bool) -> bool:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
    if not 1 <= len(label) <= 63 or label[0] == "-" or label[-1] == "-":
        return False
    return all(letter in letters for letter in label) and is_real(label, beyond=beyond)


def is_real(label: str, *, beyond: bool) -> bool:
    """Say whether an `xn--` label decodes to an international name, and that one back to it.

    `beyond` is said of letters beyond those above: some may stand in a name, and some may not.
    """
    if not label.startswith("xn--"):
        return True
    try:
        decoded = label[4:].encode().decode("punycode")
    except UnicodeError:
        return False
    if not all(letter.isascii() or letter in INTERNATIONAL for letter in decoded):
        return beyond
    return not decoded.isascii() and encoded(decoded) == label


def encoded(label: str) -> str:
    if label.isascii():
        return label
    if any(not c.isascii() and c not in INTERNATIONAL for c in label):
        return "?"
    if label[0] == "-" or label[-1] == "-" or "_" in label or label[2:4] == "--":
        return "?"  # an international label has letters, digits and single inner hyphens
    return "xn--" + label.encode("punycode").decode()


def name_of(host: str, *, beyond: bool = False) -> str | None:
    """Give the name that a spelling stands for, or None."""
    text = "".join(map(plain, unicodedata.normalize("NFC", host)))
    labels = text.split(".")
    if labels[-1] == "" and len(labels) > 1:
        labels = labels[:-1]
    labels = [encoded(label) for label in labels]
    name = ".".join(labels)
    real = all(is_label(label, beyond=beyond) for label in labels)
    fits = len(labels) > 1 and len(name) <= 253
    return name if real and fits and not is_number(labels[-1]) else None


def allowed(entries: list[str], host: str, port: int) -> bool:
    """Read the entries as they are written: host, *.host, host:port; port 443 if none is named."""
    name = name_of(host)
    return name is not None and any(opens(entry, name, port) for entry in entries)


def opens(entry: str, name: str, port: int) -> bool:
    listed, _, number = entry.partition(":")
    if int(number or "443") != port:
        return False
    if listed.startswith("*."):
        return name != listed[2:] and name.endswith(listed[1:])
    return name == listed


# -- spellings

NAMES = (
    *("github.com", "api.github.com", "example.org", "a.b.example.org", "x_1.example"),
    *("xn--bcher-kva.example", "bücher.example", "вбж.example", "中文.example"),
)
ENTRIES = (
    *("github.com", "github.com:8443", "*.github.com", "example.org", "*.example.org:80"),
    *(
        "xn--bcher-kva.example",
        "*.xn--bcher-kva.example",
        "xn--bcher-kva.example:22",
        "*.xn--fiq228c.example",
    ),
)
PARSED = {entry: HostPattern.parse(entry) for entry in ENTRIES}
ADDRESSES = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001"),
    *("0x7f.1", "1.2.3.4.", "0x", "0X7F.1", "1.2.3.0x4", "256.256.256.256", "1.2.3.4.5"),
    *("[::1]", "::1", "[fe80::1%eth0]", "fe80::1%25eth0", "::ffff:127.0.0.1", "[::ffff:7f00:1]"),
    *(
        "[127.0.0.1]",
        "\uff11\uff12\uff17.\uff10.0.\uff11",
        "127\u30020\u30020\uff611",
        "0x7f\uff0e1",
        "[::1",
    ),
)


@st.composite
def spelled(draw: st.DrawFn, host: str) -> str:
    """Spell a host as a client might: case, width, full stops, and what does not belong there."""
    return "".join(draw(st.sampled_from(ways(character))) for character in host) + draw(ENDINGS)


def ways(character: str) -> list[str]:
    same = [character] * 12
    if character == ".":
        return [*same, *same, *DOTS]
    wide = [chr(ord(character) + 0xFEE0)] if "!" <= character <= "~" else []
    return [*same, character.upper() if character != "ß" else character, *wide]


ENDINGS = st.sampled_from(
    ["", "", "", "", "", "", ".", ".", "\uff0e", "..", ":443", "\0", " ", "%", "/", "\n"]
)
FRONTS = st.sampled_from(
    [
        "",
        "",
        "",
        "",
        "a.",
        "a.b.",
        "*.",
        ".",
        "user@",
        "-",
        "\0",
        "https://",
        "xn--",
        "[",
        "ü.",
        "ß",
    ]
)
CHANGES = st.sampled_from("abz09-_.:@%/\\\0 \t\u3002\uff41\u00adüж中")


@st.composite
def hosts(draw: st.DrawFn) -> str:
    known = draw(st.sampled_from([NAMES, NAMES, NAMES, ADDRESSES]))
    host = draw(FRONTS) + draw(st.sampled_from(known))
    if draw(st.integers(0, 2)) == 2:
        at = draw(st.integers(0, len(host)))
        host = host[:at] + draw(CHANGES) + host[at + draw(st.integers(0, 1)) :]
    return draw(spelled(host))


EVERYTHING = Allowlist.of(
    HostPattern(top, 443, True) for top in ("com", "org", "example", "xn--b1aew", "4", "5")
)


def is_named_alike(decide: Callable[[str, int], Decision], host: str) -> None:
    """Hold a decision's host against the second reading, and its reason against its host."""
    decision = decide(host, 443)
    names = {name_of(host, beyond=beyond) or "" for beyond in (False, True)}
    assert decision.host in names, (host, decision)
    unread = decision.reason in (Reason.ADDRESS, Reason.NOT_A_NAME)
    assert unread == (decision.host == ""), (host, decision)


class TestASecondReading:
    """ "Deny by default": what no entry means is denied, however it is spelled."""

    @examples(10)
    @given(
        st.lists(st.sampled_from(ENTRIES), min_size=3, max_size=8),
        hosts(),
        st.sampled_from([443, 443, 443, 80, 22, 8443, 0, 65536]),
    )
    def test_agrees(self, entries: list[str], host: str, port: int) -> None:
        allowlist = Allowlist.of(PARSED[entry] for entry in entries)
        decision = allowlist.decide(host, port)
        assert decision.allowed == allowed(entries, host, port), (host, decision)
        if decision.allowed:
            assert decision.host == name_of(host)
            assert decision.pattern in entries

    @examples(5)
    @given(hosts())
    def test_agrees_about_names(self, host: str) -> None:
        is_named_alike(EVERYTHING.decide, host)

    @pytest.mark.parametrize(
        ("host", "name"),
        [
            *((host, "renamed.example") for host in (*NAMES, *ADDRESSES)),
            *((host, "") for host in NAMES),
        ],
    )
    def test_a_decision_about_another_name_is_noticed(self, host: str, name: str) -> None:
        def renamed(host: str, port: int) -> Decision:
            return dataclasses.replace(EVERYTHING.decide(host, port), host=name)

        is_named_alike(EVERYTHING.decide, host)
        with pytest.raises(AssertionError):
            is_named_alike(renamed, host)

    @pytest.mark.parametrize("host", ADDRESSES)
    def test_no_address_is_a_name_in_any_notation(self, host: str) -> None:
        assert name_of(host) is None
        wide_open = Allowlist.of(HostPattern(top, 443, True) for top in ("1", "4", "0x1", "com"))
        assert wide_open.decide(host, 443).reason is Reason.ADDRESS

    @pytest.mark.parametrize("host", NAMES)
    def test_every_name_is_one(self, host: str) -> None:
        name = name_of(host)
        assert name is not None
        assert Allowlist.of([HostPattern.parse(host)]).decide(host.upper(), 443).host == name
