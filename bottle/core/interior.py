"""Interior: what the kernel reports inside a bottle, compared with what its plan implies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any, Final

from bottle.core.plan import Plan
from bottle.core.posture import Difference

_NO_POWERS: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_FALLBACK_DEVICES: Final = frozenset(
    ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")
)
"""Devices that some kernels put into every network namespace; they lead nowhere."""

_REFUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "vsock": ("EPERM",),
    "io_uring": ("EPERM",),
    "low_port": ("EACCES",),
    "write_root": ("EROFS",),
    "signal_first": ("EPERM",),
}
"""What the agent must not be able to do, and the error that the right wall gives."""

_NOT_OF_GVISOR: Final = frozenset(("low_port",))
"""gVisor lets every port be bound, on a loopback that nobody outside its own network stack sees."""

_DEVICE_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "/dev": ("tmpfs", "dev"),
    "/dev/pts": ("devpts",),
    "/dev/mqueue": ("mqueue",),
    "/dev/shm": ("tmpfs",),  # noqa: S108  # a place in the bottle
}
_CGROUPS: Final = ("cgroup", "cgroup2")
_HANDED_FILES: Final = frozenset(("/etc/resolv.conf", "/etc/hostname", "/etc/hosts"))

Observed = Mapping[str, Any]


def differences(plan: Plan, observed: Observed) -> tuple[Difference, ...]:
    """Compare what was seen as the agent, before the agent, with the plan."""
    found = [
        *_powers(plan, observed),
        *_refusals(plan, observed),
        *_mounts(plan, observed),
        *_network(observed),
        *_routes(plan, observed),
        *_kernel(plan, observed),
    ]
    subject = plan.keeper.name
    return tuple(
        Difference(subject=subject, field=field, wanted=str(wanted), found=str(got)[:200])
        for field, wanted, got in found
    )


_Row = tuple[str, object, object]


def _powers(plan: Plan, observed: Observed) -> Iterator[_Row]:
    bare = {"NoNewPrivs": "1", **dict.fromkeys(_NO_POWERS, "0" * 16)}
    # the agent has a filter of its own besides; PID 1 has the engine's alone
    filtered = {"Seccomp": "2"} if plan.bottle.runtime == "runc" else {}
    own, agent, keeper = observed["self"], plan.slot.agent_uid, plan.slot.keeper_uid
    for who, seen, uid in (("agent", own, agent), ("PID 1", observed["first"], keeper)):
        users = "\t".join([str(uid)] * 4)
        for name, value in {"Uid": users, "Gid": users, **bare, **filtered}.items():
            if seen.get(name) != value:
                yield f"{who} {name}", value, seen.get(name, "unknown")
    extra = set(own.get("Groups", "").split()) - {str(agent)}
    if extra:
        yield "agent Groups", "none", " ".join(sorted(extra))


def _refusals(plan: Plan, observed: Observed) -> Iterator[_Row]:
    left_out = _NOT_OF_GVISOR if plan.bottle.runtime == "runsc" else frozenset()
    for name, errors in _REFUSED.items():
        if name not in left_out and observed[name] not in errors:
            yield name, " or ".join(errors), observed[name]
    if observed["docker_socket"]:
        yield "Docker's socket", "absent", "present"


def _mounts(plan: Plan, observed: Observed) -> Iterator[_Row]:
    planned = {mount.path: mount for mount in plan.keeper.tmpfs}
    places = {path: (kind, set(options.split(","))) for path, kind, options in observed["mounts"]}
    if "ro" not in places.get("/", ("", set()))[1]:
        yield "mount /", "ro", places.get("/")
    for path, mount in planned.items():
        kind, options = places.get(path, ("nothing", set()))
        wanted = {"rw", "nosuid"} | (set() if mount.executable else {"noexec"})
        wanted |= {"nodev"} if plan.bottle.runtime == "runc" else set()  # gVisor shows no nodev
        if kind != "tmpfs" or not wanted <= options:
            yield f"mount {path}", f"tmpfs {','.join(sorted(wanted))}", f"{kind} {sorted(options)}"
    for path, (kind, options) in places.items():
        is_ours = path == "/" or path in planned
        if not is_ours and not _is_systems(plan.bottle.runtime, path, kind, options):
            yield f"mount {path}", "nothing", f"{kind} {','.join(sorted(options))}"


def _is_systems(runtime: str, path: str, kind: str, options: set[str]) -> bool:
    """Judge a mount that no plan names: what every container has, read-only where it tells."""
    if path in _DEVICE_PLACES:
        return kind in _DEVICE_PLACES[path]
    if path in _HANDED_FILES:
        return "ro" in options
    if path == "/proc":
        return kind == "proc"
    if path.startswith("/proc/"):
        return kind == "tmpfs" or (kind == "proc" and "ro" in options)
    if path == "/sys" or path.startswith("/sys/"):
        # under gVisor these are its own, and lead to nothing of the host
        is_own = runtime == "runsc" and kind in _CGROUPS
        return kind == "tmpfs" or is_own or (kind in ("sysfs", *_CGROUPS) and "ro" in options)
    return False


def _network(observed: Observed) -> Iterator[_Row]:
    devices = set(observed["interfaces"]) - _FALLBACK_DEVICES
    if devices != {"lo", "eth0"}:
        yield "network devices", "lo eth0", " ".join(sorted(devices))
    v6 = [line.split() for line in observed["ipv6"].splitlines() if " " in line]
    further = [row[-1] for row in v6 if row[-1] != "lo"]
    if further:
        yield "IPv6", "none", " ".join(further)
    servers = [ln.split()[1] for ln in observed["resolver"].splitlines() if ln[:10] == "nameserver"]
    if not set(servers) <= {"127.0.0.1", "127.0.0.11"}:
        yield "resolver", "none that answers", " ".join(servers)


def _routes(plan: Plan, observed: Observed) -> Iterator[_Row]:
    gateways = {"00000000", _as_route(IPv4Address(plan.inside.gateway))}
    for route in (line.split() for line in observed["routes"].splitlines()[1:] if line.strip()):
        if len(route) < 3 or route[0] != "eth0" or route[2] not in gateways:
            yield "route", "eth0, by no gateway that anybody holds", " ".join(route)


def _as_route(address: IPv4Address) -> str:
    """Write an address as /proc/net/route does on the machines that images are built for."""
    return address.packed[::-1].hex().upper()


def _kernel(plan: Plan, observed: Observed) -> Iterator[_Row]:
    is_gvisor = "gvisor" in (observed["kernel"] + observed["release"]).lower()
    if is_gvisor != (plan.bottle.runtime == "runsc"):
        yield "kernel", plan.bottle.runtime, observed["release"]
