"""Lines: what the stand-in testifies on stdout, one JSON object per line."""

from __future__ import annotations

import json
import os
import threading
from typing import Final

_STDOUT: Final = 1
_one_at_a_time = threading.Lock()


def say(event: str, **fields: object) -> None:
    """Write one line, whole and at once."""
    rest = json.dumps({"event": event, **fields}).encode() + b"\n"
    with _one_at_a_time:
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
