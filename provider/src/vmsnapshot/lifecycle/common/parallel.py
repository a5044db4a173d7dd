"""Runs one function for many VMs in parallel, and gathers the results and errors."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, TypeVar

from vmsnapshot.lifecycle.errors import Cancelled, InvalidInput, PlatformError, TimedOut, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome

_T = TypeVar("_T")
_R = TypeVar("_R")

# How many VMs are worked on at the same time. The platform queues what it can't do at once (vSphere
# works on a few snapshots per host and datastore); more only cost us, each waits in threads of its own.
AT_ONCE: Final = 256

# Seconds between two progress lines; the engine draws no faster.
_BETWEEN_LINES: Final = 0.25

# How many VMs' own progress stands on the line.
_SHOWN: Final = 2


def parallel_map(
    items: Mapping[str, _T],
    act: Callable[[str, _T, Operation], _R],
    operation: Operation,
    doing: str,
    what: Callable[[str], str] | None = None,
    *,
    before: int = 0,
    of: int | None = None,
) -> dict[str, Outcome[_R]]:
    """Call `act` for each item in parallel threads; returns each result or error, in the items' order.

    Args:
        items: What to work on, by the member's key.
        act: Called with the key, the item, and this item's part of the operation.
        operation: Whose time, cancellation and progress count.
        doing: What is done to all, for the progress line: `taking release-43: 7 of 10 VMs`.
        what: What is done to one, by its key, for messages. Default: `doing` and the key.
        before: How many the progress line counts as done already: those of earlier waves.
        of: How many it counts in all. Default: the items.
    """
    reporter = _ProgressReporter(operation, doing, before, len(items) if of is None else of)

    def one(key: str, item: _T) -> Outcome[_R]:
        words = f'{doing}: VM "{key}"' if what is None else what(key)
        part = operation.part(words, lambda text: reporter.tell(key, text), headed=True)
        try:
            part.check()
            result = act(key, item, part)
        except VmsnapshotError as error:
            reporter.end(key, done=False)
            return error
        reporter.end(key, done=True)
        return result

    if not items:
        return {}
    with ThreadPoolExecutor(min(len(items), AT_ONCE), thread_name_prefix="environment") as pool:
        # Each in a copy of this context: on whose behalf it runs, for what counts and traces calls.
        futures = {
            key: pool.submit(contextvars.copy_context().run, one, key, item) for key, item in items.items()
        }
        while wait(futures.values(), timeout=_BETWEEN_LINES).not_done:
            reporter.catch_up()
        return {key: future.result() for key, future in futures.items()}


def partition(outcomes: Mapping[str, Outcome[_R]]) -> tuple[dict[str, _R], dict[str, VmsnapshotError]]:
    """Splits outcomes into results and errors."""
    done = {key: item for key, item in outcomes.items() if not isinstance(item, VmsnapshotError)}
    failed = {key: item for key, item in outcomes.items() if isinstance(item, VmsnapshotError)}
    return done, failed


def aggregate_errors(
    head: str, failures: Mapping[str, VmsnapshotError], ending: str = "", *, subject: str | None = None
) -> VmsnapshotError:
    """Returns one error that lists every VM with its cause; it has their type, where they agree."""
    causes = [f"- {key}: {error.message}" for key, error in failures.items()]
    text = "\n".join([head, *causes, *filter(None, [ending])])
    kinds = {type(error) for error in failures.values()}
    # A cancellation or a timeout explains all the others.
    kind: type[VmsnapshotError] = next(
        (item for item in (Cancelled, TimedOut) if item in kinds), PlatformError
    )
    if len(kinds) == 1 and InvalidInput not in kinds:
        (kind,) = kinds
    return kind(text, retryable=all(error.retryable for error in failures.values()), subject=subject)


class _ProgressReporter:
    """Writes one progress line for all VMs: how many are done, and the progress of some."""

    def __init__(self, operation: Operation, doing: str, done: int, total: int) -> None:
        self._operation = operation
        self._doing = doing
        self._total = total
        self._lock = threading.Lock()
        self._done = done
        self._told: dict[str, str] = {}
        self._shown_at = float("-inf")
        self._owed = False

    def tell(self, key: str, text: str) -> None:
        """Report the progress of one VM."""
        with self._lock:
            self._told[key] = text
            self._show()

    def end(self, key: str, *, done: bool) -> None:
        """Report that one VM has ended."""
        with self._lock:
            self._told.pop(key, None)
            self._done += done
            self._show(always=self._done == self._total)

    def catch_up(self) -> None:
        """Show the progress that was held back because it came too soon after the previous line."""
        with self._lock:
            if self._owed:
                self._show()

    def _show(self, *, always: bool = False) -> None:
        moment = time.monotonic()
        self._owed = not always and moment - self._shown_at < _BETWEEN_LINES
        if self._owed:
            return
        self._shown_at = moment
        each = ", ".join(f"{key}: {text}" for key, text in list(self._told.items())[:_SHOWN])
        ending = f" ({each})" if each else ""
        count = f": {self._done} of {self._total} VMs" if self._total > 1 else ""
        self._operation.progress(f"{self._doing}{count}{ending}")
