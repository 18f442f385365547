"""Egress: what the sidecar lets out, as pure rules; the proxy's edge asks them at each step.

The sidecar runs this very file: it imports only its two neighbours, which import nothing of ours.
A rule gives the reason of its refusal, or None.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote_plus

from bottle.core import addresses
from bottle.core.allowlist import Allowlist, Decision, HostPattern, PatternError, Reason, canonical

VERSION: Final = 1
LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a request's line and headers."""

Headers = tuple[tuple[bytes, bytes], ...]


class Refusal(StrEnum):
    """Why something was not let out; the values stand in audit records and in answers."""

    NO_TUNNEL = "only CONNECT is served here"
    NOT_TLS = "only TLS is let through a tunnel"
    NOT_HTTP = "only HTTP/1.1 is let through inside TLS"
    HANDSHAKE = "the TLS handshake failed"
    NO_SERVER_NAME = "TLS without a server name"
    OTHER_SERVER_NAME = "the TLS server name differs from the tunnel's host"
    MALFORMED = "the request is malformed"
    HEAD_TOO_LONG = "the request's head is longer than 64 KiB"
    OTHER_VERSION = "the request is not HTTP/1.1"
    OTHER_HOST = "the request's host differs from the tunnel's"
    ABSOLUTE = "the request names a whole URL inside a tunnel"
    FOREIGN_CREDENTIAL = "a credential that is not this bottle's own"
    CREDENTIAL_IN_URL = "a credential in the URL"
    UNRESOLVED = "the host name does not resolve"
    REFUSED_ADDRESS = "the host name leads to an address that is not public"
    NO_GRANT = "no tunnel was granted to this destination"
    UNREACHABLE = "the host cannot be reached"
    UNTRUSTED = "the host's certificate is not trusted"
    CROWDED = "too many connections at once"


# -- configuration


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A secret that the sidecar holds for the bottle, which knows a placeholder only."""

    host: str
    placeholder: str
    value: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Everything the sidecar is told, checked."""

    listen: str
    port: int
    allowlist: Allowlist
    pins: Mapping[str, str]
    """Name to address: exempt from the address rule, exactly that name at exactly that address."""
    upstream_ca: str | None
    """PEM that replaces the public roots; None keeps these."""
    credentials: Mapping[str, Credential]
    """By host."""


_KEYS: Final = frozenset(
    {"version", "listen", "port", "allowlist", "pins", "upstream_ca", "credentials"}
)
_CREDENTIAL_KEYS: Final = frozenset({"host", "placeholder", "value"})
_SECRET: Final = re.compile(r"[\x21-\x7e]{8,4096}")


def parse(line: str) -> Configuration:
    """Read the configuration line; raise ValueError, which never quotes a secret."""
    try:
        document = json.loads(line)
    except ValueError:
        raise ValueError("the configuration is not JSON") from None
    values = _members(document, _KEYS, "the configuration")
    if values["version"] != VERSION or isinstance(values["version"], bool):
        raise ValueError(f"version: wanted {VERSION}")
    return Configuration(
        listen=_address(values["listen"], "listen"),
        port=_port(values["port"]),
        allowlist=_allowlist(values["allowlist"]),
        pins=_pins(values["pins"]),
        upstream_ca=_upstream_ca(values["upstream_ca"]),
        credentials=_credentials(values["credentials"]),
    )


