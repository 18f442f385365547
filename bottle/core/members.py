"""Members: the networks and containers of a bottle; the value of every flag is decided here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bottle.core.allowlist import HostPattern
from bottle.core.manifest import Bottle, Limits
from bottle.core.parts import Attachment, ContainerPlan, NetworkPlan, Tmpfs
from bottle.core.slot import Slot

LABEL: Final = "claude-bottle"
OWNER_LABEL: Final = "claude-bottle.owner"
PROXY_PORT: Final = 8080
_SIDECAR: Final = 2
"""Its place on both networks."""
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, kw_only=True)
class Host:
    """What a plan depends on besides the manifest: this host's engine and images, this session."""

    session: str
    """Twelve hex digits, made anew for each start."""
    owner: str
    """Who may reap what the session leaves: a digest of machine and state folder."""
    slot: Slot
    images: Mapping[str, str]
    """Role (`agent`, `sidecar`, `standin`, `hostrule`) to image id (`sha256:...`)."""
    registries: Mapping[str, tuple[HostPattern, ...]] = field(default_factory=dict)
    """Package client to the hosts that this host's own configuration of it names."""


def labels(host: Host) -> dict[str, str]:
    """Give the labels that everything made for a session carries."""
    return {LABEL: host.session, OWNER_LABEL: host.owner}


def networks(host: Host, *, closed: bool) -> tuple[NetworkPlan, NetworkPlan]:
    inside = NetworkPlan(
        name=f"cb-{host.session}-inside",
        bridge=f"cb-{host.session[:8]}",
        subnet=str(host.slot.inside),
        internal=True,
        labels=labels(host),
    )
    outside = NetworkPlan(
        name=f"cb-{host.session}-outside",
        bridge=f"co-{host.session[:8]}",
        subnet=str(host.slot.outside),
        internal=closed,
        labels=labels(host),
    )
    return inside, outside


def _place(network: NetworkPlan, number: int) -> Attachment:
    address = str(ipaddress.IPv4Network(network.subnet)[number])
    return Attachment(network=network.name, address=address, gateway=network.gateway)


def keeper(host: Host, bottle: Bottle, inside: NetworkPlan) -> ContainerPlan:
    slot = host.slot
    proxy = f"http://{slot.inside[_SIDECAR]}:{PROXY_PORT}"
    return ContainerPlan(
        name=f"cb-{host.session}-agent",
        role="agent",
        image=host.images["agent"],
        hostname="bottle",
        runtime=bottle.runtime,
        uid=slot.keeper_uid,
        command=("tini", "--", "/opt/bottle/hold"),
        attachments=(_place(inside, 3),),
        labels=labels(host),
        tmpfs=_agent_tmpfs(slot, bottle.limits),
        environment=_agent_environment(proxy),
        sysctls=_agent_sysctls(bottle.runtime),
        dns=("127.0.0.1",),
        dns_options=("timeout:1", "attempts:1"),
        memory_mib=bottle.limits.memory,
        pids=bottle.limits.pids,
        cpu_shares=512,
        cpus=bottle.limits.cpus,
    )


def _agent_tmpfs(slot: Slot, limits: Limits) -> tuple[Tmpfs, ...]:
    agent, keeper = slot.agent_uid, slot.keeper_uid
    return (
        Tmpfs(path="/tmp", mib=limits.tmp, uid=agent, mode="1777", executable=True),  # noqa: S108  # a place in the bottle
        Tmpfs(path="/home/agent", mib=512, uid=agent, executable=True),
        Tmpfs(path="/workspace", mib=limits.memory // 2, uid=agent, mode="0755", executable=True),
        Tmpfs(path="/run/bottle", mib=64, uid=keeper, mode="0755"),
        Tmpfs(path="/etc/ssl/certs", mib=8, uid=keeper, mode="0755"),
    )


def _agent_sysctls(runtime: str) -> dict[str, str]:
    low_ports = {"net.ipv4.ip_unprivileged_port_start": "1024"}
    if runtime != "runc":
        return low_ports  # gVisor's own network stack knows no neighbour settings
    return low_ports | {
        "net.ipv4.neigh.eth0.mcast_solicit": "1",
        "net.ipv4.neigh.eth0.retrans_time_ms": "20",
    }


def _agent_environment(proxy: str) -> dict[str, str]:
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    proxies = {n: proxy for name in names for n in (name, name.lower())}
    trust = (
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_cafile",
        "CARGO_HTTP_CAINFO",
    )
    return {
        "PATH": f"/home/agent/.local/bin:{_PATH}",
        "HOME": "/home/agent",
        "LANG": "C.UTF-8",
        **proxies,
        "NO_PROXY": "",
        "no_proxy": "",
        **dict.fromkeys(trust, bundle),
        "SSL_CERT_DIR": "/etc/ssl/certs",
    }


def sidecar(host: Host, inside: NetworkPlan, outside: NetworkPlan) -> ContainerPlan:
    slot = host.slot
    return ContainerPlan(
        name=f"cb-{host.session}-sidecar",
        role="sidecar",
        image=host.images["sidecar"],
        hostname="sidecar",
        runtime="runc",
        uid=slot.sidecar_uid,
        command=("tini", "--", "/opt/sidecar/start"),
        attachments=(_place(outside, _SIDECAR), _place(inside, _SIDECAR)),
        labels=labels(host),
        environment={"PATH": _PATH},
        tmpfs=(Tmpfs(path="/run/sidecar", mib=8, uid=slot.sidecar_uid),),
        sysctls={"net.ipv4.ip_forward": "0"},
        memory_mib=512,
        pids=256,
    )


def standin(host: Host, outside: NetworkPlan) -> ContainerPlan:
    slot = host.slot
    return ContainerPlan(
        name=f"cb-{host.session}-standin",
        role="standin",
        image=host.images["standin"],
        hostname="standin",
        runtime="runc",
        uid=slot.standin_uid,
        command=("tini", "--", "/opt/standin/start"),
        attachments=(_place(outside, 3),),
        labels=labels(host),
        environment={"PATH": _PATH},
        tmpfs=(Tmpfs(path="/run/standin", mib=8, uid=slot.standin_uid),),
        sysctls={"net.ipv4.ip_forward": "0"},
        dns=("127.0.0.1",),
        memory_mib=256,
        pids=128,
    )
