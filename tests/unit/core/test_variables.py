"""Which variables a manifest may set, and which of the host's it may take as secrets."""

from __future__ import annotations

import re

import pytest

from bottle.core.secret import TOKEN
from bottle.core.variables import NAME, RESERVED, UNREADABLE, reserved, unreadable
from tests.support.plans import plan

WEAKENING = {
    "decides the way out": (
        *("HTTP_PROXY", "https_proxy", "All_Proxy", "NO_PROXY", "ftp_proxy", "PIP_PROXY"),
    ),
    "decides whose certificates": (
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("AWS_CA_BUNDLE", "GIT_SSL_NO_VERIFY", "GIT_SSL_CAINFO", "PIP_CERT", "SSLKEYLOGFILE"),
        *("npm_config_cafile", "NPM_CONFIG_STRICT_SSL", "npm_config_proxy", "OPENSSL_CONF"),
        *("CARGO_HTTP_CAINFO",),
    ),
    "decides which programs run": ("PATH",),
    "load code before they begin": (
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "NODE_OPTIONS"),
        *("NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONPATH", "PYTHONSTARTUP"),
        *("PYTHONHTTPSVERIFY", "PERL5OPT", "PERL5LIB", "RUBYOPT", "JAVA_TOOL_OPTIONS"),
        *("_JAVA_OPTIONS", "BASH_ENV", "ENV", "IFS", "BASH_FUNC_ls"),
    ),
    "the bottle sets it": ("HOME", "USER", "SHELL"),
    "makes git": (
        *("GIT_PROXY_COMMAND", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_SSH_COMMAND"),
        *("GIT_EXEC_PATH", "GIT_ASKPASS", "GIT_EXTERNAL_DIFF"),
    ),
    "holds the token": (
        *("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", TOKEN),
    ),
}
CASES = [(name, why) for why, names in WEAKENING.items() for name in names]
FREE = (
    *("PATHS", "MY_PATH", "MY_HOME", "HOMES", "ENVIRONMENT", "PROXY", "HTTP_PROXY_2", "_", "a1"),
    *("EDITOR", "LDFLAGS", "NODE", "NODEJS", "GIT_AUTHOR_NAME", "SSL", "path", "ANTHROPIC"),
    *("home", "CLAUDE", "RUBY", "PERL", "HTTPS_PROXYX", "LD"),
)


@pytest.mark.parametrize(("name", "why"), CASES)
def test_what_weakens_a_wall_is_reserved_with_the_reason(name: str, why: str) -> None:
    reason = reserved(name)
    assert reason
    assert why in reason
    assert unreadable(name) == reason


@pytest.mark.parametrize("name", FREE)
def test_other_names_are_free(name: str) -> None:
    assert re.fullmatch(NAME, name)
    assert reserved(name) is None
    assert unreadable(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("DOCKER_HOST", "CONTAINERD_ADDRESS", "XDG_RUNTIME_DIR", "TMPDIR", "TERM", "COLORTERM"),
        *("LANG", "LC_ALL", "PWD", "LOGNAME"),
    ],
)
def test_what_the_launcher_needs_is_no_secret_but_may_be_set(name: str) -> None:
    assert unreadable(name) == "the launcher needs it itself"
    assert reserved(name) is None


@pytest.mark.parametrize("name", [*FREE, *(name for name, _ in CASES), "DOCKER_HOST", "TERM"])
def test_the_schemas_patterns_say_the_same(name: str) -> None:
    assert bool(re.fullmatch(RESERVED, name)) == (reserved(name) is not None)
    assert bool(re.fullmatch(UNREADABLE, name)) == (unreadable(name) is not None)


@pytest.mark.parametrize("pattern", [RESERVED, UNREADABLE, NAME])
def test_the_patterns_are_ones_that_javascript_reads_too(pattern: str) -> None:
    assert "(?P" not in pattern
    assert "(?i" not in pattern
    assert "\\" not in pattern
    assert "+ +" not in pattern


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        *(("A", True), ("_a9", True), ("a" * 128, True), ("", False), ("1A", False)),
        *(("A B", False), ("A=B", False), ("é", False), ("A-B", False), ("a" * 129, False)),
    ],
)
def test_a_name_is_one_of_posix(name: str, fits: bool) -> None:
    assert bool(re.fullmatch(NAME, name)) == fits


def test_what_the_bottle_sets_no_manifest_can_replace() -> None:
    environment = plan().keeper.environment
    assert {name for name in environment if reserved(name) is None} == {"LANG"}
