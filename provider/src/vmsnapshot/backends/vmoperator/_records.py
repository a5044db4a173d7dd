"""What is written on a snapshot about the reverts to it: it stays, whatever becomes of the VM's own note."""

from __future__ import annotations

import datetime as dt

from vmsnapshot.backends.vmoperator import _patches as patches
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import REVERT, SNAPSHOTS, Object, compact
from vmsnapshot.backends.vmoperator._revert_status import AttemptNote, RevertJournal, timestamp
from vmsnapshot.lifecycle.operation import Operation


def write(
    client: Client,
    cache: NamespaceCache,
    target: str,
    record: Object,
    *,
    uid: str | None = None,
    operation: Operation,
    about: About,
) -> None:
    """Write a record on its snapshot, instead of what is there.

    Raises:
        Gone: It isn't there, or has another UID than `uid` (None: any).
    """
    path = client.path(cache.name, SNAPSHOTS, target)
    metadata: Object = {"annotations": {REVERT: compact(record)}}
    # The server changes nothing of an object that has another.
    change = {"metadata": metadata | ({} if uid is None else {"uid": uid})}
    cache.snapshots.upsert(client.merge(path, change, operation, about))


def note_power(
    client: Client, cache: NamespaceCache, vm_name: str, request_id: str, *, power: str, operation: Operation
) -> None:
    """Note with a revert that the power which is asked for next is a part of the same request."""
    record, target = RevertJournal(cache).record(vm_name, request_id)
    if record is not None:
        write(client, cache, target, record | {"power": power}, operation=operation, about=operation.what)


def ended(reason: str, moment: dt.datetime) -> Object:
    """What a record says of an attempt that ended without success."""
    return {"ended": timestamp(moment), "succeeded": False, "reason": reason}


def end_replaced(
    client: Client,
    cache: NamespaceCache,
    vm_name: str,
    note: Object,
    *,
    by: AttemptNote,
    operation: Operation,
) -> None:
    """Note of what an attempt has replaced on the VM that it was never carried out.

    Until then only the VM says so, and the revert makes it forget.

    Args:
        client: The server.
        cache: The VM's namespace.
        vm_name: The VM.
        note: The note that was replaced.
        by: The attempt; what stands on its own target is replaced anyway.
        operation: The time.
    """
    for target, text, record in RevertJournal(cache).without_end(vm_name, note):
        if target != by.target:
            path = client.path(cache.name, SNAPSHOTS, target)
            steps = patches.end(
                text, compact(record | ended("another revert came between", cache.told_time()))
            )
            about = f"{operation.what}: noting that an earlier request came to nothing"
            cache.snapshots.upsert(client.patch(path, steps, operation, about))
