"""Main: puts the proxy together, says that it listens, and lives as long as its launcher.

The order is for the clock: the lifeline first, then the imports (most of the start), then the
configuration, which the launcher has sent meanwhile.
"""

from __future__ import annotations

import gc
import os
import sys

import lifeline

_BAD_CONFIGURATION = 3


def main() -> None:
    """Run until the launcher is gone; exit 3, before anything listens, on a bad configuration."""
    lifeline.hold()
    os.environ.pop("SSLKEYLOGFILE", None)
    gc.disable()
    import edge  # after the lifeline: this takes a quarter of a second

    gc.enable()
    gc.freeze()
    try:
        edge.run(lifeline.configuration())
    except (ValueError, OSError) as error:
        print(f"sidecar: {error}", file=sys.stderr, flush=True)  # noqa: T201
    except BaseException as error:
        print(f"sidecar: {type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(_BAD_CONFIGURATION)
