"""Agreement: a yes is asked for, or covered by the words given; only then it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bottle.core.secret import Value
from bottle.engine import host as host_reader
from bottle.errors import BottleError, Refused, UsageError
from bottle.provision import cache, extra, gvisor
from bottle.session import agreement, consents
from bottle.session.agreement import Answers
from bottle.session.consents import Subject
from bottle.session.findings import NotStartable
from bottle.session.manifests import Found
from bottle.session.start import Prepared, Secrets, prepare
from tests.support.fake_engine import FakeEngine
from tests.support.starts import FakeFront, request

YES = Answers(yes=True)
START, BUILD = "Start it?", "Build it?"
NARROW: Mapping[str, Any] = {"allowlist": ("a.example.com",)}
WIDE: Mapping[str, Any] = {"allowlist": ("a.example.com", "b.example.com")}
OTHER: Mapping[str, Any] = {**NARROW, "arguments": "--norc"}
"""Another plan, which may do no more than `NARROW`."""


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_reader, "routed_subnets", tuple)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(gvisor, "works", lambda _: None)


@dataclass
class Person(FakeFront):
    """Somebody at a terminal, who sees in which order things come."""

    interactive: bool = True
    events: list[str] = field(default_factory=list)

    def row(self, label: str, text: str, style: str = "") -> None:
        self.events.append(f"row {label}")
        super().row(label, text, style)

    def ask(self, question: str, *, default: bool = False) -> bool:
        self.events.append(question)
        return super().ask(question, default=default)


@dataclass(frozen=True)
class Desk:
    """One user's state and one manifest."""

    folder: Path
    stumbled_on: bool = True

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def prepare(self, **asked: Any) -> Prepared:
        asked = {"adapter": "shell", **asked}
        values = Secrets(variables={"HOST_NAME": Value("the value of a secret")})
        return prepare(FakeEngine().have_images(), request(self.folder, **asked), values)

    def obtain(
        self,
        front: FakeFront,
        answers: Answers = Answers(),  # noqa: B008  # a frozen value
        **asked: Any,
    ) -> Prepared:
        made = self.prepare(**asked)
        found = Found(
            path=made.subject.manifest,
            manifest=made.declared.manifest,
            stumbled_on=self.stumbled_on,
        )
        agreement.obtain(front, made, found, self.state, answers)
        return made

    def kept(self, runtime: str = "") -> str:
        """Give the digest of the last yes, or nothing."""
        path = self.folder / "project" / "claude-bottle.json"
        subject = Subject(manifest=path, agent="default", runtime=runtime)
        known = consents.find(self.state, subject)
        return known.digest if known else ""

    def agree(self, **asked: Any) -> Prepared:
        """Let a person say yes."""
        made = self.obtain(Person(answer=True), **asked)
        assert self.kept(made.subject.runtime) == made.digest
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@contextmanager
def refused(desk: Desk, failure: type[BottleError], code: int) -> Iterator[list[str]]:
    """Demand a refusal with its code, and that no yes was kept; gives what it says."""
    before, told = desk.kept(), list[str]()
    with pytest.raises(failure) as caught:
        yield told
    assert caught.value.code == code
    assert desk.kept() == before
    told += [caught.value.happened, caught.value.remedy]


