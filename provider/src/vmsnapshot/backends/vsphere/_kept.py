"""VMs as they were just read, for what is only shown, and those that will probably be asked for next.

The engine checks resources one after another, so what their checks read can't be gathered: each would take a
round trip. Those of one program mostly have names that follow one another; so from the second on, VMs of
the next names are read with the one that is asked for, as files are read ahead: more of them as long as those
read before turn out to be wanted. And what a refresh has read is what the check after it would read.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from itertools import islice
from typing import Final

from vmsnapshot.model.machine import VirtualMachine

# Seconds for which a reading stands for the VM in what is only shown. Ours: in that time the engine refreshes
# 500 resources, and checks them. Before an act the VM is read anew in any case.
_STANDS_FOR: Final = 10.0
# How many VMs are read ahead at first, and at most: an answer of 32 is 1 MB. Ours.
_FIRST: Final = 8
MOST_AHEAD: Final = 32
# Names so many places apart count as following one another: an engine takes resources in another order than
# the program has them.
_NEAR: Final = 16

_NUMBER: Final = re.compile(r"(\d+)")


class KeptVMs:
    """Readings of VMs of the last seconds, each of them used once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the VM's id: since when it counts, and what was read.
        self._kept: dict[str, tuple[float, VirtualMachine]] = {}
        # When something was last done to a VM here: what was read before counts no more.
        self._changed: dict[str, float] = {}
        self._ahead = _Ahead()
        self._names: Mapping[str, str] = {}
        self._order: list[str] = []
        self._places: dict[str, int] = {}

    def keep(self, vm: VirtualMachine, begun: float) -> None:
        """Keep a VM of which everything was read, from `begun` (`time.monotonic`) on."""
        vm_id = vm.identity.id
        with self._lock:
            for old in [item for item, (since, _) in self._kept.items() if _is_over(since)]:
                del self._kept[old]
            if begun > self._changed.get(vm_id, begun - 1):
                self._kept[vm_id] = begun, vm

    def forget(self, vm_id: str) -> None:
        """Forget a VM to which something is about to be done, or has been done."""
        with self._lock:
            self._changed[vm_id] = time.monotonic()
            self._kept.pop(vm_id, None)

    def clear(self) -> None:
        """Drop all readings."""
        with self._lock:
            self._kept.clear()

    def take(self, vm_id: str) -> VirtualMachine | None:
        """The reading of a VM, if it was read in the last seconds, and not changed from here since."""
        with self._lock:
            since, vm = self._kept.pop(vm_id, (0.0, None))
            if vm is None or _is_over(since):
                return None
            if vm_id in self._places:
                self._ahead.use(self._places[vm_id])
            return vm

    def waiting(self) -> list[VirtualMachine]:
        """Some of the VMs that are kept, and will perhaps be asked for next: those read first."""
        with self._lock:
            return [vm for since, vm in self._kept.values() if not _is_over(since)][:MOST_AHEAD]

    def next(self, vm_id: str, names: Mapping[str, str]) -> list[str]:
        """The ids of VMs that are worth being read with this one, which isn't kept.

        Args:
            vm_id: The VM that is asked for.
            names: The names of all VMs, by id; empty: they aren't known.
        """
        with self._lock:
            if vm_id not in names:
                return []
            self._sort(names)
            return [self._order[place] for place in self._ahead.next(self._places[vm_id], len(self._order))]

    def _sort(self, names: Mapping[str, str]) -> None:
        if names is not self._names:
            self._names = names
            self._order = sorted(names, key=lambda item: _natural(names[item]))
            self._places = {item: place for place, item in enumerate(self._order)}
            self._ahead = _Ahead()


class _Ahead:
    """Guesses, by places in a row of names, which VMs will be asked for."""

    def __init__(self) -> None:
        self._asked: set[int] = set()
        self._read: set[int] = set()
        # Of those that were read ahead the last time: how many, and which weren't asked for yet.
        self._size = 0
        self._left: set[int] = set()
        self._in_vain = 0
        self._misses = 0
        self._forward = True

    def use(self, place: int) -> None:
        """One that was read has been asked for."""
        self._asked.add(place)
        self._left.discard(place)
        self._in_vain -= place in self._read

    def next(self, place: int, count: int) -> list[int]:
        """What to read ahead with one that wasn't.

        First what lies between others that were asked for, then what follows. If half of that isn't asked
        for while others near to it are, the other way is tried; and none when far more was read in vain than
        was of use.
        """
        self._asked.add(place)
        self._misses += 1
        near = [item for item in self._asked if 0 < abs(item - place) <= _NEAR]
        useful = 2 * len(self._left) <= self._size
        used = len(self._read) - self._in_vain
        if not near or self._in_vain > 2 * (_FIRST + used) or not (useful or self._misses > 1):
            return []
        if not useful:
            self._forward, self._size = not self._forward, 0
            self._left = set()
        size = min(MOST_AHEAD, max(_FIRST, 2 * (self._size - len(self._left))))
        least, most = min((*near, place)), max((*near, place))
        between = [item for item in range(least, most) if item not in self._asked | self._read]
        beyond = range(most + 1, count) if self._forward else range(least - 1, -1, -1)
        further = (item for item in beyond if item not in self._asked | self._read)
        found = [item for item, _ in zip((*between, *islice(further, size)), range(size), strict=False)]
        if not found:
            self._forward = not self._forward  # this was the last name
        self._read |= {*found}
        self._in_vain += len(found)
        self._size, self._left, self._misses = len(found), {*found}, 0
        return found


def _natural(name: str) -> list[tuple[int, str]]:
    """By this, `web-2` comes before `web-10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in _NUMBER.split(name)]


def _is_over(since: float) -> bool:
    return time.monotonic() - since > _STANDS_FOR
