"""A lock that is held during calls, and waited for within an operation's time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from vmsnapshot.lifecycle.operation import Operation

# Seconds after which somebody who waits looks whether the time is over, or the user has cancelled.
_LOOK: Final = 0.2


@contextlib.contextmanager
def held(lock: threading.Lock, operation: Operation) -> Iterator[None]:
    """Hold a lock: of many who ask for the same at once one reads, the others wait as long as they may.

    Whoever reads may do so for as long as the own operation lasts, which can be longer than this one.

    Args:
        lock: The lock.
        operation: Whose time counts.

    Raises:
        Cancelled: The user cancelled while waiting.
        TimedOut: The operation timed out while waiting.
    """
    while not lock.acquire(timeout=_LOOK):
        operation.check()
    try:
        yield
    finally:
        lock.release()
