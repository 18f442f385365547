"""Parts: the networks and containers of a plan, as data; every flag of Docker's comes from them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """One bridge network of the bottle's own."""

    name: str
    bridge: str
    subnet: str
    internal: bool
    labels: Mapping[str, str]

    @property
    def gateway(self) -> str:
        """The first address of the subnet; nobody holds it on an inhibited bridge."""
        return str(ipaddress.IPv4Network(self.subnet)[1])

    @property
    def options(self) -> dict[str, str]:
        """Bridge options; an internal bridge gets no address of the host."""
        own = {"com.docker.network.bridge.name": self.bridge}
        if self.internal:
            return own | {"com.docker.network.bridge.inhibit_ipv4": "true"}
        return own | {"com.docker.network.bridge.enable_icc": "false"}


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A container's place on a network."""

    network: str
    address: str
    gateway: str


@dataclass(frozen=True, kw_only=True)
class Tmpfs:
    """A place in memory where a container may write."""

    path: str
    mib: int
    uid: int
    mode: str = "0700"
    executable: bool = False

    @property
    def options(self) -> str:
        """As Docker takes and reports them."""
        run = "exec" if self.executable else "noexec"
        return (
            f"rw,{run},nosuid,nodev,size={self.mib}m,mode={self.mode},uid={self.uid},gid={self.uid}"
        )


@dataclass(frozen=True, kw_only=True)
class ContainerPlan:
    """One container: everything that `docker create` is told."""

    name: str
    role: str
    image: str
    hostname: str
    runtime: str
    uid: int
    command: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    """The first is given at creation, the others are connected before the start."""
    labels: Mapping[str, str]
    tmpfs: tuple[Tmpfs, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    memory_mib: int
    pids: int
    cpu_shares: int = 1024
    cpus: float = 0
    """Processors; 0 is no limit."""

    @property
    def nano_cpus(self) -> int:
        """As the engine reports it."""
        return round(self.cpus * 1e9)

    @property
    def memory(self) -> int:
        """Bytes, tmpfs included; swap is the same, so that nothing is swapped out."""
        return self.memory_mib * _MIB
