"""Extra: what is built upon the agent's image, in which order, and what of it is refused."""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, cast

import pytest

from bottle.engine.port import Completed, Engine, ImageFacts
from bottle.errors import Unavailable
from bottle.provision import base, cache, extra, packages
from bottle.provision.extra import LABEL, NAME, Extra
from bottle.provision.verdict import ImageRefused
from tests.unit.provision.fakes import FakeMachine, FakeProgress, done

AGENT = "claude-bottle/agent:current"
AGENT_ID = "sha256:" + "a" * 64
OTHER_ID = "sha256:" + "b" * 64
BELOW = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
CONFIG: Mapping[str, object] = {"Env": ["PATH=/bin"], "Entrypoint": ["tini"], "Volumes": None}
LABELS = {"claude-bottle.digest": "x", base.SOURCE_LABEL: "debian@sha256:1"}
DOCKERFILE = b"ARG BASE\nFROM ${BASE}\nRUN true\n"


def layer(name: str, mode: int = 0o755) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.mode = mode
        tar.addfile(member)
    return stream.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Built:
    """One build that was asked for."""

    reference: str
    base: str
    network: bool
    files: Mapping[str, bytes]


@dataclass
class FakeEngine:
    """An engine with the agent's image, whose builds add one layer to what they are built upon."""

    images: dict[str, ImageFacts] = field(default_factory=dict)
    built: list[Built] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    made: Callable[[ImageFacts], ImageFacts] = lambda image: image
    """What a Dockerfile makes of the image beyond its layer."""
    change: bytes = field(default_factory=lambda: layer("opt/tool"))
    """The layer that a build adds."""
    contents: dict[str, bytes] = field(default_factory=dict)
    """The content of each layer that a build added."""
    failure: Exception | None = None
    status: Completed = field(default_factory=lambda: done("Package: libc6\n"))
    saves: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def have(self, reference: str, identity: str) -> None:
        self.images[reference] = ImageFacts(
            reference=reference,
            identity=identity,
            labels=LABELS,
            layers=BELOW,
            config=CONFIG,
        )

    def image(self, reference: str) -> ImageFacts | None:
        return self.images.get(reference)

    def build(
        self,
        context: Path,
        reference: str,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        fresh: bool,
        network: bool = False,
    ) -> None:
        assert arguments.keys() == {"BASE"}
        assert not fresh
        below = self.images[arguments["BASE"]]
        files = {p.relative_to(context).as_posix(): p for p in context.rglob("*") if p.is_file()}
        content = {name: path.read_bytes() for name, path in files.items()}
        self.built.append(Built(reference, arguments["BASE"], network, content))
        if self.failure:
            raise self.failure
        added = digest(self.change)
        self.contents[added] = self.change
        self.images[reference] = self.made(
            replace(
                below,
                reference=reference,
                identity=f"sha256:{next(self.numbers):064x}",
                labels={**below.labels, **labels},
                layers=(*below.layers, added),
            )
        )

    @contextmanager
    def saved(self, reference: str) -> Iterator[IO[bytes]]:
        self.saves += 1
        (image,) = (i for i in self.images.values() if i.identity == reference)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for number, name in enumerate(image.layers):
                content = self.contents.get(name, b"")
                member = tarfile.TarInfo(f"{number}/layer.tar")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        stream.seek(0)
        yield stream

    def run_once(self, image: str, command: Sequence[str], *, flags: Sequence[str]) -> Completed:
        assert image == self.images[AGENT].identity
        assert tuple(command) == (packages.STATUS,)
        assert {"--network=none", "--cap-drop=ALL", "--entrypoint=cat"} <= set(flags)
        return self.status

    def tagged(self, label: str) -> tuple[str, ...]:
        name, _, text = label.partition("=")
        return tuple(r for r, image in self.images.items() if image.labels.get(name) == text)

    def remove_image(self, reference: str) -> None:
        self.removed.append(reference)
        self.images.pop(reference, None)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine with the agent's image, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = FakeEngine()
    made.have(AGENT, AGENT_ID)
    return made


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], bytes]]:
    """What was fetched: names, and the status that it was fetched for."""
    found = []

    def fetch(
        _engine: object,
        _machine: object,
        _progress: object,
        names: Sequence[str],
        status: bytes,
        into: Path,
    ) -> None:
        found.append((tuple(names), status))
        for name in names:
            (into / f"{name}_1.deb").write_bytes(b"deb")

    monkeypatch.setattr(base, "fetch", fetch)
    return found


def build(engine: FakeEngine, wanted: Extra, agent: str = AGENT_ID) -> str:
    return extra.build(cast("Engine", engine), FakeProgress(), wanted, agent, FakeMachine())


def present(engine: FakeEngine, wanted: Extra, agent: str = AGENT_ID) -> str | None:
    return extra.present(cast("Engine", engine), wanted, agent)


