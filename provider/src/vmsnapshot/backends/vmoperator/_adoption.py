"""Whether an object stands for a snapshot that vSphere took for it, or for one that was there before.

The VM Operator takes no snapshot where vSphere has one of the object's name: it adopts that one, as it is.
Its API tells neither the name nor the time of a snapshot without an object, and the condition Created has the
time of the adoption. So what the VM had before is noted on the object when it is made, and compared when it
is complete; as long as that can't be decided, when the snapshot was taken is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import (
    ADOPTED,
    ADOPTION,
    SNAPSHOTS,
    Object,
    annotations_of,
    status_of,
)
from vmsnapshot.backends.vmoperator._tree import in_tree, unmanaged_count
from vmsnapshot.lifecycle.operation import Operation

# Seconds to wait for the VM's status to show a new snapshot.
_SHOWN: Final = 2.0
# And for the snapshot above it to name it; below one without an object none does.
_NAMED: Final = 0.5


class Adoption:
    """Whether one object's snapshot was adopted."""

    def __init__(self, client: Client, cache: NamespaceCache, vm_name: str, name: str) -> None:
        self._client = client
        self._cache = cache
        self._vm_name = vm_name
        self._name = name

    def before(self, machine: Object) -> dict[str, str]:
        """What is noted on the object when it is made: nothing where the VM has no such snapshots."""
        count = unmanaged_count(status_of(machine), self._cache.snapshots_of(self._vm_name))
        return {ADOPTION: str(count)} if count else {}

    def find_out(self, operation: Operation, about: About) -> None:
        """Decide, if that can be, and write it on the object.

        A snapshot that was taken is the current one, has no children, and leaves as many without an object
        as there were; an adopted one was one of them. Below a snapshot without an object nothing tells.
        """
        item = self._cache.snapshots.get(self._name)
        noted = annotations_of(item).get(ADOPTION, "") if item is not None else ""
        if not noted.isdigit():
            return
        self._wait(operation, self._is_current, _SHOWN)
        self._wait(operation, self._is_named, _NAMED)
        found = self._decided(int(noted))
        if found is None:
            return
        path = self._client.path(self._cache.name, SNAPSHOTS, self._name)
        change = {"metadata": {"annotations": {ADOPTION: ADOPTED if found else None}}}
        self._cache.snapshots.upsert(self._client.merge(path, change, operation, about))

    def _decided(self, before: int) -> bool | None:
        machine, item = self._cache.machines.get(self._vm_name), self._cache.snapshots.get(self._name)
        if machine is None or item is None or not self._is_named():
            return None
        left = unmanaged_count(status_of(machine), self._cache.snapshots_of(self._vm_name))
        if left < before:
            return True
        new = self._is_current() and not status_of(item).get("children")
        return False if new and left == before else None

    def _is_current(self) -> bool:
        machine = self._cache.machines.get(self._vm_name)
        current = status_of(machine).get("currentSnapshot") if machine is not None else None
        return bool(current and current.get("name") == self._name)

    def _is_named(self) -> bool:
        machine = self._cache.machines.get(self._vm_name)
        items = self._cache.snapshots_of(self._vm_name)
        return machine is not None and in_tree(self._name, status_of(machine), items)

    def _wait(self, operation: Operation, holds: Callable[[], bool], seconds: float) -> None:
        self._cache.changes.until(self._vm_name, lambda: holds() or None, operation, longest=seconds)
