"""Rights: runs inside a container and tries what a bottle's agent must not be able to do."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from typing import Any

NUMBERS = {
    "x86_64": {
        "mount": 165,
        "unshare": 272,
        "setns": 308,
        "bpf": 321,
        "keyctl": 250,
        "ptrace": 101,
    },
    "aarch64": {"mount": 40, "unshare": 97, "setns": 268, "bpf": 280, "keyctl": 219, "ptrace": 117},
}
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x00020000, 0x40000000


def main(_: object) -> dict[str, Any]:
    """Try everything; give what came of each."""
    return {name: told(attempt) for name, attempt in ATTEMPTS.items()}


def told(attempt: Callable[[], Any]) -> Any:
    """Name the error, or give the result."""
    try:
        return attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)


def call(name: str, *words: object) -> str:
    """Make a system call by its number; raise OSError when it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    number = NUMBERS[os.uname().machine][name]
    if library.syscall(number, *words) < 0:
        raise OSError(ctypes.get_errno(), name)
    return "worked"


def in_child(action: Callable[[], str]) -> str:
    """Do something in a child, whose namespaces may change."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, told(action).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with os.fdopen(reader) as result:
        return result.read()


def write(path: str) -> str:
    """Write to a file without changing what it holds."""
    with open(path, "r+b", buffering=0) as file:
        file.write(file.read(64) or b"x")
    return "worked"


def make(path: str) -> str:
    """Make a file."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return "worked"


def device() -> str:
    """Make the node of the first disk."""
    os.mknod("/tmp/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))
    return "worked"


def raw_socket() -> str:
    """Open a socket for frames of one's own."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    return "worked"


def signal_first() -> str:
    """Ask whether PID 1 could be signalled, without a signal."""
    os.kill(1, 0)
    return "worked"


def setuid_files() -> list[str]:
    """List what would run with another's rights."""
    found = []
    for top in ("/bin", "/sbin", "/usr", "/opt", "/lib"):
        for folder, _, names in os.walk(top):
            for name in names:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                    found.append(os.path.join(folder, name))
    return found


def become_root() -> str:
    """Change to user 0."""
    os.setuid(0)
    return "worked"


def processes() -> list[str]:
    """List the command names of all processes that can be seen."""
    done = subprocess.run(["ps", "-eo", "comm="], capture_output=True, text=True, check=False)
    return sorted(set(done.stdout.split()))


def environment_of_first() -> str:
    """Read the environment of PID 1."""
    with open("/proc/1/environ", "rb") as file:
        file.read()
    return "worked"


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "mount": lambda: in_child(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "user namespace": lambda: in_child(lambda: call("unshare", CLONE_NEWUSER)),
    "mount namespace": lambda: in_child(lambda: call("unshare", CLONE_NEWNS)),
    "network namespace": lambda: in_child(lambda: call("unshare", CLONE_NEWNET)),
    "bpf": lambda: call("bpf", 0, None, 0),
    "trace PID 1": lambda: call("ptrace", 16, 1, None, None),
    "environment of PID 1": environment_of_first,
    "signal PID 1": signal_first,
    "device": device,
    "raw socket": raw_socket,
    "user 0": become_root,
    "write to the root": lambda: make("/var/tmp/written"),
    "write to a program": lambda: write("/usr/bin/true"),
    "write to the entry": lambda: write("/opt/bottle/enter"),
    "write to certificates": lambda: make("/etc/ssl/certs/written"),
    "write to contents": lambda: make("/run/bottle/written"),
    "write to settings": lambda: write("/etc/claude-code/managed-settings.json"),
    "write to a kernel setting": lambda: write("/proc/sys/net/ipv4/ip_default_ttl"),
    "write to the workspace": lambda: make("/workspace/written"),
    "write to home": lambda: make("/home/agent/written"),
    "write to tmp": lambda: make("/tmp/written"),
    "setuid files": setuid_files,
    "processes": processes,
    "docker socket": lambda: os.path.exists("/var/run/docker.sock"),
}