PACKAGES, TEXT = Extra(packages=("make", "jq")), Extra(dockerfile=DOCKERFILE)
BOTH = Extra(packages=("make", "jq"), dockerfile=DOCKERFILE)


# -- names


def test_another_part_gives_another_name() -> None:
    parts = [PACKAGES, TEXT, BOTH, Extra(packages=("jq",)), Extra(dockerfile=DOCKERFILE + b"\n")]
    names = {extra.reference(part, agent) for part in parts for agent in (AGENT_ID, OTHER_ID)}
    assert len(names) == 10
    assert all(name.startswith(f"{NAME}:") and len(name) == len(NAME) + 25 for name in names)


def test_the_order_of_packages_says_nothing() -> None:
    same = Extra(packages=("jq", "make", "jq"))
    assert extra.reference(same, AGENT_ID) == extra.reference(PACKAGES, AGENT_ID)


def test_nothing_more_is_the_agents_image(engine: FakeEngine) -> None:
    assert present(engine, Extra()) == build(engine, Extra()) == AGENT_ID
    assert (engine.built, engine.saves) == ([], 0)


# -- what is built


def test_packages_are_installed_without_network(
    engine: FakeEngine, fetched: list[tuple[tuple[str, ...], bytes]]
) -> None:
    identity = build(engine, PACKAGES)
    (made,) = engine.built
    assert (made.base, made.network) == (AGENT, False)
    assert made.files == {
        "Dockerfile": extra.PACKAGES_DOCKERFILE.encode(),
        "debs/jq_1.deb": b"deb",
        "debs/make_1.deb": b"deb",
    }
    assert fetched == [(("jq", "make"), b"Package: libc6\n")]
    assert present(engine, PACKAGES) == identity != AGENT_ID


def test_a_dockerfile_is_built_alone_and_with_the_network(engine: FakeEngine) -> None:
    identity = build(engine, TEXT)
    (made,) = engine.built
    assert (made.base, made.network, made.files) == (AGENT, True, {"Dockerfile": DOCKERFILE})
    assert present(engine, TEXT) == identity


def test_a_dockerfile_is_built_upon_the_packages(engine: FakeEngine) -> None:
    identity = build(engine, BOTH)
    first, second = engine.built
    assert (first.base, first.network) == (AGENT, False)
    assert (second.base, second.network) == (first.reference, True)
    assert first.reference == extra.reference(PACKAGES, AGENT_ID)
    assert present(engine, BOTH) == identity
    assert present(engine, PACKAGES) == engine.images[first.reference].identity


def test_what_is_there_is_built_and_judged_once(engine: FakeEngine) -> None:
    identity = build(engine, BOTH)
    assert build(engine, BOTH) == identity
    assert (len(engine.built), engine.saves) == (2, 2)
    build(engine, Extra(packages=BOTH.packages, dockerfile=DOCKERFILE + b"RUN false\n"))
    assert len(engine.built) == 3


def test_of_another_agent_image_by_now_nothing_is_built(engine: FakeEngine) -> None:
    with pytest.raises(Unavailable, match="another one by now"):
        build(engine, PACKAGES, OTHER_ID)
    engine.images.clear()
    with pytest.raises(Unavailable, match="another one by now"):
        build(engine, TEXT)
    assert engine.built == []


def test_an_agents_image_that_tells_nothing_gets_no_packages(engine: FakeEngine) -> None:
    engine.status = done(errors="no such file", code=1)
    with pytest.raises(Unavailable, match="does not tell what it has: no such file"):
        build(engine, PACKAGES)
    engine.status = done()
    with pytest.raises(Unavailable, match="does not tell what it has"):
        build(engine, PACKAGES)
    assert engine.built == []


def test_a_build_that_fails_leaves_nothing_on_record(engine: FakeEngine) -> None:
    engine.failure = Unavailable("it failed", "look")
    with pytest.raises(Unavailable, match="it failed"):
        build(engine, TEXT)
    assert present(engine, TEXT) is None


# -- what was judged


def test_an_image_of_that_name_that_nobody_judged_is_not_it(engine: FakeEngine) -> None:
    engine.have(extra.reference(TEXT, AGENT_ID), OTHER_ID)
    assert present(engine, TEXT) is None


def test_another_image_under_the_name_of_a_judged_one_is_not_it(engine: FakeEngine) -> None:
    build(engine, TEXT)
    engine.have(extra.reference(TEXT, AGENT_ID), OTHER_ID)
    assert present(engine, TEXT) is None
    assert build(engine, TEXT) != OTHER_ID


def test_a_record_without_its_image_is_nothing(engine: FakeEngine) -> None:
    build(engine, TEXT)
    del engine.images[extra.reference(TEXT, AGENT_ID)]
    assert present(engine, TEXT) is None


