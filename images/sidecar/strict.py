"""Strict: add-ons called so that an exception denies; as published it is logged, and passes."""

from __future__ import annotations

from typing import Any, Protocol

from answers import DENIED, denial
from audit import Audit
from guard import Connections
from mitmproxy import addonmanager, connection, exceptions, hooks, http
from mitmproxy.proxy import commands, events, layer


class Revocable(Protocol):
    """What can take a client connection's grant away."""

    def revoke(self, client: str) -> None:
        """Forget what this client connection was granted."""


class Refused(layer.Layer):
    """A protocol that closes the client's connection and never opens one upstream."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


class StrictAddons(addonmanager.AddonManager):
    """Calls add-ons in order; an exception in any of them denies, and is told by its type."""

    def __init__(
        self, master: Any, audit: Audit, policy: Revocable, connections: Connections
    ) -> None:
        super().__init__(master)  # type: ignore[no-untyped-call]
        self._audit = audit
        self._policy = policy
        self._connections = connections

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
        self._policy.revoke(client.id)
        _refuse(hook, subject)
        if hook != "http_connect":  # which has an answer to give
            self._connections.cut(client.id)


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
