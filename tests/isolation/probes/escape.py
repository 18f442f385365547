"""Escape: tries to get a few marked bytes out of where it runs, by one way for each aim.

Standard library only; piped into `python3 -` in a bottle and, as the control, in a leaky one.
What it returns is supporting evidence: who was aimed at says what arrived.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

PATIENCE = 6.0
"""Longer than any refusal takes; gVisor looks for an absent neighbour for three seconds."""
DROPPED = 0.7
"""What is dropped without a word is given up after this, unless its aim says otherwise."""
SO_BINDTODEVICE = 25
IP_PKTINFO = 8
EXPERIMENTAL = 0x88B5

Aim = dict[str, Any]
Control = Sequence[tuple[int, int, bytes]]


def mark(nonce: str, label: str) -> bytes:
    """Give the bytes that the receivers look for; they fit into a label of a DNS name."""
    return f"cbx{nonce}-{label}-xbc".encode()


def plain(aim: Aim, kind: int, protocol: int = 0, patience: float = 0) -> socket.socket:
    """Give a socket of the aim's family; what is dropped without a word is given up in its time."""
    sock = socket.socket(family(aim), kind, protocol)
    sock.settimeout(patience or aim.get("patience", DROPPED))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return sock


def unrouted(sock: socket.socket) -> socket.socket:
    """Send past the routes: whoever answers for the address on this wire gets it."""
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    return sock


def target(aim: Aim) -> tuple[Any, ...]:
    """Give the address as its family writes it; link-local ones name the device."""
    if ":" not in aim["to"]:
        return (aim["to"], aim["port"])
    scope = socket.if_nametoindex("eth0") if aim["to"].lower().startswith(("fe80", "ff")) else 0
    return (aim["to"], aim["port"], 0, scope)


def family(aim: Aim) -> int:
    return socket.AF_INET6 if ":" in aim["to"] else socket.AF_INET


def tcp(aim: Aim, said: bytes) -> bool:
    """Connect and say it; a refusal is waited for."""
    with plain(aim, socket.SOCK_STREAM, patience=PATIENCE) as sock:
        sock.connect(target(aim))
        sock.sendall(said)
        return True


def tcp_unrouted(aim: Aim, said: bytes) -> bool:
    with unrouted(plain(aim, socket.SOCK_STREAM)) as sock:
        sock.connect(target(aim))
        sock.sendall(said)
        return True


def send(sock: socket.socket, said: bytes, aim: Aim, control: Control = ()) -> bool:
    """Send twice: the first may be lost while the neighbour is looked for."""
    for _ in range(2):
        sock.sendmsg([said], control, 0, target(aim))
        time.sleep(0.05)
    return False


def udp(aim: Aim, said: bytes) -> bool:
    with plain(aim, socket.SOCK_DGRAM) as sock:
        return send(sock, said, aim)


def udp_unrouted(aim: Aim, said: bytes) -> bool:
    with unrouted(plain(aim, socket.SOCK_DGRAM)) as sock:
        return send(sock, said, aim)


def udp_pktinfo(aim: Aim, said: bytes) -> bool:
    """Name the device in the message itself, as a program does that answers on one device."""
    with plain(aim, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        index = struct.pack("=i", socket.if_nametoindex("eth0"))
        return send(sock, said, aim, [(socket.IPPROTO_IP, IP_PKTINFO, index + bytes(8))])


def udp_source_routed(aim: Aim, said: bytes) -> bool:
    """Ask a neighbour, by a loose source route in the packet, to pass it on."""
    with plain(aim, socket.SOCK_DGRAM) as sock:
        route = b"\x83\x07\x04" + socket.inet_aton(aim["through"]) + b"\x00"
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, route)
        return send(sock, said, aim)


def echo(said: bytes, kind: int, identity: int = 0) -> bytes:
    """Give an ICMP echo request of version 4 (8) or 6 (128)."""
    unchecked = struct.pack(">BBHHH", kind, 0, 0, identity, 1) + said + b"." * (len(said) % 2)
    total = sum(struct.unpack(f">{len(unchecked) // 2}H", unchecked))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return unchecked[:2] + struct.pack(">H", ~total & 0xFFFF) + unchecked[4:]