def test_the_record_is_its_owners_alone(engine: FakeEngine) -> None:
    identity = build(engine, TEXT)
    (record,) = (cache.folder() / "judged").iterdir()
    assert record.read_text() == identity
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_made_upon_an_older_agent_image_goes(engine: FakeEngine) -> None:
    build(engine, BOTH)
    old = [built.reference for built in engine.built]
    build(engine, other := Extra(packages=("tree",)))
    engine.have(AGENT, OTHER_ID)
    engine.have("somebody/else:1", OTHER_ID)
    engine.images["somebody/else:1"] = replace(
        engine.images["somebody/else:1"], labels={LABEL: BOTH.key}
    )
    identity = build(engine, BOTH, OTHER_ID)
    assert sorted(engine.removed) == sorted(old)
    assert present(engine, BOTH, OTHER_ID) == identity
    assert extra.reference(other, AGENT_ID) in engine.images
    assert len(list((cache.folder() / "judged").iterdir())) == 3


def test_what_lost_its_name_goes_too(engine: FakeEngine) -> None:
    machine, progress = FakeMachine(), FakeProgress()
    extra.build(cast("Engine", engine), progress, TEXT, AGENT_ID, machine)
    label = f"--filter=label={LABEL}={TEXT.key}"
    assert machine.lines == [f"docker image prune --force {label}"]
    name = extra.reference(TEXT, AGENT_ID)
    assert progress.steps == [f"build {name}", "read what the image changes"]


# -- what is refused


@pytest.mark.parametrize("text", [b"# syntax=x\n" + DOCKERFILE, b"FROM debian\n"])
def test_what_its_text_tells_is_refused_before_a_build(engine: FakeEngine, text: bytes) -> None:
    with pytest.raises(ImageRefused):
        build(engine, Extra(packages=("jq",), dockerfile=text))
    assert engine.built == []


def refused(engine: FakeEngine, wanted: Extra = TEXT) -> str:
    """Build, and give why the image was refused: it must be gone, and not on record."""
    name = extra.reference(wanted, AGENT_ID)
    with pytest.raises(ImageRefused) as error:
        build(engine, wanted)
    assert error.value.code == 65
    assert engine.removed == [name]
    assert present(engine, wanted) is None
    return error.value.happened


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"config": {**CONFIG, "Env": ["PATH=/bin", "LD_PRELOAD=/opt/x"]}}, "sets ENV"),
        ({"labels": {**LABELS, LABEL: "other"}}, "sets a LABEL"),
        ({"layers": ("sha256:3", *BELOW)}, "its last FROM"),
    ],
)
def test_what_its_facts_tell_is_refused_without_its_layers(
    engine: FakeEngine, change: dict[str, Any], word: str
) -> None:
    engine.made = lambda image: replace(image, **change)
    assert word in refused(engine)
    assert engine.saves == 0


def test_an_image_that_adds_no_layer_is_fine(engine: FakeEngine) -> None:
    engine.made = lambda image: replace(image, layers=BELOW)
    assert build(engine, TEXT) == present(engine, TEXT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (layer("opt/tool", 0o4755), "/opt/tool is setuid or setgid"),
        (layer("opt/bottle/enter"), "/opt/bottle/enter is of the bottle's guard"),
        (layer("usr/bin/python3.13"), "/usr/bin/python3.13 is of the bottle's guard"),
    ],
)
def test_a_layer_that_weakens_a_wall_is_refused(
    engine: FakeEngine, change: bytes, reason: str
) -> None:
    engine.change = change
    assert reason in refused(engine)
    assert engine.saves == 1


def test_debians_packages_may_change_debians_programs(engine: FakeEngine) -> None:
    engine.change = layer("usr/bin/python3.13")
    assert build(engine, PACKAGES) == present(engine, PACKAGES)


@pytest.mark.parametrize("name", ["opt/bottle/enter", "usr/local/bin/claude"])
def test_debians_packages_leave_ours_alone(engine: FakeEngine, name: str) -> None:
    engine.change = layer(name)
    assert f"/{name} is of the bottle's guard" in refused(engine, PACKAGES)


def test_a_layer_that_cannot_be_read_is_refused(engine: FakeEngine) -> None:
    unread = "sha256:" + "f" * 64
    engine.made = lambda image: replace(image, layers=(*image.layers, unread))
    assert f"layer {unread} could not be read" in refused(engine)


def test_refused_packages_bear_no_dockerfile(engine: FakeEngine) -> None:
    engine.change = layer("opt/tool", 0o4755)
    with pytest.raises(ImageRefused) as error:
        build(engine, BOTH)
    assert "package" in error.value.remedy
    assert len(engine.built) == 1


def test_our_own_dockerfile_asks_for_nothing_that_the_classic_builder_lacks() -> None:
    text = extra.PACKAGES_DOCKERFILE
    assert text.startswith("ARG BASE\nFROM ${BASE}\n")
    assert not any(word in text for word in ("--chmod", "<<", "--mount", "syntax"))
