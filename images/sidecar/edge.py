"""Edge: the trimmed mitmproxy with exactly our add-ons: no script loader, none of its own."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import trim

trim.trim()

import guard  # noqa: E402  # all of these import mitmproxy
from audit import Audit  # noqa: E402
from authority import Authority, Tls  # noqa: E402
from cryptography import x509  # noqa: E402
from dial import Resolver  # noqa: E402
from guard import Connections  # noqa: E402
from mitmproxy import options  # noqa: E402
from mitmproxy.addons import core, proxyserver  # noqa: E402
from mitmproxy.master import Master  # noqa: E402
from policy import Policy  # noqa: E402
from strict import StrictAddons  # noqa: E402

from bottle.core import egress  # noqa: E402
from bottle.core.egress import Configuration  # noqa: E402

trim.seal()

_ROOM: Final = Path("/run/sidecar")
_QUIET_SECONDS: Final = 900
"""A model may think for minutes without a byte."""


def run(line: str) -> None:
    """Serve; raise ValueError on a bad configuration, OSError when it cannot listen."""
    configuration = egress.parse(line)
    roots = _upstream_roots(configuration)
    logging.disable(logging.CRITICAL)  # it quotes hostile bytes; faults are told as audit lines
    asyncio.run(_serve(configuration, roots))


def _upstream_roots(configuration: Configuration) -> str | None:
    """Give the file of the only authorities to trust upstream, or None for the public ones."""
    if configuration.upstream_ca is None:
        return None
    pem = configuration.upstream_ca.encode()
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError("upstream_ca: not a certificate") from None
    place = _ROOM / "upstream-ca.pem"
    place.write_bytes(pem)
    return str(place)


async def _serve(configuration: Configuration, roots: str | None) -> None:
    audit, authority = Audit(), Authority()
    settings = options.Options()
    server = proxyserver.Proxyserver()
    connections = Connections(server)
    resolver = Resolver(asyncio.get_running_loop(), configuration.pins)
    policy = Policy(configuration, resolver, audit, connections)
    guard.install(audit, connections)
    master = Master(settings)
    master.addons = addons = StrictAddons(master, audit, policy, connections)
    addons.add(core.Core(), server, Tls(authority, policy.granted_host))  # type: ignore[no-untyped-call]
    _set(settings, configuration, roots)
    addons.add(policy, Announcement(configuration, server, audit, authority.pem))  # type: ignore[no-untyped-call]
    await master.run()


def _set(settings: options.Options, configuration: Configuration, roots: str | None) -> None:
    settings.update(
        listen_host=configuration.listen,
        listen_port=configuration.port,
        connection_strategy="lazy",
        upstream_cert=False,
        rawtcp=False,
        http2=False,  # an empty DATA frame flushes what a scanner holds back; HTTP/1.1 has none
        http3=False,
        validate_inbound_headers=True,
        tcp_timeout=_QUIET_SECONDS,
        ssl_verify_upstream_trusted_ca=roots,
    )


class Announcement:
    """Says that the proxy listens, once it does; else ends the process."""

    def __init__(
        self,
        configuration: Configuration,
        server: proxyserver.Proxyserver,
        audit: Audit,
        certificate: str,
    ) -> None:
        self._wanted = (configuration.listen, configuration.port)
        self._server = server
        self._audit = audit
        self._certificate = certificate

    def running(self) -> None:
        """Compare what we listen on with what we were told."""
        if [tuple(found[:2]) for found in self._server.listen_addrs()] != [self._wanted]:
            raise OSError(f"cannot listen on {self._wanted[0]}:{self._wanted[1]}")
        self._audit.ready(self._certificate)
