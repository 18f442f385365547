"""Cache: private, sealed, and never half filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from bottle.provision import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.folder()


def _fill(target: Path, text: str = "x") -> None:
    with cache.filling(target) as fresh:
        (fresh / "sub").mkdir()
        (fresh / "sub" / "file").write_text(text)


def test_it_is_for_its_user_alone(folder: Path) -> None:
    folder.chmod(0o755)
    assert cache.folder().stat().st_mode & 0o777 == 0o700


def test_what_was_filled_is_sealed(folder: Path) -> None:
    target = folder / "things" / "one"
    assert not cache.sealed(target)
    _fill(target)
    assert cache.sealed(target)


@pytest.mark.parametrize("change", ["content", "more", "less"])
def test_a_change_breaks_the_seal(folder: Path, change: str) -> None:
    target = folder / "things" / "one"
    _fill(target)
    if change == "content":
        (target / "sub" / "file").write_text("y")
    elif change == "more":
        (target / "new").write_text("")
    else:
        (target / "sub" / "file").unlink()
    assert not cache.sealed(target)


def test_a_new_one_takes_the_place_of_the_old(folder: Path) -> None:
    _fill(folder / "things" / "one")
    _fill(folder / "things" / "two")
    assert [path.name for path in (folder / "things").iterdir()] == ["two"]


def _fill_and_fail(target: Path) -> None:
    with cache.filling(target) as fresh:
        (fresh / "half").write_text("")
        raise OSError("disk")


def test_a_failure_leaves_the_old_one_and_nothing_half(folder: Path) -> None:
    _fill(folder / "things" / "one")
    with pytest.raises(OSError, match="disk"):
        _fill_and_fail(folder / "things" / "two")
    assert cache.sealed(folder / "things" / "one")
    assert [path.name for path in folder.iterdir()] == ["things"]


def test_what_a_killed_setup_left_is_cleared(folder: Path) -> None:
    (folder / "work-dead").mkdir()
    with cache.alone(folder):
        assert not (folder / "work-dead").exists()


def test_modes_are_those_of_an_image(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir(mode=0o700)
    for name, mode in (("plain", 0o600), ("program", 0o700)):
        (tmp_path / "sub" / name).write_text("")
        (tmp_path / "sub" / name).chmod(mode)
    cache.make_readable(tmp_path)
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert found == {"sub": 0o755, "plain": 0o644, "program": 0o755}
