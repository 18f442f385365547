"""Which variables a manifest may set, and which of the host's it may take as secrets."""

from __future__ import annotations

import re

import pytest

from bottle.core.secret import TOKEN
from bottle.core.variables import (
    NAME,
    RESERVED,
    UNREADABLE,
    in_one_line,
    looks_secret,
    plain_text,
    reserved,
    unreadable,
)
from tests.support.plans import plan

WEAKENING = {
    "decides the way out": (
        *("HTTP_PROXY", "https_proxy", "All_Proxy", "NO_PROXY", "ftp_proxy", "PIP_PROXY"),
        *("PROXY", "proxy", "npm_config_proxy", "YARN_HTTPS_PROXY", "_PROXY", "a1_Proxy"),
    ),
    "decides whose certificates": (
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("AWS_CA_BUNDLE", "GIT_SSL_NO_VERIFY", "GIT_SSL_CAINFO", "PIP_CERT", "SSLKEYLOGFILE"),
        *("npm_config_cafile", "NPM_CONFIG_STRICT_SSL", "npm_config_registry", "OPENSSL_CONF"),
        *("CARGO_HTTP_CAINFO", "CARGO_NET_GIT_FETCH_WITH_CLI", "NODE_EXTRA_CA_CERTS"),
        *("pip_cert", "PIP_CLIENT_CERT", "PIP_TRUSTED_HOST", "Pip_Config_File", "PIP_NO_INDEX"),
        *("NIX_SSL_CERT_FILE", "DENO_CERT", "DENO_TLS_CA_FILE", "UV_INSECURE_HOST"),
        *("MY_CACERT", "MY_CACERTS", "MY_CA_CERT", "MY_CAFILE", "MY_CAINFO", "MY_CABUNDLE"),
        *("HELM_TLS_VERIFY", "PERL_SSL_VERIFY", "X_SSL_NO_VERIFY", "CURL_HOME", "WGETRC", "NETRC"),
    ),
    "decides which programs run": ("PATH",),
    "load code before they begin": (
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "NODE_OPTIONS"),
        *("NODE_TLS_REJECT_UNAUTHORIZED", "NODE_PATH", "PYTHONPATH", "PYTHONSTARTUP"),
        *("BUN_OPTIONS", "DENO_DIR", "GLIBC_TUNABLES", "MALLOC_CONF", "DOTNET_STARTUP_HOOKS"),
        *("LOCPATH", "NLSPATH", "HOSTALIASES", "RES_OPTIONS", "LOCALDOMAIN"),
        *("PS4", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS"),
        *("PYTHONHTTPSVERIFY", "PERL5OPT", "PERL5LIB", "RUBYOPT", "JAVA_TOOL_OPTIONS"),
        *("_JAVA_OPTIONS", "BASH_ENV", "ENV", "IFS", "BASH_FUNC_ls"),
    ),
    "the bottle sets it": ("HOME", "USER", "SHELL"),
    "makes git": (
        *("GIT_PROXY_COMMAND", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_SSH_COMMAND"),
        *("GIT_EXEC_PATH", "GIT_ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_TEMPLATE_DIR", "GIT_PAGER"),
        *("GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "SSH_ASKPASS"),
    ),
    "holds the token": (
        *("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", TOKEN),
    ),
}
CASES = [(name, why) for why, names in WEAKENING.items() for name in names]
FREE = (
    *("PATHS", "MY_PATH", "MY_HOME", "HOMES", "ENVIRONMENT", "PROXYX", "HTTP_PROXY_2", "_", "a1"),
    *("EDITOR", "LDFLAGS", "NODE", "NODEJS", "GIT_AUTHOR_NAME", "SSL", "path", "ANTHROPIC"),
    *("home", "CLAUDE", "RUBY", "PERL", "HTTPS_PROXYX", "LD", "MYPROXY", "PS1", "PAGER", "CERT"),
    *("PIP_INDEX_URL", "PIP_CERTS", "MALLOC", "BUN", "CERTAINLY", "CONCERT", "CACERT", "VERIFY"),
    *("GIT_COMMITTER_NAME", "GIT_DIR", "UV_CACHE_DIR", "CARGO_HOME", "netrc"),
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


SECRETS = [
    *(
        (name, "x" * 8)
        for name in (
            *("KEY", "key", "API_KEY", "MY_TOKEN", "my_token", "CLIENT_SECRET", "PASSWORD"),
            *("DB_PASSWD", "KEY_PASSPHRASE", "GITHUB_PAT", "CREDENTIAL", "AWS_CREDENTIALS"),
        )
    ),
    *(
        ("EDITOR", text)
        for text in (
            *("sk-" + "x" * 8, "gh" + "p_x", "gh" + "s_x", "github_" + "pat_x", "glpat" + "-x"),
            *("xox" + "b-x", "AK" + "IA" + "X" * 8, "-----BEGIN " + "X"),
        )
    ),
]
PLAIN = [
    *(("API_KEY", text) for text in ("", "x" * 7)),
    *(
        (name, "x" * 8)
        for name in ("EDITOR", "KEYS", "KEYBOARD", "TOKENS", "MONKEY", "PATTERN", "PAT_X")
    ),
    *(
        ("EDITOR", text)
        for text in ("", "sk-", "sk-x", "a sk-" + "x" * 8, "ghp", "xox", "AKIA", "-----END X")
    ),
]


@pytest.mark.parametrize(
    ("name", "text", "secret"), [*((*p, True) for p in SECRETS), *((*p, False) for p in PLAIN)]
)
def test_what_looks_secret_is_shown_to_nobody(name: str, text: str, secret: bool) -> None:
    assert looks_secret(name, text) == secret
    assert plain_text(name, text) == (f"({len(text)} characters)" if secret else text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("a b", "a b"),
        (" a\n\tb \r\n c\u2028d ", "a b c d"),
        ("x" * 60, "x" * 60),
        ("x" * 61, f"{'x' * 60}… (61 characters)"),
        ("x\n" * 1000, f"{'x ' * 30}… (2000 characters)"),
        ("\n" * 1000, ""),
    ],
)
def test_a_text_for_people_is_one_line_and_bounded(text: str, line: str) -> None:
    assert in_one_line(text) == line
    assert plain_text("EDITOR", text) == line


def test_what_the_bottle_sets_no_manifest_can_replace() -> None:
    environment = plan().keeper.environment
    assert {name for name in environment if reserved(name) is None} == {"LANG"}
