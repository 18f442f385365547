"""Tunnel: runs inside a bottle and speaks to its proxy byte by byte; standard library only."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 10.0


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Make one attempt: give the proxy's answer, the host's, and how long it took."""
    began = time.monotonic()
    told: dict[str, str] = {"proxy": "", "host": "", "error": ""}
    try:
        attempt(request, told)
    except OSError as error:
        told["error"] = f"{type(error).__name__}: {error}"[:200]
    return {**told, "seconds": time.monotonic() - began}


def attempt(request: dict[str, Any], told: dict[str, str]) -> None:
    """Send `first` to the proxy, then `raw` in clear, or `inner` in TLS with the server name."""
    place = urlsplit(os.environ["HTTPS_PROXY"])
    with socket.create_connection((place.hostname, place.port), PATIENCE) as sock:
        sock.sendall(request["first"].encode("utf-8", "surrogateescape"))
        told["proxy"] = answer(sock)
        if " 200 " not in told["proxy"].split("\r\n")[0] + " ":
            return
        if request.get("raw"):
            sock.sendall(request["raw"].encode())
            told["host"] = answer(sock)
            return
        context = ssl.create_default_context()
        context.check_hostname = False
        with context.wrap_socket(sock, server_hostname=request.get("name")) as secure:
            secure.sendall(request["inner"].encode())
            told["host"] = answer(secure)


def answer(sock: socket.socket) -> str:
    """Read until the other side closes or says no more for a second, at most 16 KiB."""
    got = b""
    while len(got) < 16384:
        sock.settimeout(PATIENCE if not got else 0.3)
        try:
            chunk = sock.recv(4096)
        except TimeoutError:
            if not got:
                raise
            break
        if not chunk:
            break
        got += chunk
        if not got.partition(b"\r\n\r\n")[2] and b" 200 " in got[:20]:
            break
    return got.decode("latin-1")
