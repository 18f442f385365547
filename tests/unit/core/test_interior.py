"""Interior: what is seen from within equals the plan; each single change is exactly one row."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bottle.core import interior
from tests.support.plans import plan

NO_POWERS = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
KERNELS = {
    "runc": ("Linux version 6.1.0-22-amd64 (gcc-12)", "6.1.0-22-amd64"),
    "runsc": ("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016", "4.19.0-gvisor"),
}
ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\tE100E70A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\tE000E70A\t00000000\t0001\t0\t0\t0\tF0FFFFFF\t0\t0\t0\n"
)
TMPFS = "rw,nosuid,nodev,noexec,relatime,size=65536k"


def users(uid: int) -> str:
    return "\t".join([str(uid)] * 4)


def observed(runtime: str = "runc") -> dict[str, Any]:
    """Give what a bottle in slot 7 looks like from within when it is as planned."""
    version, release = KERNELS[runtime]
    runnable = TMPFS.replace("noexec,", "")
    return {
        "self": {
            "Uid": users(60130),
            "Gid": users(60130),
            "Groups": "60130",
            "NoNewPrivs": "1",
            "Seccomp": "2" if runtime == "runc" else "0",
            **NO_POWERS,
        },
        "first": {
            "Uid": users(60129),
            "Gid": users(60129),
            "NoNewPrivs": "1",
            "Seccomp": "2" if runtime == "runc" else "0",
            **NO_POWERS,
        },
        "mounts": [
            ["/", "overlay", "ro,relatime,lowerdir=x"],
            ["/proc", "proc", "rw,nosuid,nodev,noexec"],
            ["/proc/sys", "proc", "ro,nosuid"],
            ["/proc/kcore", "tmpfs", "rw,nosuid"],
            ["/dev", "tmpfs", "rw,nosuid"],
            ["/dev/pts", "devpts", "rw"],
            ["/dev/shm", "tmpfs", "rw"],
            ["/sys", "sysfs", "ro"],
            ["/sys/fs/cgroup", "cgroup2", "ro"],
            ["/etc/hosts", "ext4", "ro"],
            ["/etc/hostname", "ext4", "ro"],
            ["/etc/resolv.conf", "ext4", "ro,relatime"],
            ["/tmp", "tmpfs", runnable],
            ["/home/agent", "tmpfs", runnable],
            ["/workspace", "tmpfs", runnable],
            ["/run/bottle", "tmpfs", TMPFS],
            ["/etc/ssl/certs", "tmpfs", TMPFS],
        ],
        "interfaces": ["eth0", "lo"],
        "routes": ROUTES,
        "ipv6": "ENOENT",
        "resolver": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        "kernel": version,
        "release": release,
        "vsock": "EPERM",
        "io_uring": "EPERM",
        "low_port": "EACCES",
        "write_root": "EROFS",
        "signal_first": "EPERM",
        "docker_socket": False,
    }


def rows(seen: dict[str, Any], runtime: str = "runc") -> list[tuple[str, str]]:
    found = interior.differences(plan(runtime=runtime), seen)
    assert {row.subject for row in found} <= {"cb-0123456789ab-agent"}
    return [(row.field, row.found) for row in found]


@pytest.mark.parametrize("runtime", ["runc", "runsc"])
def test_a_bottle_as_planned_has_no_differences(runtime: str) -> None:
    assert rows(observed(runtime), runtime) == []


@pytest.mark.parametrize("name", [*NO_POWERS, "Uid", "Gid", "NoNewPrivs", "Seccomp"])
@pytest.mark.parametrize("value", ["00000000a80425fb", None])
def test_each_power_of_the_agent_counts(name: str, value: str | None) -> None:
    seen = observed()
    seen["self"].pop(name)
    if value:
        seen["self"][name] = value
    assert rows(seen) == [(f"agent {name}", value or "unknown")]


@pytest.mark.parametrize("name", ["Uid", "Gid", "NoNewPrivs", "Seccomp", *NO_POWERS])
def test_pid_1_has_its_own_user_the_engines_filter_and_no_powers(name: str) -> None:
    seen = observed()
    seen["first"][name] = "x"
    assert rows(seen) == [(f"PID 1 {name}", "x")]


def test_the_agent_is_not_the_user_of_pid_1() -> None:
    seen = observed()
    seen["self"]["Uid"] = seen["first"]["Uid"]
    assert [field for field, _ in rows(seen)] == ["agent Uid"]


@pytest.mark.parametrize(("groups", "extra"), [("", None), ("0 60130", "0"), ("4 27", "27 4")])
def test_further_groups_are_named(groups: str, extra: str | None) -> None:
    seen = observed()
    seen["self"]["Groups"] = groups
    assert rows(seen) == ([("agent Groups", extra)] if extra else [])


@pytest.mark.parametrize("name", ["vsock", "io_uring", "low_port", "write_root", "signal_first"])
@pytest.mark.parametrize("outcome", ["worked", "ENOENT", "ETIMEDOUT"])
def test_a_refusal_is_right_only_with_its_own_error(name: str, outcome: str) -> None:
    seen = observed()
    seen[name] = outcome
    assert rows(seen) == [(name, outcome)]


def test_dockers_socket_is_absent() -> None:
    seen = observed()
    seen["docker_socket"] = True
    assert rows(seen) == [("Docker's socket", "present")]


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/", "overlay", "rw,relatime"),
        ("/tmp", "ext4", "rw,nosuid,nodev"),
        ("/tmp", "tmpfs", "rw,nodev"),
        ("/workspace", "tmpfs", "ro,nosuid,nodev"),
        ("/run/bottle", "tmpfs", "rw,nosuid,nodev"),
        ("/etc/ssl/certs", "tmpfs", "rw,nosuid,nodev,exec"),
        ("/etc/hosts", "ext4", "rw"),
        ("/etc/passwd", "ext4", "ro"),
        ("/mnt", "9p", "rw"),
        ("/var/run/docker.sock", "tmpfs", "rw"),
        ("/proc/x", "ext4", "ro"),
        ("/devices", "tmpfs", "rw"),
        ("/sys/fs/extra", "overlay", "ro"),
        ("/sys", "sysfs", "rw,nosuid"),
        ("/sys/fs/cgroup", "cgroup2", "rw"),
        ("/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
        ("/proc", "ext4", "rw"),
        ("/proc/sys", "proc", "rw,nosuid"),
        ("/dev", "devtmpfs", "rw,nosuid"),
        ("/dev/host", "tmpfs", "rw"),
        ("/dev/shm", "ext4", "rw"),
    ],
)
def test_a_mount_that_is_not_planned_is_named(path: str, kind: str, options: str) -> None:
    seen = observed()
    seen["mounts"] = [row for row in seen["mounts"] if row[0] != path] + [[path, kind, options]]
    assert [field for field, _ in rows(seen)] == [f"mount {path}"]


def test_a_later_mount_over_a_planned_one_is_the_one_that_counts() -> None:
    seen = observed()
    seen["mounts"].append(["/home/agent", "ext4", "rw"])
    assert [field for field, _ in rows(seen)] == ["mount /home/agent"]


@pytest.mark.parametrize("path", ["/", "/tmp", "/run/bottle", "/etc/ssl/certs"])
def test_a_missing_mount_is_named(path: str) -> None:
    seen = observed()
    seen["mounts"] = [row for row in seen["mounts"] if row[0] != path]
    assert [field for field, _ in rows(seen)] == [f"mount {path}"]


@pytest.mark.parametrize(
    ("devices", "found"),
    [
        (["eth0", "lo", "tunl0", "sit0"], None),
        (["eth0", "eth1", "lo"], "eth0 eth1 lo"),
        (["lo"], "lo"),
        (["docker0", "eth0", "lo"], "docker0 eth0 lo"),
    ],
)
def test_there_is_one_network_device(devices: list[str], found: str | None) -> None:
    seen = observed()
    seen["interfaces"] = devices
    assert rows(seen) == ([("network devices", found)] if found else [])


@pytest.mark.parametrize(
    "route",
    [
        "eth1 00000000 00000000 0001",
        "eth0 00000000 E200E70A 0003",
        "eth0 0000000A 0101A8C0 0003",
        "eth0",
    ],
)
def test_every_route_stays_on_the_one_network(route: str) -> None:
    seen = observed()
    seen["routes"] = ROUTES + route.replace(" ", "\t") + "\n"
    assert rows(seen) == [("route", route)]


def test_a_bottle_without_a_default_route_is_as_good() -> None:
    seen = observed()
    seen["routes"] = "".join(ROUTES.splitlines(keepends=True)[::2])
    assert rows(seen) == []


def test_gvisor_shows_its_own_control_groups() -> None:
    row = ["/sys/fs/cgroup/memory", "cgroup", "rw,memory"]
    seen = observed("runsc")
    seen["mounts"].append(row)
    assert rows(seen, "runsc") == []


LOOPBACK = "0" * 31 + "1 01 80 10 80       lo\n"


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("", None),
        ("ENOENT", None),
        (LOOPBACK, None),
        (LOOPBACK + "fe80000000000000024200fffe000002 2a 40 20 80     eth0\n", "eth0"),
    ],
)
def test_no_device_but_loopback_has_ipv6(table: str, found: str | None) -> None:
    seen = observed()
    seen["ipv6"] = table
    assert rows(seen) == ([("IPv6", found)] if found else [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("# nameserver 8.8.8.8\nnameserver 127.0.0.11\n", None),
        ("nameserver 127.0.0.1\nnameserver 10.0.0.2\n", "127.0.0.1 10.0.0.2"),
        ("nameserver\t10.0.0.2\n", "10.0.0.2"),
    ],
)
def test_no_resolver_answers(text: str, found: str | None) -> None:
    seen = observed()
    seen["resolver"] = text
    assert rows(seen) == ([("resolver", found)] if found else [])


@pytest.mark.parametrize(("planned", "real"), [("runc", "runsc"), ("runsc", "runc")])
def test_the_kernel_is_the_planned_runtimes(planned: str, real: str) -> None:
    seen = observed(planned)
    seen["kernel"], seen["release"] = KERNELS[real]
    assert rows(seen, planned) == [("kernel", KERNELS[real][1])]


def test_gvisor_reports_no_filter_and_that_is_right() -> None:
    seen = observed("runsc")
    del seen["self"]["Seccomp"]
    assert rows(seen, "runsc") == []


def test_several_differences_are_all_told_and_bounded() -> None:
    seen = copy.deepcopy(observed())
    seen["docker_socket"], seen["vsock"] = True, "worked"
    seen["release"] = "gvisor" + "x" * 500
    found = rows(seen)
    assert [field for field, _ in found] == ["vsock", "Docker's socket", "kernel"]
    assert len(found[-1][1]) == 200
