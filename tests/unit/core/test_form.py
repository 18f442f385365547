"""A plan as plain values: all that it says, nothing of a single start, and nobody's values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bottle.core import plan as planning
from bottle.core.form import FORMAT, digest, digest_of, digest_of_bytes, fixed, form
from bottle.core.plan import Given
from bottle.core.secret import Secret
from bottle.core.slot import Slot
from tests.support import plans

GIVEN = Given(
    arguments=("--resume",),
    skills={"review": "d" * 64},
    dockerfile="e" * 64,
    secrets=(Secret(name="KEY", source="MY_KEY of the environment", kept="in the bottle"),),
)
DECLARED: dict[str, Any] = {
    "allowlist": ("github.com:8443",),
    "env": {"EDITOR": "vi", "KEY": {"from": "MY_KEY"}},
    "limits": {"cpus": 2},
    "image": {"packages": ["jq"]},
}


RECORDED = Path(__file__).resolve().parents[2] / "support" / "recorded" / "forms.json"
EVERY_FLAG: dict[str, dict[str, Any]] = {
    "claude under runc": {**DECLARED, "given": GIVEN},
    "demo under runsc": {"adapter": "demo", "runtime": "runsc", "allowlist": ("example.com",)},
}


def of(**changes: Any) -> dict[str, Any]:
    return form(plans.plan(**{"given": GIVEN, **DECLARED, **changes}))


def test_it_says_everything_that_is_planned() -> None:
    values = of()
    assert values.keys() == {
        *("format", "agent", "bottle", "egress", "environment", "secrets", "ssh", "images"),
        *("networks", "containers", "steps"),
    }
    assert values["format"] == FORMAT
    assert values["agent"] == {
        "name": "default",
        "adapter": "claude",
        "prompt": "",
        "args": ["--resume"],
        "skills": {"review": "d" * 64},
    }
    assert values["bottle"] == {
        "name": "default",
        "runtime": "runc",
        "limits": {"memory": 4096, "cpus": 2, "pids": 1024, "tmp": 512},
        "packages": ["jq"],
        "dockerfile": "e" * 64,
    }
    assert values["egress"] == {
        "proxy": "mitmproxy",
        "allowlist": [
            {"host": "api.anthropic.com", "source": "built in for claude"},
            {"host": "github.com:8443", "source": "bottles.default.egress.allowlist[0]"},
        ],
        "pins": {},
    }
    assert values["secrets"] == [
        {"name": "KEY", "source": "MY_KEY of the environment", "kept": "in the bottle"}
    ]
    assert values["images"] == plans.IMAGES


def test_of_a_variable_it_has_the_source_and_a_digest_or_a_name() -> None:
    assert of()["environment"] == {
        "EDITOR": {"sha256": digest_of("vi"), "source": "bottles.default.env.EDITOR"},
        "KEY": {"from": "MY_KEY", "optional": False, "source": "bottles.default.env.KEY"},
    }


def test_networks_containers_and_steps_are_what_the_engine_is_told() -> None:
    values = of(adapter="demo")
    assert [network["name"] for network in values["networks"]] == [
        "cb-0123456789ab-inside",
        "cb-0123456789ab-outside",
    ]
    assert "--internal" in values["networks"][0]["arguments"]
    assert [container["role"] for container in values["containers"]] == [
        *("agent", "sidecar", "standin"),
    ]
    assert [container["name"] for container in values["containers"]] == [
        *("cb-0123456789ab-agent", "cb-0123456789ab-sidecar", "cb-0123456789ab-standin"),
    ]
    agent = values["containers"][0]
    assert {"--cap-drop=ALL", "--cpus=2"} <= set(agent["arguments"])
    assert agent["networks"] == {"cb-0123456789ab-inside": "10.231.0.227"}
    assert values["steps"][0] == {"name": "create the network inside", "needs": []}
    assert values["egress"]["pins"] == {
        "api.anthropic.com": "10.231.0.243",
        "github.com": "10.231.0.243",
    }


def test_it_is_json_and_ordered_as_the_plan_is() -> None:
    values = of()
    assert json.loads(json.dumps(values)) == values
    assert json.dumps(values) == json.dumps(of())


def test_a_fixed_host_keeps_what_is_the_hosts_and_loses_what_is_a_starts() -> None:
    host = plans.host(slot=9, session="f" * 12, owner="e" * 16)
    same = fixed(plans.host())
    assert fixed(host) == same
    assert (same.slot, same.images, same.registries) == (
        Slot(number=0),
        host.images,
        host.registries,
    )
    assert (same.session, same.owner) == ("0" * 12, "0" * 16)


CHANGES: list[dict[str, Any]] = [
    {"adapter": "shell"},
    {"runtime": "runsc"},
    {"allowlist": ("github.com",)},
    {"env": {"EDITOR": "ed", "KEY": {"from": "MY_KEY"}}},
    {"env": {"EDITOR": "vi", "KEY": {"from": "OTHER"}}},
    {"env": {"EDITOR": "vi", "KEY": {"from": "MY_KEY", "optional": True}}},
    {"limits": {"cpus": 1}},
    {"limits": {"cpus": 2, "tmp": "511m"}},
    {"image": {"packages": ["jq", "git"]}},
    {"standin_names": ("a.example",)},
    {"slot": 8},
    *(
        {"given": dataclasses.replace(GIVEN, **change)}
        for change in (
            {"arguments": ()},
            {"skills": {"review": "0" * 64}},
            {"skills": {"other": "d" * 64}},
            {"dockerfile": ""},
            {"secrets": ()},
        )
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change)[:60])
def test_whatever_changes_the_digest_changes_too(change: dict[str, Any]) -> None:
    assert digest(of()) == digest(of())
    assert digest(of(**change)) != digest(of())


def test_the_prompt_and_the_images_count() -> None:
    content = plans.manifest()
    content["agents"]["default"]["prompt"] = "one"
    digests = set()
    for prompt, images in (("one", "a"), ("two", "a"), ("one", "b")):
        content["agents"]["default"]["prompt"] = prompt
        host = plans.host(images={**plans.IMAGES, "agent": f"sha256:{images * 64}"})
        digests.add(digest(form(planning.compile(plans.read(content), "default", host))))
    assert len(digests) == 3


def test_a_digest_is_the_sha_256_of_sorted_json_in_ascii() -> None:
    one, two = {"b": 1, "a": "é"}, {"a": "é", "b": 1}
    assert digest(one) == digest(two) == digest_of('{"a":"\\u00e9","b":1}')
    assert digest_of("é") == digest_of_bytes(b"\xc3\xa9")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of("") == empty


def recorded() -> str:
    """Give the forms of a few plans as they are written down."""
    forms = {name: form(plans.plan(**declared)) for name, declared in EVERY_FLAG.items()}
    return json.dumps(forms, indent=1, sort_keys=True) + "\n"


def test_every_flag_is_what_was_written_down() -> None:
    """A change of a wall is seen in two places. Renew it by hand: write what `recorded` gives."""
    assert json.loads(recorded()) == json.loads(RECORDED.read_text())
