"""Work in a thread of its own, and its future: that is waited for within an operation's time."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation

T = TypeVar("T")

# Seconds between two looks why it takes so long.
_LOOK_EVERY: Final = 1.0


class Future(Generic[T]):
    """One value, or the error that came instead of it; set once, waited for by one thread.

    `concurrent.futures.Future` has no wait that a cancelled operation ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._done = False
        self._abandoned = False
        self._value: T | None = None
        self._error: BaseException | None = None

    def set_result(self, value: T) -> bool:
        """Set the value; whether somebody still waits for it."""
        with self._lock:
            self._value, self._done = value, True
            wanted = not self._abandoned
        self._woken.set()
        return wanted

    def fail(self, error: BaseException) -> None:
        """Set the error that `wait` raises instead of returning a value."""
        with self._lock:
            self._error, self._done = error, True
        self._woken.set()

    def result_within(self, seconds: float) -> T | None:
        """The value, if it comes so soon; None: it doesn't, or an error does."""
        self._woken.wait(seconds)
        return self._value

    def wait_forever(self) -> None:
        """Wait until it comes, whatever time it takes."""
        while not self._done:
            self._woken.wait()

    def wait(self, operation: Operation, silence: Callable[[], str | None] = lambda: None) -> T:
        """Wait for the value and return it.

        Args:
            operation: Whose time counts.
            silence: Tells now and then why it takes so long; that is shown as the operation's progress.

        Raises:
            Cancelled: The user cancelled before it came.
            TimedOut: The operation's time was over before it came.
        """
        undo = operation.cancellation.subscribe(self._woken.set)
        try:
            told = None
            while not self._come(operation):
                self._woken.wait(min(operation.remaining, _LOOK_EVERY))
                if (text := silence()) not in {None, told}:
                    told = text
                    operation.report(text)
        finally:
            undo()
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def _come(self, operation: Operation) -> bool:
        """Whether it came; from when the operation is over, nobody waits for it."""
        with self._lock:
            if self._done:
                return True
            try:
                operation.check()
            except VmsnapshotError:
                self._abandoned = True
                raise
        return False


def in_background(
    name: str, function: Callable[[], T], late: Callable[[T], object] = lambda _value: None
) -> Future[T]:
    """Run a function in a thread of its own, so that its caller can stop waiting for it.

    Args:
        name: The thread's name, for stack dumps.
        function: What to run.
        late: Called with the value when nobody waits for it any more.
    """
    ticket: Future[T] = Future()
    # On whose behalf it runs, for what counts and traces calls.
    context = contextvars.copy_context()

    def run() -> None:
        try:
            value = context.run(function)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ticket.fail(error)
        else:
            if not ticket.set_result(value):
                late(value)

    threading.Thread(target=run, name=f"vmsnapshot-{name}", daemon=True).start()
    return ticket
