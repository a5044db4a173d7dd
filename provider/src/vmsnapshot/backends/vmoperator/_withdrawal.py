"""Deletes the object of a snapshot that was never taken, without a task that is taking it just then."""

from __future__ import annotations

import time
from typing import Final

from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._name_of_another import require_no_id
from vmsnapshot.backends.vmoperator._objects import (
    CREATED,
    CREATION_FAILED,
    CREATION_IN_PROGRESS,
    SNAPSHOTS,
    Object,
    being_deleted,
    condition_of,
    holds,
    uid_of,
)
from vmsnapshot.backends.vmoperator._snapshots import Snapshots
from vmsnapshot.backends.vmoperator._tree import snapshot
from vmsnapshot.lifecycle.errors import Busy, Gone
from vmsnapshot.lifecycle.operation import Operation

# Seconds to wait for a moment in which the VM Operator isn't taking it: what fails, it tries without a pause.
_PATIENCE: Final = 10.0


class Withdrawal:
    """Takes one request for a snapshot back.

    The VM Operator that deletes an object while vSphere takes its snapshot finds none to remove, and leaves
    what is taken then as a snapshot without an object. So the object is deleted in the version that says
    that nothing is under way; and only if it has failed all the time, whatever it says.
    """

    def __init__(
        self, client: Client, cache: NamespaceCache, *, vm_name: str, snapshot_id: str, about: About
    ) -> None:
        self._client = client
        self._cache = cache
        self._vm_name = vm_name
        self._id = snapshot_id
        self._about = about

    def run(self, operation: Operation) -> bool:
        """Delete it unless it was taken, or may be being taken; whether it is gone."""
        first = self._cache.snapshots.get(self._id)
        end = time.monotonic() + _PATIENCE
        failed = False
        while (item := self._cache.snapshots.get(self._id)) is not None:
            if first is None or uid_of(item) != uid_of(first):
                break
            if holds(item, CREATED):
                return False
            require_no_id(self._cache, self._vm_name, self._id, self._about)
            reason = (condition_of(item, CREATED) or {}).get("reason")
            failed = failed or reason == CREATION_FAILED
            late = time.monotonic() >= end
            if being_deleted(item) or (late and failed):
                Snapshots(self._client, self._cache).remove(snapshot(item), operation, self._about)
                return True
            if reason != CREATION_IN_PROGRESS and self._delete(item):
                continue
            if late:
                return False
            self._wait_for_change(item, operation, end)
        return True

    def _delete(self, item: Object) -> bool:
        """Delete this very version of the object; whether the server has taken that."""
        about = item["metadata"]
        path = self._client.path(self._cache.name, SNAPSHOTS, self._id)
        only = {"uid": uid_of(item), "resourceVersion": about.get("resourceVersion")}
        body = {"preconditions": only, "propagationPolicy": "Background"}
        try:
            answer = self._client.send("DELETE", path, self._about, body=body)
        except (Busy, faults.NotSent, faults.Interrupted):
            return False
        except Gone:
            answer = {}
        if uid_of({"metadata": answer.get("metadata") or {}}) == uid_of(item):
            self._cache.snapshots.upsert(answer)
        else:
            self._cache.snapshots.remove(item)
        return True

    def _wait_for_change(self, item: Object, operation: Operation, end: float) -> None:
        def changed() -> bool | None:
            return True if self._cache.snapshots.get(self._id) is not item else None

        longest = max(0.0, end - time.monotonic())
        self._cache.changes.until(self._vm_name, changed, operation, longest=longest)
