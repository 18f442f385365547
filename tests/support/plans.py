"""Plans: small ones for tests, compiled from manifests like any other."""

from __future__ import annotations

import json
from typing import Any, Final

from bottle.core import plan as planning
from bottle.core.allowlist import HostPattern
from bottle.core.manifest import Manifest, parse
from bottle.core.members import Host
from bottle.core.plan import Given, Plan
from bottle.core.slot import Slot

SESSION = "0123456789ab"
OWNER = "o"
ROLES = ("agent", "sidecar", "standin", "hostrule")
IMAGES = {role: f"sha256:{number:064x}" for number, role in enumerate(ROLES)}
CLIENTS: Final = {
    "pip": (HostPattern("wheels.example"), HostPattern("files.wheels.example", 8443)),
    "npm": (HostPattern("modules.example"),),
}
"""What this host's package clients are configured for."""
NOTHING: Final = Given()


def host(slot: int = 7, **changes: Any) -> Host:
    """Give a host with every image and package client, in a slot."""
    return Host(
        **{
            "session": SESSION,
            "owner": OWNER,
            "slot": Slot(number=slot),
            "images": IMAGES,
            "registries": CLIENTS,
            **changes,
        }
    )


def manifest(
    *, adapter: str = "claude", runtime: str = "runc", allowlist: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """Give the plain values of a manifest with one agent, named after the reserved one if demo."""
    bottle = {"runtime": runtime, "egress": {"allowlist": list(allowlist)}, **more}
    name = "demo" if adapter == "demo" else "default"
    return {
        "bottles": {"default": bottle},
        "agents": {name: {"bottle": "default", "adapter": adapter}},
    }


def read(content: object) -> Manifest:
    """Read the plain values of a manifest as the text that they would be."""
    return parse(json.dumps(content).encode())


def plan(
    slot: int = 7,
    *,
    standin_names: tuple[str, ...] = (),
    given: Given = NOTHING,
    **declared: Any,
) -> Plan:
    """Compile the one agent of such a manifest."""
    content = manifest(**declared)
    (agent,) = content["agents"]
    return planning.compile(read(content), agent, host(slot), given, standin_names=standin_names)