def ask_echo(sock: socket.socket, aim: Aim, said: bytes) -> bool:
    """Ask for an echo and say whether it came."""
    asked = echo(said, 8 if family(aim) == socket.AF_INET else 128)
    sock.sendto(asked, (*target(aim)[:1], 0, *target(aim)[2:]))
    while True:
        got = sock.recv(4096)
        if said in got and not got.endswith(asked):
            return True


def ping(aim: Aim, said: bytes) -> bool:
    """Use a datagram socket, which needs no rights for that."""
    with plain(aim, socket.SOCK_DGRAM, icmp(aim)) as sock:
        return ask_echo(sock, aim, said)


def ping_unrouted(aim: Aim, said: bytes) -> bool:
    with unrouted(plain(aim, socket.SOCK_DGRAM, icmp(aim))) as sock:
        return ask_echo(sock, aim, said)


def ping_raw(aim: Aim, said: bytes) -> bool:
    with plain(aim, socket.SOCK_RAW, icmp(aim)) as sock:
        return ask_echo(sock, aim, said)


def icmp(aim: Aim) -> int:
    return socket.IPPROTO_ICMP if family(aim) == socket.AF_INET else socket.IPPROTO_ICMPV6


def frame(aim: Aim, said: bytes) -> bool:  # noqa: ARG001  # it goes to everyone on the wire
    """Write a frame of our own."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth0", 0))
        sock.send(b"\xff" * 6 + b"\x02" * 6 + struct.pack(">H", EXPERIMENTAL) + said.ljust(50))
    return False


def question(said: bytes) -> bytes:
    """Ask for the address of MARK.test."""
    name = bytes([len(said)]) + said + b"\x04test\x00"
    return struct.pack(">HHHHHH", 0x4242, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1)


def dns_udp(aim: Aim, said: bytes) -> bool:
    """Ask a name server for a marked name; say whether it gave an address."""
    with plain(aim, socket.SOCK_DGRAM) as sock:
        sock.connect(target(aim))
        sock.send(question(said))
        return answers(sock.recv(4096))


def dns_tcp(aim: Aim, said: bytes) -> bool:
    with plain(aim, socket.SOCK_STREAM) as sock:
        sock.connect(target(aim))
        asked = question(said)
        sock.sendall(struct.pack(">H", len(asked)) + asked)
        return answers(sock.recv(4096)[2:])


def answers(reply: bytes) -> bool:
    """Say whether a reply holds an answer."""
    return len(reply) >= 12 and reply[3] & 0xF == 0 and int.from_bytes(reply[6:8]) > 0


def lookup(aim: Aim, said: bytes) -> bool:  # noqa: ARG001  # the resolver is the system's own
    """Resolve a marked name as every program does."""
    return bool(socket.getaddrinfo(said.decode() + ".test.", 80, socket.AF_INET))


WAYS: dict[str, Callable[[Aim, bytes], bool]] = {
    way.__name__: way
    for way in (
        *(tcp, tcp_unrouted, udp, udp_unrouted, udp_pktinfo, udp_source_routed),
        *(ping, ping_unrouted, ping_raw, frame, dns_udp, dns_tcp, lookup),
    )
}


def attempt(aim: Aim, nonce: str, outcomes: dict[str, object]) -> None:
    """Try one aim and note how it ended."""
    began, answered, error = time.monotonic(), False, ""
    try:
        answered = WAYS[aim["way"]](aim, mark(nonce, aim["label"]))
    except TimeoutError as failed:
        error = errno.errorcode[failed.errno] if failed.errno else "silence"
    except socket.gaierror as failed:
        error = f"EAI {failed.errno}"
    except OSError as failed:
        error = errno.errorcode.get(failed.errno or 0, str(failed))
    spent = time.monotonic() - began
    outcomes[aim["label"]] = {"answered": answered, "error": error, "seconds": spent}


def main(request: Any) -> dict[str, object]:
    """Try all aims at once; give for each label how it ended."""
    outcomes: dict[str, object] = {}
    threads = [
        threading.Thread(target=attempt, args=(aim, request["nonce"], outcomes))
        for aim in request["aims"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
