"""Requests that come at the same time, answered together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from vmsnapshot.backends.vsphere._waiting import Ticket, in_background
from vmsnapshot.lifecycle.operation import Operation

K = TypeVar("K")
V = TypeVar("V")

# Seconds.  A batch goes out once nothing new came for QUIET, once it is as large as the largest
# of late (then nobody else is to be expected), and in any case after LONGEST.
QUIET: Final = 0.010
LONGEST: Final = 0.050


class Gatherer(Generic[K, V]):
    """Gathers keys asked for by many threads and answers them with one call.

    While one batch is under way, the next gathers; so the number of calls doesn't grow with the
    number of threads.

    Args:
        name: For the names of threads.
        answer: Takes the distinct keys; gives for each its value or the error to raise.
        more_to_come: Whether further requests are on their way; the batch then waits for them,
            but never longer than `LONGEST`.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Sequence[K]], Mapping[K, V | Exception]],
        more_to_come: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._answer = answer
        self._more_to_come = more_to_come
        self._changed = threading.Condition()
        self._waiting: list[tuple[K, Ticket[V]]] = []
        self._leading = False
        self._usual = 1.0

    def ask(self, key: K, operation: Operation) -> V:
        """The answer for one key.

        Raises:
            Cancelled: The user cancelled.
            TimedOut: The operation's time is over.
        """
        return self.ask_all([key], operation)[key]

    def ask_all(self, keys: Sequence[K], operation: Operation) -> dict[K, V]:
        """The answers for several keys at once; the first error of any of them is raised."""
        operation.check()
        tickets = {key: Ticket[V]() for key in keys}
        with self._changed:
            self._waiting += tickets.items()
            lead, self._leading = not self._leading and bool(tickets), True
            self._changed.notify_all()
        if lead:
            in_background(self._name, self._lead)
        return {key: ticket.wait(operation) for key, ticket in tickets.items()}

    def _lead(self) -> None:
        while batch := self._next_batch():
            keys = list(dict.fromkeys(key for key, _ in batch))
            try:
                answers = self._answer(keys)
            except Exception as error:  # noqa: BLE001 - raised again by everybody who asked
                answers = dict.fromkeys(keys, error)
            for key, ticket in batch:
                value = answers[key]
                if isinstance(value, Exception):
                    ticket.fail(_copy(value))
                else:
                    ticket.bring(value)

    def _next_batch(self) -> list[tuple[K, Ticket[V]]]:
        with self._changed:
            if not self._waiting:
                self._leading = False
                return []
            self._settle()
            batch, self._waiting = self._waiting, []
            self._usual = max(len(batch), self._usual / 2)
            return batch

    def _settle(self) -> None:
        end = time.monotonic() + LONGEST
        while (now := time.monotonic()) < end:
            count = len(self._waiting)
            if count >= self._usual > 1 and not self._more_to_come():
                return
            expected = count < self._usual or self._more_to_come()
            came = self._changed.wait(min(QUIET, end - now))
            if not came and not expected:
                return


def _copy(error: Exception) -> Exception:
    """The same error without another thread's traceback."""
    return error.with_traceback(None)
