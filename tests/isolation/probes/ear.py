"""Ear: hears what reaches where it runs, and sees what passes; a sink, or the host's own side.

Standard library only; run by `python3 -c` with one JSON argument, as root with NET_RAW. It prints
one JSON line when it listens, and another with all that it heard so far for each line on stdin.
It ends with its stdin. Where it has no rights (inside a bottle) it has only its ordinary sockets.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import re
import selectors
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

MARK = re.compile(rb"cbx[0-9a-f]{8}-[a-z0-9-]{1,40}-xbc")
SETTLE = 0.15
"""What was sent just before the question is still on its way."""
PATIENCE = 5.0
ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS = 3, 263, 6
SO_BINDTODEVICE, SO_ATTACH_FILTER, SO_RCVBUFFORCE = 25, 26, 33
SIOCSIFADDR = 0x8916
LONGEST = 600
"""Marked packets are short; longer ones are left to the kernel, so that none is missed."""


def own_address(address: str) -> None:
    """Take an IPv6 address (struct in6_ifreq); the kernel makes it ours a moment later."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        index = socket.if_nametoindex("eth0")
        fcntl.ioctl(sock, SIOCSIFADDR, packed + struct.pack("=Ii", 64, index))
    deadline = time.monotonic() + PATIENCE
    while not holds(address) and time.monotonic() < deadline:
        time.sleep(0.01)


def holds(address: str) -> bool:
    """Say whether an address is this place's own: only then can it be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


def bound(family: int, kind: int, port: int, device: str = "") -> socket.socket:
    """Give a socket on every address, or on one device's."""
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode())
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))  # noqa: S104
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    return sock


def wire() -> socket.socket:
    """Give a socket that sees every short frame of every device, whatever any rule says."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    lines = ((0x80, 0, 0, 0), (0x25, 1, 0, LONGEST), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    described = struct.pack("@HP", len(lines), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
    with contextlib.suppress(PermissionError):  # without NET_ADMIN the default must do
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    return sock


def bridge_of(device: str) -> str:
    """Name the bridge that a device is a port of, or the device."""
    with contextlib.suppress(OSError):
        return Path(f"/sys/class/net/{device}/master").readlink().name
    return device


class Ear:
    """All sockets of one place, and what they heard and saw."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.answer: str = asked["answer"]
        self.heard: set[str] = set()
        self.seen: set[tuple[str, str]] = set()
        self.lost = 0
        self.selector = selectors.DefaultSelector()
        self.wire = wire() if asked["rights"] else None
        self.bridges: dict[str, str] = {}
        four = socket.AF_INET
        self.tcp = self.listen(bound(four, socket.SOCK_STREAM, 0), self.accept)
        self.udp = self.listen(bound(four, socket.SOCK_DGRAM, 0), self.receive)
        for bridge in asked["bridges"]:
            self.listen(bound(four, socket.SOCK_DGRAM, self.udp, bridge), self.receive)
        if self.answer:
            self.listen(bound(four, socket.SOCK_STREAM, 53), self.accept)
            self.listen(bound(four, socket.SOCK_DGRAM, 53), self.resolve)
        if self.wire:
            self.listen_everywhere(self.wire)

    def listen_everywhere(self, wire: socket.socket) -> None:
        """Listen for IPv6 and ICMP too, and look at the wire."""
        four, six = socket.AF_INET, socket.AF_INET6
        self.listen(bound(six, socket.SOCK_STREAM, self.tcp), self.accept)
        self.listen(bound(six, socket.SOCK_DGRAM, self.udp), self.receive)
        for family, protocol in ((four, socket.IPPROTO_ICMP), (six, socket.IPPROTO_ICMPV6)):
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            self.selector.register(raw, selectors.EVENT_READ, self.receive)
        self.selector.register(wire, selectors.EVENT_READ, self.look)

    def listen(self, sock: socket.socket, what: Any) -> int:
        self.selector.register(sock, selectors.EVENT_READ, what)
        return int(sock.getsockname()[1])

    def note(self, got: bytes) -> None:
        self.heard.update(found.decode() for found in MARK.findall(got))

    def receive(self, sock: socket.socket) -> None:
        """Hear a datagram, or the next piece of a connection."""
        try:
            got = sock.recv(65536)
        except ConnectionError:
            got = b""
        self.note(got)
        if sock.type == socket.SOCK_STREAM and not got:
            self.selector.unregister(sock)
            sock.close()
        elif sock.type == socket.SOCK_STREAM and sock.getsockname()[1] == 53:
            reply = self.reply(got[2:])
            sock.sendall(struct.pack(">H", len(reply)) + reply)

    def accept(self, sock: socket.socket) -> None:
        connection, _ = sock.accept()
        self.heard.add(f"connection {connection.getpeername()[0]}")
        self.selector.register(connection, selectors.EVENT_READ, self.receive)

    def resolve(self, sock: socket.socket) -> None:
        got, who = sock.recvfrom(4096)
        self.note(got)
        sock.sendto(self.reply(got), who)

    def reply(self, asked: bytes) -> bytes:
        """Answer any question with the one address."""
        end = asked.index(b"\0", 12) + 5
        record = struct.pack(">HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(self.answer)
        head = asked[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        return head + asked[12:end] + record

    def look(self, sock: socket.socket) -> None:
        """See a frame: its marks, and the first packet of a connection to our port."""
        got, where = sock.recvfrom(LONGEST)
        found = [mark.decode() for mark in MARK.findall(got)]
        if self.is_opening(got):
            found.append("opening " + socket.inet_ntoa(got[26:30]))
        for mark in found:
            self.seen.add((mark, self.bridges.setdefault(where[0], bridge_of(where[0]))))

    def is_opening(self, got: bytes) -> bool:
        """Say whether this is a SYN over IPv4 without options to our TCP port."""
        opening = got[12:15] == b"\x08\x00\x45" and got[23:24] == b"\x06" and len(got) >= 54
        return opening and got[36:38] == struct.pack(">H", self.tcp) and got[47] & 0x12 == 2

    def run(self, seconds: float) -> None:
        """Hear for so long, or until stdin says something."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                if key.data is None:
                    return
                key.data(key.fileobj)

    def tell(self) -> dict[str, object]:
        if self.wire:
            statistics = self.wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            self.lost += struct.unpack("=II", statistics)[1]
        return {"heard": sorted(self.heard), "seen": sorted(self.seen), "lost": self.lost}


def say(record: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def main(text: str) -> None:
    """Listen, say so, and answer each line until stdin ends."""
    asked = json.loads(text)
    for address in asked["take"]:
        own_address(address)
    ear = Ear(asked)
    held = [address for address in asked["addresses"] if holds(address)]
    say({"tcp": ear.tcp, "udp": ear.udp, "held": held})
    while True:
        ear.selector.register(sys.stdin, selectors.EVENT_READ, None)
        ear.run(3600)
        ear.selector.unregister(sys.stdin)
        if not sys.stdin.readline():
            return
        ear.run(SETTLE)
        say(ear.tell())


if __name__ == "__main__":
    main(sys.argv[1])
