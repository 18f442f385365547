"""Layers: each way to weaken a bottle's guard by a layer is found, in both kinds of archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from bottle.core.slot import SLOTS, Slot
from bottle.provision import layers
from bottle.provision.layers import OURS, SYSTEM, Guard

ROOT = Path(__file__).parents[3]
AGENT = ROOT / "images" / "agent"


def member(
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    kind: bytes = tarfile.REGTYPE,
    capable: bool = False,
) -> tuple[tarfile.TarInfo, bytes]:
    described = tarfile.TarInfo(name)
    described.size, described.mode, described.type = len(content), mode, kind
    described.pax_headers = {"SCHILY.xattr.security.capability": "\x01"} if capable else {}
    return described, content


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, mode=mode, kind=tarfile.DIRTYPE)


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for described, content in members:
            archive.addfile(described, io.BytesIO(content))
    return stream.getvalue()


def digest(layer: bytes) -> str:
    return f"sha256:{hashlib.sha256(layer).hexdigest()}"


def _old(*saved: bytes) -> bytes:
    """Pack layers as engines up to 24 do: one folder each, the configuration after them."""
    packed = [member(f"{number:064x}/layer.tar", layer) for number, layer in enumerate(saved)]
    return tar(*packed, member("manifest.json", b"[]"))


def _new(*saved: bytes) -> bytes:
    """Pack layers as engines from 25 on do, beside configuration and manifests."""
    names = [f"blobs/sha256/{hashlib.sha256(layer).hexdigest()}" for layer in saved]
    packed = [member(name, layer) for name, layer in zip(names, saved, strict=True)]
    return tar(folder("blobs"), member("blobs/sha256/" + "0" * 64, b'{"config": {}}'), *packed)


def _compressed(*saved: bytes) -> bytes:
    return _new(*(gzip.compress(layer, 1) for layer in saved))


KINDS = {"old": _old, "new": _new, "compressed": _compressed}


class Pipe:
    """A stream that can only be read on, as the engine's is."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(min(size, 1000) if size > 0 else size)


def read(archive: bytes, guard: Guard = SYSTEM) -> dict[str, tuple[str, ...]]:
    return layers.read(cast("IO[bytes]", Pipe(archive)), guard)


def wrongs(*members: tuple[tarfile.TarInfo, bytes], guard: Guard = SYSTEM) -> tuple[str, ...]:
    layer = tar(*members)
    return read(_old(layer), guard)[digest(layer)]


@pytest.mark.parametrize("pack", KINDS.values(), ids=KINDS)
def test_each_layer_is_judged_by_itself(pack: Callable[..., bytes]) -> None:
    good = tar(folder("opt"), member("opt/tool", b"x" * 3_000_000, mode=0o755))
    bad = tar(member("opt/tool", mode=0o4755))
    empty = tar()
    assert read(pack(good, bad, empty)) == {
        digest(good): (),
        digest(bad): ("/opt/tool is setuid or setgid",),
        digest(empty): (),
    }


def test_a_layer_is_known_by_its_content_and_not_by_its_name() -> None:
    good, bad = tar(member("opt/a")), tar(member("opt/a", mode=0o2755))
    claims = member("blobs/sha256/" + hashlib.sha256(good).hexdigest(), bad)
    assert read(tar(claims)) == {digest(bad): ("/opt/a is setuid or setgid",)}


ORDINARY = {
    "a program": [folder("usr"), folder("usr/local"), member("usr/local/bin/tool", mode=0o755)],
    "folders on the way to the guard": [folder("opt"), folder("etc"), folder("usr/lib")],
    "a setgid folder": [folder("usr/local/lib/python3.13", 0o2775)],
    "a link": [member("usr/local/bin/x", kind=tarfile.SYMTYPE, mode=0o777)],
    "a removal elsewhere": [member("usr/share/.wh.doc")],
    "a like name": [member("opt/bottles"), member("usr/local/bin/tinier"), member("etc/python4")],
    "folders anywhere": [folder("usr/new"), folder("new"), folder("new/below")],
    "files where a tmpfs will be": [member("tmp/x"), member("home/agent/.cache/x")],
    "a certificate": [member("etc/ssl/certs/x.pem")],
    "nothing": [],
}


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("guard", [OURS, SYSTEM], ids=["ours", "system"])
def test_what_is_ordinary_passes(name: str, guard: Guard) -> None:
    assert wrongs(*ORDINARY[name], guard=guard) == ()


