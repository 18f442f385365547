"""Every failure that is expected: what happened, its exit code, and what to do about it.

Exit codes follow sysexits where one fits; see docs/glossary.md for the table.
"""

from dataclasses import asdict, dataclass
from typing import Any


class BottleError(Exception):
    """An expected failure: shown as text with its remedy, never as a traceback."""

    code: int = 70

    def __init__(self, happened: str, remedy: str = "") -> None:
        super().__init__(happened)
        self.happened = happened
        self.remedy = remedy

    def values(self) -> dict[str, Any]:
        """Give what is to be known of it, for JSON."""
        return {"error": self.happened, "remedy": self.remedy, "code": self.code}


class UsageError(BottleError):
    """The command line asks for something that does not exist or does not fit together."""

    code = 64


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong in a manifest: where, what was found, what was wanted, what to do."""

    path: str
    found: str
    wanted: str
    remedy: str = ""


class ManifestError(BottleError):
    """The manifest is not valid; carries every problem at once."""

    code = 65

    def __init__(self, problems: tuple[Problem, ...], source: str = "manifest") -> None:
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__(f"{source}: {count}", "correct the manifest; nothing was started")
        self.problems = problems
        self.source = source

    def values(self) -> dict[str, Any]:
        """Give every problem with the rest."""
        problems = [asdict(problem) for problem in self.problems]
        return {"manifest": self.source, "valid": False, "problems": problems, **super().values()}


class ManifestMissing(BottleError):
    """There is no manifest where one was looked for."""

    code = 66


class Unavailable(BottleError):
    """The engine, a runtime, an image or the way to the model's API is missing."""

    code = 69


class WallDiffers(BottleError):
    """A wall of the running bottle is not what the plan says; the bottle is removed."""

    code = 70


class NotRemoved(BottleError):
    """Something of a session could not be removed."""

    code = 70


class Refused(BottleError):
    """The person said no at the preflight."""

    code = 77


class SecretMissing(BottleError):
    """A secret that the agent needs is missing or malformed."""

    code = 78


class TimeLimit(BottleError):
    """A step took longer than its limit."""

    code = 124
