"""Lock: a session lives exactly as long as the process that holds its lock."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bottle.errors import Unavailable
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


def test_an_owner_is_a_state_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    key = lock.owner_key(one)
    assert re.fullmatch(r"[0-9a-f]{16}", key)
    assert lock.owner_key(other / ".." / "one") == key
    assert lock.owner_key(other) != key
    (entry,) = one.iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


def test_owners_with_the_same_path_and_machine_differ(tmp_path: Path) -> None:
    """As in two containers that share an engine: each has a folder of that name."""
    keys = set()
    for _ in range(2):
        keys.add(lock.owner_key(tmp_path / "state"))
        shutil.rmtree(tmp_path / "state")
    assert len(keys) == 2


def test_launchers_that_begin_together_have_one_owner(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as together:
        assert len(set(together.map(lock.owner_key, [tmp_path] * 64))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["owner"]


@pytest.mark.parametrize("text", ["", "0123456789abcde", "0123456789ABCDEF", "x" * 16])
def test_a_damaged_owner_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "owner").write_text(text)
    with pytest.raises(Unavailable, match="damaged"):
        lock.owner_key(tmp_path)
