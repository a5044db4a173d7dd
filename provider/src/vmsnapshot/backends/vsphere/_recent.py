"""The VMs that a refresh has just read, for what is only shown: a check comes right after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final

from vmsnapshot.model.machine import VirtualMachine

# Seconds. Ours: an engine that has refreshed a stack checks its resources one after another, each in some
# hundredths of a second; what is done looks again in any case.
_RECENT: Final = 30.0


class Recent:
    """VMs as they were read as a whole, each for half a minute, or until this process changes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, VirtualMachine]] = {}

    def keep(self, vms: Iterable[VirtualMachine]) -> None:
        """Keep VMs that have just been read; drop those that were read too long ago."""
        now = time.monotonic()
        with self._lock:
            # Those read longest ago come first.
            while self._read and now - next(iter(self._read.values()))[0] > _RECENT:
                del self._read[next(iter(self._read))]
            for vm in vms:
                self._read.pop(vm.identity.id, None)
                self._read[vm.identity.id] = now, vm

    def of(self, vm_ids: Iterable[str]) -> dict[str, VirtualMachine]:
        """Those of some VMs that were read a moment ago."""
        now = time.monotonic()
        with self._lock:
            found = {vm_id: self._read[vm_id] for vm_id in vm_ids if vm_id in self._read}
        return {vm_id: vm for vm_id, (read, vm) in found.items() if now - read <= _RECENT}

    def forget(self, vm_id: str) -> None:
        """Drop a VM that is about to be changed, or has just been."""
        with self._lock:
            self._read.pop(vm_id, None)
