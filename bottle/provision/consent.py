"""Consent: whether the person has agreed to what setup would install and change."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from bottle.errors import Refused
from bottle.provision.progress import Progress

YES: Final = frozenset({"--yes", "-y"})
VALUED: Final = {
    "": frozenset({"-c", "--collection", "-f", "--config", "-r", "--search-root"}),
    "start": frozenset(
        {"-a", "--agent", "-m", "--manifest", "-r", "--runtime", "-g", "--args"},
    ),
}
"""Task to those of its flags whose value is the next word; "" is what stands before any task."""
TASKS: Final = frozenset({"build", "reap", "setup", "start", "test"})


def consented(words: Sequence[str], valued: Mapping[str, Collection[str]] = VALUED) -> bool:
    """Say whether `--yes` or `-y` stands anywhere in the whole line, whichever task it follows.

    Exactly these words count: not `--yes=...`, not `-y` bundled with other letters, not the value
    of a flag in `valued`, nothing after a bare `--`.
    """
    task = ""
    value_follows = False
    for word in words:
        if value_follows:
            value_follows = False
        elif word == "--":
            return False
        elif word in YES:
            return True
        elif word in TASKS:
            task = word
        else:
            value_follows = word in valued.get(task, ())
    return False


def obtain(progress: Progress, changes: Sequence[str], *, yes: bool, terminal: bool) -> None:
    """Announce what will change on this machine, and ask where a person can answer.

    Without a terminal, or with the yes given on the line, it is announced and goes on.
    Raise Refused when the person says no.
    """
    progress.say("setup is about to:")
    for change in changes:
        progress.say(f"  - {change}")
    if yes or not terminal:
        return
    if not progress.ask("Go on?"):
        raise Refused("nothing was installed or changed", "run it again when you agree")


if __name__ == "__main__":  # for ./setup, before there is a virtual environment
    sys.exit(not consented(sys.argv[1:]))
