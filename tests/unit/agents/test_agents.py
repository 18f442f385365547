"""Agents: the table of adapters knows what the manifest and the plan know."""

from __future__ import annotations

import pytest

from bottle.agents import ADAPTERS
from bottle.core import language, manifest, plan

PLACEHOLDER = "p"


def test_the_manifest_names_the_same_adapters() -> None:
    assert set(ADAPTERS) == set(language.ADAPTERS) == set(plan.BUILT_IN_HOSTS)


@pytest.mark.parametrize("name", ADAPTERS)
def test_who_needs_a_token_gets_the_placeholder_and_a_way_to_the_api(name: str) -> None:
    adapter = ADAPTERS[name]
    holds = PLACEHOLDER in adapter.environment(PLACEHOLDER).values()
    reaches = plan.API_HOST in plan.BUILT_IN_HOSTS[name]
    assert (holds, reaches) == (adapter.needs_token, adapter.needs_token)


@pytest.mark.parametrize("name", ADAPTERS)
def test_only_the_demo_may_invent_a_token(name: str) -> None:
    assert ADAPTERS[name].invents_token == (name == manifest.DEMO)
