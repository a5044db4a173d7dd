"""One lock for each VM: operations that change it hold the lock, in the order in which they asked."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator

from vmsnapshot.lifecycle.background import Future
from vmsnapshot.lifecycle.operation import Operation


class KeyedLock:
    """A fair lock for each key; holders of different keys don't wait for each other.

    Args:
        changes: Is told the key when its lock has been taken, and when it is about to be given back.
    """

    def __init__(self, changes: Callable[[str], None] = lambda _key: None) -> None:
        self._changes = changes
        self._lock = threading.Lock()
        self._lines: dict[str, deque[Future[None]]] = defaultdict(deque)

    @contextlib.contextmanager
    def hold(self, vm_id: str, operation: Operation) -> Iterator[None]:
        """Hold the lock of a VM; the next in line gets it afterwards.

        Raises:
            Cancelled: The user cancelled while waiting.
            TimedOut: The operation's time was over while waiting.
        """
        operation.check()
        mine: Future[None] = Future()
        with self._lock:
            line = self._lines[vm_id]
            line.append(mine)
            if first := line[0] is mine:
                mine.set_result(None)
        try:
            if not first:
                operation.progress("waiting for another operation on this VM")
            mine.wait(operation)
            self._changes(vm_id)
            try:
                yield
            finally:
                self._changes(vm_id)
        finally:
            self._leave(vm_id, mine)

    def _leave(self, vm_id: str, mine: Future[None]) -> None:
        with self._lock:
            line = self._lines[vm_id]
            first = line[0] is mine
            line.remove(mine)
            if not line:
                del self._lines[vm_id]
            elif first:
                line[0].set_result(None)
