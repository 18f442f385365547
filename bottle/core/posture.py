"""Posture: what the engine reports of a bottle, compared with what its plan implies.

Every field counts. One that neither the plan nor this module knows passes while it says nothing
(null, false, 0, empty) and is a difference by name as soon as it says something.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bottle.core.parts import ContainerPlan, NetworkPlan
from bottle.core.plan import Plan

_MASKED: Final = frozenset({"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list"})
_READ_ONLY: Final = frozenset({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"})
_SHARED_MEMORY: Final = 64 * 1024 * 1024

_VOLATILE: Final = re.compile(
    r"Id|Created|Path|Args|State\.(Pid|StartedAt|FinishedAt|Status|Running)|Image|ResolvConfPath"
    r"|HostnamePath|HostsPath|LogPath|Driver|Platform|ExecIDs|GraphDriver(\..*)?|Storage(\..*)?"
    r"|AppArmorProfile|ProcessLabel|MountLabel|ImageManifestDescriptor(\..*)?"
    r"|HostConfig\.ConsoleSize"
    r"|NetworkSettings\.(SandboxID|SandboxKey)|Config\.(Cmd|StopSignal)"
    r"|NetworkSettings\.Networks\.[^.]+\.(Aliases|NetworkID|EndpointID|MacAddress|DNSNames"
    r"|IPPrefixLen)"
    r"|Containers\..*|Created|Scope|IPAM\.Driver|Status(\..*)?"
)
"""Fields that name this instance or the engine's own book-keeping, not a wall.

