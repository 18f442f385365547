"""A bottle's own image on a real engine: what is made of packages and Dockerfiles, and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bottle.core import posture
from bottle.engine.docker import DockerEngine
from bottle.engine.port import Completed
from bottle.errors import Unavailable
from bottle.provision import cache, extra, recipes
from bottle.provision.base import REFERENCE as BASE
from bottle.provision.extra import NAME, Extra
from bottle.provision.machine import ThisMachine
from bottle.provision.verdict import ImageRefused
from tests.support import bottles, ground
from tests.support.fake_engine import until
from tests.unit.provision.fakes import FakeProgress

FROM = "ARG BASE\nFROM ${BASE}\n"
ACCEPTED = f"""{FROM}
RUN echo hello >/opt/hello && useradd --system somebody
RUN install -m 0755 /bin/true /usr/local/bin/it
WORKDIR /srv
CMD ["it"]
"""
WEAKENED = {
    "echo home = /opt >/usr/pyvenv.cfg": "/usr/pyvenv.cfg is of the bottle's guard",
    "chmod 4755 /usr/local/bin/lent": "/usr/local/bin/lent is setuid or setgid",
    "chmod 2755 /usr/local/bin/shared": "/usr/local/bin/shared is setuid or setgid",
    "python3 -c \"import os; os.setxattr('/usr/local/bin/able', 'security.capability', "
    "bytes.fromhex('0100000200200000000000000000000000000000'))\"": "able has a capability",
    "rm /opt/bottle/hold": "/opt/bottle/.wh.hold is of the bottle's guard",
    "cp /bin/true /opt/bottle/enter": "/opt/bottle/enter is of the bottle's guard",
    "rm -r /etc/claude-code": "/etc/.wh.claude-code is of the bottle's guard",
    "cp /bin/true /usr/bin/tini": "/usr/bin/tini is of the bottle's guard",
    "echo 60101:x:0:0::/:/bin/sh >>/etc/passwd": "/etc/passwd has not the accounts",
}
"""Command to what is said of it; each is one layer of one image."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    """The engine, a cache of the tests' own, and no image of them left at the end."""
    engine = bottles.need()
    before = set(_images())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield engine
    for name in set(_images()) - before:
        engine.remove_image(name)


def _images() -> list[str]:
    listing = ["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", NAME]
    return ThisMachine().run(listing).output.decode().split()


@pytest.fixture(scope="module")
def agent(engine: DockerEngine) -> str:
    """The identity of the agent's image."""
    (name,) = (recipe.reference for recipe in recipes.RECIPES if recipe.name == "agent")
    image = engine.image(name)
    assert image is not None
    return image.identity


Make = Callable[[Extra], str]


@pytest.fixture(scope="module")
def make(engine: DockerEngine, agent: str) -> Make:
    """Give what builds an image and gives its identity."""
    return lambda wanted: extra.build(engine, FakeProgress(), wanted, agent)


def _run(engine: DockerEngine, image: str, *command: str) -> Completed:
    flags = ("--network=none", "--runtime=runc", "--user=60102:60102", "--label=claude-bottle=x")
    return engine.run_once(image, command[1:], flags=(*flags, f"--entrypoint={command[0]}"))


# -- packages

PACKAGES = Extra(packages=("hello", "iputils-ping", "sudo"))
"""A plain program, one that has a capability, and one that is setuid."""


@pytest.fixture(scope="module")
def packaged(make: Make) -> str:
    return make(PACKAGES)


class TestPackages:
    def test_the_programs_are_there(self, engine: DockerEngine, packaged: str) -> None:
        assert _run(engine, packaged, "hello").output == b"Hello, world!\n"
        assert _run(engine, packaged, "sudo", "--version").errors.startswith(b"sudo: ")
        assert _run(engine, packaged, "ping", "-V").code == 0

    def test_none_of_them_lends_rights(self, engine: DockerEngine, packaged: str) -> None:
        assert _run(
            engine, packaged, "find", "/", "-xdev", "-type", "f", "-perm", "/6000"
        ).output == (b"")
        script = "import os; print(os.listxattr('/usr/bin/ping'), os.path.exists('/usr/bin/sudo'))"
        assert _run(engine, packaged, "python3", "-c", script).output == b"[] True\n"

    def test_no_source_of_packages_is_named(self, engine: DockerEngine, packaged: str) -> None:
        script = "find /etc/apt/sources.list /etc/apt/sources.list.d /debs -type f 2>/dev/null"
        assert _run(engine, packaged, "sh", "-c", script).output == b""

    def test_it_is_found_again(
        self, engine: DockerEngine, agent: str, packaged: str, make: Make
    ) -> None:
        assert extra.present(engine, PACKAGES, agent) == packaged == make(PACKAGES)
        assert extra.present(engine, Extra(packages=("hello",)), agent) is None

    def test_a_name_that_debian_does_not_know_is_told(self, make: Make) -> None:
        with pytest.raises(Unavailable, match="Debian trixie has no package no-such-thing"):
            make(Extra(packages=("hello", "no-such-thing")))


