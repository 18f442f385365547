"""The example manifests: each is read, and each of its agents has a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from bottle.core import plan as planning
from bottle.core.manifest import DEMO, parse
from tests.support import plans

FOLDER = Path(__file__).parents[2] / "manifests"
EXAMPLES = sorted(FOLDER.glob("*.json"))


def test_the_shipped_ones_are_here() -> None:
    assert {"default.json", "demo.json"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_each_is_read_and_each_agent_has_a_plan(path: Path) -> None:
    manifest = parse(path.read_bytes())
    assert manifest.agents
    assert {agent.bottle for agent in manifest.agents.values()} == set(manifest.bottles)
    for name, agent in manifest.agents.items():
        plan = planning.compile(manifest, name, plans.host())
        declared = set(manifest.bottles[agent.bottle].egress.allowlist)
        assert declared <= {entry.pattern for entry in plan.listed}
        assert (plan.standin is not None) == plan.outside.internal == (name == DEMO)