def _members(value: object, keys: frozenset[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: wanted an object")
    if set(value) != keys:
        raise ValueError(f"{where}: wanted exactly {', '.join(sorted(keys))}")
    return value


def _address(value: object, where: str) -> str:
    try:
        if isinstance(value, str):
            return str(ipaddress.IPv4Address(value))
    except ValueError:
        pass
    raise ValueError(f"{where}: wanted an IPv4 address")


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError("port: wanted a number from 1 to 65535")
    return value


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{where}: wanted a list of texts")
    return value


def _allowlist(value: object) -> Allowlist:
    try:
        return Allowlist.of(HostPattern.parse(text) for text in _texts(value, "allowlist"))
    except PatternError as error:
        raise ValueError(f"allowlist: {error}") from None


def _host(value: object, where: str) -> str:
    name = canonical(value) if isinstance(value, str) else None
    if name is None or name != value:
        raise ValueError(f"{where}: wanted a host name in lower case")
    return name


def _pins(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("pins: wanted an object")
    return {_host(host, "pins"): _address(address, "pins") for host, address in value.items()}


def _upstream_ca(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or "-----BEGIN CERTIFICATE-----" not in value:
        raise ValueError("upstream_ca: wanted null or a certificate in PEM")
    return value


def _credentials(value: object) -> dict[str, Credential]:
    if not isinstance(value, list):
        raise ValueError("credentials: wanted a list")
    read = [_credential(item) for item in value]
    by_host = {credential.host: credential for credential in read}
    if len(by_host) != len(read):
        raise ValueError("credentials: wanted one for each host")
    return by_host


def _credential(value: object) -> Credential:
    members = _members(value, _CREDENTIAL_KEYS, "credentials")
    for key in ("placeholder", "value"):
        if not isinstance(members[key], str) or not _SECRET.fullmatch(members[key]):
            raise ValueError(f"credentials: {key}: wanted 8 to 4096 printable ASCII characters")
    return Credential(
        host=_host(members["host"], "credentials"),
        placeholder=members["placeholder"],
        value=members["value"],
    )


# -- tunnel

_TARGET: Final = re.compile(r"([!-9;-~]+):([1-9][0-9]{0,4})")
_REQUEST_START: Final = re.compile(rb"[A-Z][A-Z-]{0,31}(?: |\Z)")


def judge_target(allowlist: Allowlist, authority: str) -> tuple[Decision, int]:
    """Decide on what CONNECT asks for, as the client spelled it; with the port, 0 if unreadable."""
    read = _TARGET.fullmatch(authority)
    if read is None:
        bracketed = authority.startswith("[")
        reason = Reason.ADDRESS if bracketed else Reason.NOT_A_NAME
        return Decision(allowed=False, reason=reason), 0
    host, port = read.group(1), int(read.group(2))
    return allowlist.decide(host, port), port


def judge_server_name(name: str | None, host: str) -> Refusal | None:
    """Refuse a ClientHello that names no host, or another than the tunnel's."""
    if not name:
        return Refusal.NO_SERVER_NAME
    return None if canonical(name) == host else Refusal.OTHER_SERVER_NAME


def may_be_http(data: bytes) -> bool:
    """Say whether these first bytes inside TLS can begin a request line; it may be cut short."""
    return bool(_REQUEST_START.match(data[:33]))


def judge_addresses(answers: Iterable[str]) -> str | None:
    """Refuse a name of whose addresses any is special; give the reason with the registry's word."""
    found = list(answers)
    if not found:
        return Refusal.UNRESOLVED
    for address in found:
        if special := addresses.refused(address):
            return f"{Refusal.REFUSED_ADDRESS} ({special})"
    return None


# -- request

_METHOD: Final = re.compile(rb"[A-Z][A-Z-]{0,31}")
_REFUSED_METHODS: Final = frozenset({b"CONNECT", b"TRACE", b"TRACK"})
"""A tunnel in the tunnel, and what asks for an echo of the headers: it would show the secret."""
_PATH: Final = re.compile(rb"(?:/[^\x00-\x20\x7f]*|\*)")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True, kw_only=True)
class Head:
    """The first line and headers of a request inside a tunnel, as they came."""

    method: bytes
    authority: bytes
    """Of an absolute URL in the request line; empty otherwise."""
    path: bytes
    """With the query."""
    version: bytes
    headers: Headers

    @property
    def size(self) -> int:
        lines = sum(len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.method) + len(self.authority) + len(self.path) + lines

    def values(self, name: bytes) -> list[bytes]:
        """Give every value of a header, in order."""
        return [value for found, value in self.headers if found.lower() == name]


def judge_request(
    head: Head, host: str, port: int, credential: Credential | None
) -> Refusal | None:
    """Refuse a request by its head, and by what it carries if its host is a brokered one."""
    refusal = judge_head(head, host, port)
    if refusal is None and credential is not None:
        refusal = judge_credentials(head, credential)
    return refusal


def judge_head(head: Head, host: str, port: int) -> Refusal | None:
    """Refuse what is not one plain HTTP/1.1 request for exactly the tunnel's host and port."""
    if head.authority:
        return Refusal.ABSOLUTE
    if head.size > LONGEST_HEAD:
        return Refusal.HEAD_TOO_LONG
    if head.version != b"HTTP/1.1":
        return Refusal.OTHER_VERSION
    if not _is_well_formed(head):
        return Refusal.MALFORMED
    hosts = head.values(b"host")
    return None if len(hosts) == 1 and _is_host(hosts[0], host, port) else Refusal.OTHER_HOST


def _is_well_formed(head: Head) -> bool:
    if not _METHOD.fullmatch(head.method) or head.method in _REFUSED_METHODS:
        return False
    if not _PATH.fullmatch(head.path):
        return False
    # any other list of codings is read in different ways by different servers
    if [value.lower() for value in head.values(b"transfer-encoding")] not in ([], [b"chunked"]):
        return False
    return all(_NAME.fullmatch(n) and _VALUE.fullmatch(v) for n, v in head.headers)


def _is_host(value: bytes, host: str, port: int) -> bool:
    name, colon, spelled = value.decode("latin-1").partition(":")
    return canonical(name) == host and (not colon or spelled == str(port))


# -- credentials

_SCHEME: Final = re.compile(rb"bearer +(\S+)", re.IGNORECASE)
_PLACES: Final = frozenset({b"authorization", b"x-api-key"})
_SUSPECT_NAME: Final = re.compile(
    r"auth|cookie|token|secret|credential|passw|bearer|api[-_]?key|access[-_]?key"
)
_SUSPECT_PARAMETER: Final = re.compile(
    r"auth|cookie|(?:^|[-_])(?:access|auth|id|refresh|session|bearer|api)[-_]?token|^token$"
    r"|secret|credential|passw|bearer|^key$|api[-_]?key|access[-_]?key|session[-_]?key|signature"
)
_ISSUED: Final = "sk-ant-"
"""How the model's vendor begins every key and token; in no place but the two may one stand."""


def judge_credentials(head: Head, credential: Credential) -> Refusal | None:
    """Refuse any credential but the placeholder, in its place; none at all passes.

    Otherwise somebody's words in the bottle could make the agent send its work to an account of
    theirs at the very host that it must reach.
    """
    if _in_query(head.path):
        return Refusal.CREDENTIAL_IN_URL
    for place in _PLACES:
        if len(head.values(place)) > 1:
            return Refusal.FOREIGN_CREDENTIAL
    if any(_is_foreign(name, value, credential) for name, value in head.headers):
        return Refusal.FOREIGN_CREDENTIAL
    return None


def _is_foreign(name: bytes, value: bytes, credential: Credential) -> bool:
    lowered = name.lower()
    if lowered in _PLACES:
        return _presented(lowered, value) != credential.placeholder.encode()
    suspect = _SUSPECT_NAME.search(lowered.decode("latin-1"))
    return bool(suspect) or _ISSUED.encode() in value


def _presented(name: bytes, value: bytes) -> bytes | None:
    if name == b"x-api-key":
        return value
    read = _SCHEME.fullmatch(value)
    return read.group(1) if read else None


def _in_query(path: bytes) -> bool:
    _, _, query = path.decode("latin-1").partition("?")
    if _ISSUED in unquote_plus(path.decode("latin-1")):
        return True
    names = (unquote_plus(part.partition("=")[0]) for part in re.split(r"[&;]", query))
    return any(_SUSPECT_PARAMETER.search(name.lower()) for name in names)


def injected(headers: Headers, credential: Credential | None) -> Headers:
    """Give the headers of a request that was judged, with the real value for the placeholder."""
    if credential is None:
        return headers
    return tuple((name, _real(name.lower(), value, credential)) for name, value in headers)


def _real(name: bytes, value: bytes, credential: Credential) -> bytes:
    if name not in _PLACES or _presented(name, value) != credential.placeholder.encode():
        return value
    secret = credential.value.encode()
    return secret if name == b"x-api-key" else b"Bearer " + secret
