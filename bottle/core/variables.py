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


_PIP: Final = ("cert", "client_cert", "proxy", "trusted_host", "config_file", "no_index")
_RESERVED: Final = {
    "(?:[A-Za-z0-9_]*_)?" + _any_case("proxy"): _PROXY,
    **{_any_case(f"pip_{name}"): _TRUST for name in _PIP},
    _any_case("npm_config_") + "[A-Za-z0-9_]+": _TRUST,
    "[A-Za-z0-9_]*SSL_CERT_[A-Z]+": _TRUST,
    "[A-Za-z0-9_]*_(?:CA_?BUNDLE|CA_?CERTS?|CACERTS?|CA_?FILE|CA_?INFO|CERT)": _TRUST,
    "[A-Z0-9_]*_(?:INSECURE_HOST|TLS_VERIFY|SSL_VERIFY|SSL_NO_VERIFY)": _TRUST,
    "GIT_SSL_[A-Z_]+": _TRUST,
    "CARGO_(?:HTTP|NET)_[A-Z_]+": _TRUST,
    "OPENSSL_[A-Z_]+": _TRUST,
    "SSLKEYLOGFILE": _TRUST,
    "CURL_HOME|WGETRC|NETRC": _TRUST,
    "PATH": "it decides which programs run",
    "LD_[A-Za-z0-9_]*": _LOADS,
    "GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES|RES_OPTIONS|LOCALDOMAIN": _LOADS,
    "(?:NODE|BUN|DENO)_[A-Za-z0-9_]*": _LOADS,
    "GLIBC_TUNABLES|MALLOC_[A-Z_]+": _LOADS,
    "PYTHON[A-Za-z0-9_]*": _LOADS,
    "PERL5?(?:LIB|OPT|DB)": _LOADS,
    "RUBY(?:LIB|OPT)": _LOADS,
    "(?:_JAVA|JAVA_TOOL|JDK_JAVA)_OPTIONS": _LOADS,
    "DOTNET_STARTUP_HOOKS": _LOADS,
    "BASH_ENV|ENV|IFS|PS4|PROMPT_COMMAND|SHELLOPTS|BASHOPTS": _LOADS,
    "BASH_FUNC[A-Za-z0-9_]*": _LOADS,
    "HOME|USER|SHELL": _PLACES,
    "GIT_(?:PROXY[A-Z_]*|CONFIG[A-Z0-9_]*|SSH[A-Z_]*|EXEC_PATH|TEMPLATE_DIR)": _GIT,
    "GIT_(?:ASKPASS|EXTERNAL_DIFF|PAGER|EDITOR|SEQUENCE_EDITOR)|SSH_ASKPASS": _GIT,
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


_SECRET_NAME: Final = re.compile(
    r"(?i)(?:.*_)?(?:key|token|secret|passw(?:or)?d|passphrase|credentials?|pat)"
)
_SECRET_TEXT: Final = re.compile(
    r"sk-[A-Za-z0-9-]{8}|gh[opsur]_|github_pat_|glpat-|xox[abprs]-|AKIA[A-Z0-9]{8}|-----BEGIN "
)
"""How some vendors begin what they issue."""


def looks_secret(name: str, text: str) -> bool:
    """Say whether a plain text looks like something that should not stand in a manifest."""
    named = bool(_SECRET_NAME.fullmatch(name)) and len(text) >= 8
    return bool(text) and (named or bool(_SECRET_TEXT.match(text)))


_LONGEST_TEXT: Final = 60


def plain_text(name: str, text: str) -> str:
    """Give a variable's text for people: in one line, cut; of what looks like a secret, none."""
    if looks_secret(name, text):
        return f"({len(text)} characters)"
    return in_one_line(text)


def in_one_line(text: str) -> str:
    """Give a text without its line feeds, cut, and how long it is where it was cut."""
    line = " ".join(text.split())
    rest = f"… ({len(text)} characters)" if len(line) > _LONGEST_TEXT else ""
    return line[:_LONGEST_TEXT] + rest


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
