"""Lock: a session lives exactly as long as the process that holds its lock."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bottle.session import lock

SESSION = "0123456789ab"

HOLDER = """
import sys, time
from pathlib import Path
from bottle.session import lock
with lock.hold(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def file_of(folder: Path) -> Path:
    return folder / "sessions" / f"{SESSION}.lock"


def test_a_session_without_a_file_is_dead(tmp_path: Path) -> None:
    assert lock.is_dead(tmp_path, SESSION)
    lock.forget(tmp_path, SESSION)


def test_a_held_session_lives_and_leaves_no_file(tmp_path: Path) -> None:
    with lock.hold(tmp_path, SESSION):
        assert not lock.is_dead(tmp_path, SESSION)
        assert lock.is_dead(tmp_path, "ba9876543210")
    assert lock.is_dead(tmp_path, SESSION)
    assert not file_of(tmp_path).exists()


def test_a_live_session_is_not_forgotten(tmp_path: Path) -> None:
    with lock.hold(tmp_path, SESSION):
        lock.forget(tmp_path, SESSION)
        assert file_of(tmp_path).exists()
        assert not lock.is_dead(tmp_path, SESSION)


def test_a_failure_lets_go_and_keeps_the_file_for_the_reaper(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock.hold(tmp_path, SESSION):
        raise KeyError
    assert lock.is_dead(tmp_path, SESSION)
    lock.forget(tmp_path, SESSION)
    assert not file_of(tmp_path).exists()


def test_a_killed_holder_is_dead_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), SESSION]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert not lock.is_dead(tmp_path, SESSION)
        holder.kill()
    assert file_of(tmp_path).exists()
    assert lock.is_dead(tmp_path, SESSION)


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with lock.hold(tmp_path, SESSION):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert lock.is_dead(tmp_path, SESSION)
    finally:
        child.kill()
        child.wait()


def test_a_file_removed_while_waiting_for_it_is_made_anew(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    path.parent.mkdir()
    reaping = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(reaping, fcntl.LOCK_EX)
    seen: list[bool] = []

    def hold() -> None:
        with lock.hold(tmp_path, SESSION):
            seen.append(lock.is_dead(tmp_path, SESSION))

    holder = threading.Thread(target=hold)
    holder.start()
    path.unlink()
    os.close(reaping)
    holder.join(5)
    assert seen == [False]


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with lock.hold(tmp_path, SESSION):
            modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "sessions").rglob("*")]
            assert modes == [0o600]
            assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_the_state_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a" / "b"))
    folder = lock.state_folder()
    assert folder.is_dir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert lock.state_folder() == folder


def test_owners_differ_by_state_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    assert lock.owner_key(one) == lock.owner_key(tmp_path / "other" / ".." / "one")
    assert lock.owner_key(one) != lock.owner_key(other)
    assert len(lock.owner_key(one)) == 16


def test_owners_differ_by_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    keys = []
    for name in ("here", "there"):
        monkeypatch.setattr("platform.node", lambda name=name: name)
        keys.append(lock.owner_key(tmp_path))
    assert keys[0] != keys[1]
