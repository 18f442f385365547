"""Base: Debian trixie in its smallest form, pulled or bootstrapped, and the packages for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle.engine.port import Engine
from bottle.engine.process import last_lines
from bottle.errors import TimeLimit, Unavailable
from bottle.provision import apt, cache, packages
from bottle.provision.machine import Machine, without_ours
from bottle.provision.progress import Progress, lively

REFERENCE: Final = "claude-bottle/base:trixie"
SOURCE_LABEL: Final = "claude-bottle.base"
BOOTSTRAPPED: Final = "mmdebstrap"
_PUBLISHED: Final = "debian:trixie-slim"
_PULL_SECONDS: Final = 20
_FETCH_SECONDS: Final = 900
_FORGET: Final = (
    'rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* '
    '"$1"/etc/resolv.conf "$1"/etc/hostname "$1"/var/log/apt "$1"/var/log/dpkg.log'
)
"""What a bootstrap leaves of the machine that it ran on."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """The base image that the engine has."""

    identity: str
    source: str
    """Repository digest of the published image, or `mmdebstrap`."""

    @property
    def debs(self) -> Path:
        """The folder with the packages that were downloaded for this very image."""
        name = f"{self.identity.removeprefix('sha256:')[:16]}-{packages.key()}"
        return cache.folder() / "debs" / name


def current(engine: Engine) -> Base | None:
    """Give the base image that is here, or None."""
    image = engine.image(REFERENCE)
    source = image.labels.get(SOURCE_LABEL, "") if image else ""
    return Base(identity=image.identity, source=source) if image and source else None


def renew(engine: Engine, machine: Machine, progress: Progress, *, install: bool = False) -> Base:
    """Make the base image and download its packages; raise Unavailable when no way works.

    The published image is preferred; where it or its packages cannot be had, Debian is
    bootstrapped by this machine's own mmdebstrap. Only with `install`, which is for a set-up that
    announced it, is that installed where it is missing.
    """
    try:
        return _pulled(engine, progress)
    except (Unavailable, TimeLimit) as error:
        progress.say(f"  {_PUBLISHED} cannot be pulled here: Debian is bootstrapped instead")
        pulling = error
    if not apt.usable(machine):
        raise Unavailable(
            f"{_PUBLISHED} could not be pulled: {pulling.happened}",
            "give the Docker engine a way to its registry, then run this again",
        )
    _require_mmdebstrap(machine, progress, install=install)
    return _bootstrapped(engine, machine, progress)


def _pulled(engine: Engine, progress: Progress) -> Base:
    with lively(progress, f"pull {_PUBLISHED} (at most {_PULL_SECONDS} s)"):
        source = engine.pull(_PUBLISHED, _PULL_SECONDS)
    with cache.workspace(cache.folder()) as context:
        (context / "Dockerfile").write_text("ARG SOURCE\nFROM ${SOURCE}\n")
        labels = {SOURCE_LABEL: source}
        arguments = {"SOURCE": _PUBLISHED}
        engine.build(context, REFERENCE, arguments=arguments, labels=labels, fresh=False)
    base = _made(engine)
    with lively(progress, "download Debian packages"), cache.filling(base.debs) as debs:
        packages.unpack(_downloaded(engine), debs)
        _require_all(debs)
    return base


def _downloaded(engine: Engine) -> bytes:
    """Download in a container of the base: its apt knows best what is missing there."""
    script = "\n".join(
        (
            "exec 3>&1 >&2",
            "apt-get --quiet update",
            packages.download_script("/tmp/debs"),  # noqa: S108  # inside the container
            "tar -C /tmp/debs -cf - . >&3",
        )
    )
    flags = ("--label=claude-bottle=setup", "--runtime=runc", "--no-healthcheck", "--user=0:0")
    done = engine.run_once(REFERENCE, ("sh", "-euc", script), flags=flags, seconds=_FETCH_SECONDS)
    if done.code:
        raise Unavailable(f"no packages came into a container: {last_lines(done.errors)}")
    return done.output


def _bootstrapped(engine: Engine, machine: Machine, progress: Progress) -> Base:
    with cache.workspace(cache.folder()) as room:
        archive = room / "base.tar"
        with lively(progress, "bootstrap Debian and download packages (mmdebstrap)"):
            _mmdebstrap(machine, archive, room / "out")
        with progress.step("import the base image"):
            changes = (f"LABEL {SOURCE_LABEL}={BOOTSTRAPPED}", 'CMD ["/bin/bash"]')
            engine.import_image(archive, REFERENCE, changes)
        base = _made(engine)
        with cache.filling(base.debs) as debs:
            for name in packages.SETS:
                (room / "out" / "debs" / name).rename(debs / name)
            _require_all(debs)
    return base


def _require_mmdebstrap(machine: Machine, progress: Progress, *, install: bool) -> None:
    wanted = ["mmdebstrap"] if machine.find("mmdebstrap") is None else []
    if not machine.exists("/usr/share/keyrings/debian-archive-keyring.gpg"):
        wanted.append("debian-archive-keyring")
    if not machine.root and machine.find("newuidmap") is None:
        wanted.append("uidmap")
    if wanted and not install:
        raise Unavailable(
            f"{' '.join(wanted)}: missing here, and Debian cannot be bootstrapped without",
            "run ./setup, which installs them where images are missing, or install them yourself",
        )
    if wanted:
        apt.install(machine, progress, wanted, apt.update(machine, progress))


def bootstrap_command(archive: Path, out: Path) -> tuple[str, ...]:
    """Give the one mmdebstrap run that makes the archive and downloads every set of packages."""
    script = "\n".join(
        (
            "set -eu",
            'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; export APT_CONFIG',
            packages.download_script('"$1"/debs'),
        )
    )
    hooks = (script, f"copy-out /debs {out}", f'rm -rf "$1"/debs; {_FORGET}')
    words = [f"--customize-hook={hook}" for hook in hooks]
    return ("mmdebstrap", "--variant=minbase", "--quiet", *words, "trixie", str(archive))


def _mmdebstrap(machine: Machine, archive: Path, out: Path) -> None:
    """Run it in /var/tmp: /tmp is often mounted so that devices cannot be made there."""
    out.mkdir()
    environment = {**without_ours(machine.environment), "TMPDIR": "/var/tmp"}  # noqa: S108  # see above
    done = machine.run(
        bootstrap_command(archive, out), seconds=_FETCH_SECONDS, environment=environment
    )
    if done.code:
        raise Unavailable(
            f"Debian could not be bootstrapped: {last_lines(done.errors)}",
            "check that this machine reaches a Debian mirror, then run this again",
        )


def _made(engine: Engine) -> Base:
    base = current(engine)
    if base is None:
        raise Unavailable(f"the image {REFERENCE} is not there although it was just made")
    return base


def _require_all(debs: Path) -> None:
    if not packages.complete(debs):
        raise Unavailable("a set of Debian packages came out empty")
