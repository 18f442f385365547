"""Inside: runs as the agent, before the agent, and tells what the bottle is like from within.

Standard library only; the launcher pipes this source with its request appended into `python3 -`,
so nothing of it stays. It prints one JSON line. What it says is supporting evidence: the verdict
on anything that was sent comes from who would have received it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import socket
import ssl
import sys
from collections.abc import Callable

TYPE_CHECKING = False  # as a type checker takes it: the import would cost time at each start
if TYPE_CHECKING:
    from typing import Any

NONCE = b"claude-bottle-probe:"
SO_BINDTODEVICE = 25
IP_PKTINFO = 8
IO_URING_SETUP = 425
PROBE_TIMEOUT = 5.0


def read(path: str) -> str:
    """Read a file, or give the name of what went wrong."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # light start
            return file.read()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "error")


def outcome(action: Callable[[], object]) -> str:
    """Do something that should fail; name the error, or say that it worked."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "worked"


def status(pid: str) -> dict[str, str]:
    """Give the lines of a process's status that speak of its powers."""
    lines = (line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":" in line)
    wanted = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters")
    return {
        name: value.strip() for name, value in lines if name in wanted or name.startswith("Cap")
    }


def mounts() -> list[list[str]]:
    """List mounts as [path, type, options]."""
    rows = [line.split() for line in read("/proc/mounts").splitlines()]
    return [[row[1], row[2], row[3]] for row in rows if len(row) > 3]


def io_uring() -> str:
    """Try to set up an io_uring."""
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(256)
    if libc.syscall(IO_URING_SETUP, 1, parameters) >= 0:
        return "worked"
    return errno.errorcode.get(ctypes.get_errno(), "error")


def vsock() -> str:
    """Create a vsock socket; it is never connected."""
    return outcome(lambda: socket.socket(40, socket.SOCK_STREAM).close())


def low_port() -> str:
    """Try to listen where the engine looks for a resolver."""

    def bind() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 53))

    return outcome(bind)


def write_root() -> str:
    """Try to write on the root, in a folder that everybody may write to."""
    path = "/var/tmp/written"  # noqa: S108  # the point: only the read-only root refuses it
    return outcome(lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)))


def signal_first() -> str:
    """Ask whether the agent could signal PID 1, without a signal."""
    return outcome(lambda: os.kill(1, 0))


def send_tricks(udp_ports: list[int], tcp_ports: list[int], hosts: list[str]) -> list[str]:
    """Send at the host by every way known to leave an internal network without a route."""
    sent = []
    for port in udp_ports:
        for name, address, device in aims(hosts):
            with contextlib.suppress(OSError), plain_socket(device) as sock:
                sock.sendto(NONCE + name.encode(), (address, port))
                sent.append(name)
        for host in hosts:
            with contextlib.suppress(OSError), plain_socket("") as sock:
                index = (socket.if_nametoindex("eth0")).to_bytes(4, sys.byteorder)
                control = [(socket.IPPROTO_IP, IP_PKTINFO, index + bytes(8))]
                sock.sendmsg([NONCE + b"pktinfo"], control, 0, (host, port))
                sent.append("pktinfo")
    for port in tcp_ports:
        for host in hosts:
            with contextlib.suppress(OSError), socket.socket() as sock:
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
                sock.connect_ex((host, port))
                sent.append("tcp")
    return sent


def aims(hosts: list[str]) -> list[tuple[str, str, str]]:
    """List the UDP tricks as (name, address, device to bind to)."""
    everyone = [("broadcast", "255.255.255.255", ""), ("multicast", "224.0.0.1", "eth0")]
    return everyone + [("dontroute", host, "eth0") for host in hosts]


def plain_socket(device: str) -> socket.socket:
    """Give a UDP socket that may broadcast and, bound to a device, goes past the routes."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    return sock


def reply(proxy: tuple[str, int], host: str) -> dict[str, object]:
    """Ask for `https://host/` through the proxy; tell its answer and then the host's own."""
    with socket.create_connection(proxy, PROBE_TIMEOUT) as sock:
        sock.settimeout(PROBE_TIMEOUT)
        sock.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        tunnel = head(sock)
        if " 200" not in tunnel.split("\r\n", 1)[0]:
            return {"tunnel": tunnel}
        with ssl.create_default_context().wrap_socket(sock, server_hostname=host) as secure:
            secure.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return {"tunnel": tunnel, "answer": head(secure)}


def head(sock: socket.socket) -> str:
    """Read an answer up to the end of its head, at most 8 KiB."""
    got = b""
    while b"\r\n\r\n" not in got and len(got) < 8192:
        chunk = sock.recv(4096)
        if not chunk:
            break
        got += chunk
    return got.decode("latin-1")


def way(proxy: list[object], host: str) -> dict[str, object]:
    """Try the way to a host; errors are told, not raised."""
    try:
        return reply((str(proxy[0]), int(str(proxy[1]))), host)
    except OSError as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def observe(request: dict[str, Any]) -> dict[str, object]:
    """Gather everything; `request` says where to send, and which host's way to try."""
    return {
        "self": status("self"),
        "first": status("1"),
        "mounts": mounts(),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "routes": read("/proc/net/route"),
        "ipv6": read("/proc/net/if_inet6"),
        "resolver": read("/etc/resolv.conf"),
        "kernel": read("/proc/version"),
        "release": platform.release(),
        "vsock": vsock(),
        "io_uring": io_uring(),
        "low_port": low_port(),
        "write_root": write_root(),
        "signal_first": signal_first(),
        "docker_socket": os.path.exists("/var/run/docker.sock"),  # noqa: PTH110  # light start
        "sent": send_tricks(request["udp"], request["tcp"], request["hosts"]),
        "ways": {host: way(request["proxy"], host) for host in request["ways"]},
    }


def main(text: str) -> None:
    """Observe as requested (JSON) and print one JSON line."""
    sys.stdout.write(json.dumps(observe(json.loads(text))) + "\n")
