"""How long a server has left calls without an answer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

# Seconds without an answer after which it is said that there is none. Ordinary calls take well under one.
SILENT_AFTER: Final = 15.0


class Silence:
    """The calls that wait for an answer.

    Args:
        who: Who is to answer, for messages.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._lock = threading.Lock()
        self._since: dict[object, float] = {}

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """A call waits for its answer."""
        call = object()
        with self._lock:
            self._since[call] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._since[call]

    def text(self) -> str | None:
        """That there is no answer, and for how long, for the line of progress; None: there is one."""
        with self._lock:
            oldest = min(self._since.values(), default=None)
        if oldest is None or (seconds := time.monotonic() - oldest) < SILENT_AFTER:
            return None
        steps = int(seconds / SILENT_AFTER)
        return f"{self._who} hasn't answered for {steps * SILENT_AFTER:.0f} s"
