"""Who used the machine's processors while something was measured."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")


def busy() -> float | None:
    """The processor seconds of all since the machine was started, other guests of its host too, by /proc."""
    if not _STAT.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = (
        int(word) for word in _STAT.read_text(encoding="utf-8").split(maxsplit=9)[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def of_process(pid: int) -> float:
    """The processor seconds of a running process up to now, where there is a /proc."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


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
        all_of_them = busy()
        if all_of_them is None:
            return None
        return all_of_them - sum(of_process(pid) for pid in self._own) - sum(os.times()[:4])


class Shares:
    """Who had how much of the processors from when it is made until `taken` is asked for.

    Args:
        server: The simulator's process.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._start = self._now()

    def taken(self, plugin: float) -> dict[str, float | None]:
        """The processor seconds of the simulator, of this process (the link) and of the engine.

        The engine's are what is left of the machine's: those of its YAML host, and of others, are among them.

        Args:
            plugin: Those of the plugin.
        """
        if self._start is None or (end := self._now()) is None:
            return {"server_cpu_s": None, "link_cpu_s": None, "engine_cpu_s": None}
        everything, server, link = (after - before for after, before in zip(end, self._start, strict=True))
        return {
            "server_cpu_s": server,
            "link_cpu_s": link,
            "engine_cpu_s": everything - server - link - plugin,
        }

    def _now(self) -> tuple[float, float, float] | None:
        everything = busy()
        return None if everything is None else (everything, of_process(self._server), time.process_time())
