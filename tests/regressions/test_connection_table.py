"""A bottle filled the host's table of connections with packets to its own sidecar.

Bridges call iptables on many hosts, so each flow between two containers became an entry of a
table that the whole host shares; one second of UDP to all ports could have filled it.
"""

from __future__ import annotations

import pytest

from bottle.engine.docker import DockerEngine
from bottle.provision import hostrule
from tests.support import bottles, leaky, sinks

FLOWS = 3000
PROGRAM = """
import socket
def main(request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for port in range(20000, 20000 + request["flows"]):
            sock.sendto(b"x", (request["to"], port))
"""


def tracked(engine: DockerEngine) -> int:
    """Count the entries of the engine's own network namespace."""
    flags = ("--network=host", "--entrypoint=cat", "--cap-drop=ALL", "--read-only")
    path = "/proc/sys/net/netfilter/nf_conntrack_count"
    return int(engine.run_once(hostrule.IMAGE, [path], flags=flags).output)


@pytest.mark.claim("NET-6")
class TestAFlood:
    """The host's table of connections is not filled from a bottle."""

    @pytest.mark.parametrize("runtime", bottles.RUNTIMES)
    def test_from_a_bottle_leaves_no_entries(self, runtime: str) -> None:
        with bottles.live(runtime) as bottle:
            before = tracked(bottle.engine)
            to = bottle.lifetime.plan.sidecar_address
            bottle.python(PROGRAM, {"to": to, "flows": FLOWS})
            assert tracked(bottle.engine) - before < FLOWS / 10

    def test_from_elsewhere_leaves_some(self) -> None:
        engine = bottles.need()
        with (
            sinks.place(engine) as place,
            leaky.unsafe_bottle(engine, "runc", place, "127.0.0.1") as loose,
        ):
            before = tracked(engine)
            loose.python(PROGRAM, {"to": place.host, "flows": FLOWS})
            assert tracked(engine) - before > FLOWS / 2
