"""Form: a plan as plain values, equal for equal input; a person's yes is kept by its digest.

The form is compiled for one fixed session and slot, so that it says nothing of a single start.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from bottle.core.flags import container_arguments, network_arguments
from bottle.core.members import Host
from bottle.core.parts import ContainerPlan
from bottle.core.plan import Plan, Setting
from bottle.core.slot import Slot

FORMAT: Final = 1
_SESSION: Final = "0" * 12
_OWNER: Final = "0" * 16


def fixed(host: Host) -> Host:
    """Give a host with all that differs from start to start taken out."""
    return dataclasses.replace(host, session=_SESSION, owner=_OWNER, slot=Slot(number=0))


def form(plan: Plan) -> dict[str, Any]:
    """Give everything that a plan says, for JSON; of plain variables and secrets no value."""
    agent, bottle, given = plan.agent, plan.bottle, plan.given
    return {
        "format": FORMAT,
        "agent": {
            "name": agent.name,
            "adapter": agent.adapter,
            "prompt": agent.prompt,
            "args": [*agent.args, *given.arguments],
            "skills": dict(given.skills),
        },
        "bottle": {
            "name": bottle.name,
            "runtime": bottle.runtime,
            "limits": dataclasses.asdict(bottle.limits),
            "packages": list(bottle.image.packages),
            "dockerfile": given.dockerfile,
        },
        "egress": {
            "proxy": bottle.egress.proxy,
            "allowlist": [
                {"host": str(entry.pattern), "source": entry.source} for entry in plan.listed
            ],
            "pins": {pin.host: pin.address for pin in plan.pins},
        },
        "environment": {setting.name: _setting(setting) for setting in plan.settings},
        "secrets": [dataclasses.asdict(secret) for secret in given.secrets],
        "ssh": [dataclasses.asdict(entry) for entry in bottle.ssh],
        "images": dict(plan.images),
        "networks": [
            {"name": network.name, "arguments": list(network_arguments(network))}
            for network in plan.networks
        ],
        "containers": [_container(container) for container in plan.containers],
        "steps": [{"name": step.name, "needs": list(step.needs)} for step in plan.steps],
    }


def _setting(setting: Setting) -> dict[str, Any]:
    if setting.secret:
        value: dict[str, Any] = {"from": setting.secret, "optional": setting.optional}
    else:
        value = {"sha256": digest_of(setting.text)}
    return {**value, "source": setting.source}


def _container(container: ContainerPlan) -> dict[str, Any]:
    return {
        "role": container.role,
        "name": container.name,
        "arguments": list(container_arguments(container)),
        "networks": {place.network: place.address for place in container.attachments},
    }


def digest(values: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a form, in hex digits."""
    return digest_of(json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def digest_of(text: str) -> str:
    """Give the SHA-256 of a text, in hex digits."""
    return digest_of_bytes(text.encode())


def digest_of_bytes(content: bytes) -> str:
    """Give the SHA-256 of bytes, in hex digits."""
    return hashlib.sha256(content).hexdigest()
