"""Wakes those who wait for a change of a VM's objects."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation

T = TypeVar("T")


class ChangeNotifier:
    """Who waits for what: each waiter names a VM, and is woken when something of it has changed.

    Args:
        ended: Why no more changes will come; None while they do.
    """

    def __init__(self, ended: Callable[[], VmsnapshotError | None]) -> None:
        self._ended = ended
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = defaultdict(set)

    def tell(self, key: str | None = None) -> None:
        """Wake those who wait for a VM, or everybody."""
        with self._lock:
            keys = [key] if key is not None else list(self._waiting)
            events = [event for one in keys for event in self._waiting.get(one, ())]
        for event in events:
            event.set()

    def until(
        self, key: str, look: Callable[[], T | None], operation: Operation, *, longest: float | None = None
    ) -> T | None:
        """What `look` finds, at once or after a change of that VM; None after `longest` seconds.

        Raises:
            Cancelled: The user cancelled.
            TimedOut: The operation timed out.
            Denied: This user may no longer look; likewise whatever else ended the watches.
        """
        woken = threading.Event()
        end = None if longest is None else time.monotonic() + longest
        with self._lock:
            self._waiting[key].add(woken)
        undo = operation.cancellation.subscribe(woken.set)
        try:
            while (found := look()) is None:
                operation.check()
                if (trouble := self._ended()) is not None:
                    raise ended_by(trouble, operation)
                left = operation.remaining
                if end is not None:
                    left = min(left, end - time.monotonic())
                    if left <= 0:
                        return None
                woken.wait(left)
                woken.clear()
            return found
        finally:
            undo()
            with self._lock:
                self._waiting[key].discard(woken)
                if not self._waiting[key]:
                    del self._waiting[key]


def ended_by(trouble: VmsnapshotError, operation: Operation) -> VmsnapshotError:
    """What ended a watch, as the error of who needs it."""
    return trouble.about(f"{operation.what} ({trouble.subject})")
