"""Verdict: why a bottle's own image must not be used, by its Dockerfile's text and its facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bottle.engine.port import ImageFacts
from bottle.errors import BottleError

_OUR_LABELS: Final = "claude-bottle"
_MOST_TOLD: Final = 12
_SYNTAX: Final = re.compile(r"(?i)[\s\ufeff]*+(?:#|//)\s*+syntax\s*+=")
"""A directive that lets a builder pull a program which reads the rest."""
_FROM_BASE: Final = re.compile(r"""(?i)\s*+FROM\s++(?:--\S++\s++)*+["']?\$(?:BASE\b|\{BASE\})""")
_FREE: Final = frozenset(
    {"ArgsEscaped", "Cmd", "Image", "Labels", "StopSignal", "User", "WorkingDir"}
)
"""Fields of an image's configuration that a bottle's containers set themselves, or ignore."""
_INSTRUCTIONS: Final = {
    "Env": "ENV",
    "Entrypoint": "ENTRYPOINT",
    "ExposedPorts": "EXPOSE",
    "Healthcheck": "HEALTHCHECK",
    "OnBuild": "ONBUILD",
    "Shell": "SHELL",
    "Volumes": "VOLUME",
}
_CORRECT: Final = (
    "correct the Dockerfile: Debian packages belong into `packages`, variables into `env` of the "
    "bottle, other programs into /usr/local or /opt"
)


class ImageRefused(BottleError):
    """A bottle's own image would weaken a wall, or could not start; nothing of it was run."""

    code = 65


def refusal(wrongs: Sequence[str], *, of_dockerfile: bool) -> ImageRefused:
    """Tell the first wrongs of an image, and what to do about a Dockerfile or packages."""
    told = "\n".join(f"  {wrong}" for wrong in wrongs[:_MOST_TOLD])
    remedy = _CORRECT if of_dockerfile else "leave out the package that does this"
    return ImageRefused(f"the bottle's own image is refused:\n{told}", remedy)


def refuse_text(dockerfile: bytes) -> None:
    """Raise ImageRefused for what can be seen before anything is built; empty text is none."""
    text = dockerfile.decode(errors="replace")
    lines = text.split("\n")
    is_json = text.lstrip("\ufeff \t\r\n\v\f").startswith("{")  # which a builder takes as well
    if is_json or any(map(_SYNTAX.match, lines)):
        raise ImageRefused(
            "the Dockerfile has a `syntax` line, by which a builder pulls another program",
            "leave the line out",
        )
    if dockerfile and not any(map(_FROM_BASE.match, lines)):
        raise ImageRefused(
            "the Dockerfile does not build upon the agent's image",
            "begin it with `ARG BASE` and `FROM ${BASE}`",
        )


def of_facts(made: ImageFacts, below: ImageFacts, labels: Mapping[str, str]) -> Iterator[str]:
    """Give what is wrong about an image that was built upon another with our `labels`.

    A container of it must report what one of the image below reports: the posture of a bottle
    knows no more, and would end each start.
    """
    for field in sorted((made.config.keys() | below.config.keys()) - _FREE):
        found, wanted = made.config.get(field), below.config.get(field)
        if found != wanted and (found or wanted):
            yield f"it sets {_INSTRUCTIONS.get(field, field)}, which no bottle takes over"
    if _ours(made) != {**_ours(below), **labels}:
        yield "it sets a LABEL of claude-bottle's own"
    if not below.layers or made.layers[: len(below.layers)] != below.layers:
        yield "it is not built upon the agent's image: its last FROM is not ${BASE}"


def _ours(image: ImageFacts) -> dict[str, str]:
    return {name: text for name, text in image.labels.items() if name.startswith(_OUR_LABELS)}
