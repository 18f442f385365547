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
_NOT_STARTED: Final = 3


def main() -> None:
    """Run until the launcher is gone; whatever fails before `ready` ends it with 3."""
    lifeline.hold()
    try:
        wanted = settings.parse(lifeline.configuration())
        certificate = certificates.make(_ROOM, wanted.names)
        secure, plain = server.listen(wanted, certificate)
    except Exception as error:  # whatever it is: half a stand-in would testify to nothing
        _give_up(error)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    lines.say("ready", ca=certificate.authority)
    secure.serve_forever()


def _give_up(error: Exception) -> NoReturn:
    sys.stderr.write(f"standin: {type(error).__name__}: {error}\n")
    sys.stderr.flush()
    os._exit(_NOT_STARTED)