What runs is judged by Config.Entrypoint, Config.Image and the command; the rest by its own field.
"""


@dataclass(frozen=True, kw_only=True, order=True)
class Difference:
    """One field that is not as planned."""

    subject: str
    field: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.field} is {self.found}, planned {self.wanted}"


_ALLOWED: Final[Mapping[str, object]] = {"EnableIPv4": True}
"""Fields that newer engines report although no plan says them, with the one value allowed."""


class _AtLeast(frozenset[str]):
    """A list that must hold these members and may hold more of its kind."""


class _Gateway(str):
    """The first address of a subnet, which engines give to its bridge, or none."""

    __slots__ = ()


Wanted = Mapping[str, object]


def of_container(plan: ContainerPlan) -> Wanted:
    """Give the fields of `docker container inspect` that the plan implies, by dotted path."""
    return {
        "Name": f"/{plan.name}",
        "Image": plan.image,
        "Path": plan.command[0],
        "Args": list(plan.command[1:]),
        "State.Status": "running",
        "State.Running": True,
        **_host_config(plan),
        **_config(plan),
        **_attachments(plan),
    }


def _host_config(plan: ContainerPlan) -> Wanted:
    fields: dict[str, object] = {
        "LogConfig.Type": "none",
        "NetworkMode": plan.attachments[0].network,
        "RestartPolicy.Name": "no",
        "AutoRemove": True,
        "CapDrop": ["ALL"],
        "Dns": list(plan.dns),
        "DnsOptions": list(plan.dns_options),
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges"],
        "ShmSize": _SHARED_MEMORY,
        "Runtime": plan.runtime,
        "CpuShares": plan.cpu_shares,
        "NanoCpus": plan.nano_cpus,
        "Memory": plan.memory,
        "MemorySwap": plan.memory,
        "PidsLimit": plan.pids,
        "Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}],
        "MaskedPaths": _AtLeast(_MASKED),
        "ReadonlyPaths": _AtLeast(_READ_ONLY),
        **{f"Tmpfs.{mount.path}": mount.options for mount in plan.tmpfs},
        **{f"Sysctls.{name}": value for name, value in plan.sysctls.items()},
    }
    return {f"HostConfig.{name}": value for name, value in fields.items()}


def _config(plan: ContainerPlan) -> Wanted:
    fields: dict[str, object] = {
        "Hostname": plan.hostname,
        "User": f"{plan.uid}:{plan.uid}",
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Env": _Members(f"{name}={value}" for name, value in plan.environment.items()),
        "Healthcheck.Test": ["NONE"],
        "Image": plan.image,
        "WorkingDir": "/",
        "Entrypoint": [plan.command[0]],
        **{f"Labels.{name}": value for name, value in plan.labels.items()},
    }
    return {f"Config.{name}": value for name, value in fields.items()}


def _attachments(plan: ContainerPlan) -> Wanted:
    found: dict[str, object] = {}
    for place in plan.attachments:
        path = f"NetworkSettings.Networks.{place.network}"
        found[f"{path}.IPAMConfig.IPv4Address"] = place.address
        found[f"{path}.IPAddress"] = place.address
        found[f"{path}.Gateway"] = _Gateway(place.gateway)
    return found


def of_network(plan: NetworkPlan) -> Wanted:
    """Give the fields of `docker network inspect` that the plan implies, by dotted path."""
    return {
        "Name": plan.name,
        "Driver": "bridge",
        "Internal": plan.internal,
        "EnableIPv6": False,
        "IPAM.Config": _Subnet(plan.subnet),
        **{f"Options.{name}": value for name, value in plan.options.items()},
        **{f"Labels.{name}": value for name, value in plan.labels.items()},
    }


def members(plan: Plan, network: NetworkPlan) -> frozenset[str]:
    """Give the names of the containers that may be on a network."""
    return frozenset(
        container.name
        for container in plan.containers
        for place in container.attachments
        if place.network == network.name
    )


class _Members(frozenset[str]):
    """A list whose order says nothing."""


class _Subnet(str):
    """The one subnet of a network; newer engines report its gateway beside it."""

    __slots__ = ()


def diff(
    subject: str,
    wanted: Wanted,
    observed: Mapping[str, object],
    image_labels: Mapping[str, str] | None = None,
) -> tuple[Difference, ...]:
    """Compare what was planned with what the engine reports, field by field.

    Labels that the image carries (`image_labels`) are reported for its containers too.
    """
    inherited = {f"Config.Labels.{name}": value for name, value in (image_labels or {}).items()}
    leaves = dict(_leaves(observed, ""))
    every = {**inherited, **wanted}
    paths = sorted(leaves.keys() | wanted.keys())
    return tuple(
        Difference(
            subject=subject, field=path, wanted=_shown(every, path), found=_shown(leaves, path)
        )
        for path in paths
        if not _passes(path, every, leaves.get(path))
    )


def membership(
    plan: Plan, network: NetworkPlan, observed: Mapping[str, object]
) -> tuple[Difference, ...]:
    """Compare who is on a running bottle's network with its plan: no stranger, and nobody missing.

    That the planned members are listed shows that the report tells of members at all.
    """
    present = observed.get("Containers")
    found = {str(m.get("Name")) for m in present.values()} if isinstance(present, dict) else set()
    wanted = members(plan, network)
    if found == wanted:
        return ()
    shown = (", ".join(sorted(names)) or "nobody" for names in (wanted, found))
    return (
        Difference(subject=network.name, field="Containers", wanted=next(shown), found=next(shown)),
    )


def _passes(path: str, wanted: Wanted, found: object) -> bool:
    if path in wanted:
        return _equal(wanted[path], found)
    known = path in _ALLOWED and found == _ALLOWED[path]
    return not found or known or bool(_VOLATILE.fullmatch(path))


def _equal(wanted: object, found: object) -> bool:
    if isinstance(wanted, _AtLeast):
        return isinstance(found, list) and wanted <= set(found)
    if isinstance(wanted, _Gateway):
        return not found or wanted == found
    if isinstance(wanted, _Subnet):
        return _is_only(wanted, found)
    if isinstance(wanted, _Members):
        rows = found or []
        return isinstance(rows, list) and sorted(wanted) == sorted(rows)
    return wanted == found or (not wanted and not found)


def _is_only(subnet: str, found: object) -> bool:
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        return False
    gateway = str(ipaddress.IPv4Network(subnet)[1])
    return (
        found[0].get("Subnet") == subnet
        and found[0].get("Gateway", gateway) == gateway
        and found[0].keys() <= {"Subnet", "Gateway"}
    )


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
        return
    yield path, value


def _shown(fields: Mapping[str, object], path: str) -> str:
    value = fields.get(path, "nothing")
    return str(sorted(value) if isinstance(value, frozenset) else value)[:200]
