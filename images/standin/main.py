"""Main: reads the configuration, makes certificates, listens, and serves until stdin ends."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Final, NoReturn

import certificates
import lifeline
import lines
import server
import settings

_ROOM: Final = Path("/run/standin")
_BAD_CONFIGURATION: Final = 3


def main() -> None:
    """Run; leave with 3 and a message when the configuration is bad, before anything listens."""
    lifeline.hold()
    try:
        wanted = settings.parse(lifeline.first_line())
    except (ValueError, RecursionError) as error:
        _give_up(f"bad configuration: {error}", _BAD_CONFIGURATION)
    try:
        certificate = certificates.make(_ROOM, wanted.names)
        secure, plain = server.listen(wanted, certificate)
    except (OSError, RuntimeError) as error:
        _give_up(f"cannot listen: {error}", 1)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    lines.say("ready", ca=certificate.authority)
    secure.serve_forever()


def _give_up(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"standin: {text}\n")
    sys.stderr.flush()
    os._exit(code)