class TestAPerson:
    def test_a_yes_is_kept(self, desk: Desk) -> None:
        front = Person(answer=True)
        made = desk.obtain(front)
        assert front.asked == [START]
        assert desk.kept() == made.digest

    def test_a_no_is_not(self, desk: Desk) -> None:
        with refused(desk, Refused, 77):
            desk.obtain(Person(answer=False))

    def test_all_is_shown_before_the_question(self, desk: Desk) -> None:
        front = Person(answer=True)
        desk.obtain(front)
        assert front.events[0] == "row consent"
        assert front.events.index("row agent") == 1
        assert front.events[-1] == START

    def test_what_changed_stands_first(self, desk: Desk) -> None:
        desk.agree(**NARROW)
        front = Person(answer=True)
        desk.obtain(front, **WIDE)
        assert front.rows[0][0] == "changed"
        assert front.rows[0][1].startswith("+ egress b.example.com")
        assert "agent" in dict(front.rows)

    def test_enter_is_no_yes_to_what_is_new(self, desk: Desk) -> None:
        with refused(desk, Refused, 77):
            desk.obtain(Person(answer=None))

    def test_enter_starts_what_is_unchanged(self, desk: Desk) -> None:
        desk.agree(**NARROW)
        front = Person(answer=None)
        desk.obtain(front, **NARROW)
        assert front.rows[0][1].startswith("unchanged")
        assert front.asked == [START]

    def test_a_no_holds_where_enter_would_start(self, desk: Desk) -> None:
        desk.agree(**NARROW)
        with refused(desk, Refused, 77):
            desk.obtain(Person(answer=False), **NARROW)

    @pytest.mark.parametrize("now", [WIDE, OTHER, {}])
    def test_enter_is_no_yes_to_what_changed(self, desk: Desk, now: Mapping[str, Any]) -> None:
        """Not even when it may do less: the person looks at it once."""
        desk.agree(**NARROW)
        with refused(desk, Refused, 77):
            desk.obtain(Person(answer=None), **now)
        made = desk.agree(**now)
        desk.obtain(Person(answer=None), **now)
        assert desk.kept() == made.digest

    def test_enter_is_no_yes_to_a_damaged_record(self, desk: Desk) -> None:
        desk.agree(**NARROW)
        (record,) = (desk.state / "consents").iterdir()
        record.write_text("{")
        with refused(desk, Refused, 77):
            desk.obtain(Person(answer=None), **NARROW)

    def test_other_words_for_later_do_not_ask_less(self, desk: Desk) -> None:
        """`--accept-...` without `--yes` is no yes."""
        front = Person(answer=False)
        with refused(desk, Refused, 77):
            desk.obtain(front, Answers(new=True, changes=True, dockerfile=True))
        assert front.asked == [START]


class TestNobody:
    def test_without_a_yes_it_is_refused_at_once(self, desk: Desk) -> None:
        front = FakeFront(answer=True)
        with refused(desk, UsageError, 64) as told:
            desk.obtain(front)
        assert "--yes" in told[1]
        assert front.asked == []

    def test_also_when_it_is_unchanged(self, desk: Desk) -> None:
        desk.agree()
        with refused(desk, UsageError, 64):
            desk.obtain(FakeFront(answer=None))

    @pytest.mark.parametrize("interactive", [True, False])
    def test_a_yes_of_the_command_line_asks_nothing(
        self, tmp_path: Path, interactive: bool
    ) -> None:
        desk = Desk(tmp_path, stumbled_on=False)
        front = FakeFront(interactive=interactive)
        made = desk.obtain(front, YES)
        assert front.asked == []
        assert front.rows
        assert desk.kept() == made.digest


class TestANewManifest:
    def test_of_this_folder_needs_a_word_of_its_own(self, desk: Desk) -> None:
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES)
        assert "--accept-new" in told[1]
        made = desk.obtain(FakeFront(), Answers(yes=True, new=True))
        assert desk.kept() == made.digest

    def test_also_at_a_terminal(self, desk: Desk) -> None:
        with refused(desk, UsageError, 64):
            desk.obtain(Person(answer=True), YES)

    @pytest.mark.parametrize("word", ["changes", "dockerfile"])
    def test_no_other_word_does(self, desk: Desk, word: str) -> None:
        with refused(desk, UsageError, 64):
            desk.obtain(FakeFront(), Answers(yes=True, **{word: True}))

    def test_a_named_one_and_the_demo_do_not(self, tmp_path: Path) -> None:
        """What is named was chosen; tests/unit/session/test_manifests.py tells the two apart."""
        desk = Desk(tmp_path, stumbled_on=False)
        made = desk.obtain(FakeFront(), YES)
        assert desk.kept() == made.digest

    def test_once_agreed_to_it_is_new_no_more(self, desk: Desk) -> None:
        desk.agree(**NARROW)
        made = desk.obtain(FakeFront(), YES, **NARROW)
        assert desk.kept() == made.digest

    def test_another_agent_of_it_is_new(self, desk: Desk) -> None:
        other = replace(desk.prepare().subject, agent="other")
        consents.keep(desk.state, other, "0" * 64, ())
        with refused(desk, UsageError, 64):
            desk.obtain(FakeFront(), YES)

    def test_a_damaged_record_makes_it_new(self, desk: Desk) -> None:
        desk.agree(**NARROW)
        (record,) = (desk.state / "consents").iterdir()
        os.truncate(record, 10)
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **NARROW)
        assert "--accept-new" in told[1]