PLACES_OF_NOBODY = {
    "beside the programs": member("usr/bin2"),
    "in a folder of its own": member("new/file"),
    "at the top": member("anything"),
    "a link": member("usr/new", kind=tarfile.SYMTYPE),
    "a removal": member("usr/.wh.new"),
    "beside a free place": member("optional/file"),
}
"""Where programs look for files that no package puts there."""


@pytest.mark.parametrize("name", PLACES_OF_NOBODY)
def test_a_strangers_files_have_places_of_their_own(name: str) -> None:
    described, _ = PLACES_OF_NOBODY[name]
    found = wrongs(folder("new"), PLACES_OF_NOBODY[name], guard=SYSTEM)
    assert found == (f"/{described.name} is of the bottle's guard, and is changed",)


@pytest.mark.parametrize("name", PLACES_OF_NOBODY)
def test_debians_own_packages_have_any_place(name: str) -> None:
    assert wrongs(PLACES_OF_NOBODY[name], guard=OURS) == ()


RIGHTS = {
    "setuid": (member("usr/local/bin/x", mode=0o4755), "is setuid or setgid"),
    "setgid": (member("usr/local/bin/x", mode=0o2755), "is setuid or setgid"),
    "a hard link to one": (member("x", kind=tarfile.LNKTYPE, mode=0o4755), "is setuid or setgid"),
    "a capability": (member("usr/local/bin/x", mode=0o755, capable=True), "has a capability"),
    "a device of characters": (member("opt/x", kind=tarfile.CHRTYPE), "is a device"),
    "a device of blocks": (member("opt/x", kind=tarfile.BLKTYPE), "is a device"),
    "a way out": (member("opt/../../x"), "leads out of the image"),
}


@pytest.mark.parametrize("name", RIGHTS)
@pytest.mark.parametrize("guard", [OURS, SYSTEM], ids=["ours", "system"])
def test_what_lends_rights_is_wrong_everywhere(name: str, guard: Guard) -> None:
    entry, reason = RIGHTS[name]
    (wrong,) = wrongs(entry, guard=guard)
    assert wrong.endswith(reason)


LINK = tarfile.SYMTYPE
OF_OURS = {
    "a replaced door": member("opt/bottle/enter", b"#!/bin/sh\n", mode=0o755),
    "with a point before it": member("./opt/bottle/enter"),
    "with a slash before it": member("/opt/bottle/enter"),
    "with slashes in it": member("opt//bottle/./enter"),
    "a removed one": member("opt/bottle/.wh.hold"),
    "an emptied folder": member("opt/bottle/.wh..wh..opq"),
    "a folder in place of a file": folder("opt/bottle/enter"),
    "a removed folder": member("opt/.wh.bottle"),
    "a removed folder above": member(".wh.opt"),
    "an emptied folder above": member("opt/.wh..wh..opq"),
    "an emptied root": member(".wh..wh..opq"),
    "another mark": member("opt/bottle/.wh..wh.plnk"),
    "a link in place of a folder": member("opt/bottle", kind=LINK),
    "a link in place of one above": member("opt", kind=LINK),
    "settings": member("etc/claude-code/managed-settings.json"),
    "more settings": member("etc/claude-code/more"),
    "the program": member("usr/local/bin/claude"),
    "a folder at the program's place": folder("usr/local/bin/claude"),
    "a removed program": member("usr/local/bin/.wh.claude"),
    "a link for the workspace": member("workspace", kind=LINK),
    "no home": member("home/.wh.agent"),
    "a link for what is above": member("run", kind=LINK),
}


@pytest.mark.parametrize("name", OF_OURS)
@pytest.mark.parametrize("guard", [OURS, SYSTEM], ids=["ours", "system"])
def test_our_own_stays(name: str, guard: Guard) -> None:
    (wrong,) = wrongs(OF_OURS[name], guard=guard)
    assert wrong.endswith("is of the bottle's guard, and is changed")


