"""Stand-in: what a container that plays the outside is told; for the demo and for tests alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from bottle.core.plan import Plan

PLAIN_PORT: Final = 8080
"""Where the stand-in also listens without TLS: what a bottle must not reach."""
UNLISTED: Final = "example.net"
"""The host that the demo asks for although it is on no list."""


@dataclass(frozen=True, kw_only=True)
class Standin:
    """Which names it serves and what it answers."""

    names: tuple[str, ...] = ()
    """Names beyond those that the plan of the demo has anyway."""
    script: str = "demo"
    """`demo`, the conversation that shows the walls, or `answer`, one turn."""
    answer: str = ""
    record: bool = False
    """Tell the bodies of requests too, in its lines."""

    def configuration(self, plan: Plan) -> bytes:
        """Give the one line that the stand-in reads from its stdin."""
        if plan.standin is None:
            raise AssertionError("only a plan with a stand-in configures one")
        address = plan.standin.attachments[0].address
        values = {
            "version": 1,
            "names": [pin.host for pin in plan.pins],
            "listen": address,
            "script": self.script,
            "answer": self.answer,
            "record": self.record,
            "unlisted": UNLISTED,
            "forbidden": f"http://{address}:{PLAIN_PORT}/",
        }
        return json.dumps(values).encode() + b"\n"
