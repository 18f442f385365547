"""Verdict: each way in which a Dockerfile's text or an image's facts are refused, and its door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bottle.engine.port import ImageFacts
from bottle.provision import verdict
from bottle.provision.verdict import ImageRefused

DOCKERFILE = "ARG BASE\nFROM ${BASE}\nRUN true\n"
LAYERS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
CONFIG: Mapping[str, object] = {"Env": ["PATH=/bin"], "Entrypoint": ["tini"], "Volumes": None}
GIVEN = {"claude-bottle.extra": "key"}
BELOW = ImageFacts(
    reference="agent:1",
    identity="sha256:a",
    labels={"claude-bottle.digest": "x"},
    layers=LAYERS,
    config=CONFIG,
)
MADE = replace(BELOW, labels={**BELOW.labels, **GIVEN}, layers=(*LAYERS, "sha256:3"))


def wrongs(made: ImageFacts, below: ImageFacts = BELOW) -> list[str]:
    return list(verdict.of_facts(made, below, GIVEN))


def with_config(**fields: object) -> ImageFacts:
    return replace(MADE, config={**CONFIG, **fields})


# -- the text


@pytest.mark.parametrize(
    "line",
    [
        "# syntax=docker/dockerfile:1",
        "#syntax = x",
        "  #  SYNTAX=x",
        "\ufeff# syntax=x",
        "// syntax=x",
        "#!/bin/x\n# syntax=x",
        "# escape=`\n# syntax=x",
        '{"syntax": "x"}',
    ],
)
def test_a_dockerfile_brings_no_program_that_reads_it(line: str) -> None:
    with pytest.raises(ImageRefused, match="syntax") as error:
        verdict.refuse_text(f"{line}\n{DOCKERFILE}".encode())
    assert error.value.code == 65


@pytest.mark.parametrize(
    "text",
    ["FROM debian\n", "ARG BASE\nFROM ${BASED}\n", "# FROM ${BASE}\nFROM x\n", "FROM x AS $BASE\n"],
)
def test_a_dockerfile_builds_upon_the_agents_image(text: str) -> None:
    with pytest.raises(ImageRefused, match="does not build upon") as error:
        verdict.refuse_text(text.encode())
    assert "FROM ${BASE}" in error.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "ARG BASE\nfrom $BASE\n",
        "ARG BASE\n  FROM --platform=linux/amd64 ${BASE} AS last\n",
        "ARG BASE\r\nFROM ${BASE}\r\nRUN true\r\n",
        "# its syntax is simple\nARG BASE\nFROM x AS y\nFROM ${BASE}\nCOPY --from=y /a /b\n",
        "ARG BASE\nFROM ${BASE}\nRUN echo 'syntax = \"proto3\"' >/opt/x\n",
        "ARG BASE\nFROM ${BASE}\n# \xff\n",
    ],
)
def test_other_ways_to_say_it_pass(text: str) -> None:
    verdict.refuse_text(text.encode("latin-1"))


MUCH = 256 * 1024
LONG = {
    "line feeds": "\n" * MUCH,
    "blanks": " " * MUCH,
    "lines of blanks": " \n" * (MUCH // 2),
    "marks at its begin": "\ufeff" * (MUCH // 3),
    "a comment of blanks": "#" + " " * MUCH,
    "comments that are not finished": "# syntax\n" * (MUCH // 9),
    "a directive that is not finished": "# syntax" + " " * MUCH,
    "an instruction that is not finished": "FROM" + " " * MUCH,
    "an instruction of flags": "FROM " + "--a " * (MUCH // 4),
    "slashes": "/" * MUCH,
}
"""Each was looked at for minutes by patterns that try every way to split it."""


@pytest.mark.parametrize("name", LONG)
def test_a_long_text_is_judged_like_a_short_one(name: str) -> None:
    with pytest.raises(ImageRefused, match="does not build upon"):
        verdict.refuse_text(LONG[name].encode())
    verdict.refuse_text(f"{LONG[name]}\n{DOCKERFILE}".encode())
    with pytest.raises(ImageRefused, match="syntax"):
        verdict.refuse_text(f"{LONG[name]}\n# syntax=x\n{DOCKERFILE}".encode())


@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n", " \t\r\n", "\ufeff\n "])
def test_a_builder_takes_json_too_and_this_program_does_not(before: str) -> None:
    text = f'{before}{{"a": "b"}}\n'
    with pytest.raises(ImageRefused, match="syntax"):
        verdict.refuse_text((text + DOCKERFILE).encode())
    verdict.refuse_text((DOCKERFILE + text).encode())


def test_no_text_is_no_dockerfile() -> None:
    verdict.refuse_text(b"")


# -- the facts


def test_an_image_built_upon_the_agents_passes() -> None:
    assert wrongs(MADE) == []
    assert wrongs(replace(MADE, layers=LAYERS)) == []


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"Env": ["PATH=/bin", "LD_PRELOAD=/opt/x"]}, "ENV"),
        ({"Env": ["PATH=/opt:/bin"]}, "ENV"),
        ({"Env": None}, "ENV"),
        ({"Entrypoint": ["/opt/tool"]}, "ENTRYPOINT"),
        ({"Entrypoint": None}, "ENTRYPOINT"),
        ({"Volumes": {"/x": {}}}, "VOLUME"),
        ({"OnBuild": ["RUN true"]}, "ONBUILD"),
        ({"ExposedPorts": {"80/tcp": {}}}, "EXPOSE"),
        ({"Healthcheck": {"Test": ["CMD", "true"], "Interval": 1}}, "HEALTHCHECK"),
        ({"Shell": ["/bin/bash", "-c"]}, "SHELL"),
        ({"SomethingNew": True}, "SomethingNew"),
    ],
)
def test_an_image_that_could_not_start_as_planned_is_refused(
    fields: dict[str, object], word: str
) -> None:
    assert wrongs(with_config(**fields)) == [f"it sets {word}, which no bottle takes over"]


@pytest.mark.parametrize(
    "fields",
    [
        {"Cmd": ["x"], "User": "1000", "WorkingDir": "/srv", "StopSignal": "9", "Image": "x"},
        {"Volumes": {}, "OnBuild": [], "ExposedPorts": None, "Shell": None, "ArgsEscaped": True},
        {"Labels": {"theirs": "1"}},
    ],
)
def test_what_a_start_sets_itself_is_free(fields: dict[str, object]) -> None:
    assert wrongs(with_config(**fields)) == []


@pytest.mark.parametrize(
    "labels",
    [
        {"claude-bottle": "x"},
        {"claude-bottle.digest": "y"},
        {"claude-bottle.new": ""},
        {"claude-bottle.extra": "other"},
    ],
)
def test_our_labels_are_ours(labels: dict[str, str]) -> None:
    made = replace(MADE, labels={**MADE.labels, **labels})
    assert wrongs(made) == ["it sets a LABEL of claude-bottle's own"]


def test_a_label_of_theirs_is_free() -> None:
    assert wrongs(replace(MADE, labels={**MADE.labels, "theirs": "1"})) == []


@pytest.mark.parametrize(
    "layers",
    [(), LAYERS[:1], (*reversed(LAYERS), LAYERS[0]), ("sha256:3",), ("sha256:3", *LAYERS)],
)
def test_an_image_that_is_made_of_something_else_is_refused(layers: tuple[str, ...]) -> None:
    (wrong,) = wrongs(replace(MADE, layers=layers))
    assert wrong.endswith("its last FROM is not ${BASE}")


def test_nothing_is_built_upon_an_image_without_layers() -> None:
    (wrong,) = wrongs(MADE, replace(BELOW, layers=()))
    assert wrong.endswith("its last FROM is not ${BASE}")


# -- the refusal


def test_a_refusal_tells_a_few_wrongs() -> None:
    refusal = verdict.refusal([f"wrong {n};" for n in range(20)], of_dockerfile=True)
    assert refusal.code == 65
    assert refusal.happened.count("wrong ") == verdict._MOST_TOLD < 20


def test_the_remedy_says_where_things_belong() -> None:
    of_dockerfile = verdict.refusal(["x"], of_dockerfile=True).remedy
    assert all(word in of_dockerfile for word in ("`packages`", "`env`", "/usr/local"))
    assert "package" in verdict.refusal(["x"], of_dockerfile=False).remedy