# -- Dockerfiles


@pytest.fixture(scope="module")
def accepted(packaged: str, make: Make) -> str:
    """An image of packages and a Dockerfile."""
    assert packaged
    return make(Extra(packages=PACKAGES.packages, dockerfile=ACCEPTED.encode()))


class TestDockerfile:
    def test_what_it_says_is_there_beside_the_packages(
        self, engine: DockerEngine, accepted: str
    ) -> None:
        assert _run(engine, accepted, "cat", "/opt/hello").output == b"hello\n"
        assert _run(engine, accepted, "it").code == 0
        assert _run(engine, accepted, "hello").code == 0

    def test_it_starts_with_the_posture_of_the_plan(
        self, engine: DockerEngine, accepted: str
    ) -> None:
        facts = engine.image(accepted)
        assert facts is not None
        with ground.ground() as made:
            container = replace(made.plan.keeper, image=accepted)
            wanted = posture.of_container(container)

            def differs() -> tuple[posture.Difference, ...]:
                seen = engine.inspect_container(container.name)
                return posture.diff("agent", wanted, seen, facts.labels)

            with made.running(container):
                until(lambda: not differs(), 10)  # it is being started

    def test_a_build_that_fails_is_told_and_leaves_nothing(
        self, engine: DockerEngine, make: Make, agent: str
    ) -> None:
        wanted = Extra(dockerfile=f"{FROM}RUN echo so sorry >&2 && exit 3\n".encode())
        with pytest.raises(Unavailable, match="so sorry") as error:
            make(wanted)
        assert "Dockerfile" in error.value.remedy
        assert extra.present(engine, wanted, agent) is None
        left = ["docker", "ps", "--all", "--quiet", f"--filter=ancestor={agent}"]
        left += ["--filter=status=exited"]
        assert ThisMachine().run(left).output == b""


def _refused(make: Make, text: str) -> str:
    """Build, and give why the image was refused."""
    before = _images()
    with pytest.raises(ImageRefused) as error:
        make(Extra(dockerfile=text.encode()))
    assert sorted(_images()) == sorted(before)
    return error.value.happened


class TestRefused:
    def test_each_layer_that_weakens_a_wall(self, make: Make) -> None:
        lent = [f"install -m 0755 /bin/true /usr/local/bin/{n}" for n in ("lent", "shared", "able")]
        text = FROM + "".join(f"RUN {command}\n" for command in (*lent, *WEAKENED))
        said = _refused(make, text)
        assert [reason for reason in WEAKENED.values() if reason not in said] == []

    @pytest.mark.parametrize(
        ("line", "word"),
        [
            ("ENV LD_PRELOAD=/opt/x.so", "ENV"),
            ("VOLUME /srv", "VOLUME"),
            ("ONBUILD RUN true", "ONBUILD"),
            ('ENTRYPOINT ["/bin/true"]', "ENTRYPOINT"),
            ("EXPOSE 80", "EXPOSE"),
            ("HEALTHCHECK --interval=1s CMD true", "HEALTHCHECK"),
            ('SHELL ["/bin/bash", "-c"]', "SHELL"),
            ("LABEL claude-bottle=another", "LABEL"),
        ],
    )
    def test_each_instruction_that_no_bottle_takes_over(
        self, make: Make, line: str, word: str
    ) -> None:
        assert f"it sets {word}" in _refused(make, f"{FROM}{line}\n").replace(" a LABEL", " LABEL")

    def test_another_image_below(self, make: Make) -> None:
        text = f"{FROM.rstrip()} AS first\nFROM {BASE}\nCOPY --from=first /opt /opt\n"
        assert "its last FROM is not ${BASE}" in _refused(make, text)


def test_the_record_is_in_the_cache(accepted: str, packaged: str) -> None:
    records = [path.read_text() for path in Path(cache.folder() / "judged").iterdir()]
    assert {accepted, packaged} == set(records)