WIDER: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "a host": (WIDE, "egress b.example.com"),
    "a runtime": ({**NARROW, "runtime": "runc"}, "runtime"),
    "an open port": ({"allowlist": ("a.example.com:8443",)}, "egress a.example.com:8443"),
    "all below a host": ({"allowlist": ("*.a.example.com",)}, "egress *.a.example.com"),
    "a secret": ({**NARROW, "env": {"MINE": {"from": "HOST_NAME"}}}, "secret MINE"),
    "memory": ({**NARROW, "limits": {"memory": "8g"}}, "limit memory"),
    "a package": ({**NARROW, "image": {"packages": ["make"]}}, "package make"),
}


class TestAWiderPlan:
    @pytest.fixture
    def desk(self, tmp_path: Path) -> Desk:
        desk = Desk(tmp_path)
        desk.agree(**NARROW, runtime="runsc")
        return desk

    @staticmethod
    def asked(name: str) -> Mapping[str, Any]:
        return {"runtime": "runsc", **WIDER[name][0]}

    @pytest.mark.parametrize("name", WIDER)
    def test_it_needs_a_word_of_its_own(self, desk: Desk, name: str) -> None:
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **self.asked(name))
        assert told[0].endswith(f": {WIDER[name][1]}")
        assert "--accept-changes" in told[1]
        made = desk.obtain(FakeFront(), Answers(yes=True, changes=True), **self.asked(name))
        assert desk.kept() == made.digest

    def test_every_change_that_widens_is_named(self, desk: Desk) -> None:
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **WIDE, runtime="runc", env={"A": {"from": "HOST_NAME"}})
        assert told[0].endswith(": egress b.example.com, runtime, secret A")

    @pytest.mark.parametrize("word", ["new", "dockerfile"])
    def test_no_other_word_does(self, desk: Desk, word: str) -> None:
        with refused(desk, UsageError, 64):
            desk.obtain(FakeFront(), Answers(yes=True, **{word: True}), **WIDE, runtime="runsc")

    @pytest.mark.parametrize("now", [{}, OTHER, NARROW])
    def test_one_that_may_do_no_more_needs_none(self, desk: Desk, now: Mapping[str, Any]) -> None:
        made = desk.obtain(FakeFront(), YES, **now, runtime="runsc")
        assert desk.kept() == made.digest

    def test_one_host_of_those_that_were_listed_needs_none(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.agree(allowlist=("*.example.com",))
        made = desk.obtain(FakeFront(), YES, **WIDE)
        assert desk.kept() == made.digest

    def test_a_person_needs_none(self, desk: Desk) -> None:
        desk.agree(**WIDE)

    def test_a_plan_that_differs_in_no_fact_needs_it(self, desk: Desk) -> None:
        """What this program cannot judge is for a person to look at."""
        made = desk.prepare(**NARROW, runtime="runsc")
        consents.keep(desk.state, made.subject, "0" * 64, made.facts)
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **NARROW, runtime="runsc")
        assert told[0].endswith(": plan")
        assert "--accept-changes" in told[1]
        desk.obtain(FakeFront(), Answers(yes=True, changes=True), **NARROW, runtime="runsc")
        assert desk.kept() == made.digest
        desk.obtain(FakeFront(), YES, **NARROW, runtime="runsc")

    def test_also_for_a_named_manifest_as_the_demos(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path, stumbled_on=False)
        desk.obtain(FakeFront(), YES, **NARROW)
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **WIDE)
        assert "--accept-changes" in told[1]

    def test_it_is_compared_with_the_last_yes(self, desk: Desk) -> None:
        desk.agree(**WIDE)
        desk.obtain(FakeFront(), YES, **NARROW)
        with refused(desk, UsageError, 64):
            desk.obtain(FakeFront(), YES, **WIDE)


