"""Extra: an agent's image with a bottle's own packages or Dockerfile, judged before it is used.

Its packages come from Debian, as the agent's own do. Its Dockerfile is a stranger's: what that made
is read from outside and refused when it weakens a wall, and no program of it runs for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bottle.engine.port import Engine, ImageFacts
from bottle.engine.process import last_lines
from bottle.errors import Unavailable
from bottle.provision import base as bases
from bottle.provision import cache, layers, packages, recipes, verdict
from bottle.provision.machine import Machine, ThisMachine
from bottle.provision.progress import Progress, lively

LABEL: Final = "claude-bottle.extra"
NAME: Final = "claude-bottle/agent-extra"
_FORMAT: Final = "extra 1"
"""Changes when the way an image is built or judged changes: then each is made anew."""

PACKAGES_DOCKERFILE: Final = r"""ARG BASE
FROM ${BASE}
COPY debs/ /debs/
# No service starts by being installed, then and later; no file lends rights to who runs it.
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \
    && set -- /debs/*.deb \
    && if [ -e "$1" ]; then \
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; \
    fi \
    && rm -rf /debs /var/lib/apt/lists/* /etc/apt/sources.list /etc/apt/sources.list.d/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && find / -xdev -type f -exec python3 -ISc 'import os, sys; \
[os.removexattr(p, n) for p in sys.argv[1:] for n in os.listxattr(p) \
if n == "security.capability"]' {} +
"""


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What a bottle adds to the agent's image."""

    packages: tuple[str, ...] = ()
    """Names of Debian packages."""
    dockerfile: bytes = b""
    """The text of the user's Dockerfile; empty for none."""

    def __bool__(self) -> bool:
        return bool(self.packages or self.dockerfile)

    @property
    def key(self) -> str:
        """SHA-256 of what is added, whatever it is added to."""
        names = " ".join(sorted(set(self.packages)))
        content = hashlib.sha256(self.dockerfile).hexdigest()
        return hashlib.sha256(f"packages {names}\ndockerfile {content}\n".encode()).hexdigest()

    def steps(self) -> Iterator[Extra]:
        """Give the images that are built one upon the other; the last one is this."""
        if self.packages:
            yield replace(self, dockerfile=b"")
        if self.dockerfile:
            yield self


def reference(extra: Extra, agent_image: str) -> str:
    """Name the image that is made of exactly this upon exactly this agent image, an identity."""
    made_of = f"{_FORMAT}\nagent {agent_image}\nextra {extra.key}\n"
    return f"{NAME}:{hashlib.sha256(made_of.encode()).hexdigest()[:24]}"


def present(engine: Engine, extra: Extra, agent_image: str) -> str | None:
    """Give the identity of the image, when it is here and is the one that was judged; else None."""
    if not extra:
        return agent_image
    made = _judged(engine, reference(extra, agent_image))
    return made.identity if made else None


def build(
    engine: Engine,
    progress: Progress,
    extra: Extra,
    agent_image: str,
    machine: Machine | None = None,
) -> str:
    """Build what is missing, judge it, and give the image's identity.

    A Dockerfile's commands reach the engine's default network: ask the person before. Raise
    ImageRefused for an image that must not be used, which is then removed, and Unavailable when
    a package, the network or a build fails.
    """
    here = machine or ThisMachine()
    verdict.refuse_text(extra.dockerfile)
    with cache.alone(cache.folder()):
        image = _agent(engine, agent_image)
        for step in extra.steps():
            image = _step(engine, here, progress, step, agent_image, image)
    return image.identity


def _agent(engine: Engine, identity: str) -> ImageFacts:
    """Find the agent's image by its name: a builder takes no identity."""
    name = next(recipe.reference for recipe in recipes.RECIPES if recipe.name == "agent")
    found = engine.image(name)
    if found is None or found.identity != identity:
        raise Unavailable(f"the image {name} is another one by now", "run this again")
    return found


def _step(
    engine: Engine,
    machine: Machine,
    progress: Progress,
    extra: Extra,
    agent_image: str,
    below: ImageFacts,
) -> ImageFacts:
    name = reference(extra, agent_image)
    found = _judged(engine, name)
    if found:
        return found
    with cache.workspace(cache.folder()) as context:
        _lay_out(engine, machine, progress, extra, below, context)
        with lively(progress, f"build {name}"):
            engine.build(
                context,
                name,
                arguments={"BASE": below.reference},
                labels={LABEL: extra.key},
                fresh=False,
                network=bool(extra.dockerfile),
            )
    made = engine.image(name)
    if made is None:
        raise Unavailable(f"the image {name} is not there although it was just made")
    _judge(engine, progress, extra, made, below)
    _remember(made)
    _remove_stale(engine, machine, extra, name)
    return made


def _lay_out(
    engine: Engine,
    machine: Machine,
    progress: Progress,
    extra: Extra,
    below: ImageFacts,
    context: Path,
) -> None:
    """Put a build's files into its context: the Dockerfile alone, or ours and its packages."""
    (context / "Dockerfile").write_bytes(extra.dockerfile or PACKAGES_DOCKERFILE.encode())
    if not extra.dockerfile:
        (context / "debs").mkdir()
        names, status = sorted(set(extra.packages)), _status(engine, below)
        bases.fetch(engine, machine, progress, names, status, context / "debs")
    cache.make_readable(context)


_READS: Final = (
    "--label=claude-bottle=setup",
    "--runtime=runc",
    "--network=none",
    "--user=60100:60100",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--no-healthcheck",
    "--entrypoint=cat",
)


def _status(engine: Engine, agent: ImageFacts) -> bytes:
    """Read what is installed in the agent's image, which is our own, from within."""
    done = engine.run_once(agent.identity, (packages.STATUS,), flags=_READS)
    if done.code or not done.output:
        raise Unavailable(f"the agent's image does not tell what it has: {last_lines(done.errors)}")
    return done.output


# -- judgement


def _judge(
    engine: Engine, progress: Progress, extra: Extra, made: ImageFacts, below: ImageFacts
) -> None:
    """Remove an image that must not be used, and raise ImageRefused with the reasons.

    Its layers, which take seconds to read, are of no interest when it is refused without them.
    """
    wrongs = [*verdict.of_facts(made, below, {LABEL: extra.key})]
    if not wrongs:
        with lively(progress, "read what the image changes"):
            wrongs += _of_layers(engine, extra, made, made.layers[len(below.layers) :])
    if wrongs:
        engine.remove_image(made.reference)
        raise verdict.refusal(wrongs, of_dockerfile=bool(extra.dockerfile))


def _of_layers(
    engine: Engine, extra: Extra, made: ImageFacts, added: tuple[str, ...]
) -> Iterator[str]:
    guard = layers.SYSTEM if extra.dockerfile else layers.OURS
    with engine.saved(made.identity) as archive:
        read = layers.read(archive, guard)
    for layer in dict.fromkeys(added):
        yield from read.get(layer, (f"layer {layer} could not be read",))


# -- what was judged


def _judged(engine: Engine, name: str) -> ImageFacts | None:
    """Give the image of this name when its identity is on record."""
    image = engine.image(name)
    record = _record(name)
    known = record.read_text() if image and record.is_file() else ""
    return image if image and known == image.identity else None


def _record(name: str) -> Path:
    """Give the file that holds the identity: outside the image, whose labels a Dockerfile sets."""
    return cache.folder() / "judged" / name.rpartition(":")[2]


def _remember(image: ImageFacts) -> None:
    place = _record(image.reference)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = place.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(image.identity)
    fresh.replace(place)


def _remove_stale(engine: Engine, machine: Machine, extra: Extra, name: str) -> None:
    """Remove what was built of the same upon older agent images, and what lost its name."""
    label = f"{LABEL}={extra.key}"
    for old in engine.tagged(label):
        if old.startswith(f"{NAME}:") and old != name:
            engine.remove_image(old)
            _record(old).unlink(missing_ok=True)
    machine.run(["docker", "image", "prune", "--force", f"--filter=label={label}"], seconds=120)
