"""The deadline, the cancellation and the progress of one operation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from vmsnapshot.lifecycle.errors import Cancelled, TimedOut
from vmsnapshot.model.duration import format_duration

# Used where customTimeouts sets none: a snapshot of a large memory takes minutes, and a consolidation
# can take longer.
DEFAULT_TIMEOUT: Final = timedelta(minutes=30)


class Cancellation:
    """A flag that cancels everything that is under way; once set it stays set."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def requested(self) -> bool:
        """Whether the flag is set."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Set the flag, wake those who wait, and call the listeners."""
        self._cancelled.set()
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` on cancellation (now, if cancelled); returns a function that unsubscribes it."""
        with self._lock:
            self._listeners.add(listener)
        if self.requested:
            listener()

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.discard(listener)

        return unsubscribe

    def wait(self, seconds: float) -> bool:
        """Sleep for that time, or until somebody cancels; returns whether somebody did."""
        return self._cancelled.wait(seconds)


class Operation:
    """One operation on one resource, with its deadline, its cancellation and its progress.

    Args:
        what: What is being done, for messages: `taking snapshot "x" of VM "web-1"`.
        timeout: How long it may take. Default: 30 minutes.
        cancellation: The flag that the user's Ctrl-C sets.
        progress: Called with a short text while it goes on.
        batched: Whether others of ours are likely to ask at the same time, so that a backend may wait a
            moment to ask the platform for all at once.
        headed: Whether the line that `progress` writes says already what is being done.
    """

    def __init__(
        self,
        what: str,
        *,
        timeout: timedelta = DEFAULT_TIMEOUT,
        cancellation: Cancellation | None = None,
        progress: Callable[[str], None] = lambda _text: None,
        batched: bool = True,
        headed: bool = False,
    ) -> None:
        self.what = what
        self.timeout = timeout
        self.cancellation = cancellation or Cancellation()
        self.progress = progress
        self.batched = batched
        self._headed = headed
        self._deadline = time.monotonic() + timeout.total_seconds()

    def part(
        self,
        what: str,
        progress: Callable[[str], None] = lambda _text: None,
        *,
        headed: bool = False,
        within: timedelta | None = None,
    ) -> Operation:
        """Returns an operation for one part of the work, with the same deadline, or an earlier one."""
        part = Operation(
            what,
            timeout=self.timeout,
            cancellation=self.cancellation,
            progress=progress,
            batched=self.batched,
            headed=headed,
        )
        part._deadline = self._deadline
        if within is not None:
            part._deadline = min(self._deadline, time.monotonic() + within.total_seconds())
        return part

    def report(self, text: str) -> None:
        """Show how far it is, after what is being done unless the progress line says that already."""
        self.progress(text if self._headed else f"{self.what}: {text}")

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Raise if the operation has timed out or somebody has cancelled.

        Raises:
            Cancelled: The user cancelled.
            TimedOut: The operation timed out.
        """
        if self.cancellation.requested:
            raise Cancelled("cancelled.", subject=self.what)
        if not self.remaining:
            message = (
                f"not finished within {format_duration(self.timeout)}. The next update continues from here; "
                "customTimeouts gives it more time."
            )
            raise TimedOut(message, subject=self.what)

    def pause(self, seconds: float) -> None:
        """Wait before trying again, within the time left.

        Raises:
            Cancelled: The user cancelled meanwhile.
            TimedOut: The operation timed out.
        """
        self.cancellation.wait(min(seconds, self.remaining))
        self.check()
