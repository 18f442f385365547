"""Policy: mitmproxy's hooks, each asking bottle.core.egress; the refusing value always comes first.

A tunnel is a capability: CONNECT grants one client connection one host and port at addresses that
were judged. Every later step needs the grant and compares with it; without it nothing is dialled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from answers import DENIED, MARK, denial
from audit import Audit
from dial import Resolver, grant
from guard import Connections
from mitmproxy import connection, exceptions, http, tls
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer, layers, server_hooks
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HTTPMode
from strict import Refused

from bottle.core import egress
from bottle.core.egress import Configuration, Head, Refusal

_REFUSED_BODY_READ: Final = 1024 * 1024
"""Up to this size the body of a refused request is read, so that its refusal can be told."""
_MOST_CONNECTIONS: Final = 512
_OURS: Final = "answered by the sidecar"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What CONNECT gave one client connection."""

    host: str
    port: int
    pattern: str
    addresses: tuple[str, ...]


class Policy:
    """The add-on that decides; everything it knows is in the configuration."""

    def __init__(
        self,
        configuration: Configuration,
        resolver: Resolver,
        audit: Audit,
        connections: Connections,
    ) -> None:
        self._configuration = configuration
        self._resolver = resolver
        self._audit = audit
        self._connections = connections
        self._grants: dict[str, Grant] = {}

    def granted_host(self, client: str) -> str | None:
        """Give the host that a client connection was granted, or None."""
        found = self._grants.get(client)
        return found.host if found else None

    def revoke(self, client: str) -> None:
        """Forget what a client connection was granted."""
        self._grants.pop(client, None)

    # -- connection

    def client_connected(self, client: connection.Client) -> None:
        """Bound what one bottle can make us hold."""
        if len(self._connections) > _MOST_CONNECTIONS:
            client.error = DENIED
            self._deny("connect", Refusal.CROWDED)

    def client_disconnected(self, client: connection.Client) -> None:
        self.revoke(client.id)

    # -- tunnel

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """Grant a tunnel, or answer CONNECT with the refusal."""
        flow.response = denial(DENIED)
        authority = flow.request.data.authority.decode("latin-1")
        decision, port = egress.judge_target(self._configuration.allowlist, authority)
        host, spelled = decision.host, decision.host or authority.removesuffix(f":{port}")
        if not decision.allowed:
            self._deny("connect", decision.reason, host=spelled, port=port)
            flow.response = denial(decision.reason, spelled)
            return
        addresses = self._resolver.pinned(host)
        if not addresses:
            addresses = await self._resolver.answers(host)
            if reason := egress.judge_addresses(addresses):
                self._deny("resolve", reason, host=host, port=port)
                status = 502 if reason == Refusal.UNRESOLVED else 403
                flow.response = denial(reason, host, status=status)
                return
        self._open(flow, Grant(host=host, port=port, pattern=decision.pattern, addresses=addresses))

    def _open(self, flow: http.HTTPFlow, given: Grant) -> None:
        client = flow.client_conn.id
        if client not in self._connections:
            return  # it left while we looked the name up
        self._audit.decision(
            "connect",
            allowed=True,
            reason="listed",
            host=given.host,
            port=given.port,
            pattern=given.pattern,
        )
        flow.request.host, flow.request.port = given.host, given.port
        self._grants[client] = given
        flow.response = None

    def next_layer(self, choice: layer.NextLayer) -> None:
        """Build the stack: proxy, TLS, HTTP; whatever is no part of it is closed."""
        context = choice.context
        if len(context.layers) == 1 and isinstance(context.layers[0], modes.HttpProxy):
            choice.layer = layers.HttpLayer(context, HTTPMode.regular)
            return
        given = self._grants.get(context.client.id)
        seen = choice.data_client()
        if given is None:
            self._close(choice, None, Refusal.NO_TUNNEL)
        elif context.client.tls_established:
            if egress.may_be_http(seen):
                choice.layer = layers.HttpLayer(context, HTTPMode.transparent)
            else:
                self._close(choice, given, Refusal.NOT_HTTP)
        elif len(seen) < 3 and b"\x16\x03".startswith(seen[:2]):
            raise exceptions.AddonHalt  # too little to tell; asked again with more
        elif starts_like_tls_record(seen):
            choice.layer = layers.ServerTLSLayer(context)
            choice.layer.child_layer = layers.ClientTLSLayer(context)
        else:
            self._close(choice, given, Refusal.NOT_TLS)

    def _close(self, choice: layer.NextLayer, given: Grant | None, reason: Refusal) -> None:
        choice.layer = Refused(choice.context)
        self.revoke(choice.context.client.id)
        self._deny("tunnel", reason, given)

    def tls_clienthello(self, hello: tls.ClientHelloData) -> None:
        """Take the grant away when the server name is not the granted host's: TLS ends there."""
        client = hello.context.client
        given = self._grants.pop(client.id, None)
        reason: Refusal | None = Refusal.NO_TUNNEL
        if given is not None:
            reason = egress.judge_server_name(client.sni, given.host)
            if reason is None:
                self._grants[client.id] = given
                return
        self._deny("client_hello", reason or Refusal.NO_TUNNEL, given)

    def tls_failed_client(self, failed: tls.TlsData) -> None:
        """Tell of a handshake that broke; often the client does not trust our authority."""
        given = self._grants.pop(failed.context.client.id, None)
        if given is not None:
            self._deny("client_hello", Refusal.HANDSHAKE, given)

    # -- request

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Judge a request's whole head; only then put the real credential in and let it stream."""
        given = self._grants.pop(flow.client_conn.id, None)  # given back once all is judged
        if flow.error is not None:
            return  # mitmproxy could not read it, answers 400, and that is told there
        if given is None or not flow.client_conn.tls_established:
            self._refuse(flow, Refusal.NO_TUNNEL, None)
            return
        head = _head(flow.request)
        credential = self._configuration.credentials.get(given.host)
        refusal = egress.judge_request(head, given.host, given.port, credential)
        if refusal is not None:
            self._refuse(flow, refusal, given)
        else:
            self._let_out(flow, given, egress.injected(head.headers, credential))
        self._grants[flow.client_conn.id] = given

    def _let_out(self, flow: http.HTTPFlow, given: Grant, headers: egress.Headers) -> None:
        flow.request.headers = http.Headers(headers)
        flow.request.headers["host"] = given.host + (f":{given.port}" if given.port != 443 else "")
        flow.request.host, flow.request.port = given.host, given.port
        flow.request.stream = True
        self._allow(flow, given)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Let a granted host's response stream; nobody but us says that it was denied by us."""
        if flow.metadata.get(_OURS):
            return
        if flow.response is None or flow.client_conn.id not in self._grants:
            raise PermissionError("a response without a grant")
        flow.response.headers.pop(MARK, None)
        flow.response.stream = True

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Keep no messages: mitmproxy would collect them for ever."""
        if flow.websocket is not None:
            flow.websocket.messages.clear()

    # -- upstream

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Dial for an equal grant alone, at the addresses that it names."""
        already, data.server.error = data.server.error, DENIED
        given = self._grants.get(data.client.id)
        if given is None or already or not _is_granted(data.server, given):
            self._deny("upstream", Refusal.NO_GRANT, given)
            return
        grant(given.addresses)
        data.server.sni = given.host
        data.server.alpn_offers = (b"http/1.1",)
        data.server.error = None

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        if data.server.error != DENIED:
            self._deny("upstream", Refusal.UNREACHABLE, self._grants.get(data.client.id))

    def tls_failed_server(self, failed: tls.TlsData) -> None:
        self._deny("upstream", Refusal.UNTRUSTED, self._grants.get(failed.context.client.id))

    # -- telling

    def _deny(
        self, stage: str, reason: str, given: Grant | None = None, *, host: str = "", port: int = 0
    ) -> None:
        if given is not None:
            host, port = given.host, given.port
        self._audit.decision(stage, allowed=False, reason=str(reason), host=host, port=port)

    def _allow(self, flow: http.HTTPFlow, given: Grant) -> None:
        self._audit.decision(
            "request",
            allowed=True,
            reason="listed",
            host=given.host,
            port=given.port,
            pattern=given.pattern,
            method=flow.request.method,
            path=_path(flow.request),
        )

    def _refuse(self, flow: http.HTTPFlow, reason: Refusal, given: Grant | None) -> None:
        host = given.host if given else flow.request.pretty_host
        flow.metadata[_OURS] = True
        if _is_small(flow.request):
            flow.response = denial(reason, host)
        else:
            flow.kill()
        self._audit.decision(
            "request",
            allowed=False,
            reason=str(reason),
            host=host,
            port=given.port if given else flow.request.port,
            pattern=given.pattern if given else "",
            method=flow.request.method,
            path=_path(flow.request),
        )


def _head(request: http.Request) -> Head:
    return Head(
        method=request.data.method,
        authority=request.data.authority,
        path=request.data.path,
        version=request.data.http_version,
        headers=request.headers.fields,
    )


def _path(request: http.Request) -> str:
    return request.data.path.partition(b"?")[0].decode("latin-1")


def _is_small(request: http.Request) -> bool:
    size = request.headers.get("content-length", "0")
    chunked = "transfer-encoding" in request.headers
    return not chunked and size.isdigit() and len(size) < 9 and int(size) <= _REFUSED_BODY_READ


def _is_granted(server: connection.Server, given: Grant) -> bool:
    wanted = (given.host, given.port)
    plain_tcp = server.transport_protocol == "tcp" and server.via is None
    return plain_tcp and server.address is not None and server.address[:2] == wanted
