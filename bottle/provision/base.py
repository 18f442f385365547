"""Base: Debian trixie in its smallest form, pulled or bootstrapped, and the packages for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bottle.engine.port import Completed, Engine
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
_DEBS: Final = "/tmp/debs"  # noqa: S108  # inside the container
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
        done = _downloaded(engine, packages.download_script(_DEBS))
        if done.code:
            raise Unavailable(f"no packages came into a container: {last_lines(done.errors)}")
        packages.unpack(done.output, debs)
        _require_all(debs)
    return base


def _downloaded(engine: Engine, script: str, status: bytes = b"") -> Completed:
    """Download in a container of the base: its apt knows best what is missing there.

    With another system's `status` it is that system's apt, as far as this goes.
    """
    first = f"cat >{packages.STATUS}" if status else ":"
    last = f"tar -C {_DEBS} -cf - . >&3"
    lines = ("exec 3>&1 >&2", first, "apt-get --quiet update", script, last)
    command = ("sh", "-euc", "\n".join(lines))
    flags = ("--label=claude-bottle=setup", "--runtime=runc", "--no-healthcheck", "--user=0:0")
    return engine.run_once(REFERENCE, command, flags=flags, stdin=status, seconds=_FETCH_SECONDS)


def fetch(
    engine: Engine,
    machine: Machine,
    progress: Progress,
    names: Sequence[str],
    status: bytes,
    into: Path,
) -> None:
    """Put packages into `into`, with all that they need beyond a system made of this base.

    `status` is that system's own record of what is installed (packages.STATUS). They come the
    way that the base came. Raise Unavailable when a package is not known, or nothing comes.
    """
    base = current(engine)
    if base is None:
        raise Unavailable("the images are not built yet", "run ./setup")
    here = base.source == BOOTSTRAPPED
    if here:
        _require_mmdebstrap(machine, progress, install=False)
    with cache.workspace(cache.folder()) as room:
        with lively(progress, f"download {' '.join(names)}"):
            done = (
                _fetched_here(machine, names, status, room)
                if here
                else _fetched_inside(engine, names, status, room)
            )
        _require_known(names, done)
        for package in (room / "debs" / packages.EXTRA).glob("*.deb"):
            package.rename(into / package.name)


def _fetched_inside(engine: Engine, names: Sequence[str], status: bytes, room: Path) -> Completed:
    done = _downloaded(engine, packages.extra_script(_DEBS, names), status)
    if not done.code:
        (room / "debs").mkdir()
        packages.unpack(done.output, room / "debs", (packages.EXTRA,))
    return done


def _fetched_here(machine: Machine, names: Sequence[str], status: bytes, room: Path) -> Completed:
    (room / "status").write_bytes(status)
    (room / "status").chmod(0o644)
    return _run_mmdebstrap(machine, fetch_command(names, room / "status", room))


def fetch_command(names: Sequence[str], status: Path, out: Path) -> tuple[str, ...]:
    """Give the mmdebstrap run that installs nothing and downloads packages into `out`/debs."""
    script = _in_apts_place(packages.extra_script('"$1"/debs', names))
    copy_in = f"copy-in {status} {Path(packages.STATUS).parent}"
    words = [f"--customize-hook={hook}" for hook in (copy_in, script, f"copy-out /debs {out}")]
    flags = ("--variant=custom", "--format=null", "--quiet")
    return ("mmdebstrap", *flags, *words, "trixie", "/dev/null")


def _require_known(names: Sequence[str], done: Completed) -> None:
    if not done.code:
        return
    name = packages.unknown(done.errors)
    if name in names:
        raise Unavailable(
            f"Debian trixie has no package {name}",
            "correct the name in the manifest's `packages`, or leave it out",
        )
    raise Unavailable(
        f"{' '.join(names)}: could not be downloaded: {last_lines(done.errors)}",
        "check that this machine reaches a Debian mirror, then run this again",
    )


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
    script = _in_apts_place(packages.download_script('"$1"/debs'))
    hooks = (script, f"copy-out /debs {out}", f'rm -rf "$1"/debs; {_FORGET}')
    words = [f"--customize-hook={hook}" for hook in hooks]
    return ("mmdebstrap", "--variant=minbase", "--quiet", *words, "trixie", str(archive))


def _in_apts_place(script: str) -> str:
    """Give a hook in which this machine's apt works on the system that is bootstrapped."""
    return f'set -eu\nAPT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; export APT_CONFIG\n{script}'


def _run_mmdebstrap(machine: Machine, command: Sequence[str]) -> Completed:
    """Run it in /var/tmp: /tmp is often mounted so that devices cannot be made there."""
    environment = {**without_ours(machine.environment), "TMPDIR": "/var/tmp"}  # noqa: S108  # see above
    return machine.run(command, seconds=_FETCH_SECONDS, environment=environment)


def _mmdebstrap(machine: Machine, archive: Path, out: Path) -> None:
    out.mkdir()
    done = _run_mmdebstrap(machine, bootstrap_command(archive, out))
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
