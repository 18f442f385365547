"""Lookalike: what is said of a name that is not what it seems, and nothing of one that is."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import idna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bottle.core.lookalike import _TWINS, Reading, reading

ROOT = Path(__file__).resolve().parents[3]
UNDECODABLE = "has an xn-- label that encodes no international name"


def _read(name: str) -> Reading:
    """Read a name that is written here as it looks; what is ASCII in it stays as it is."""
    labels = (
        label if label.isascii() else idna.alabel(label).decode() for label in name.split(".")
    )
    read = reading(".".join(labels))
    assert read is not None
    assert read.unicode == name
    return read


class TestNamesWithoutInternationalLabels:
    @pytest.mark.parametrize(
        "host",
        [
            "example.com",
            "rnicrosoft.com",
            "g00gle.com",
            "paypa1.com",
            "xn-x.example",
            "axn--x.example",
            "",
            ".",
            "b\u00fccher.example",
        ],
    )
    def test_are_not_judged(self, host: str) -> None:
        assert reading(host) is None


class TestOrdinaryNames:
    @pytest.mark.parametrize(
        "name",
        [
            "\u044f\u0431\u043b\u043e\u043a\u043e.\u0440\u0444",
            "\u03c4\u03c1\u03ac\u03c0\u03b5\u03b6\u03b1.example",
            "\u65e5\u672c\u8a9e.example",
            "\u4f50\u3005\u6728.example",
            "\u3072\u3089\u304c\u306a\u30ab\u30ca\u6f22\u5b57abc.example",
            "\u30b9\u30fc\u30d1\u30fc\u30ce.example",
            "\ud55c\uad6d\u6f22abc.example",
            "\u4e2d\u6587abc-1.example",
            "\u3105\u6f22.example",
            "\u05e9\u05dc\u05d5\u05dd.example",
            "\u0639\u0631\u0628\u0661.example",
            "\u0639\u0631\u0628\u06f1.example",
            "\u02bbokina.example",
            "\u0939\u093f\u0928\u094d\u0926\u0940.example",
            "\u0e04\u0e19.example",
            "stra\u00dfe.example",
            "sm\u00f8rrebr\u00f8d.example",
            "m\u00fcller.example",
            "\u0219coal\u0103.example",
            "tr\u01b0\u1eddng.example",
            "\u044f\u0431\u043b\u043e\u043a\u043e.\u03bb\u03ac\u03b8\u03bf\u03c2.example",
        ],
    )
    def test_are_read_without_a_warning(self, name: str) -> None:
        assert _read(name).warnings == ()

    def test_upper_case_encodes_the_same(self) -> None:
        assert reading("XN--WGV71A119E.example") == Reading(
            unicode="\u65e5\u672c\u8a9e.example", warnings=()
        )


class TestMixedScripts:
    @pytest.mark.parametrize(
        ("name", "warning"),
        [
            ("g\u043eogle.com", "mixes Latin and Cyrillic letters in one label"),
            ("\u0434log.com", "mixes Cyrillic and Latin letters in one label"),
            ("\u03c9mega.com", "mixes Greek and Latin letters in one label"),
            ("a\u0434\u03c9.com", "mixes Latin, Cyrillic and Greek letters in one label"),
            ("ab\u09ea.com", "mixes Latin and Bengali letters in one label"),
            ("\u65e5\u0434.com", "mixes Han and Cyrillic letters in one label"),
            ("\u3042\ud55c.com", "mixes Hiragana and Hangul letters in one label"),
            ("\u3105\u30ab.com", "mixes Bopomofo and Katakana letters in one label"),
            ("www.g\u043eogle.com", "mixes Latin and Cyrillic letters in one label"),
        ],
    )
    def test_in_one_label(self, name: str, warning: str) -> None:
        assert warning in _read(name).warnings

    def test_in_two_labels_is_no_mixture(self) -> None:
        assert _read("\u0434\u043e\u043c.example.com").warnings == ()

    def test_is_said_once(self) -> None:
        warnings = _read("\u0434a.\u0434b.\u0434c.com").warnings
        assert warnings == ("mixes Cyrillic and Latin letters in one label",)


class TestLikeness:
    @pytest.mark.parametrize(
        ("name", "like"),
        [
            ("\u0430\u0440\u0440\u04cf\u0435.com", "apple.com"),
            ("g\u043e\u043egle.com", "google.com"),
            ("www.\u0430\u0440\u0440\u04cf\u0435.com", "www.apple.com"),
            ("g\u00edthub.com", "github.com"),
            ("gith\u1ee5b.com", "github.com"),
            ("g\u0131thub.com", "github.com"),
            ("\u03c1\u03b1\u03c5.com", "pau.com"),
            ("\u057d\u057a.\u0585\u0578.com", "\u057d\u057a.on.com"),
            ("www.g\u00edthub.com", "www.github.com"),
            ("g\u0131thub.i\u00f8", "github.io"),
            ("sm\u00f8rrebr\u00f8d.\u0440\u0444", "smorrebrod.\u0440\u0444"),
            ("\u0441\u043e\u0440.\u0440\u0444", "cop.\u0440\u0444"),
        ],
    )
    def test_with_what_can_be_written_in_ascii(self, name: str, like: str) -> None:
        assert _read(name).warnings[-1] == f"reads like {like}"

    def test_one_letter_that_has_no_twin_keeps_a_label_apart(self) -> None:
        assert _read("\u0430\u0440\u0440\u04cf\u0435\u0434.com").warnings == ()

    @pytest.mark.parametrize("twin", _TWINS)
    def test_each_twin_reads_as_its_letter(self, twin: int) -> None:
        """A twin that no name can hold would be a dead line in the table.

        Where all letters are Latin only what leads to a well-known host is told of.
        """
        letter = _TWINS[twin]
        assert letter.isascii()
        assert letter.islower()
        name = f"a{chr(twin)}b.\u0440\u0444"
        assert f"reads like a{letter}b.\u0440\u0444" in _read(name).warnings
        known = f"a{chr(twin)}b.github.com"
        assert f"reads like a{letter}b.github.com" in _read(known).warnings


class TestOddCharacters:
    @pytest.mark.parametrize(
        ("name", "script"),
        [
            ("\ua4ee\ua4f2.com", "Lisu"),
            ("\u13df\u13aa.com", "Cherokee"),
            ("\u146f\u1473.com", "Canadian"),
        ],
    )
    def test_a_script_that_few_write_today(self, name: str, script: str) -> None:
        assert _read(name).warnings == (f"has letters of a script that few write today ({script})",)

    @pytest.mark.parametrize(
        ("name", "rare"),
        [
            ("g\u0269thub.example", True),
            ("\u0261oogle.example", True),
            ("pa\u1d20.example", True),
            ("a\ua731b.example", True),
            ("a\u01ddb.example", True),
            ("a\u0180b.example", True),
            ("g\u00edthub.example", False),
            ("a\u014bb.example", False),
            ("a\u021bb.example", False),  # a plain letter with a comma below
            ("a\u01a1b.example", False),
            ("a\u1e37b.example", False),
        ],
    )
    def test_a_latin_letter_of_few_alphabets(self, name: str, rare: bool) -> None:
        found = "has a Latin letter that few alphabets have" in _read(name).warnings
        assert found == rare

    def test_a_slash_that_is_none(self) -> None:
        warning = "has a letter that resembles a slash"
        assert _read("com\u30celogin.example").warnings == (warning,)
        assert _read("\u30ab\u30ce\u30ab.example").warnings == ()

    def test_what_cannot_be_seen(self) -> None:
        warning = "has a character that cannot be seen"
        assert _read("\u0915\u094d\u200d\u0937.example").warnings == (warning,)
        assert _read("\u0915\u094d\u0937.example").warnings == ()


class TestWhatEncodesNoName:
    @pytest.mark.parametrize(
        "host",
        [
            "xn--.example",
            "xn--abc-.example",
            "xn--a.example",
            "xn---bbk.example",
            "xn--zzzzzzzzzzzzzzzzzzzzz.example",
            "xn--99999999999.example",
            "xn--\u00e9\u0434.example",
            "xn--\ud800.example",
            "xn--\x1b[2J.example",
            "xn--" + "a" * 100_000,
            "xn--" + ("\u0434\u043b" * 40).encode("punycode").decode(),
            "example." + "A\u0308".encode("punycode").decode().join(["xn--", ""]),
            "xn--" + "a\u202eb".encode("punycode").decode(),
            "xn--" + "a\u2044b".encode("punycode").decode(),
            "xn--" + "a\u3002b".encode("punycode").decode(),
        ],
    )
    def test_stands_as_it_came_with_a_warning(self, host: str) -> None:
        read = reading(host)
        assert read is not None
        assert read.unicode == host
        assert UNDECODABLE in read.warnings

    def test_one_such_label_leaves_the_others_readable(self) -> None:
        assert reading("xn--a.xn--80ak6aa92e.com") == Reading(
            unicode="xn--a.\u0430\u0440\u0440\u04cf\u0435.com",
            warnings=(UNDECODABLE, "reads like xn--a.apple.com"),
        )


LABELS = st.one_of(
    st.text(max_size=12).map(lambda text: "xn--" + text),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", max_size=60).map(lambda t: "xn--" + t),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
        lambda text: "xn--" + text.encode("punycode").decode()
    ),
    st.text(max_size=5),
)


class TestAnyText:
    @given(st.one_of(st.text(), st.lists(LABELS, max_size=4).map(".".join)))
    @example("xn--\ud800")
    def test_is_read_or_left_alone(self, host: str) -> None:
        read = reading(host)
        international = any(label[:4].lower() == "xn--" for label in host.split("."))
        assert (read is not None) == international
        if read is not None:
            assert read.unicode.count(".") == host.count(".")

    @given(st.lists(LABELS, min_size=1, max_size=4))
    @example(["xn--" + "a\u200bb".encode("punycode").decode()])
    def test_what_is_decoded_cannot_steer_a_terminal(self, labels: list[str]) -> None:
        """Joiners are the only characters of format that a name can hold."""
        read = reading(".".join(labels))
        shown = [] if read is None else read.unicode.split(".")
        for character in "".join(set(shown) - set(".".join(labels).split("."))):
            kind = unicodedata.category(character)
            assert character in "\u200c\u200d" or kind[0] not in "CZ" or kind == "Cn"


def test_the_decoder_is_loaded_for_international_names_alone() -> None:
    """A command line that reads no such name must not wait for it."""
    program = (
        "import sys\n"
        "from bottle.core.lookalike import reading\n"
        "reading('example.com')\n"
        "print('idna' in sys.modules)\n"
        "reading('xn--80ak6aa92e.com')\n"
        "print('idna' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
