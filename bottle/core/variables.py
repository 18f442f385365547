"""Variables: the environment variables that a manifest may not set or read, each with its reason.

None of these is a wall by itself, since an agent can set any variable for what it starts. But each
of them is set by the bottle, or makes the first program load or trust something else: what a
manifest's author does not see in a list of plain settings.
"""

from __future__ import annotations

import re
from typing import Final

NAME: Final = "[A-Za-z_][A-Za-z0-9_]{0,127}"
"""What POSIX shells take as a variable's name."""

_PROXY: Final = "it decides the way out, which the bottle sets"
_TRUST: Final = "it decides whose certificates are trusted, which the bottle sets"
_LOADS: Final = "it makes programs load code before they begin"
_PLACES: Final = "the bottle sets it"
_TOKEN: Final = "it decides which model is asked with which token; the sidecar holds the token"  # noqa: S105  # a reason
_GIT: Final = "it makes git trust, run or reach something else"


def _any_case(word: str) -> str:
    """Spell a word for a pattern that has no flag for case: JSON Schema knows none."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word)


_RESERVED: Final = {
    **{_any_case(f"{kind}_proxy"): _PROXY for kind in ("http", "https", "all", "no", "ftp")},
    "PIP_PROXY": _PROXY,
    "SSL_CERT_[A-Z]+": _TRUST,
    "[A-Z0-9_]*_CA_BUNDLE": _TRUST,
    "GIT_SSL_[A-Z_]+": _TRUST,
    "PIP_CERT": _TRUST,
    "CARGO_HTTP_[A-Z_]+": _TRUST,
    _any_case("npm_config_") + "[A-Za-z0-9_]+": _TRUST,
    "OPENSSL_[A-Z_]+": _TRUST,
    "SSLKEYLOGFILE": _TRUST,
    "PATH": "it decides which programs run",
    "LD_[A-Za-z0-9_]*": _LOADS,
    "GCONV_PATH": _LOADS,
    "NODE_[A-Za-z0-9_]*": _LOADS,
    "PYTHON[A-Za-z0-9_]*": _LOADS,
    "PERL5?(?:LIB|OPT|DB)": _LOADS,
    "RUBY(?:LIB|OPT)": _LOADS,
    "(?:_JAVA|JAVA_TOOL|JDK_JAVA)_OPTIONS": _LOADS,
    "BASH_ENV": _LOADS,
    "BASH_FUNC[A-Za-z0-9_]*": _LOADS,
    "ENV": _LOADS,
    "IFS": _LOADS,
    "HOME|USER|SHELL": _PLACES,
    "GIT_(?:PROXY[A-Z_]*|CONFIG[A-Z0-9_]*|SSH[A-Z_]*|EXEC_PATH|ASKPASS|EXTERNAL_DIFF)": _GIT,
    "ANTHROPIC_[A-Za-z0-9_]+": _TOKEN,
    "CLAUDE_[A-Za-z0-9_]+": _TOKEN,
}
"""Pattern, in what JavaScript and Python share, to the reason."""

RESERVED: Final = "|".join(_RESERVED)
"""A pattern for all of them together."""

_LAUNCHERS: Final = (
    "DOCKER_[A-Z_]+|CONTAINERD_[A-Z_]+|XDG_[A-Z_]+|TMPDIR|TERM|COLORTERM|LANG|LC_[A-Z]+|PWD|LOGNAME"
)
UNREADABLE: Final = f"{_LAUNCHERS}|{RESERVED}"
"""A pattern for all that no secret is read from."""


def reserved(name: str) -> str | None:
    """Give the reason why a bottle's variable may not have this name, or None if it may."""
    reasons = (why for pattern, why in _RESERVED.items() if re.fullmatch(pattern, name))
    return next(reasons, None)


def unreadable(name: str) -> str | None:
    """Give the reason why this variable of the host's is no secret for a bottle, or None.

    A secret is taken out of the launcher's own environment, which must not lose these.
    """
    if re.fullmatch(_LAUNCHERS, name):
        return "the launcher needs it itself"
    return reserved(name)
