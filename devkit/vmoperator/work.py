"""Which VMs have to be looked at, now or later; each by one worker at a time."""

from __future__ import annotations

import heapq
import threading
import time

from devkit.vmoperator.objects import Key


class Work:
    """A queue in which a VM stands at most once."""

    def __init__(self) -> None:
        self._ready: list[Key] = []
        self._later: list[tuple[float, Key]] = []
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._closed = False
        self._changed = threading.Condition()

    def add(self, key: Key, *, after: float = 0) -> None:
        """Look at a VM, in so many seconds; once more if it is being looked at."""
        with self._changed:
            if after > 0:
                heapq.heappush(self._later, (time.monotonic() + after, key))
            else:
                self._add(key)
            self._changed.notify()

    def take(self) -> Key | None:
        """The next VM, to be given back by `done`; None when closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    self._add(heapq.heappop(self._later)[1])
                if self._ready:
                    key = self._ready.pop(0)
                    self._active.add(key)
                    if self._ready or self._later:
                        # Another sees to what is left: this one may be the only one that would wake for it.
                        self._changed.notify()
                    return key
                self._changed.wait(self._later[0][0] - now if self._later else None)
            return None

    def done(self, key: Key) -> None:
        """It was looked at."""
        with self._changed:
            self._active.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._add(key)
            self._changed.notify()

    def close(self) -> None:
        """Give out no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _add(self, key: Key) -> None:
        if key in self._active:
            self._again.add(key)
        elif key not in self._ready:
            self._ready.append(key)
