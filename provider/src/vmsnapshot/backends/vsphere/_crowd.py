"""Who waits for answers of one server, so that nobody waits for somebody who can't come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from vmsnapshot.lifecycle.operation import Operation


class Crowd:
    """Which operations wait at the batchers of one server: one that waits can't come to another batcher.

    One that asks several batchers at the same time counts once, until the last has answered.

    Attributes:
        changed: Held to read or change it or its batchers; notified when somebody comes.
        size: How many there are, as far as that showed: as many as waited at once, since one was last
            expected in vain.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.size = 0
        self._asks: Counter[Operation] = Counter()

    @property
    def waiting(self) -> int:
        """How many wait. The caller holds `changed`."""
        return len(self._asks)

    def come(self, operation: Operation) -> None:
        """One waits, or waits for one more answer. The caller holds `changed`."""
        self._asks[operation] += 1
        self.size = max(self.size, self.waiting)
        self.changed.notify_all()

    def go(self, operations: Iterable[Operation]) -> None:
        """These get an answer. The caller holds `changed`."""
        for operation in operations:
            self._asks[operation] -= 1
            if not self._asks[operation]:  # it waits for nothing more
                del self._asks[operation]

    def miss_nobody(self) -> None:
        """Nobody else came, although somebody was expected. The caller holds `changed`."""
        self.size = self.waiting
