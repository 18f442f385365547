"""Progress: how provisioning tells a person what it does; the console is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

_SIGN_OF_LIFE: Final = 15.0


class Progress(Protocol):
    """What provisioning needs of a console."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Show what is being done, and how long it took when it is done."""

    def say(self, text: str) -> None:
        """Show a line."""

    def ask(self, question: str) -> bool:
        """Ask yes or no; only a clear yes is True."""


@contextmanager
def lively(progress: Progress, title: str) -> Iterator[None]:
    """Be a step that may take long: every 15 s a line says that it still goes on."""
    over = threading.Event()
    begin = time.monotonic()

    def tell() -> None:
        while not over.wait(_SIGN_OF_LIFE):
            progress.say(f"  … {title}: {time.monotonic() - begin:.0f} s so far")

    teller = threading.Thread(target=tell, daemon=True)
    with progress.step(title):
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
