"""Lookalike: how an international name (`xn--...`) reads, and what it could be mistaken for.

Follows Unicode UTS 39 in small: scripts are told from the names of letters, and the table of twins
is our own choice of what passes for a Latin letter. Only international names are judged: that
`rn` resembles `m` is not said. A reading is for a person's eyes and decides nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bottle.core.allowlist import HostPattern
from bottle.core.grade import Grade, grade

_PREFIX: Final = "xn--"
_RARE_LATIN: Final = re.compile("[\u0180-\u02af\u1d00-\u1dbf\u2c60-\u2c7f\ua720-\ua7ff]")
_LONGEST_LABEL: Final = 63

# UAX 31, recommended scripts: those that the people of some country write today.
_IN_DAILY_USE: Final = (
    "Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi"
    " Han Hangul Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Myanmar Oriya Sinhala"
    " Tamil Telugu Thaana Thai Tibetan"
)
# UTS 39, "highly restrictive": what Japanese, Chinese and Korean names are made of.
_WRITTEN_TOGETHER: Final = (
    {"Latin", "Han", "Hiragana", "Katakana"},
    {"Latin", "Han", "Bopomofo"},
    {"Latin", "Han", "Hangul"},
)
# First words of Unicode names that are not the script's own; empty where any script uses them.
_SCRIPTS: Final = {
    "ARABIC-INDIC": "Arabic",
    "CJK": "Han",
    "DIGIT": "",
    "EXTENDED": "Arabic",  # the Arabic-Indic digits of Persian and Urdu
    "IDEOGRAPHIC": "Han",
    "KATAKANA-HIRAGANA": "",
    "MODIFIER": "",
}
_SLASHES: Final = frozenset("\u30ce\u4e3f")  # Katakana NO, and the stroke that it resembles
_TWINS: Final = str.maketrans(
    {
        twin: letter
        for letter, twins in {  # of Latin, Greek, Cyrillic and Armenian
            "a": "\u0251\u03b1\u0430",
            "b": "\u0180\u0253\u044c",
            "c": "\u0188\u1d04\u0441",
            "d": "\u0111\u0257\u0501",
            "e": "\u0435\u04bd\u0454",
            "f": "\u0192\u0584\u1e9d\ua799",
            "g": "\u018d\u0260\u0261\u0581",
            "h": "\u0127\u0266\u04bb\u0570",
            "i": "\u0131\u0268\u0269\u026a\u03b9\u0456",
            "j": "\u0237\u03f3\u0458\u0575",
            "k": "\u0138\u0199\u03ba\u043a",
            "l": "\u0142\u019a\u01c0\u04cf",
            "m": "\u0271",
            "n": "\u014b\u0272\u0578\u057c",
            "o": "\u00f8\u03bf\u03c3\u043e\u0585\u1d0f",
            "p": "\u00fe\u01a5\u03c1\u0440",
            "q": "\u051b\u0563\u0566",
            "r": "\u0433\u1d26\uab47",
            "s": "\u01bd\u0455\ua731",
            "t": "\u0167\u01ad\u03c4",
            "u": "\u0289\u03c5\u057d\u1d1c",
            "v": "\u028b\u03bd\u0475\u1d20",
            "w": "\u026f\u0461\u051d\u0561\u1d21",
            "x": "\u03c7\u0445",
            "y": "\u0263\u028f\u03b3\u0443\u04af",
            "z": "\u01b6\u0225\u1d22",
        }.items()
        for twin in twins
    }
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a name reads, and what is odd about it.

    Labels that cannot be decoded stand in `unicode` as they came. What was decoded holds no space,
    control or formatting character but the joiners, and may run from right to left.
    """

    unicode: str
    warnings: tuple[str, ...] = ()


def reading(host: str) -> Reading | None:
    """Read a host in its ASCII form; None when no label of it is international."""
    labels = host.split(".")
    if not any(map(_is_international, labels)):
        return None
    decoded = [_decoded(label) if _is_international(label) else label for label in labels]
    shown = [label if text is None else text for label, text in zip(labels, decoded, strict=True)]
    odd = [] if None not in decoded else ["has an xn-- label that encodes no international name"]
    for text in shown:
        odd += _odd(text)
    odd += _likeness(shown)
    return Reading(unicode=".".join(shown), warnings=tuple(dict.fromkeys(odd)))


def _is_international(label: str) -> bool:
    return label[: len(_PREFIX)].lower() == _PREFIX


def _decoded(label: str) -> str | None:
    """Decode a label, or give None unless it is the one encoding of an international label."""
    if len(label) > _LONGEST_LABEL:
        return None
    import idna  # here, because few names are international

    try:
        return idna.ulabel(label)
    except UnicodeError:
        return None


def _odd(label: str) -> Iterator[str]:
    scripts = list(dict.fromkeys(filter(None, map(_script, label))))
    if rare := [script for script in scripts if script not in _IN_DAILY_USE.split()]:
        yield f"has letters of a script that few write today ({', '.join(rare)})"
    if len(scripts) > 1 and not any(together.issuperset(scripts) for together in _WRITTEN_TOGETHER):
        yield f"mixes {', '.join(scripts[:-1])} and {scripts[-1]} letters in one label"
    if any(map(_is_rare, label)):
        yield "has a Latin letter that few alphabets have"
    if "Latin" in scripts and not _SLASHES.isdisjoint(label):
        yield "has a letter that resembles a slash"
    if any(unicodedata.category(character) == "Cf" for character in label):
        yield "has a character that cannot be seen"


def _script(character: str) -> str:
    """Name the script of a letter or number; empty for what any script uses.

    What this Python's Unicode does not know yet is of the script Unknown.
    """
    kind = unicodedata.category(character)
    if kind[0] not in "LN" and kind != "Cn":
        return ""
    first = unicodedata.name(character, "UNKNOWN").partition(" ")[0]
    return _SCRIPTS.get(first, first.capitalize())


def _is_rare(character: str) -> bool:
    """Say whether a Latin letter is of few alphabets; a plain one with an accent is of many."""
    accented = unicodedata.normalize("NFD", character) != character
    return bool(_RARE_LATIN.match(character)) and not accented


def _likeness(labels: list[str]) -> Iterator[str]:
    name = ".".join(map(_latin, labels))
    # an accent alone is everyday spelling, unless what it leads to is a well-known host
    everyday = {script for label in labels for script in map(_script, label)} <= {"Latin", ""}
    known = grade(HostPattern(name)).grade is not Grade.UNKNOWN
    if name != ".".join(labels) and (known or not everyday):
        yield f"reads like {name}"


def _latin(label: str) -> str:
    """Put Latin letters in the place of their twins, if that makes the whole label ASCII."""
    apart = unicodedata.normalize("NFD", label)
    bare = "".join(c for c in apart if unicodedata.category(c) != "Mn").translate(_TWINS)
    return bare if bare.isascii() else label
