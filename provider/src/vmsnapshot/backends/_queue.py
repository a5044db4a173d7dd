"""Operations that change one VM wait for each other, in the order of their coming."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Iterator

from vmsnapshot.backends._waiting import Ticket
from vmsnapshot.lifecycle.operation import Operation


class Queues:
    """One queue per VM; those of different VMs don't wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, deque[Ticket[None]]] = defaultdict(deque)

    @contextlib.contextmanager
    def turn(self, vm_id: str, operation: Operation) -> Iterator[None]:
        """Wait for one's turn on a VM, and let the next one in afterwards.

        Raises:
            Cancelled: The user cancelled while waiting.
            TimedOut: The operation's time was over while waiting.
        """
        operation.check()
        mine: Ticket[None] = Ticket()
        with self._lock:
            line = self._lines[vm_id]
            line.append(mine)
            if first := line[0] is mine:
                mine.bring(None)
        try:
            if not first:
                operation.progress("waiting for another operation on this VM")
            mine.wait(operation)
            yield
        finally:
            self._leave(vm_id, mine)

    def _leave(self, vm_id: str, mine: Ticket[None]) -> None:
        with self._lock:
            line = self._lines[vm_id]
            first = line[0] is mine
            line.remove(mine)
            if not line:
                del self._lines[vm_id]
            elif first:
                line[0].bring(None)