class TestRuntimes:
    """Each `--runtime` has a yes of its own, so that one start does not undo another's."""

    @pytest.mark.parametrize("usual", ["runc", "runsc"])
    def test_starts_that_alternate_are_unchanged(self, desk: Desk, usual: str) -> None:
        asked = [{"runtime": usual, "override": override} for override in ("", "runsc", "runc")]
        for one in asked:
            desk.agree(**one)
        for one in (*asked, *asked):
            front = FakeFront()
            desk.obtain(front, YES, **one)
            assert front.rows[0][1].startswith("unchanged")

    def test_a_stronger_one_needs_no_word_and_a_weaker_one_does(self, desk: Desk) -> None:
        desk.agree(runtime="runc")
        desk.obtain(FakeFront(), YES, runtime="runc", override="runsc")
        desk.agree(runtime="runsc")
        asked: Mapping[str, Any] = {"runtime": "runsc", "override": "runc"}
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **asked)
        assert told[0].endswith(": runtime")
        assert "--accept-changes" in told[1]
        usual = desk.kept()
        made = desk.obtain(FakeFront(), Answers(yes=True, changes=True), **asked)
        assert (desk.kept("runc"), desk.kept()) == (made.digest, usual)

    def test_what_one_was_asked_about_is_asked_about_for_the_other(self, desk: Desk) -> None:
        for override in ("", "runsc"):
            desk.agree(**NARROW, override=override)
        desk.agree(**WIDE)
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **WIDE, override="runsc")
        assert told[0].endswith(": egress b.example.com")


