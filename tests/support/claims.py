"""Claims: the numbered headings of the security model, matched with the tests that carry them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_HEADING: Final = re.compile(r"^#+\s.*$", re.MULTILINE)
_CLAIM: Final = re.compile(r"\b[A-Z]{2,8}-[0-9]+\b")


def of_document(text: str) -> frozenset[str]:
    """Give the claims that stand in headings; numbers elsewhere only refer to them."""
    return frozenset(
        claim for heading in _HEADING.findall(text) for claim in _CLAIM.findall(heading)
    )


def unknown(claimed: Iterable[tuple[str, str]], document: frozenset[str]) -> list[str]:
    """Name the tests, given as (test, claim), whose claim the document lacks."""
    return sorted(f"{test}: {claim}" for test, claim in claimed if claim not in document)


def covers(arguments: Sequence[str], start: Path, tree: Path) -> bool:
    """Say whether these words of a pytest command line collect the whole of a folder."""
    places = [Path(start, word).resolve() for word in arguments if "::" not in word]
    return any(tree.is_relative_to(place) for place in places)
