"""Guard: mitmproxy's protocol code bounded, and closed when it breaks.

As published it leaves a connection whose protocol code crashed open and unwatched, holds heads
without end, answers errors in HTML that names it and quotes them, and crashes on trailers.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Final

import h11
from answers import denial
from audit import Audit
from h11._readers import ChunkedReader
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer, mode_servers
from mitmproxy.proxy.layers.http import _http1

from bottle.core.egress import Refusal

_LONGEST_UNREAD: Final = 256 * 1024
"""Bytes held of a head that has no end, or of requests sent before the answer to the first."""


class Connections:
    """The open client connections, to be cut from outside."""

    def __init__(self, server: Proxyserver) -> None:
        self._server = server

    def __len__(self) -> int:
        return len(self._server.connections)

    def __contains__(self, client: object) -> bool:
        return client in self._server.connections

    def cut(self, client: str) -> None:
        """Close a client connection and everything upstream of it, once this step is over."""
        found = self._server.connections.get(client)
        if found is not None:
            asyncio.get_running_loop().call_soon(_close_all, found)


def _close_all(found: mode_servers.ProxyConnectionHandler) -> None:
    for transport, state in list(found.transports.items()):
        if state.handler is not None:
            found.close_connection(transport)


def install(audit: Audit, connections: Connections) -> None:
    """Put everything of this module into mitmproxy's; once a process."""
    mode_servers.ProxyConnectionHandler = _watched(audit, connections)  # type: ignore[misc]
    _http1.Http1Connection._handle_event = _bounded  # type: ignore[method-assign]
    _http1.make_body_reader = _body_reader

    def answer(status_code: int, message: str = "") -> bytes:  # noqa: ARG001  # quotes the client
        return _answer(audit, status_code)

    _http1.make_error_response = answer


def _watched(audit: Audit, connections: Connections) -> type[mode_servers.ProxyConnectionHandler]:
    class Watched(mode_servers.ProxyConnectionHandler):
        """A connection that is cut, and told of, when its protocol code crashes."""

        async def handle_client(self) -> None:
            # a cancellation that meets a held lock ends the task before it closes its socket
            writer = self.transports[self.client].writer
            try:
                await super().handle_client()
            finally:
                for state in list(self.transports.values()):
                    if state.writer is not None:
                        state.writer.close()
                if writer is not None:
                    writer.close()

        def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:  # noqa: ARG002
            if exc_info:
                kind = exc_info[0] if isinstance(exc_info, tuple) else sys.exc_info()[0]
                audit.fault("connection", kind or RuntimeError)
                connections.cut(self.client.id)

    return Watched


_handle: Final = _http1.Http1Connection._handle_event


def _bounded(self: _http1.Http1Connection, event: events.Event) -> layer.CommandGenerator[None]:
    yield from _handle(self, event)
    if self.state in {self.read_headers, self.wait} and len(self.buf) > _LONGEST_UNREAD:
        yield commands.CloseConnection(self.conn)


class _NoTrailers(ChunkedReader):
    """Reads a chunked body and leaves its trailers out, as any proxy may."""

    def __call__(self, buffer: Any) -> Any:
        event = super().__call__(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


_reader_for: Final = _http1.make_body_reader


def _body_reader(expected_size: int | None) -> Any:
    return _NoTrailers() if expected_size is None else _reader_for(expected_size)


def _answer(audit: Audit, status: int) -> bytes:
    """Answer what mitmproxy could not read, or not reach, with a word of ours alone."""
    malformed = status < 500
    reason = Refusal.MALFORMED if malformed else Refusal.UNREACHABLE
    if malformed:
        audit.decision("request", allowed=False, reason=reason)
    response = denial(reason, status=status)
    response.headers["connection"] = "close"
    return bytes(http1.assemble_response(response))
