"""Beginning: the manifest that is written of what is seen of a workspace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottle.core import document
from bottle.core.allowlist import HostPattern
from bottle.errors import UsageError
from bottle.provision.machine import ThisMachine
from bottle.session import beginning, surroundings
from bottle.session.surroundings import Remote, Workspace
from tests.support import require
from tests.unit.provision.fakes import FakeMachine

SCHEMA = "https://example.com/schema.json"
HIDDEN = "correct-horse"


def allowlist(content: str | bytes) -> list[Any]:
    """Read a manifest as a start does, and give its entries."""
    read: Any = document.read(content if isinstance(content, bytes) else content.encode())
    assert read["agents"]["default"]["bottle"] == "default"
    assert read["bottles"]["default"]["runtime"] == "runc"
    assert read["bottles"]["default"]["env"] == {}
    listed: list[Any] = read["bottles"]["default"]["egress"]["allowlist"]
    return listed


def written(folder: Path, machine: Any = None) -> str:
    return beginning.write(folder, SCHEMA, machine or FakeMachine()).read_text()


def of(*urls: str, files: tuple[str, ...] = ()) -> str:
    """Give the manifest of remotes `r0`, `r1`, ... and package files."""
    remotes = tuple(Remote(name=f"r{i}", url=url) for i, url in enumerate(urls))
    return beginning.text(Workspace(remotes=remotes, files=files), SCHEMA)


def repository(
    folder: Path, config: str = '[remote "origin"]\n\turl = https://a.example.org/x\n'
) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text(config)
    return folder


def git() -> ThisMachine:
    require.need(shutil.which("git"), "git")
    return ThisMachine()


class TestWrite:
    def test_an_empty_folder_gets_a_manifest_to_fill_in(self, tmp_path: Path) -> None:
        path = beginning.write(tmp_path, SCHEMA, FakeMachine())
        assert path == tmp_path / "claude-bottle.json"
        assert list(tmp_path.iterdir()) == [path]
        text = path.read_text()
        assert allowlist(text) == []
        assert '// "github.com",' in text
        assert '// GITHUB_TOKEN: {from: "GITHUB_TOKEN"},' in text
        assert '"runsc"' in text

    def test_all_that_is_seen_is_written(self, tmp_path: Path) -> None:
        for name in ("pyproject.toml", "package.json", "go.mod"):
            (tmp_path / name).touch()
        text = written(repository(tmp_path), git())
        assert allowlist(text) == ["a.example.org", {"registries": ["pip", "npm"]}]
        assert "// remote origin" in text
        assert "// For go.mod:" in text

    def test_its_mode_is_that_of_a_plain_file(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            path = beginning.write(tmp_path, SCHEMA, FakeMachine())
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o7777 == 0o640

    @pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling"])
    def test_what_is_there_stays_as_it_is(self, tmp_path: Path, kind: str) -> None:
        folder, other = tmp_path / "here", tmp_path / "other"
        folder.mkdir()
        path = folder / "claude-bottle.json"
        if kind == "folder":
            path.mkdir()
        elif kind == "file":
            path.write_text("mine")
        else:
            path.symlink_to(other)
        if kind == "link":
            other.write_text("mine")
        with pytest.raises(UsageError, match="is there already") as caught:
            beginning.write(folder, SCHEMA, FakeMachine())
        assert caught.value.code == 64
        assert path.is_symlink() == (kind in {"link", "dangling"})
        assert other.exists() == (kind == "link")
        assert not path.is_file() or path.read_text() == "mine"
        assert list(folder.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["nowhere", "file"])
    def test_what_is_no_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="cannot be read"):
            beginning.write(tmp_path / name, SCHEMA, FakeMachine())

    @pytest.mark.parametrize("short", [True, False])
    def test_nothing_half_written_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: bool
    ) -> None:
        write = os.write

        def full(file: int, content: bytes) -> int:
            if short:
                return write(file, content[:100])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(UsageError, match="cannot be written"):
                beginning.write(tmp_path, SCHEMA, FakeMachine())
        assert list(tmp_path.iterdir()) == []
        assert written(tmp_path)

    def test_a_folder_that_may_not_be_written_to_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(UsageError, match="cannot be written: Permission denied"):
            beginning.write(tmp_path, SCHEMA, FakeMachine())


class TestRoute:
    @pytest.mark.parametrize(
        ("url", "host", "ssh"),
        [
            ("https://a.example.org/x.git", "a.example.org", False),
            (f"https://u:{HIDDEN}@A.Example.org:8443/x", "a.example.org:8443", False),
            ("ssh://git@a.example.org:2222/x", "a.example.org", True),
            ("git+ssh://a.example.org/~x", "a.example.org", True),
            ("git@a.example.org:x/y.git", "a.example.org", True),
            ("a.example.org:/srv/x", "a.example.org", True),
        ],
    )
    def test_hosts_that_can_be_listed(self, url: str, host: str, ssh: bool) -> None:
        found = beginning.route(url)
        assert (str(found.host), found.ssh, found.refusal) == (host, ssh, "")

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("", "local path"),
            ("/srv/git/x", "local path"),
            ("../x", "local path"),
            ("./a.example.org:x", "local path"),
            ("file:///srv/x", "local path"),
            (f"http://u:{HIDDEN}@a.example.org/x", "http is not encrypted"),
            ("git://a.example.org/x", "git:// is not encrypted"),
            ("ftps://a.example.org/x", "not reached over https"),
            ("ext::sh -c true", "a program of its own"),
            ("https::https://a.example.org/x", "a program of its own"),
            (f"https://u:{HIDDEN}@198.51.100.7/x", "IP addresses"),
            ("git@198.51.100.7:x", "IP addresses"),
            ("ssh://git@[2001:db8::7]:22/x", "IP addresses"),
            ("https://forge/x", "full name"),
            ("work:x/y", "full name"),
            ("git@*.example.org:x", "without a *"),
            ("https://*.example.org/x", "without a *"),
            ("git@ex\u0430mple.org:x", "ASCII"),
            ("https://ex\u0430mple.org/x", "ASCII"),
            ("https://a.example.org\n:x@b.example.org/x", "plain"),
            ("https://[::1/x", "plain host"),
            ("https://a.example.org:port/x", "plain host"),
        ],
    )
    def test_what_is_left_out_says_why(self, url: str, why: str) -> None:
        found = beginning.route(url)
        assert found.host is None
        assert why in found.refusal
        assert HIDDEN not in found.refusal


class TestText:
    def test_remotes_that_are_not_known_are_told(self) -> None:
        text = beginning.text(Workspace(unread="git cannot read it"), SCHEMA)
        assert "// The remotes of the git repository are not listed: git cannot read it." in text
        assert allowlist(text) == []

    def test_a_host_stands_once_with_all_its_remotes(self) -> None:
        text = of("https://a.example.org/x", "git@a.example.org:y", "https://b.example.org:8443/")
        assert allowlist(text) == ["a.example.org", "b.example.org:8443"]
        assert '"a.example.org",      // remotes r0, r1\n' in text
        assert '"b.example.org:8443", // remote r2\n' in text
        assert "no ssh yet: give an https URL to remote r1." in text

    def test_https_alone_says_nothing_of_ssh(self) -> None:
        assert "ssh" not in of("https://a.example.org/x")

    def test_what_is_left_out_stands_with_its_reason(self) -> None:
        text = of("/srv/x", "http://a.example.org", "../y", "https://b.example.org")
        assert allowlist(text) == ["b.example.org"]
        assert "// Left out, remotes r0, r2: it is a local path." in text
        assert "// Left out, remote r1: http is not encrypted." in text

    @pytest.mark.parametrize(
        ("files", "clients"),
        [
            (("setup.py",), ["pip"]),
            (("requirements-dev.txt",), ["pip"]),
            (("uv.lock",), ["pip"]),
            (("poetry.lock",), ["pip"]),
            (("package.json",), ["npm"]),
            (("package.json", "pyproject.toml"), ["pip", "npm"]),
        ],
    )
    def test_package_files_ask_for_registries(
        self, files: tuple[str, ...], clients: list[str]
    ) -> None:
        text = of(files=files)
        assert allowlist(text) == [{"registries": clients}]
        assert all(name in text for name in files)

    def test_each_client_shows_a_file_even_when_there_are_many(self) -> None:
        files = tuple(f"requirements-{n}.txt" for n in range(9))
        text = of(files=(*files, "package.json"))
        assert (
            "as set up here, for requirements-0.txt, package.json, requirements-1.txt and 7 more\n"
            in text
        )

    @pytest.mark.parametrize("name", ["go.mod", "Cargo.toml", "Gemfile"])
    def test_other_registries_are_for_the_person_to_add(self, name: str) -> None:
        text = of(files=(name,))
        assert allowlist(text) == []
        assert f"// For {name}: add the hosts" in text

    def test_many_remotes_make_no_long_manifest(self) -> None:
        text = of(*(f"https://{'a' * 60}.{n}.example.org/x" for n in range(5000)))
        assert len(text) < 8000
        assert len(allowlist(text)) == 16
        assert "// 4984 more URLs of remotes were not looked at." in text

    def test_the_schema_is_text_whatever_it_holds(self) -> None:
        schema = 'https://example.com/"$allowlist\n\\ä'
        read: Any = document.read(beginning.text(Workspace(), schema).encode())
        assert read["$schema"] == schema

    def test_a_name_is_one_short_line_without_a_password(self) -> None:
        name = f"https://u:{HIDDEN}@a\n}}evil\r\u2028\x1b[2J*/ $allowlist \udcff" + "x" * 100
        remotes = (Remote(name=name, url="https://a.example.org"), Remote(name=name, url="/x"))
        text = beginning.text(Workspace(remotes=remotes), SCHEMA)
        assert allowlist(text) == ["a.example.org"]
        assert HIDDEN not in text
        assert max(map(len, text.splitlines())) < 120

    def test_lines_have_a_bearable_length(self) -> None:
        text = of("https://a.example.org", files=("pyproject.toml", "package.json", "go.mod"))
        assert max(map(len, text.splitlines())) <= 100
        assert not any(line.endswith(" ") for line in text.splitlines())


ANY = st.text(st.characters(), max_size=40)
HOSTS = st.sampled_from(["a.example.org", "forge", "198.51.100.7", "*.b.org", "B.example.ORG:99"])
URLS = st.one_of(
    ANY,
    st.builds(
        lambda scheme, host, rest: f"{scheme}u:{HIDDEN}@{host}{rest}",
        st.sampled_from(["https://", "http://", "ssh://", "", "ext::"]),
        HOSTS,
        st.one_of(st.just("/x"), st.builds("/{}".format, ANY), ANY),
    ),
)
REMOTES = st.lists(st.builds(lambda n, u: Remote(name=n, url=u), ANY, URLS), max_size=5)
FILES = st.lists(
    st.one_of(
        st.sampled_from(["package.json", "go.mod"]), st.builds("requirements{}.txt".format, ANY)
    ),
    max_size=5,
)


class TestWhateverTheWorkspaceHolds:
    """What is written is a manifest: plain hosts, registries, and no password."""

    @given(remotes=REMOTES, files=FILES, unread=ANY)
    def test_it_is_read_as_it_is_meant(
        self, remotes: list[Remote], files: list[str], unread: str
    ) -> None:
        seen = Workspace(remotes=tuple(remotes), files=tuple(files), unread=unread)
        text = beginning.text(seen, SCHEMA)
        assert text.isascii()
        assert all(line.isprintable() for line in text.split("\n"))
        assert HIDDEN not in text
        for entry in allowlist(text):
            if isinstance(entry, dict):
                assert set(entry["registries"]) <= {"pip", "npm"}
            else:
                assert str(HostPattern.parse(entry)) == entry
                assert not entry.startswith("*")

    @given(output=st.binary(max_size=200))
    def test_an_odd_answer_of_git_is_read_without_harm(self, output: bytes) -> None:
        remotes = surroundings.read_remotes(output)
        assert allowlist(beginning.text(Workspace(remotes=remotes), SCHEMA)) is not None