OF_THE_SYSTEM = {
    "python": member("usr/bin/python3.13", mode=0o755),
    "the shell": member("usr/bin/sh", kind=LINK),
    "tini": member("usr/bin/tini", mode=0o755),
    "tini, removed": member("usr/bin/.wh.tini"),
    "a new program in its folder": member("usr/bin/pybuilddir.txt"),
    "libc": member("usr/lib/x86_64-linux-gnu/libc.so.6", mode=0o755),
    "a module that shadows all": member("usr/lib/python313.zip"),
    "a module of python's": member("usr/lib/python3.13/json/__init__.py"),
    "what python runs first": member("etc/python3.13/sitecustomize.py"),
    "the linker's list": member("etc/ld.so.preload"),
    "the linker's places": member("etc/ld.so.cache"),
    "the linker's settings": member("etc/ld.so.conf.d/a.conf"),
    "openssl's settings": member("etc/ssl/openssl.cnf"),
    "a link for openssl's": member("etc/ssl", kind=LINK),
    "bin": member("bin", kind=LINK),
    "lib64": folder("lib64"),
    "usr": member(".wh.usr"),
    "a program that comes first": member("usr/local/bin/tar", mode=0o755),
    "python that comes first": member("usr/local/bin/python3", kind=LINK),
}


@pytest.mark.parametrize("name", OF_THE_SYSTEM)
def test_the_system_is_debians(name: str) -> None:
    (wrong,) = wrongs(OF_THE_SYSTEM[name])
    assert wrong.endswith("is of the bottle's guard, and is changed")


@pytest.mark.parametrize("name", sorted(set(OF_THE_SYSTEM) - {"a link for openssl's", "usr"}))
def test_debians_own_packages_may_change_it(name: str) -> None:
    assert wrongs(OF_THE_SYSTEM[name], guard=OURS) == ()


# -- accounts

PASSWD = "root:x:0:0:root:/root:/bin/bash\n" + "".join(
    f"bottle{uid}:x:{uid}:{uid}::/home/agent:/bin/bash\n" for uid in range(60100, 61000)
)
GROUP = "root:x:0:\n" + "".join(f"bottle{gid}:x:{gid}:\n" for gid in range(60100, 61000))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/passwd", PASSWD),
        ("etc/group", GROUP),
        ("etc/passwd", PASSWD + "redis:x:101:60:,60 years:/var/lib/redis:/bin/false\n"),
        ("etc/passwd", PASSWD.replace("root:/root", "somebody:/root")),
        ("etc/group", GROUP + "docker:x:999:redis\n"),
    ],
)
def test_other_accounts_may_come(name: str, text: str) -> None:
    assert wrongs(member(name, text.encode()), guard=OURS) == ()


LINE = "bottle60101:x:60101:60101::/home/agent:/bin/bash\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/passwd", ""),
        ("etc/passwd", PASSWD.replace(LINE, "")),
        ("etc/passwd", PASSWD + LINE),
        ("etc/passwd", PASSWD.replace(LINE, LINE.replace(":60101:60101", ":60101:0"))),
        ("etc/passwd", PASSWD.replace(LINE, LINE.replace(":60101:60101", ":0:0"))),
        ("etc/passwd", PASSWD.replace(LINE, LINE.replace("/bin/bash", "/opt/x"))),
        ("etc/passwd", "60101:x:0:0::/root:/bin/sh\n" + PASSWD),
        ("etc/passwd", " 60101 :x:0:0::/root:/bin/sh\n" + PASSWD),
        ("etc/passwd", "0:x:0:0::/root:/bin/sh\n" + PASSWD),
        ("etc/passwd", PASSWD + "x:x:60999:1::/:/bin/sh\n"),
        ("etc/passwd", PASSWD + "x:x:+060999:1::/:/bin/sh\n"),
        ("etc/passwd", PASSWD + "x:x:1:60100::/:/bin/sh\n"),
        ("etc/passwd", PASSWD + "bottle60100:x:0:0::/:/bin/sh\n"),
        ("etc/passwd", PASSWD + "#" * (1 << 20)),
        ("etc/group", GROUP + "disk:x:6:daemon,bottle60102\n"),
        ("etc/group", GROUP + "60102:x:0:\n"),
        ("etc/group", GROUP.replace("bottle60500:x:60500:\n", "")),
    ],
)
def test_the_accounts_of_bottles_stay(name: str, text: str) -> None:
    assert wrongs(member(name, text.encode()), guard=OURS) == (
        f"/{name} has not the accounts of bottles as they were",
    )


