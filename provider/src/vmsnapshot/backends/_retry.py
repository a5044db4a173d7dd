"""Retries of what may pass by itself, with exponential backoff."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from vmsnapshot.lifecycle.errors import TimedOut, VmsnapshotError, full_stop
from vmsnapshot.lifecycle.operation import Operation

T = TypeVar("T")

# Seconds before the second attempt, and the most between two.
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 20.0
# How often what may or may not pass is tried.
_BRIEFLY: Final = 3
# Of its own: whoever seeds the module's, such as a program in this process, is not disturbed.
_SPREAD: Final = random.Random()  # noqa: S311 - spreads load, keeps no secret


class RetryCondition:
    """Whether an error is worth another attempt; composed with `|` and `&`."""

    def __init__(self, holds: Callable[[VmsnapshotError], bool]) -> None:
        self.holds = holds

    def __or__(self, other: RetryCondition) -> RetryCondition:
        """Either."""
        return RetryCondition(lambda error: self.holds(error) or other.holds(error))

    def __and__(self, other: RetryCondition) -> RetryCondition:
        """Both."""
        return RetryCondition(lambda error: self.holds(error) and other.holds(error))

    def __invert__(self) -> RetryCondition:
        """The opposite."""
        return RetryCondition(lambda error: not self.holds(error))


def retry_if(*kinds: type[VmsnapshotError]) -> RetryCondition:
    """Whether the error is of one of these kinds."""
    return RetryCondition(lambda error: isinstance(error, kinds))


def backoff() -> Iterator[float]:
    """Seconds between attempts: doubling, each shortened by up to a half at random."""
    longest = FIRST_PAUSE
    while True:
        yield longest * _SPREAD.uniform(0.5, 1.0)
        longest = min(2 * longest, LONGEST_PAUSE)


NEVER: Final = RetryCondition(lambda _error: False)


def retry(
    operation: Operation,
    when: RetryCondition,
    attempt: Callable[[], T],
    *,
    briefly: RetryCondition = NEVER,
    asked: Callable[[VmsnapshotError], float] = lambda _error: 0,
) -> T:
    """Make attempts until one succeeds, fails for good, or the operation times out.

    Args:
        operation: Whose time counts.
        when: What passes by itself.
        attempt: What to try.
        briefly: What may pass or not: it is tried three times in all.
        asked: The seconds that a failure asks to be waited at least.

    Raises:
        Cancelled: The user cancelled.
        TimedOut: The operation timed out; the message holds the last failure.
    """
    for tries, pause in enumerate(backoff(), start=1):
        operation.check()
        try:
            return attempt()
        except VmsnapshotError as error:
            if not when.holds(error) and not (tries < _BRIEFLY and briefly.holds(error)):
                raise
            failure = error
        least = asked(failure)
        when_again = f" in {least:.0f} s, as it asks for" if least else ""
        operation.report(f"{full_stop(failure.explanation)} Trying again{when_again}.")
        try:
            operation.pause(max(least, pause))
        except TimedOut as over:
            over.add(f"The last attempt: {failure.message}")
            raise over from failure
    raise AssertionError  # backoff() never ends
