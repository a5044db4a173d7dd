"""Who waits for answers of one server, so that nobody waits for somebody who can't come."""

from __future__ import annotations

import threading


class Crowd:
    """How many operations wait at the batchers of one server: one that waits can't come to another batcher.

    Attributes:
        changed: Held to read or change it or its batchers; notified when somebody comes.
        waiting: How many wait.
        size: How many there are, as far as that showed: as many as waited at once, since one was last
            expected in vain.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting = 0
        self.size = 0

    def come(self) -> None:
        """One more waits. The caller holds `changed`."""
        self.waiting += 1
        self.size = max(self.size, self.waiting)
        self.changed.notify_all()

    def go(self, count: int) -> None:
        """So many get their answers. The caller holds `changed`."""
        self.waiting -= count

    def is_complete(self) -> None:
        """Nobody else came, although somebody was expected. The caller holds `changed`."""
        self.size = self.waiting
