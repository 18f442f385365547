"""The example manifests and their schema: each is read, and each of its agents has a plan."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bottle.core import document, form, language
from bottle.core import plan as planning
from bottle.core.manifest import DEMO, parse, secret_sources
from bottle.core.variables import looks_secret
from tests.support import plans

FOLDER = Path(__file__).parents[2] / "manifests"
SCHEMA = FOLDER / language.SCHEMA
EXAMPLES = sorted(path for path in FOLDER.glob("*.json") if path != SCHEMA)

each_example = pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])


def plain(path: Path) -> Any:
    return document.read(path.read_bytes())


def test_the_shipped_ones_are_here() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert {"default.json", "demo.json", language.SCHEMA} <= names
    assert names == {SCHEMA.name, *(path.name for path in EXAMPLES)}


def test_the_schema_is_the_parsers_own() -> None:
    """Renew it with `invoke schema > manifests/claude-bottle.schema.json`."""
    renewed = json.dumps(language.schema(), indent=2) + "\n"
    assert SCHEMA.read_text() == renewed, "invoke schema > manifests/claude-bottle.schema.json"


@each_example
def test_each_names_the_schema_beside_it_and_follows_it(path: Path) -> None:
    content = plain(path)
    assert content["$schema"] == f"./{language.SCHEMA}"
    assert (path.parent / content["$schema"]).resolve() == SCHEMA
    assert list(Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(content)) == []


@each_example
def test_each_is_read_and_each_agent_has_a_plan(path: Path) -> None:
    manifest = parse(path.read_bytes())
    assert manifest.agents
    for name, agent in manifest.agents.items():
        plan = planning.compile(manifest, name, plans.host())
        bottle = manifest.bottles[agent.bottle]
        declared = {entry.pattern for entry in bottle.egress.allowlist}
        of_clients = {p for c in bottle.egress.clients for p in plans.CLIENTS[c.name]}
        assert declared | of_clients <= {entry.pattern for entry in plan.listed}
        assert (plan.standin is not None) == plan.outside.internal == (name == DEMO)
        assert re.fullmatch("[0-9a-f]{64}", form.digest(form.form(plan)))


@each_example
def test_each_bottle_is_of_use_and_asks_for_nothing_that_is_not_there(path: Path) -> None:
    manifest = parse(path.read_bytes())
    used = {agent.bottle for agent in manifest.agents.values()}
    extended = {bottle.get("extends") for bottle in plain(path)["bottles"].values()}
    assert manifest.bottles.keys() == used | (extended - {None})
    assert [later for bottle in manifest.bottles.values() for later in bottle.later] == []
    assert [later for agent in manifest.agents.values() for later in agent.later] == []


@each_example
def test_none_has_a_secret_in_plain_text(path: Path) -> None:
    manifest = parse(path.read_bytes())
    tables = [b.env for b in manifest.bottles.values()]
    tables += [a.env for a in manifest.agents.values()]
    texts = [(name, v.text) for table in tables for name, v in table.items()]
    assert [name for name, text in texts if looks_secret(name, text)] == []


def test_the_examples_show_a_secret_and_a_plain_variable() -> None:
    manifests = [parse(path.read_bytes()) for path in EXAMPLES]
    assert any(secret_sources(manifest) for manifest in manifests)
    assert any(v.text for m in manifests for b in m.bottles.values() for v in b.env.values())


@each_example
def test_each_explains_itself(path: Path) -> None:
    assert path.read_text().startswith("// ")
    assert max(len(line) for line in path.read_text().splitlines()) <= 100


def test_together_they_show_what_a_manifest_can_say() -> None:
    shown = {
        key
        for path in EXAMPLES
        for part in ("bottles", "agents")
        for members in plain(path)[part].values()
        for key in members
    }
    everything = {*language.BOTTLE.keys, *language.AGENT.keys}
    assert everything - shown == {"ssh"}, "not supported yet"