@pytest.mark.parametrize(
    "entry",
    [
        member("etc/.wh.passwd"),
        member("etc/group", kind=LINK),
        member("etc/passwd", kind=tarfile.LNKTYPE),
        folder("etc/passwd"),
    ],
)
def test_the_files_of_accounts_stay_files(entry: tuple[tarfile.TarInfo, bytes]) -> None:
    (wrong,) = wrongs(entry, guard=OURS)
    assert wrong.endswith("has not the accounts of bottles as they were")


# -- what cannot be read


@pytest.mark.parametrize("pack", KINDS.values(), ids=KINDS)
def test_an_archive_that_ends_early_lacks_its_layer(pack: Callable[..., bytes]) -> None:
    noise = random.Random(1).randbytes(20_000)  # noqa: S311  # only not to be compressed
    first, second = tar(member("opt/a", b"a" * 9000)), tar(member("opt/b", noise))
    whole = pack(first, second)
    assert read(whole).keys() == {digest(first), digest(second)}
    cut = whole.rindex(b"blobs" if pack is not _old else b"layer.tar") + 4096
    assert digest(second) not in read(whole[:cut])


@pytest.mark.parametrize("archive", [b"", b"no archive" * 200, bytes(10240)])
def test_no_archive_has_no_layers(archive: bytes) -> None:
    assert read(archive) == {}


@pytest.mark.parametrize(
    "blob", [b'{"a": 1}', b"", b"\x1f\x8b broken", b"\x28\xb5\x2f\xfd zstd", b"x" * 2000]
)
def test_what_is_no_layer_is_passed_over(blob: bytes) -> None:
    good = tar(member("opt/a"))
    archive = tar(member("blobs/sha256/" + "1" * 64, blob), member("1/layer.tar", good))
    assert read(archive) == {digest(good): ()}


def test_what_follows_a_broken_head_is_not_passed_over() -> None:
    layer = tar(member("opt/a", b"a" * 4000), member("opt/b"), member("opt/c", mode=0o4755))
    at = layer.index(b"opt/b")
    broken = layer[:at] + b"opt/x" + layer[at + 5 :]
    good = tar(member("opt/d"))
    assert read(_old(layer, good)) == {
        digest(layer): ("/opt/c is setuid or setgid",),
        digest(good): (),
    }
    assert read(_old(broken, good)) == {digest(good): ()}


def test_few_words_are_made_of_many_wrongs() -> None:
    many = [member(f"opt/{number}", mode=0o4755) for number in range(100)]
    assert len(wrongs(*many)) == 8
    (long,) = wrongs(member("opt/" + "x" * 5000, mode=0o4755))
    assert len(long) < 300


def test_a_name_that_is_no_text_is_told() -> None:
    (wrong,) = wrongs(member("opt/\udcff\x1b[2J", mode=0o4755))
    assert wrong.encode() == b"/opt/\\udcff\x1b[2J is setuid or setgid"  # the console does the rest


# -- what the guard is about


def test_the_accounts_are_those_of_the_agents_image() -> None:
    text = (AGENT / "Dockerfile").read_text()
    assert "seq 60100 60999" in text
    for template in (PASSWD, GROUP):
        line = template.splitlines()[1].replace("60100", "$uid")
        assert f'echo "{line}"' in text
    used = {uid for number in range(SLOTS) for uid in Slot(number=number).uids}
    assert used == set(range(60100, 61000))


def test_every_program_of_hold_is_guarded() -> None:
    text = re.sub(r"(?m)^\s*#.*$", "", (AGENT / "hold").read_text())
    words = set(re.findall(r"(?m)(?:^|[(|;{] ?|exec )([a-z]+) ", text))
    shell = {
        "case",
        "echo",
        "exec",
        "printf",
        "set",
        "umask",
        "exit",
        "if",
        "read",
        "refuse",
        "true",
    }
    programs = words - shell
    assert {"tar", "openssl", "head", "cat"} <= programs
    guarded = {path.rpartition("/")[2] for path in SYSTEM.files if path.startswith("usr/local/bin")}
    assert programs <= guarded
    assert {"tini", "python3"} <= guarded


def test_a_strangers_guard_holds_all_of_ours() -> None:
    for field in ("files", "folders", "kept"):
        assert set(getattr(OURS, field)) <= set(getattr(SYSTEM, field))
