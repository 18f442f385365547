"""Share: leaves things for others to find in what bottles might share, or looks for them.

Standard library only. With a word as its only argument it leaves them, says so, and tells after
a line on stdin who came; `main` looks for what was left under that word.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

IPC_CREAT, IPC_RMID = 0o1000, 0
MOST = 20_000
SPARE = 64


def outcome(action: Callable[[], object]) -> str:
    """Do it, and name the error or say that it worked."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "worked"


def call(name: str, *words: Any) -> int:
    """Call a function of the C library that gives -1 and errno."""
    library = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(library, name)(*words))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def key(word: str) -> int:
    """Give a System V key for a word of hexadecimal digits."""
    return int(word[:7], 16) + 1


def visit(word: str) -> None:
    """Connect to an abstract Unix socket; it has no place in a file system."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + word)


def inotify() -> None:
    """Take one more inotify instance; the kernel counts them for each user id."""
    os.close(call("inotify_init1", 0))


def main(request: Any) -> dict[str, str]:
    """Look for what was left under a word; give for each thing how that ended."""
    word = str(request)
    return {
        "abstract socket": outcome(lambda: visit(word)),
        "System V memory": outcome(lambda: call("shmget", key(word), 0, 0)),
        "POSIX memory": outcome(Path(f"/dev/shm/{word}").read_text),
        "temporary file": outcome(Path(f"/tmp/{word}").read_text),
        "inotify": outcome(inotify),
    }


def exhaust() -> None:
    """Take all inotify instances that the kernel lets this user have, MOST at most."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(OSError):
        for _ in range(min(MOST, most - SPARE)):
            call("inotify_init1", 0)


def leave(word: str) -> None:
    """Leave everything, wait for a line, tell how many came, and take it away."""
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + word)
    server.listen(8)
    memory = call("shmget", key(word), 4096, IPC_CREAT | 0o666)
    files = [Path(f"/dev/shm/{word}"), Path(f"/tmp/{word}")]
    for path in files:
        path.write_text("here")
    exhaust()
    sys.stdout.write("left\n")
    sys.stdout.flush()
    sys.stdin.readline()
    server.setblocking(False)
    came = 0
    with contextlib.suppress(BlockingIOError):
        while server.accept():
            came += 1
    call("shmctl", memory, IPC_RMID, None)
    for path in files:
        path.unlink()
    sys.stdout.write(json.dumps({"came": came}) + "\n")


if __name__ == "__main__" and len(sys.argv) > 1:
    leave(sys.argv[1])
