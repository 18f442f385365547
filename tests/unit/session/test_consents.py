"""Consents: a yes is kept for this user alone, and what cannot be read is none."""

from __future__ import annotations

import datetime
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bottle.core.consent import Fact
from bottle.session import consents
from bottle.session.consents import Consent, Subject

DIGEST = "0" * 64
FACTS = (
    Fact(topic="egress", name="example.com", value="bottles.web.egress.allowlist[0]"),
    Fact(topic="prompt", name="", value="ä \udc80 \x1b[2J"),
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "claude-bottle.json"
    path.parent.mkdir()
    path.touch()
    return path


def subject(manifest: Path, agent: str = "a", runtime: str = "") -> Subject:
    return Subject(manifest=manifest, agent=agent, runtime=runtime)


def keep(
    state: Path, manifest: Path, agent: str = "a", digest: str = DIGEST, runtime: str = ""
) -> Path:
    """Keep a yes, and give its file."""
    before = set(state.rglob("*.json"))
    consents.keep(state, subject(manifest, agent, runtime), digest, FACTS)
    (path,) = set(state.rglob("*.json")) - before or {next(iter(before), Path())}
    return path


def found(state: Path, manifest: Path, agent: str = "a", runtime: str = "") -> str:
    """Give the digest of the yes that is known, or nothing."""
    known = consents.find(state, subject(manifest, agent, runtime))
    return known.digest if known else ""


class TestKept:
    def test_it_is_found_as_it_was(self, state: Path, manifest: Path) -> None:
        assert consents.find(state, subject(manifest)) is None
        begun = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        keep(state, manifest)
        known = consents.find(state, subject(manifest))
        assert known
        assert (known.digest, known.facts) == (DIGEST, FACTS)
        assert begun <= datetime.datetime.fromisoformat(known.when)
        assert known.when.endswith("+00:00")

    def test_the_last_one_counts(self, state: Path, manifest: Path) -> None:
        keep(state, manifest)
        keep(state, manifest, digest="1" * 64)
        assert found(state, manifest) == "1" * 64
        assert len(list((state / "consents").iterdir())) == 1

    def test_it_is_of_one_agent_of_one_manifest(self, state: Path, manifest: Path) -> None:
        keep(state, manifest)
        other = manifest.with_name("other.json")
        assert found(state, manifest) == DIGEST
        assert found(state, manifest, "b") == ""
        assert found(state, other) == ""
        assert found(state.with_name("other"), manifest) == ""

    def test_what_is_run_together_is_not_the_same(self, state: Path, tmp_path: Path) -> None:
        keep(state, tmp_path / "a", "b")
        assert found(state, tmp_path / "ab", "") == ""
        assert found(state, tmp_path / "a", "", "b") == ""
        assert found(state, tmp_path / "a", "b") == DIGEST

    def test_by_the_manifests_real_folder(
        self, state: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (manifest.parent.parent / "link").symlink_to(manifest.parent)
        keep(state, manifest)
        assert found(state, manifest.parent.parent / "link" / manifest.name) == DIGEST
        assert found(state, manifest.parent / ".." / "project" / manifest.name) == DIGEST
        monkeypatch.chdir(manifest.parent)
        assert found(state, Path(manifest.name)) == DIGEST
        monkeypatch.chdir(manifest.parent.parent)
        assert found(state, Path(manifest.name)) == ""

    def test_a_link_in_another_folder_is_another_manifest(
        self, state: Path, manifest: Path, tmp_path: Path
    ) -> None:
        """What it names is looked for beside the link."""
        other = tmp_path / "other" / manifest.name
        other.parent.mkdir()
        other.symlink_to(manifest)
        keep(state, manifest)
        assert found(state, other) == ""
        keep(state, other, digest="1" * 64)
        assert (found(state, manifest), found(state, other)) == (DIGEST, "1" * 64)

    def test_a_folder_with_an_odd_name(self, state: Path, tmp_path: Path) -> None:
        odd = tmp_path / os.fsdecode(b"\xff\n") / "claude-bottle.json"
        keep(state, odd)
        assert found(state, odd) == DIGEST

    def test_no_value_beyond_the_facts_is_kept(self, state: Path, manifest: Path) -> None:
        record = json.loads(keep(state, manifest).read_text())
        wanted = {"format", "manifest", "agent", "runtime", "when", "digest", "facts"}
        assert set(record) == wanted
        assert (record["manifest"], record["agent"]) == (str(manifest), "a")


class TestRuntime:
    """A start with `--runtime` has a record of its own."""

    def test_the_first_is_compared_with_the_usual_one(self, state: Path, manifest: Path) -> None:
        keep(state, manifest)
        assert found(state, manifest, runtime="runsc") == DIGEST
        keep(state, manifest, digest="1" * 64, runtime="runsc")
        assert found(state, manifest, runtime="runsc") == "1" * 64

    def test_it_does_not_take_the_place_of_the_usual_one(self, state: Path, manifest: Path) -> None:
        keep(state, manifest)
        path = keep(state, manifest, digest="1" * 64, runtime="runsc")
        assert json.loads(path.read_text())["runtime"] == "runsc"
        assert found(state, manifest) == DIGEST
        assert found(state, manifest, runtime="runc") == DIGEST

    def test_it_is_none_for_a_start_without(self, state: Path, manifest: Path) -> None:
        keep(state, manifest, runtime="runsc")
        assert found(state, manifest) == found(state, manifest, runtime="runc") == ""
        assert found(state, manifest, runtime="runsc") == DIGEST

    def test_of_another_agent_it_is_none(self, state: Path, manifest: Path) -> None:
        keep(state, manifest, "b")
        assert found(state, manifest, "a", "runsc") == ""
        assert found(state, manifest, "b", "runsc") == DIGEST

    def test_a_damaged_one_counts_as_none(self, state: Path, manifest: Path) -> None:
        keep(state, manifest)
        keep(state, manifest, digest="1" * 64, runtime="runsc").write_text("{")
        assert found(state, manifest, runtime="runsc") == DIGEST


class TestForThisUserAlone:
    @pytest.fixture(autouse=True)
    def open_handed(self) -> Iterator[None]:
        before = os.umask(0)
        yield
        os.umask(before)

    def test_whatever_the_umask(self, state: Path, manifest: Path) -> None:
        path = keep(state, manifest)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_a_record_that_was_open_is_no_longer(self, state: Path, manifest: Path) -> None:
        path = keep(state, manifest)
        path.chmod(0o666)
        assert keep(state, manifest) == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


class TestWhole:
    def test_a_link_in_its_place_is_replaced_and_not_written_through(
        self, state: Path, manifest: Path, tmp_path: Path
    ) -> None:
        path = keep(state, manifest)
        path.unlink()
        (tmp_path / "other").write_text("of somebody")
        path.symlink_to(tmp_path / "other")
        keep(state, manifest)
        assert (tmp_path / "other").read_text() == "of somebody"
        assert not path.is_symlink()
        assert found(state, manifest) == DIGEST

    @pytest.mark.parametrize("fails", ["fdopen", "replace"])
    def test_what_cannot_be_written_raises_and_leaves_what_was(
        self, state: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, fails: str
    ) -> None:
        path = keep(state, manifest)

        @contextmanager
        def full(descriptor: int, _: str) -> Iterator[Any]:
            os.close(descriptor)
            raise OSError(28, "No space left on device")
            yield

        def refuse(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        if fails == "fdopen":
            monkeypatch.setattr(os, "fdopen", full)
        else:
            monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match=r"No space|Read-only"):
            consents.keep(state, subject(manifest), "1" * 64, FACTS)
        assert found(state, manifest) == DIGEST
        assert list(path.parent.iterdir()) == [path]


def _changed(**values: Any) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def _without(name: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        values = json.loads(path.read_text())
        del values[name]
        path.write_text(json.dumps(values))

    return change


def _text(text: str | bytes) -> Callable[[Path], object]:
    content = text if isinstance(text, bytes) else text.encode()
    return lambda path: path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(target: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return change


FACT = {"topic": "t", "name": "n", "value": "v"}
DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "empty": _text(""),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "no JSON": _text("{"),
    "no UTF-8": _text(b'{"format": "\xff"}'),
    "deep": _text("[" * 100_000),
    "NUL": _text("\0" * 100),
    "null": _text("null"),
    "a list": _text("[]"),
    "a number": _text("1"),
    "a huge number": _text('{"format": ' + "9" * 5000 + "}"),
    "a text": _text('"format"'),
    "an empty object": _text("{}"),
    "gone": Path.unlink,
    "a folder": _folder,
    "a link to nothing": _link("nowhere"),
    "of a format to come": _changed(format=3),
    "of a format that was": _changed(format=1),
    "of no format": _changed(format=None),
    "without a format": _without("format"),
    "without a digest": _without("digest"),
    "without facts": _without("facts"),
    "without a time": _without("when"),
    "a digest that is no text": _changed(digest=1),
    "a time that is no text": _changed(when=[]),
    "facts that are none": _changed(facts=None),
    "facts in a text": _changed(facts="facts"),
    "facts in an object": _changed(facts={"a": FACT}),
    "a fact that is none": _changed(facts=[None]),
    "a fact that lacks something": _changed(facts=[{"topic": "t", "name": "n"}]),
    "a fact with more": _changed(facts=[{**FACT, "more": ""}]),
    "a fact of numbers": _changed(facts=[{**FACT, "value": 1}]),
    "a fact of lists": _changed(facts=[{**FACT, "topic": []}]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_counts_as_none(state: Path, manifest: Path, name: str) -> None:
    path = keep(state, manifest)
    assert found(state, manifest) == DIGEST
    DAMAGES[name](path)
    assert consents.find(state, subject(manifest)) is None


def test_one_that_may_not_be_read_counts_as_none(
    state: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(state, manifest)

    def refuse(path: Path, **_: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    assert consents.find(state, subject(manifest)) is None


def test_a_repeated_fact_is_still_a_consent(state: Path, manifest: Path) -> None:
    _changed(facts=[FACT, FACT], when="then")(keep(state, manifest))
    facts = (Fact(**FACT),) * 2
    assert consents.find(state, subject(manifest)) == Consent(
        digest=DIGEST, facts=facts, when="then"
    )
