"""Strict: mitmproxy so changed that what goes wrong denies.

As published it logs an exception of an add-on and forwards the request, and leaves a connection
whose protocol code crashed open and unwatched.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from audit import Audit
from mitmproxy import addonmanager, connection, exceptions, hooks, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer, mode_servers
from mitmproxy.proxy.layers.http import _http1

MARK: Final = "x-claude-bottle"
DENIED: Final = "denied by policy"
_LONGEST_UNREAD_HEAD: Final = 256 * 1024


class Revocable(Protocol):
    """What can take a client connection's grant away."""

    def revoke(self, client: str) -> None:
        """Forget what this client connection was granted."""


class Refused(layer.Layer):
    """A protocol that closes the client's connection and never opens one upstream."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


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


class StrictAddons(addonmanager.AddonManager):
    """Calls add-ons in order; an exception in any of them denies, and is told by its type."""

    def __init__(self, master: Any, audit: Audit) -> None:
        super().__init__(master)  # type: ignore[no-untyped-call]
        self._audit = audit
        self.policy: Revocable | None = None
        self.connections: Connections | None = None

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Call a hook of every add-on; the first that raises ends it with a denial."""
        for addon in self.chain:
            try:
                await self.invoke_addon(addon, event)
            except exceptions.AddonHalt:
                return
            except Exception as error:
                subject = event.args()[0] if event.args() else None
                client = _client(subject)
                if client is None:
                    raise  # no connection's hook: the start's, which ends here
                self._audit.fault(event.name, error)
                self._deny(event.name, subject, client)
                return

    def trigger(self, event: hooks.Hook) -> None:
        """Call a hook that belongs to the start: what it raises ends the start."""
        for addon in self.chain:
            self.invoke_addon_sync(addon, event)

    def _deny(self, hook: str, subject: object, client: connection.Client) -> None:
        if self.policy is not None:
            self.policy.revoke(client.id)
        _refuse(hook, subject)
        if hook != "http_connect" and self.connections is not None:
            self.connections.cut(client.id)


def _client(subject: object) -> connection.Client | None:
    """Find the client connection that a hook's subject belongs to."""
    if isinstance(subject, connection.Client):
        return subject
    found = getattr(subject, "client_conn", None) or getattr(subject, "client", None)
    found = found or getattr(getattr(subject, "context", None), "client", None)
    return found if isinstance(found, connection.Client) else None


def _refuse(hook: str, subject: Any) -> None:
    """Put the refusing value where mitmproxy looks for one after this hook."""
    if isinstance(subject, http.HTTPFlow):
        if hook == "http_connect":
            subject.response = denial(DENIED)
        elif subject.killable:
            subject.kill()
    elif hook == "server_connect":
        subject.server.error = DENIED
    elif hook == "next_layer":
        subject.layer = Refused(subject.context)
    elif hook == "client_connected":
        subject.error = DENIED
    elif hook in {"tls_start_client", "tls_start_server"}:
        subject.ssl_conn = None


def denial(reason: str, host: str = "", *, status: int = 403) -> http.Response:
    """Make the answer that an agent gets: the reason, and the host that it asked for."""
    denied = status < 500
    body = json.dumps({"denied" if denied else "failed": reason, "host": host[:256]})
    headers = {"content-type": "application/json", MARK: "denied" if denied else "failed"}
    return http.Response.make(status, body + "\n", headers)


def answer_ourselves(audit: Audit) -> None:
    """Replace mitmproxy's HTML errors, which name it and quote what they could not read."""

    def answer(status_code: int, message: str = "") -> bytes:  # noqa: ARG001  # mitmproxy's own
        malformed = status_code < 500
        reason = "the request is malformed" if malformed else "the host cannot be reached"
        if malformed:
            audit.decision("request", allowed=False, reason=reason)
        response = denial(reason, status=status_code)
        response.headers["connection"] = "close"
        return bytes(http1.assemble_response(response))

    _http1.make_error_response = answer


def watch_connections(audit: Audit, connections: Callable[[], Connections | None]) -> None:
    """Make crashes of protocol code, and heads without end, close the connection."""

    class Watched(mode_servers.ProxyConnectionHandler):
        def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:  # noqa: ARG002
            if exc_info:
                kind = exc_info[0] if isinstance(exc_info, tuple) else RuntimeError
                audit.fault("connection", kind)
                self._cut()

        def _cut(self) -> None:
            open_ones = connections()
            if open_ones is not None:
                open_ones.cut(self.client.id)

    mode_servers.ProxyConnectionHandler = Watched  # type: ignore[misc]
    read_headers = _http1.Http1Server.read_headers

    def bounded(
        self: _http1.Http1Server, event: events.ConnectionEvent
    ) -> layer.CommandGenerator[None]:
        yield from read_headers(self, event)
        if self.state == self.read_headers and len(self.buf) > _LONGEST_UNREAD_HEAD:
            yield commands.CloseConnection(self.conn)

    _http1.Http1Server.read_headers = bounded  # type: ignore[method-assign]
