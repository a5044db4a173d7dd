"""How many calls one server gets at once: the others wait for their turn, in the order in which they came."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from vmsnapshot.lifecycle.background import Future
from vmsnapshot.lifecycle.operation import Operation


class Slots:
    """Turns to call a server.

    Args:
        count: How many callers have one at once.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._line: deque[Future[None]] = deque()

    def take(self, operation: Operation, silence: Callable[[], str | None]) -> None:
        """Wait for a turn, which somebody must `give_back`.

        Args:
            operation: Whose time counts: one that is over leaves the line.
            silence: Tells why it takes so long.

        Raises:
            Cancelled: The user cancelled meanwhile.
            TimedOut: The operation timed out.
        """
        mine = self._enter()
        try:
            mine.wait(operation, silence)
        except BaseException:
            self._leave(mine)
            raise

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Have a turn, whatever time it takes."""
        self._enter().wait_forever()
        try:
            yield
        finally:
            self.give_back()

    def give_back(self) -> None:
        """End a turn; the next in the line has it then."""
        with self._lock:
            if self._line:
                self._line.popleft().set_result(None)
            else:
                self._free += 1

    def _enter(self) -> Future[None]:
        mine: Future[None] = Future()
        with self._lock:
            if self._free:
                self._free -= 1
                mine.set_result(None)
            else:
                self._line.append(mine)
        return mine

    def _leave(self, mine: Future[None]) -> None:
        with self._lock:
            waiting = mine in self._line
            if waiting:
                self._line.remove(mine)
        if not waiting:  # its turn had just come
            self.give_back()
