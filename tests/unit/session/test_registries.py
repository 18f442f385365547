"""Registries: what pip and npm are asked, what their answers open, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bottle.core.allowlist import HostPattern, PatternError
from bottle.engine.port import Completed
from bottle.errors import TimeLimit, Unavailable
from bottle.provision.machine import ThisMachine
from bottle.session import registries
from tests.unit.provision.fakes import FakeMachine, done

BUILT_IN = "https://index.example.com/simple"
HIDDEN = "correct-horse"
NPM = """\
; "default" values

omit-lockfile-registry-resolved = false
; registry = "https://default.example.com/" ; overridden by user
replace-registry-host = "npmjs"

; "user" config from somewhere

@corp:registry = "https://u:***@npm.corp.example:8443/x/"
@unset:registry = ""
//npm.corp.example/:_authToken = (protected)
registry = "https://npm.example.com/"
"""


@dataclass
class Asked(FakeMachine):
    """A machine that remembers also where a program ran, and for how long at most."""

    folders: list[Path | None] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: bytes = b"",
        seconds: float = 60,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Completed:
        self.folders.append(folder)
        self.limits.append(seconds)
        return super().run(words, stdin=stdin, seconds=seconds, environment=environment)


def pip(**changed: object) -> str:
    told: dict[str, object] = {
        "index-url": [BUILT_IN],
        "extra-index-url": [],
        "find-links": [],
        "built-in index": [BUILT_IN],
        "built-in files": ["https://files.example.com/"],
    }
    return json.dumps(told | {name.replace("_", "-"): value for name, value in changed.items()})


def shown(patterns: Sequence[HostPattern]) -> list[str]:
    return [str(pattern) for pattern in patterns]


def machine(pip_says: Completed | None = None, npm_says: Completed | None = None) -> Asked:
    here = Asked(programs={"npm"})
    here.when("npm config list", npm_says or done(NPM))
    here.when("create_command", pip_says or done(pip()))
    return here


class TestResolve:
    def test_each_client_once_in_the_order_asked(self) -> None:
        here = machine()
        found = registries.resolve(["npm", "pip", "npm"], here)
        assert {name: shown(hosts) for name, hosts in found.items()} == {
            "npm": ["npm.corp.example:8443", "npm.example.com"],
            "pip": ["files.example.com", "index.example.com"],
        }
        assert list(found) == ["npm", "pip"]
        assert len(here.ran) == 2

    def test_nothing_asked_nothing_run(self) -> None:
        here = machine()
        assert registries.resolve([], here) == {}
        assert here.ran == []

    def test_they_run_in_a_neutral_folder_with_a_limit_and_the_launchers_environment(self) -> None:
        here = machine()
        registries.resolve(["pip", "npm"], here)
        assert here.folders == [Path("/"), Path("/")]
        assert all(0 < limit <= 60 for limit in here.limits)
        assert [ran.environment for ran in here.ran] == [None, None]
        assert here.ran[0].words[:2] == (sys.executable, "-I")

    def test_npm_is_asked_for_text_whatever_its_settings_say(self) -> None:
        here = machine()
        registries.resolve(["npm"], here)
        assert {"--long", "--no-json", "--no-update-notifier"} <= set(here.ran[0].words)

    def test_a_missing_npm_has_a_remedy(self) -> None:
        here = machine()
        here.programs.clear()
        with pytest.raises(Unavailable, match="npm is missing") as caught:
            registries.resolve(["npm"], here)
        assert caught.value.code == 69
        assert caught.value.remedy == "install npm, or leave it out of registries"
        assert registries.resolve(["pip"], here)["pip"]

    @pytest.mark.parametrize("name", ["cargo", "", "PIP", "x" * 500])
    def test_an_unknown_client_is_refused(self, name: str) -> None:
        with pytest.raises(Unavailable, match="is no client") as caught:
            registries.resolve([name], machine())
        assert "pip, npm" in caught.value.remedy
        assert len(caught.value.happened) < 150

    @pytest.mark.parametrize("client", ["pip", "npm"])
    def test_a_failure_repeats_nothing_of_what_may_hold_a_password(self, client: str) -> None:
        failed = done(f"https://u:{HIDDEN}@h/", f"bad https://u:{HIDDEN}@h/", code=3)
        with pytest.raises(Unavailable, match=f"{client} .* ended with 3") as caught:
            registries.resolve([client], machine(failed, failed))
        assert HIDDEN not in caught.value.happened + caught.value.remedy
        assert f"{client} config list" in caught.value.remedy

    @pytest.mark.parametrize("client", ["pip", "npm"])
    def test_bytes_that_are_no_text_are_refused(self, client: str) -> None:
        odd = Completed(code=0, output=b'{"index-url": "\xff"}', errors=b"")
        with pytest.raises(Unavailable, match="no text"):
            registries.resolve([client], machine(odd, odd))

    @pytest.mark.parametrize("client", ["pip", "npm"])
    def test_a_program_that_cannot_be_run_is_refused(self, client: str) -> None:
        def refuse(_: object) -> Completed:
            raise OSError(8, "Exec format error")

        here = Asked(programs={"npm"}, answers=[("", refuse)])
        with pytest.raises(Unavailable, match=f"{client} .* could not be run"):
            registries.resolve([client], here)

    def test_a_late_client_is_a_time_limit(self) -> None:
        def wait(_: object) -> Completed:
            raise TimeLimit("npm took longer than 30 s")

        with pytest.raises(TimeLimit):
            registries.resolve(["npm"], Asked(programs={"npm"}, answers=[("", wait)]))


class TestReadPip:
    def test_the_built_in_index_brings_the_host_of_its_files(self) -> None:
        assert shown(registries.read_pip(pip())) == ["files.example.com", "index.example.com"]

    def test_another_index_does_not(self) -> None:
        told = pip(index_url=["https://mirror.example.org/simple"])
        assert shown(registries.read_pip(told)) == ["mirror.example.org"]

    @pytest.mark.parametrize(
        "changed",
        [
            {"index_url": [f"https://u:{HIDDEN}@INDEX.example.com:443/other"]},
            {"index_url": ["https://mirror.example.org/"], "extra_index_url": [BUILT_IN]},
        ],
    )
    def test_the_built_in_index_counts_also_when_it_is_written_out(
        self, changed: dict[str, list[str]]
    ) -> None:
        assert "files.example.com" in shown(registries.read_pip(pip(**changed)))

    def test_all_settings_are_read_each_host_once_and_sorted(self) -> None:
        told = pip(
            index_url=["https://z.example.org/simple"],
            extra_index_url=["https://b.example.org:8443/", "https://b.example.org/"],
            find_links=["https://b.example.org/wheels", " https://a.example.org/page\n"],
        )
        hosts = ["a.example.org", "b.example.org", "b.example.org:8443", "z.example.org"]
        assert shown(registries.read_pip(told)) == hosts

    @pytest.mark.parametrize("place", ["/srv/wheels", "wheels", "file:///srv", "FILE://x/y", ""])
    def test_what_lies_on_the_disk_opens_nothing(self, place: str) -> None:
        told = pip(index_url=[place], find_links=[place])
        assert registries.read_pip(told) == ()
        assert registries.read_pip(pip(find_links=[place, "https://a.example.org"]))

    def test_without_an_index_nothing_of_the_built_in_one_is_open(self) -> None:
        told = pip(index_url=[], find_links=["https://a.example.org/"])
        assert shown(registries.read_pip(told)) == ["a.example.org"]

    @pytest.mark.parametrize("name", ["index-url", "extra-index-url", "find-links"])
    @pytest.mark.parametrize(
        ("url", "why"),
        [
            (f"http://u:{HIDDEN}@mirror.example.org/", "write an https URL"),
            (f"ftp://{HIDDEN}@mirror.example.org/", "write an https URL"),
            (f"git+https://{HIDDEN}@mirror.example.org/", "write an https URL"),
            (f"https://u:{HIDDEN}@198.51.100.7/", "IP addresses"),
            (f"https://u:{HIDDEN}@[2001:db8::7]/", "IP addresses"),
            (f"https://u:{HIDDEN}@mirror/simple", "full name"),
        ],
    )
    def test_what_cannot_be_listed_is_named_without_its_password(
        self, name: str, url: str, why: str
    ) -> None:
        with pytest.raises(
            Unavailable, match=f"'{name}' of pip cannot be listed: .*{why}"
        ) as caught:
            registries.read_pip(pip(**{name: [url]}))
        assert caught.value.code == 69
        assert "https://" in caught.value.remedy
        assert HIDDEN not in caught.value.happened + caught.value.remedy

    @pytest.mark.parametrize(
        "output",
        [
            *("", "null", "[]", "1", "text", "{}", '{"index-url"', "[" * 100_000),
            *(pip(index_url=None), pip(index_url=BUILT_IN), pip(index_url=[None])),
            *(pip(find_links={"a": 1}), pip(extra_index_url=[["https://a.example.org"]])),
            *(pip(**{"built-in index": None}), pip(**{"built-in files": 1})),
        ],
    )
    def test_an_odd_answer_is_refused(self, output: str) -> None:
        with pytest.raises(Unavailable, match="pip was asked for its settings and"):
            registries.read_pip(output)


class TestReadNpm:
    def test_the_registry_and_those_of_scopes_count_and_overridden_ones_do_not(self) -> None:
        hosts = ["npm.corp.example:8443", "npm.example.com"]
        assert shown(registries.read_npm(NPM)) == hosts

    def test_other_settings_with_such_names_do_not_count(self) -> None:
        more = 'my-registry = "https://a.example.org"\n@x:other = "https://b.example.org"\n'
        more += 'x:registry = "https://c.example.org"\n'
        assert registries.read_npm(NPM + more) == registries.read_npm(NPM)
        counted = '@x:registry = "https://b.example.org"\n'
        assert "b.example.org" in shown(registries.read_npm(NPM + counted))

    @pytest.mark.parametrize("name", ["registry", "@corp:registry"])
    @pytest.mark.parametrize(
        "url",
        [
            f"http://u:{HIDDEN}@npm.example.com/",
            f"https://u:{HIDDEN}@198.51.100.7/",
            f"https://u:{HIDDEN}@localhost:4873/",
            f"https://u:{HIDDEN}@*.example.com/",
            f"https://${{{HIDDEN}}}/",
        ],
    )
    def test_what_cannot_be_listed_is_named_without_its_password(self, name: str, url: str) -> None:
        told = NPM + f"{name} = {json.dumps(url)}\n"
        with pytest.raises(Unavailable, match=f"'{name}' of npm cannot be listed") as caught:
            registries.read_npm(told)
        assert HIDDEN not in caught.value.happened + caught.value.remedy

    @pytest.mark.parametrize(
        "output",
        [
            *("", "{}", '{"registry": "https://npm.example.com/"}', '@a:registry = "https://b.c"'),
            *("registry = ", "registry = true", "registry = 'x'", 'registry = "', "registry = {}"),
            *(NPM + "@a:registry = true", NPM + "@a:registry = (protected)"),
            NPM + "@a:registry = " + "[" * 100_000,
        ],
    )
    def test_an_odd_answer_is_refused(self, output: str) -> None:
        with pytest.raises(Unavailable, match="npm was asked for its settings and"):
            registries.read_npm(output)

    def test_an_empty_registry_is_not_left_out_in_silence(self) -> None:
        with pytest.raises(Unavailable, match="'registry' of npm"):
            registries.read_npm('registry = ""')


class TestHttpsHost:
    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("https://a.example.org", "a.example.org"),
            ("HTTPS://A.Example.org.:443/x", "a.example.org"),
            ("https://a.example.org:/", "a.example.org"),
            ("https://a.example.org:8443/x?y#z", "a.example.org:8443"),
            (f"https://u:{HIDDEN}@a.example.org/@x", "a.example.org"),
            (f"https://u@b.example.org:{HIDDEN}@a.example.org", "a.example.org"),
        ],
    )
    def test_plain_ones(self, url: str, host: str) -> None:
        assert str(registries.https_host(url)) == host

    @pytest.mark.parametrize(
        "url",
        [
            *("", "https:", "https://", "https:///x", "//a.example.org", "a.example.org"),
            *("https:a.example.org", "https:/a.example.org", "https://:443", "https://u@"),
            *("https://a.example.org:0", "https://a.example.org:65536", "https://a.example.org:x"),
            *("https://*.example.org", "https://*", "https://a.example.org%2eb.example"),
            *("https://1.2", "https://0x7f.1", "https://[::1", "https://[::1]:443/"),
            *("https://b.example\\@a.example.org", "https://a.example.org\\.b.example"),
            *("https://a.example.org\n.b.example", "https://a.exa\tmple.org", "https://a.b /"),
            *("https://a.example.org/\0", "https://\u0430.example.org", "https://a。example.org"),
            "https://" + "a." * 200 + "org",
        ],
    )
    def test_what_is_no_plain_https_url_is_refused_without_being_repeated(self, url: str) -> None:
        with pytest.raises(PatternError) as caught:
            registries.https_host(url)
        assert not url or url not in str(caught.value)


class TestThePipHere:
    """The real pip of this interpreter, with settings of the test's own; it asks no network."""

    def resolve(self, **settings: str) -> list[str]:
        kept = {k: v for k, v in ThisMachine().environment.items() if not k.startswith("PIP_")}
        environment = kept | {"PIP_CONFIG_FILE": "/dev/null"} | settings
        return shown(registries.resolve(["pip"], ThisMachine(environment=environment))["pip"])

    def test_what_is_built_in_is_known(self) -> None:
        built_in = self.resolve()
        assert len(built_in) == 2
        mirror = self.resolve(PIP_EXTRA_INDEX_URL="https://a.example.org/ https://b.example.org/")
        assert mirror == sorted([*built_in, "a.example.org", "b.example.org"])

    def test_variables_and_sections_are_weighed_as_pip_does(self, tmp_path: Path) -> None:
        file = tmp_path / "pip.conf"
        file.write_text(
            "[global]\nquiet = 3\nindex-url = https://global.example.org/\n"
            f"extra-index-url =\n  https://u:{HIDDEN}@a.example.org/\n  https://b.example.org/\n"
            "[install]\nindex_url = https://install.example.org:8443/simple\n"
        )
        hosts = ["a.example.org", "b.example.org", "install.example.org:8443"]
        settings: dict[str, Any] = {"PIP_CONFIG_FILE": str(file)}
        assert self.resolve(**settings) == hosts
        settings["PIP_INDEX_URL"] = "https://c.example.org/"
        assert self.resolve(**settings) == ["a.example.org", "b.example.org", "c.example.org"]
        settings["PIP_NO_INDEX"] = "1"
        assert self.resolve(**settings) == []
        settings["PIP_FIND_LINKS"] = "/srv/wheels https://d.example.org/"
        assert self.resolve(**settings) == ["d.example.org"]

    def test_settings_that_pip_refuses_are_told(self) -> None:
        with pytest.raises(Unavailable, match=r"pip .* ended with") as caught:
            self.resolve(PIP_TIMEOUT=HIDDEN)
        assert HIDDEN not in caught.value.happened

    def test_a_workspace_does_not_put_its_own_in_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pip").mkdir()
        (tmp_path / "pip" / "__init__.py").write_text("raise SystemExit('mine')")
        (tmp_path / "json.py").write_text("raise SystemExit('mine')")
        monkeypatch.chdir(tmp_path)
        assert self.resolve(PYTHONPATH=str(tmp_path)) == self.resolve()
