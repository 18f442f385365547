"""Egress: every rule of the sidecar with its door; the wire tests see the same from outside."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from bottle.core.allowlist import Allowlist, HostPattern, Reason
from bottle.core.egress import (
    LONGEST_HEAD,
    Configuration,
    Credential,
    Head,
    Headers,
    Refusal,
    injected,
    judge_addresses,
    judge_credentials,
    judge_head,
    judge_request,
    judge_server_name,
    judge_target,
    may_be_http,
    parse,
)

HOST = "api.example.com"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def _document(**changed: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "listen": "10.231.0.2",
        "port": 8080,
        "allowlist": [HOST, "*.example.org:8443"],
        "pins": {HOST: "10.231.0.19"},
        "upstream_ca": None,
        "credentials": [{"host": HOST, "placeholder": "p" * 20, "value": "v" * 20}],
        **changed,
    }


class TestConfiguration:
    def test_is_read_whole(self) -> None:
        assert parse(json.dumps(_document(upstream_ca=PEM))) == Configuration(
            listen="10.231.0.2",
            port=8080,
            allowlist=Allowlist.of([HostPattern(HOST), HostPattern("example.org", 8443, True)]),
            pins={HOST: "10.231.0.19"},
            upstream_ca=PEM,
            credentials={HOST: Credential(host=HOST, placeholder="p" * 20, value="v" * 20)},
        )

    @pytest.mark.parametrize(
        "changed",
        [
            {"version": 2},
            {"version": True},
            {"version": "1"},
            {"listen": "::1"},
            {"listen": "localhost"},
            {"listen": "010.0.0.1"},
            {"listen": 1},
            {"port": 0},
            {"port": 65536},
            {"port": True},
            {"port": "8080"},
            {"allowlist": HOST},
            {"allowlist": [1]},
            {"allowlist": ["*"]},
            {"allowlist": ["10.0.0.1"]},
            {"allowlist": ["https://example.com"]},
            {"pins": []},
            {"pins": {"HOST.example.com": "10.0.0.1"}},
            {"pins": {"*.example.com": "10.0.0.1"}},
            {"pins": {HOST: "localhost"}},
            {"pins": {HOST: "::1"}},
            {"upstream_ca": ""},
            {"upstream_ca": 1},
            {"credentials": {}},
            {"credentials": ["x"]},
            {"credentials": [{"host": HOST}]},
            {"credentials": [{"host": HOST, "placeholder": "short", "value": "v" * 20}]},
            {"credentials": [{"host": HOST, "placeholder": "p" * 20, "value": "a b" * 20}]},
            {"credentials": [{"host": HOST, "placeholder": "p" * 20, "value": "a\r\nb" * 9}]},
            {"credentials": [{"host": HOST, "placeholder": "p" * 20, "value": "ü" * 20}]},
            {
                "credentials": [
                    {"host": "Api.example.com", "placeholder": "p" * 20, "value": "v" * 9}
                ]
            },
            {"credentials": _document()["credentials"] * 2},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_anything_else_is_refused(self, changed: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"wanted|write|name each"):
            parse(json.dumps(_document(**changed)))

    @pytest.mark.parametrize("missing", sorted(_document()))
    def test_every_member_is_needed(self, missing: str) -> None:
        document = _document()
        del document[missing]
        with pytest.raises(ValueError, match="wanted exactly"):
            parse(json.dumps(document))

    @pytest.mark.parametrize("line", ["", "{", "[]", "null", "1", '"x"'])
    def test_other_documents_are_refused(self, line: str) -> None:
        with pytest.raises(ValueError, match="configuration"):
            parse(line)

    def test_no_message_and_no_repr_shows_a_secret(self) -> None:
        canary = secrets.token_hex(16)
        bad = {"host": HOST, "placeholder": "short", "value": canary}
        with pytest.raises(ValueError, match="placeholder") as caught:
            parse(json.dumps(_document(credentials=[bad])))
        assert canary not in str(caught.value)
        good = bad | {"placeholder": "p" * 20}
        assert canary not in repr(parse(json.dumps(_document(credentials=[good]))))
        with pytest.raises(ValueError, match="not JSON") as caught:
            parse(f'{{"value": "{canary}"')
        assert canary not in str(caught.value)
        assert caught.value.__cause__ is None


class TestTarget:
    LISTED = Allowlist.of([HostPattern(HOST), HostPattern("example.org", 8443, True)])

    @pytest.mark.parametrize(
        ("authority", "host", "port"),
        [
            (f"{HOST}:443", HOST, 443),
            ("API.Example.COM:443", HOST, 443),
            (f"{HOST}.:443", HOST, 443),
            ("a.example.org:8443", "a.example.org", 8443),
        ],
    )
    def test_listed(self, authority: str, host: str, port: int) -> None:
        decision, found = judge_target(self.LISTED, authority)
        assert (decision.allowed, decision.host, found) == (True, host, port)

    @pytest.mark.parametrize(
        ("authority", "reason"),
        [
            ("evil.example:443", Reason.NOT_LISTED),
            (f"{HOST}:80", Reason.PORT_NOT_LISTED),
            ("example.org:8443", Reason.NOT_LISTED),
            ("1.2.3.4:443", Reason.ADDRESS),
            ("0x7f000001:443", Reason.ADDRESS),
            ("[::1]:443", Reason.ADDRESS),
            ("localhost:443", Reason.NOT_A_NAME),
            (HOST, Reason.NOT_A_NAME),
            (f"{HOST}:", Reason.NOT_A_NAME),
            (f"{HOST}:0443", Reason.NOT_A_NAME),
            (f"{HOST}:443 ", Reason.NOT_A_NAME),
            (f"{HOST}:443\n", Reason.NOT_A_NAME),
            (f"{HOST}:\uff14\uff14\uff13", Reason.NOT_A_NAME),
            (f"u@{HOST}:443", Reason.NOT_A_NAME),
            (f"{HOST}\x00.evil.example:443", Reason.NOT_A_NAME),
            ("", Reason.NOT_A_NAME),
        ],
    )
    def test_others(self, authority: str, reason: Reason) -> None:
        decision, _ = judge_target(self.LISTED, authority)
        assert (decision.allowed, decision.reason) == (False, reason)


class TestTunnel:
    @pytest.mark.parametrize("name", [HOST, HOST.upper(), f"{HOST}."])
    def test_its_own_server_name(self, name: str) -> None:
        assert judge_server_name(name, HOST) is None

    @pytest.mark.parametrize(
        "name", ["evil.example", f"a.{HOST}", "example.com", "10.0.0.1", "\u0131"]
    )
    def test_another_server_name(self, name: str) -> None:
        assert judge_server_name(name, HOST) is Refusal.OTHER_SERVER_NAME

    @pytest.mark.parametrize("name", [None, ""])
    def test_no_server_name(self, name: str | None) -> None:
        assert judge_server_name(name, HOST) is Refusal.NO_SERVER_NAME

    @pytest.mark.parametrize("seen", [b"G", b"GET", b"GET /", b"M-SEARCH * HTTP/1.1\r\n"])
    def test_a_request_may_begin_so(self, seen: bytes) -> None:
        assert may_be_http(seen)

    @pytest.mark.parametrize(
        "seen", [b"", b"get /", b"SSH-2.0-x", b"\x16\x03\x01", b"GET\t/", b"G\r\n", b"A" * 40]
    )
    def test_no_request_begins_so(self, seen: bytes) -> None:
        assert not may_be_http(seen)

    def test_addresses(self) -> None:
        assert judge_addresses(["1.1.1.1", "8.8.8.8"]) is None
        assert judge_addresses([]) == Refusal.UNRESOLVED
        refused = f"{Refusal.REFUSED_ADDRESS} (link-local)"
        assert judge_addresses(["1.1.1.1", "169.254.169.254"]) == refused
        assert judge_addresses(["169.254.169.254", "1.1.1.1"]) == refused


def _head(*lines: tuple[bytes, bytes], **changed: Any) -> Head:
    members = {"method": b"GET", "authority": b"", "path": b"/v1?x=1", "version": b"HTTP/1.1"}
    headers: Headers = ((b"Host", HOST.encode()), *lines)
    return Head(**{**members, "headers": headers, **changed})


class TestHead:
    @pytest.mark.parametrize(
        "head",
        [
            _head(),
            _head(method=b"POST"),
            _head(method=b"M-SEARCH"),
            _head((b"transfer-encoding", b"Chunked")),
            _head(method=b"OPTIONS", path=b"*"),
            _head(path="/ü?ü=ü".encode()),
            _head(headers=((b"hOST", b"API.example.com."),)),
            _head(headers=((b"Host", f"{HOST}:443".encode()),)),
            _head((b"X-Tab", b"a\tb"), (b"X-Empty", b""), (b"X-Latin", b"\xe4")),
        ],
        ids=str,
    )
    def test_plain_requests_pass(self, head: Head) -> None:
        assert judge_head(head, HOST, 443) is None
        assert judge_request(head, HOST, 443, None) is None

    @pytest.mark.parametrize(
        ("head", "refusal"),
        [
            (_head(authority=b"evil.example"), Refusal.ABSOLUTE),
            (_head(authority=HOST.encode()), Refusal.ABSOLUTE),
            (_head(version=b"HTTP/1.0"), Refusal.OTHER_VERSION),
            (_head(version=b"HTTP/2.0"), Refusal.OTHER_VERSION),
            (_head((b"X", b"a" * LONGEST_HEAD)), Refusal.HEAD_TOO_LONG),
            (_head(path=b"/" + b"a" * LONGEST_HEAD), Refusal.HEAD_TOO_LONG),
            (_head(method=b"CONNECT"), Refusal.MALFORMED),
            (_head(method=b"TRACE"), Refusal.MALFORMED),
            (_head((b"Transfer-Encoding", b"gzip, chunked")), Refusal.MALFORMED),
            (_head((b"Transfer-Encoding", b"identity")), Refusal.MALFORMED),
            (_head((b"Transfer-Encoding", b"chunked "), (b"a", b"b")), Refusal.MALFORMED),
            (_head(*[(b"Transfer-Encoding", b"chunked")] * 2), Refusal.MALFORMED),
            (_head(method=b"get"), Refusal.MALFORMED),
            (_head(method=b""), Refusal.MALFORMED),
            (_head(method=b"GET\n"), Refusal.MALFORMED),
            (_head(path=b""), Refusal.MALFORMED),
            (_head(path=b"v1"), Refusal.MALFORMED),
            (_head(path=b"//a b"), Refusal.MALFORMED),
            (_head(path=b"/a\x00"), Refusal.MALFORMED),
            (_head(path=b"/a\n"), Refusal.MALFORMED),
            (_head((b"X-A", b"a\r\n b")), Refusal.MALFORMED),
            (_head((b"X-A", b"a\rb")), Refusal.MALFORMED),
            (_head((b"X-A", b"a\nb")), Refusal.MALFORMED),
            (_head((b"X-A", b"a\x00")), Refusal.MALFORMED),
            (_head((b"X A", b"a")), Refusal.MALFORMED),
            (_head((b"", b"a")), Refusal.MALFORMED),
            (_head((b"X-A\n", b"a")), Refusal.MALFORMED),
            (_head(headers=()), Refusal.OTHER_HOST),
            (_head(headers=((b"Host", b""),)), Refusal.OTHER_HOST),
            (_head(headers=((b"Host", b"evil.example"),)), Refusal.OTHER_HOST),
            (_head(headers=((b"Host", f"{HOST}:80".encode()),)), Refusal.OTHER_HOST),
            (_head(headers=((b"Host", f"{HOST}:0443".encode()),)), Refusal.OTHER_HOST),
            (_head(headers=((b"Host", f"{HOST}, evil.example".encode()),)), Refusal.OTHER_HOST),
            (_head((b"host", HOST.encode())), Refusal.OTHER_HOST),
        ],
        ids=str,
    )
    def test_others_do_not(self, head: Head, refusal: Refusal) -> None:
        assert judge_head(head, HOST, 443) is refusal
        assert judge_request(head, HOST, 443, None) is refusal

    def test_another_port_is_part_of_the_host(self) -> None:
        with_port = _head(headers=((b"Host", f"{HOST}:8443".encode()),))
        assert judge_head(with_port, HOST, 8443) is None
        assert judge_head(with_port, HOST, 443) is Refusal.OTHER_HOST


OWN = "sk-ant-oat01-" + secrets.token_hex(20)
REAL = "sk-ant-oat01-" + secrets.token_hex(20)
OTHER = "sk-ant-api03-" + secrets.token_hex(20)
CREDENTIAL = Credential(host=HOST, placeholder=OWN, value=REAL)
_CLAUDE_CODE: Headers = (
    (b"Accept", b"application/json"),
    (b"anthropic-beta", b"oauth-2025-04-20,interleaved-thinking"),
    (b"anthropic-dangerous-direct-browser-access", b"true"),
    (b"anthropic-version", b"2023-06-01"),
    (b"User-Agent", b"claude-cli/2.1 (external, sdk-cli)"),
    (b"X-Claude-Code-Session-Id", b"0e1c"),
    (b"X-Stainless-Retry-Count", b"0"),
    (b"x-app", b"cli"),
)


def _bearer(token: str) -> tuple[bytes, bytes]:
    return (b"Authorization", f"Bearer {token}".encode())


class TestCredentials:
    @pytest.mark.parametrize(
        "head",
        [
            _head(),
            _head(*_CLAUDE_CODE),
            _head(*_CLAUDE_CODE, _bearer(OWN)),
            _head((b"authorization", f"bearer  {OWN}".encode())),
            _head((b"X-API-Key", OWN.encode())),
            _head(_bearer(OWN), (b"x-api-key", OWN.encode())),
            _head(path=b"/v1/models?limit=100&after_id=x&beta=true"),
            _head(path=b"/v1/files?page_token=abc&max_tokens=10"),
        ],
        ids=str,
    )
    def test_its_own_and_none_pass(self, head: Head) -> None:
        assert judge_credentials(head, CREDENTIAL) is None
        assert judge_request(head, HOST, 443, CREDENTIAL) is None

    @pytest.mark.parametrize(
        "line",
        [
            _bearer(OTHER),
            _bearer(REAL),
            _bearer(OWN + "x"),
            _bearer(OWN[:-1]),
            _bearer(f"{OWN}, Bearer {OTHER}"),
            _bearer(f"{OWN} {OTHER}"),
            (b"Authorization", OWN.encode()),
            (b"Authorization", f"Basic {OWN}".encode()),
            (b"Authorization", f"Bearer\t{OWN}".encode()),
            (b"Authorization", b""),
            (b"x-api-key", OTHER.encode()),
            (b"x-api-key", f"Bearer {OWN}".encode()),
            (b"x-api-key", b""),
            (b"Proxy-Authorization", f"Bearer {OWN}".encode()),
            (b"Cookie", b"sessionKey=1"),
            (b"X-Auth-Token", b"1"),
            (b"api_key", b"1"),
            (b"x-goog-api-key", b"1"),
            (b"X-Amz-Security-Token", b"1"),
            (b"X-Harmless", OTHER.encode()),
            (b"X-Harmless", f"say {OWN}".encode()),
        ],
        ids=lambda line: line[0].decode(),
    )
    def test_any_other_is_refused(self, line: tuple[bytes, bytes]) -> None:
        assert judge_credentials(_head(line), CREDENTIAL) is Refusal.FOREIGN_CREDENTIAL
        both = _head(_bearer(OWN), line)
        assert judge_credentials(both, CREDENTIAL) is Refusal.FOREIGN_CREDENTIAL

    @pytest.mark.parametrize(
        "path",
        [
            "/v1?key=1",
            "/v1?a=b&api_key=1",
            "/v1?a=b;ACCESS-TOKEN=1",
            "/v1?token=1",
            "/v1?%74oken=1",
            "/v1?to%6ben=1",
            "/v1?authorization=1",
            "/v1?client_secret=1",
            "/v1?password=1",
            "/v1?refresh_token=1",
            "/v1?X-Amz-Signature=1",
            f"/v1?q={OTHER}",
            f"/{OTHER}/v1",
            "/v1?q=sk-%61nt-api03-1",
        ],
    )
    def test_none_in_the_url(self, path: str) -> None:
        refused = judge_credentials(_head(path=path.encode()), CREDENTIAL)
        assert refused is Refusal.CREDENTIAL_IN_URL

    def test_the_placeholder_becomes_the_value(self) -> None:
        headers = (*_CLAUDE_CODE, _bearer(OWN), (b"X-Api-Key", OWN.encode()))
        expected = (*_CLAUDE_CODE, _bearer(REAL), (b"X-Api-Key", REAL.encode()))
        assert injected(headers, CREDENTIAL) == expected

    def test_nothing_else_changes(self) -> None:
        headers: Headers = ((b"X-Other", OWN.encode()), (b"x-api-key", OTHER.encode()))
        assert injected(headers, CREDENTIAL) == headers
        assert injected((_bearer(OWN),), None) == (_bearer(OWN),)
