"""Calls: tries the system calls that no network namespace covers, by every way to make a call.

Standard library only. A vsock socket is made and never connected. Each attempt has a process of
its own, since a way of calling that the kernel lacks can end it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

AF_VSOCK = 40
IO_URING = {"setup": 425, "enter": 426, "register": 427}
X32_BIT = 0x40000000
SOCKET = {"x86_64": 41, "aarch64": 198}
I386_SOCKET, I386_SOCKETCALL = 359, 102
# push rbx; mov eax, edi; mov ebx, esi; mov r8d, ecx; mov ecx, edx; mov edx, r8d; int 0x80;
# pop rbx; ret: the call of a 32-bit program, which has other numbers, from a 64-bit one
I386_CALL = bytes.fromhex("5389f889f34189c889d14489c2cd805bc3")


def native(number: int, *words: int) -> str:
    """Make a call as every program does; name the error."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(ctypes.c_long(number), *map(ctypes.c_long, words)) >= 0:
        return "worked"
    return errno.errorcode[ctypes.get_errno()]


def as_i386(number: int, *words: int) -> str:
    """Make a call as a 32-bit program does; three arguments."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(I386_CALL)
    shape = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 4)
    result = shape(ctypes.addressof(ctypes.c_char.from_buffer(page)))(number, *words)
    return "worked" if result >= 0 else errno.errorcode[-result]


def vsock(kind: int) -> str:
    try:
        socket.socket(AF_VSOCK, kind).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "worked"


def pair() -> str:
    try:
        socket.socketpair(socket.AddressFamily(AF_VSOCK), socket.SOCK_STREAM)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "worked"


def attempts() -> dict[str, Callable[[], str]]:
    """Name every attempt that this machine's processor allows."""
    found: dict[str, Callable[[], str]] = {
        "vsock stream": lambda: vsock(socket.SOCK_STREAM),
        "vsock datagram": lambda: vsock(socket.SOCK_DGRAM),
        "vsock seqpacket": lambda: vsock(socket.SOCK_SEQPACKET),
        "vsock pair": pair,
        "vsock high bits": lambda: native(SOCKET[platform.machine()], (1 << 32) | AF_VSOCK, 1, 0),
        "io_uring setup": lambda: native(IO_URING["setup"], 1, 0),
        "io_uring enter": lambda: native(IO_URING["enter"], -1, 0, 0, 0, 0),
        "io_uring register": lambda: native(IO_URING["register"], -1, 0, 0, 0),
    }
    if platform.machine() == "x86_64":
        found["vsock x32"] = lambda: native(X32_BIT | SOCKET["x86_64"], AF_VSOCK, 1, 0)
        found["vsock i386"] = lambda: as_i386(I386_SOCKET, AF_VSOCK, 1, 0)
        found["io_uring i386"] = lambda: as_i386(IO_URING["setup"], 1, 0, 0)
    return found


def apart(attempt: Callable[[], str]) -> str:
    """Run an attempt in a child, and give what it says or the signal that ended it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, attempt().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else text


def main(request: Any) -> dict[str, str]:  # noqa: ARG001  # every program takes one
    """Try everything; give name and outcome, and what the kernel itself forbids to all."""
    own = Path("/proc/sys/kernel/io_uring_disabled")
    outcomes = {name: apart(attempt) for name, attempt in attempts().items()}
    return {**outcomes, "io_uring_disabled": own.read_text().strip() if own.exists() else "0"}
