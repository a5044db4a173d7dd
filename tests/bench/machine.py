"""How much of the machine others used while something was measured."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")


class Span:
    """From when it is made until `others` is asked for.

    Args:
        own: Processes that belong to the measurement besides this one and the children that it waits for.
    """

    def __init__(self, own: Sequence[int]) -> None:
        self._own = own
        self._start = time.perf_counter()
        self._busy = self._others()

    def others(self) -> float | None:
        """How many processors others had, on average; None where there is no /proc."""
        end = self._others()
        if self._busy is None or end is None:
            return None
        return max(0.0, (end - self._busy) / (time.perf_counter() - self._start))

    def _others(self) -> float | None:
        """The processor seconds of all others since the machine's start, other guests of its host too."""
        if not _STAT.exists():
            return None
        user, nice, system, _idle, _wait, irq, softirq, steal = (
            int(word) for word in _STAT.read_text(encoding="utf-8").split(maxsplit=9)[1:9]
        )
        ticks = user + nice + system + irq + softirq + steal
        for pid in self._own:
            words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks -= int(words[11]) + int(words[12])
        return ticks / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])
