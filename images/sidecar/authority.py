"""Authority: this bottle's own certificate authority, and TLS towards both sides.

Key and certificates are made at the start and live in this process only. Elliptic curves: a
2048-bit RSA key takes a hundred times as long to make.
"""

from __future__ import annotations

import datetime
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mitmproxy import certs, tls
from mitmproxy.addons import tlsconfig
from mitmproxy.proxy.context import Context

_BACKDATED: Final = datetime.timedelta(days=1)
_VALID: Final = datetime.timedelta(days=397)
"""What clients accept at most of a server's certificate."""
_LONGEST_COMMON_NAME: Final = 64
_KEPT: Final = 256


class Authority:
    """Signs a certificate for each host that a tunnel was granted to."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"claude-bottle {secrets.token_hex(4)}")
        self._certificate = self._own()
        self._leaves: OrderedDict[str, certs.CertStoreEntry] = OrderedDict()

    @property
    def pem(self) -> str:
        """The authority's certificate: what the bottle has to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def leaf(self, host: str) -> certs.CertStoreEntry:
        """Give the certificate for a host, with its key, as the proxy takes them."""
        if host not in self._leaves:
            self._leaves[host] = certs.CertStoreEntry(
                cert=certs.Cert(self._sign(host)),
                privatekey=self._leaf_key,  # type: ignore[arg-type]  # annotated RSA, any key works
                chain_file=None,
                chain_certs=[],
            )
            while len(self._leaves) > _KEPT:
                self._leaves.popitem(last=False)
        return self._leaves[host]

    def _own(self) -> x509.Certificate:
        key = self._key.public_key()
        builder = _builder(self._name, self._name, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(sign_certificates=True), True)
        return self._signed(builder)

    def _sign(self, host: str) -> x509.Certificate:
        named = host if len(host) <= _LONGEST_COMMON_NAME else host[-_LONGEST_COMMON_NAME:]
        builder = _builder(_name(named), self._name, self._leaf_key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(sign_certificates=False), True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        return self._signed(builder)

    def _signed(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(identifier, False).sign(self._key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    start = datetime.datetime.now(datetime.UTC) - _BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


class _NoStore:
    """Stands where mitmproxy keeps its certificates in files; we have none."""

    dhparams = None


class Tls(tlsconfig.TlsConfig):
    """mitmproxy's TLS settings, with our certificates and only for tunnels that were granted."""

    def __init__(self, authority: Authority, granted: Callable[[str], str | None]) -> None:
        self.certstore: Any = _NoStore()
        self._authority = authority
        self._granted = granted
        """Gives the host that a client connection's tunnel was granted to."""

    request: Any = None
    """mitmproxy answers a request for its revocation list itself; we have none."""

    def running(self) -> None:
        """Read no files."""

    def configure(self, updated: object) -> None:
        """Read no files."""

    def tls_start_client(self, tls_start: tls.TlsData) -> None:
        """Without a grant no settings are given, and so the connection is closed."""
        if self._granted(tls_start.context.client.id) is not None:
            super().tls_start_client(tls_start)

    def get_cert(self, conn_context: Context) -> certs.CertStoreEntry:
        """Give the certificate of the granted host; it equals the server name by then."""
        host = self._granted(conn_context.client.id)
        if host is None:
            raise PermissionError("no tunnel was granted")
        return self._authority.leaf(host)
