"""Certificates: an authority and one certificate for all names, made at each start."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DAYS: Final = "7"  # longer than any session
_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_AUTHORITY: Final = (
    "basicConstraints=critical,CA:TRUE,pathlen:0",
    "keyUsage=critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier=hash",
)
_LEAF: Final = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=serverAuth",
    "subjectKeyIdentifier=hash",
    "authorityKeyIdentifier=keyid",
)
"""What strict checks of RFC 5280 (Python 3.13's default) ask for."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Files of the certificate and its key, and the authority that signed it as PEM."""

    path: Path
    key: Path
    authority: str


def make(folder: Path, names: Sequence[str]) -> Certificate:
    """Make both in `folder`; raise RuntimeError with openssl's words when it cannot."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    leaf, key = folder / "leaf.pem", folder / "leaf.key"
    _request("stand-in authority", _AUTHORITY, authority, authority_key)
    alternatives = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    signer = ("-CA", str(authority), "-CAkey", str(authority_key))
    _request("stand-in", (*_LEAF, alternatives), leaf, key, signer)
    authority_key.unlink()
    return Certificate(path=leaf, key=key, authority=authority.read_text())


def _request(
    name: str, extensions: Sequence[str], out: Path, key: Path, signer: Sequence[str] = ()
) -> None:
    added = [word for text in extensions for word in ("-addext", text)]
    command = ["openssl", "req", "-x509", "-config", "/dev/null", "-subj", f"/CN={name}"]
    command += [*_KEY, "-sha256", "-days", _DAYS, *signer, *added]
    command += ["-keyout", str(key), "-out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise RuntimeError(f"openssl: {done.stderr.strip()[-300:]}")
