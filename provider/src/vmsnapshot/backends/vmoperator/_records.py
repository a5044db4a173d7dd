"""What is written on a snapshot about the reverts to it: it stays, whatever becomes of the VM's own note."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from functools import partial

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator import _patches as patches
from vmsnapshot.backends.vmoperator._client import REPEATABLE, Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import (
    REVERT,
    SNAPSHOTS,
    Object,
    anew,
    annotations_of,
    compact,
    is_another,
    parsed,
)
from vmsnapshot.backends.vmoperator._revert_status import AttemptNote, RevertJournal, timestamp
from vmsnapshot.lifecycle.errors import Gone
from vmsnapshot.lifecycle.operation import Operation


def write(
    client: Client,
    cache: NamespaceCache,
    target: str,
    record_of: Callable[[Object], Object | None],
    *,
    uid: str | None = None,
    operation: Operation,
    about: About,
) -> None:
    """Write a record on its snapshot, instead of the one that was looked at, and no other.

    Args:
        client: The server.
        cache: The VM's namespace.
        target: The snapshot's name.
        record_of: What to write instead of what stands there; None: leave that. Asked again after a change.
        uid: The UID that the snapshot must have; None: any.
        operation: The time.
        about: For messages.

    Raises:
        Gone: It isn't there, or has another UID.
    """
    path = client.path(cache.name, SNAPSHOTS, target)
    item = cache.snapshots.find(target, operation)
    while item is not None and not is_another(item, uid):
        there = annotations_of(item).get(REVERT)
        record = record_of(parsed(there))
        if record is None or there == compact(record):
            return
        steps = patches.record(item, compact(record))
        try:
            kept = retry(operation, REPEATABLE, partial(client.patch, path, steps, operation, about))
        except faults.PreconditionFailed:
            item = cache.snapshots.ask_alone(target, operation)
        else:
            cache.snapshots.upsert(kept)
            return
    raise Gone(f"the snapshot is no longer there{anew(item)}; another one may have its name.", subject=about)


def brought_up_to_date(there: Object, record: Object) -> Object | None:
    """What to write of a request instead of what stands on its snapshot; None: there is nothing to change.

    Of one that another has replaced, only that it was done: the other's record keeps what isn't known of it.
    """
    earlier: list[Object] = there.get("earlier") or []
    if there.get("nonce") == record.get("nonce"):
        return record | ({"earlier": earlier} if earlier else {})
    done = {"ended": record.get("ended"), "succeeded": True} if record.get("succeeded") else None
    found = [one | done if done and one.get("nonce") == record.get("nonce") else one for one in earlier]
    return there | {"earlier": found} if found != earlier else None


def note_power(
    client: Client, cache: NamespaceCache, vm_name: str, request_id: str, *, power: str, operation: Operation
) -> None:
    """Note with a revert that the power which is asked for next is a part of the same request."""
    record, target = RevertJournal(cache).record(vm_name, request_id)
    if record is not None:

        def with_power(there: Object) -> Object | None:
            return there | {"power": power} if there.get("nonce") == record.get("nonce") else None

        write(client, cache, target, with_power, operation=operation, about=operation.what)


def ended(reason: str, moment: dt.datetime) -> Object:
    """What a record says of an attempt that ended without success."""
    return {"ended": timestamp(moment), "succeeded": False, "reason": reason}


def set_apart(
    client: Client,
    cache: NamespaceCache,
    vm_name: str,
    note: Object,
    *,
    by: AttemptNote,
    operation: Operation,
) -> None:
    """Note of what was taken back that an attempt's note replaces its own on the VM.

    As long as its own is there, the VM has not been reverted since; a revert takes either away.

    Args:
        client: The server.
        cache: The VM's namespace.
        vm_name: The VM.
        note: The note that is about to be replaced.
        by: The attempt; of what stands on its own target it keeps what is known.
        operation: The time.
    """
    about = f"{operation.what}: noting that an earlier request was taken back"
    for target, record in RevertJournal(cache).taken_back(vm_name, note):
        if target != by.target:
            over = record.get("over") or timestamp(cache.told_time())
            known = {"replaced": by.nonce, "over": over}
            told = partial(_with, nonce=record.get("nonce"), known=known)
            with contextlib.suppress(Gone):  # and with the snapshot what stands on it
                write(client, cache, target, told, operation=operation, about=about)


def _with(there: Object, *, nonce: str | None, known: Object) -> Object | None:
    return there | known if there.get("nonce") == nonce else None


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
