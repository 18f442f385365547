"""Agreement: shows what a start is about and gets the yes; without a person, by clear words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bottle.errors import Refused, UsageError
from bottle.session import consents, preflight
from bottle.session.consents import Consent
from bottle.session.findings import stop_at_errors
from bottle.session.manifests import Found
from bottle.session.start import Prepared

_NO: Final = "not started; nothing was made"


class Asks(Protocol):
    """What an agreement needs of the console."""

    @property
    def interactive(self) -> bool:
        """Whether a person sits at a terminal."""

    def say(self, text: str, style: str = "") -> None:
        """Show a line."""

    def row(self, label: str, text: str, style: str = "") -> None:
        """Show a labelled text."""

    def ask(self, question: str, *, default: bool = False) -> bool:
        """Ask yes or no; only a clear yes is True, or the empty answer where `default` is."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was agreed to on the command line, before anything was shown."""

    yes: bool = False
    new: bool = False
    """Also to a manifest of the current folder that nobody said yes to here."""
    changes: bool = False
    """Also to a plan that may do more than the last one."""
    dockerfile: bool = False
    """Also to the build of a Dockerfile of the manifest's."""


def obtain(front: Asks, prepared: Prepared, found: Found, state: Path, answers: Answers) -> None:
    """Show what changed, then all of it, and get the yes; keep it for the next time.

    Raise NotStartable (69) when a finding is an error, Refused (77) when the person says no, and
    UsageError (64) when nobody can be asked and the words given do not cover it.
    """
    before = consents.find(state, prepared.subject)
    for row in (*preflight.change_rows(prepared, before), *preflight.rows(prepared)):
        front.row(row.label, row.text, row.style)
    stop_at_errors(preflight.findings(prepared))
    require_asking(front, answers)
    if answers.yes:
        _require_covered(prepared, found, before, answers)
    else:
        unchanged = before is not None and before.digest == prepared.digest
        if not front.ask("Start it?", default=unchanged):
            raise Refused(_NO)
        _agree_to_build(front, prepared, answers)
    consents.keep(state, prepared.subject, prepared.digest, prepared.facts)


def require_asking(front: Asks, answers: Answers) -> None:
    """Raise UsageError when there is neither a person nor a yes."""
    if not (answers.yes or front.interactive):
        raise UsageError("there is no terminal to ask at", "add --yes to agree to the preflight")


def _require_covered(
    prepared: Prepared, found: Found, before: Consent | None, answers: Answers
) -> None:
    """Raise UsageError that names everything that a plain --yes does not cover, and its word."""
    lacking = [
        (what, flag) for what, flag, said in _beyond(prepared, found, before, answers) if not said
    ]
    if lacking:
        flags = " ".join(flag for _, flag in lacking)
        raise UsageError(
            "; ".join(what for what, _ in lacking),
            f"look at it, then add {flags}, or start it once at a terminal",
        )


def _beyond(
    prepared: Prepared, found: Found, before: Consent | None, answers: Answers
) -> Iterator[tuple[str, str, bool]]:
    """Give what is more than a plain --yes is about, the word for it, and whether it was said."""
    if before is None and found.stumbled_on:
        subject = f"agent {prepared.subject.agent} of this folder's {found.path}"
        told = f"nobody said yes to {subject} on this machine before"
        yield told, "--accept-new", answers.new
    widened = [change for change in preflight.changes(prepared, before) if change.widens]
    if widened:
        names = ", ".join(change.subject for change in widened)
        told = f"it may do more than when you said yes: {names}"
        yield told, "--accept-changes", answers.changes
    if prepared.to_build:
        told = f"{prepared.to_build} is not built yet, and what its RUN does has no walls"
        yield told, "--accept-dockerfile", answers.dockerfile


def _agree_to_build(front: Asks, prepared: Prepared, answers: Answers) -> None:
    """Get a yes of its own for the build of a Dockerfile, whose commands have no walls."""
    if not prepared.to_build or answers.dockerfile:
        return
    lines = prepared.declared.referents.dockerfile.decode(errors="replace").splitlines()
    front.row("dockerfile", "\n".join([prepared.to_build, *lines]))
    front.say(
        "The Docker engine runs its RUN commands as root, with the network, without any wall of a "
        "bottle and without a time limit; what its other FROM lines name is pulled.",
        style="yellow",
    )
    if not front.ask("Build it?"):
        raise Refused(_NO)
