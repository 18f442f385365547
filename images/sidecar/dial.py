"""Dial: names are resolved once, judged, and only the judged answers are ever connected to.

The event loop's resolver is replaced: it looks nothing up, it hands out what the tunnel of the
running task was granted, and nothing else. So no name that anybody put into a connection can be
looked up a second time, with another answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

_granted: ContextVar[tuple[str, ...]] = ContextVar("granted", default=())

_AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]


class Resolver:
    """Looks names up through the container's own resolver; pinned names need no look-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pins: Mapping[str, str]) -> None:
        os.environ["RES_OPTIONS"] = "timeout:2 attempts:2"  # a dead name costs 4 s, not 10
        self._loop = loop
        self._pins = pins
        loop.getaddrinfo = _only_granted  # type: ignore  # the point of this module

    def pinned(self, host: str) -> tuple[str, ...]:
        """Give the address that a name is pinned to, as the only answer; empty if it is not."""
        return (self._pins[host],) if host in self._pins else ()

    async def answers(self, host: str) -> tuple[str, ...]:
        """Look a name up; empty when it has no IPv4 address. A bottle's networks have no IPv6."""
        # in a thread; the dot makes the name absolute, so no search domain is tried
        lookup = self._loop.run_in_executor(None, _lookup, host + ".")
        return await lookup


def _lookup(name: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def grant(answers: tuple[str, ...]) -> None:
    """Let the running task connect to these addresses, whatever name it says."""
    _granted.set(answers)


async def _only_granted(_host: object, port: Any, **_: object) -> list[_AddressInfo]:
    kind: Final = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    answers = _granted.get()
    if not answers:
        raise OSError("no address was granted")
    return [(*kind, (answer, int(port))) for answer in answers]
