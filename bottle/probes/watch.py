"""Watch: runs in the engine's network namespace and testifies what a bottle's bridge let through.

Standard library only; run by `python3 -c` in a one-shot container with NET_RAW (to see the wire of
the bridge, which proves that something was sent) and NET_ADMIN (to list the host rule). Its
argument is the bridge's name. It prints one JSON line when it listens and, after a line on stdin,
another with what it saw.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import time

NONCE = b"claude-bottle-probe:"
SO_BINDTODEVICE = 25
ETH_P_IP = 0x0800


def listening_sockets(bridge: str) -> list[socket.socket]:
    """Give what a service of the host would have: UDP and TCP everywhere, UDP on the bridge."""
    everywhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    everywhere.bind(("0.0.0.0", 0))  # noqa: S104  # the point: what any service of the host hears
    on_bridge = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    on_bridge.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, bridge.encode())
    on_bridge.bind(("0.0.0.0", 0))  # noqa: S104  # the same
    accepting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    accepting.bind(("0.0.0.0", 0))  # noqa: S104  # the same
    accepting.listen(16)
    return [everywhere, on_bridge, accepting]


def wire_of(bridge: str) -> socket.socket:
    """Give a socket that sees each frame arriving at the bridge, before any rule is applied."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    wire.bind((bridge, ETH_P_IP))
    return wire


def rule() -> str:
    """Give our table as nft lists it (JSON), or nothing when there is none."""
    command = ["nft", "--json", "list", "table", "inet", "claude_bottle"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def say(record: dict[str, object]) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def frames(wire: socket.socket) -> int:
    """Count the frames on the wire that carry our nonce."""
    seen = 0
    wire.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            seen += NONCE in wire.recv(65536)
    return seen


def heard(sockets: list[socket.socket]) -> list[str]:
    """Name the sockets that something reached."""
    names = dict(zip(sockets, ("udp", "udp on the bridge", "tcp"), strict=True))
    ready, _, _ = select.select(sockets, [], [], 0)
    return [names[sock] for sock in ready if sock.type == socket.SOCK_STREAM or ours(sock)]


def ours(sock: socket.socket) -> bool:
    """Say whether a datagram with our nonce waits; others of the host do not count."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            if sock.recv(65536).startswith(NONCE):
                return True
    return False


def main(bridge: str) -> None:
    """Listen, say so, wait for the word, say what was seen."""
    sockets = listening_sockets(bridge)
    wire = wire_of(bridge)
    ports = [sock.getsockname()[1] for sock in sockets]
    say({"event": "listening", "udp": ports[:2], "tcp": ports[2:], "rule": rule()})
    if sys.stdin.readline():
        time.sleep(
            0.02
        )  # what was sent just before the word is still on its way through the bridge
        say({"event": "seen", "wire": frames(wire), "heard": heard(sockets)})


if __name__ == "__main__":
    main(sys.argv[1])
