"""Answers requests of many threads in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from vmsnapshot.backends.vsphere._crowd import Crowd
from vmsnapshot.lifecycle.background import Future, in_background
from vmsnapshot.lifecycle.operation import Operation

K = TypeVar("K")
V = TypeVar("V")

# Seconds.  A batch goes out once nobody else is expected and nothing new came for QUIET, and in any
# case when nothing new came for LONGEST, or MOST after its first.  An engine takes LONGEST, in a stack of
# hundreds or on a busy machine, to go from a resource that is done to the next: it writes down its state,
# all of it, at each.
QUIET: Final = 0.010
LONGEST: Final = 0.500
MOST: Final = 2.0
# How fast a larger batch is forgotten.  Slowly: threads that fell out of step by chance wait for
# each other until they are in step again.  Faster when nobody joined one that waited that long.
FORGETTING: Final = 0.85
FORGETTING_ALONE: Final = 0.5


class Batcher(Generic[K, V]):
    """Collects keys asked for by many threads and answers them with one call.

    While one batch is under way, the next gathers; so the number of calls doesn't grow with the
    number of threads. An operation that isn't `batched` waits for nobody.

    Args:
        name: For the names of threads.
        answer: Takes the distinct keys; gives for each its value or the error to raise.
        crowd: Who waits at the same server, here or elsewhere. Default: only those who wait here.
        more_to_come: Whether further requests are on their way, as far as anybody can tell. As many as
            came together of late are expected in any case.
        silence: Tells why an answer takes so long.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Sequence[K]], Mapping[K, V | Exception]],
        crowd: Crowd | None = None,
        more_to_come: Callable[[], bool] | None = None,
        silence: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._name = name
        self._silence = silence
        self._answer = answer
        self._more_to_come = more_to_come
        self._crowd = crowd or Crowd()
        self._changed = self._crowd.changed
        self._waiting: list[tuple[K, Future[V | Exception]]] = []
        self._callers: list[Operation] = []
        # Whom the batch under way, or the last one, is for; how many, with those who came meanwhile.
        self._answered: list[Operation] = []
        self._together = 0
        self._leading = False
        self._hurry = False
        # How many callers came together of late; one caller's many keys are one.
        self._usual = 1.0

    def ask(self, key: K, operation: Operation) -> V:
        """The answer for one key.

        Raises:
            Exception: The error that came instead of it.
            Cancelled: The user cancelled.
            TimedOut: The operation timed out.
        """
        answer = self.ask_all([key], operation)[key]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask_all(self, keys: Sequence[K], operation: Operation) -> dict[K, V | Exception]:
        """The answer, or the error that came instead of it, for each of several keys.

        Raises:
            Cancelled: The user cancelled.
            TimedOut: The operation timed out.
        """
        operation.check()
        tickets = {key: Future[V | Exception]() for key in keys}
        if not tickets:
            return {}
        with self._changed:
            self._waiting += tickets.items()
            self._callers.append(operation)
            lead = not self._leading
            self._leading = True
            self._hurry |= not operation.batched
            self._crowd.come(operation)
        if lead:
            try:
                in_background(self._name, self._lead)
            except RuntimeError:  # no thread is to be had, and the others wait for this one
                self._lead()
        return {key: ticket.wait(operation, self._silence) for key, ticket in tickets.items()}

    def _lead(self) -> None:
        while batch := self._next_batch():
            keys = list(dict.fromkeys(key for key, _ in batch))
            try:
                found = self._answer(keys)
                answers: Mapping[K, V | Exception] = {key: found[key] for key in keys}
            except BaseException as error:  # noqa: BLE001 - raised again by everybody who asked
                failure = error if isinstance(error, Exception) else RuntimeError(f"{self._name}: {error!r}")
                answers = dict.fromkeys(keys, failure)
            with self._changed:
                # Who waits by now is somebody else: all of these will come together the next time.
                self._together = len(self._answered) + len(self._callers) if self._callers else 0
                # From now on they may come elsewhere, though their threads still have to wake.
                self._crowd.go(self._answered)
            for key, ticket in batch:
                value = answers[key]
                # Each who asked raises the error: their own traceback begins there.
                ticket.set_result(value.with_traceback(None) if isinstance(value, Exception) else value)

    def _next_batch(self) -> list[tuple[K, Future[V | Exception]]]:
        with self._changed:
            if not self._waiting:
                self._leading, self._together = False, 0
                return []
            self._settle()
            batch, self._waiting = self._waiting, []
            self._answered, self._callers = self._callers, []
            callers = len(self._answered)
            self._hurry = False
            fading = FORGETTING if callers > 1 else FORGETTING_ALONE
            self._usual = max(callers, self._usual * fading, self._together)
            return batch

    def _settle(self) -> None:
        begun = latest = time.monotonic()
        came = len(self._callers)
        while not self._hurry and (left := min(latest + LONGEST, begun + MOST) - time.monotonic()) > 0:
            on_the_way = self._more_to_come is not None and self._more_to_come()
            # Who waits elsewhere can't come.
            expected = on_the_way or self._crowd.waiting < min(self._usual, self._crowd.size)
            if not expected and (self._usual > 1 or time.monotonic() - latest >= QUIET):
                return
            # Whoever comes tells; that nobody else is on the way, nobody tells.
            tells = expected and self._more_to_come is None
            self._changed.wait(left if tells else min(QUIET, left))
            if len(self._callers) > came:
                came, latest = len(self._callers), time.monotonic()
        if not self._hurry:
            self._crowd.miss_nobody()