class TestADockerfile:
    TEXT = "ARG BASE\nFROM ${BASE}\nRUN echo hello\n"

    @pytest.fixture(autouse=True)
    def dockerfile(self, desk: Desk) -> Path:
        (desk.folder / "project").mkdir()
        path = desk.folder / "project" / "Dockerfile"
        path.write_text(self.TEXT)
        return path

    @pytest.fixture
    def asked(self) -> Mapping[str, Any]:
        return {"image": {"dockerfile": "Dockerfile"}}

    def test_it_is_shown_and_asked_about_by_itself(
        self, desk: Desk, asked: Mapping[str, Any]
    ) -> None:
        front = Person(answer=True)
        made = desk.obtain(front, **asked)
        assert front.asked == [START, BUILD]
        assert front.events[-2:] == ["row dockerfile", BUILD]
        assert dict(front.rows)["dockerfile"].splitlines() == [
            "Dockerfile",
            *self.TEXT.splitlines(),
        ]
        assert "without any wall" in "\n".join(front.said)
        assert desk.kept() == made.digest

    @pytest.mark.parametrize("answer", [False, None])
    def test_a_no_to_it_is_a_no(
        self, desk: Desk, asked: Mapping[str, Any], answer: bool | None
    ) -> None:
        """The empty line is one too, whatever was agreed to before."""
        front = Person(answer=answer, answers={START: True})
        with refused(desk, Refused, 77):
            desk.obtain(front, **asked)
        assert front.asked == [START, BUILD]

    def test_a_no_to_the_start_asks_no_further(self, desk: Desk, asked: Mapping[str, Any]) -> None:
        front = Person(answer=False, answers={BUILD: True})
        with refused(desk, Refused, 77):
            desk.obtain(front, **asked)
        assert front.asked == [START]

    def test_a_yes_of_the_command_line_does_not_cover_it(
        self, desk: Desk, asked: Mapping[str, Any]
    ) -> None:
        words = {"yes": True, "new": True, "changes": True}
        with refused(desk, UsageError, 64) as told:
            desk.obtain(Person(answer=True), Answers(**words), **asked)
        assert "--accept-dockerfile" in told[1]
        made = desk.obtain(FakeFront(), Answers(**words, dockerfile=True), **asked)
        assert desk.kept() == made.digest

    def test_all_that_a_yes_does_not_cover_is_named_at_once(
        self, desk: Desk, asked: Mapping[str, Any]
    ) -> None:
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **asked)
        assert "nobody said yes to agent default of this folder's" in told[0]
        assert "Dockerfile is not built yet" in told[0]
        assert "--accept-new --accept-dockerfile" in told[1]
        assert "--accept-changes" not in told[1]

    def test_also_where_it_was_another_before(self, desk: Desk, asked: Mapping[str, Any]) -> None:
        desk.agree(**NARROW)
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), YES, **WIDE, **asked)
        assert "dockerfile, egress b.example.com; Dockerfile is not built yet" in told[0]
        assert "--accept-changes --accept-dockerfile" in told[1]
        assert "--accept-new" not in told[1]
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), Answers(yes=True, changes=True), **WIDE, **asked)
        assert told[0].startswith("Dockerfile is not built yet")
        assert "--accept-changes" not in told[1]

    def test_its_word_asks_a_person_once_less(self, desk: Desk, asked: Mapping[str, Any]) -> None:
        front = Person(answer=True)
        desk.obtain(front, Answers(dockerfile=True), **asked)
        assert front.asked == [START]

    def test_once_built_it_is_not_asked_about(
        self, desk: Desk, asked: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(extra, "present", lambda *_: "sha256:" + "e" * 64)
        front = Person(answer=True)
        desk.obtain(front, **asked)
        assert front.asked == [START]

    def test_packages_alone_are_part_of_the_plans_yes(self, desk: Desk) -> None:
        front = Person(answer=True)
        desk.obtain(front, image={"packages": ["make"]})
        assert front.asked == [START]

    def test_a_long_one_is_shown_to_its_end(
        self, desk: Desk, asked: Mapping[str, Any], dockerfile: Path
    ) -> None:
        rest = b"".join(b"# \xff%d\n" % number for number in range(97))
        dockerfile.write_bytes(self.TEXT.encode() + rest)
        front = Person(answer=True)
        desk.obtain(front, **asked)
        lines = dict(front.rows)["dockerfile"].splitlines()
        assert lines[-1] == "# \ufffd96"
        assert len(lines) == 97 + 1 + self.TEXT.count("\n")

    def test_a_changed_one_is_asked_about_again(
        self, desk: Desk, asked: Mapping[str, Any], dockerfile: Path
    ) -> None:
        desk.agree(**asked)
        dockerfile.write_text(self.TEXT + "RUN echo more\n")
        with refused(desk, UsageError, 64) as told:
            desk.obtain(FakeFront(), Answers(yes=True, dockerfile=True), **asked)
        assert told[0].endswith(": dockerfile")


class TestErrors:
    ASKED: Mapping[str, Any] = {"egress": {"dlp": {}}}

    @pytest.mark.parametrize("answers", [Answers(), Answers(yes=True, new=True, changes=True)])
    def test_one_stops_before_any_question(self, desk: Desk, answers: Answers) -> None:
        front = Person(answer=True)
        with refused(desk, NotStartable, 69):
            desk.obtain(front, answers, **self.ASKED)
        assert front.asked == []
        assert "error: bottles.default.egress.dlp" in dict(front.rows)["findings"]

    def test_it_goes_before_the_want_of_a_terminal(self, desk: Desk) -> None:
        with refused(desk, NotStartable, 69):
            desk.obtain(FakeFront(), **self.ASKED)

    def test_a_warning_does_not_stop(self, desk: Desk) -> None:
        desk.agree(allowlist=("example.com:80",))


def test_no_value_of_a_secret_is_shown_or_kept(desk: Desk) -> None:
    front = Person(answer=True)
    env = {"MINE": {"from": "HOST_NAME"}, "PLAIN": "plain text", "SOME_KEY": "text of a secret"}
    desk.obtain(front, env=env)
    (record,) = (desk.state / "consents").iterdir()
    shown, kept = f"{front.rows} {front.said}", record.read_text()
    for told in (shown, kept):
        assert "HOST_NAME" in told
        assert "plain text" in told
        assert "SOME_KEY" in told
        assert "the value of a secret" not in told
        assert "text of a secret" not in told


def test_a_yes_that_cannot_be_kept_starts_nothing(desk: Desk) -> None:
    desk.state.mkdir()
    (desk.state / "consents").touch()
    with pytest.raises(OSError, match="consents"):
        desk.obtain(Person(answer=True))
