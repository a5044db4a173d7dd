"""getSnapshotInventory: the snapshots of many VMs, filtered and sorted, and what could not be read."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from vmsnapshot.lifecycle.common.observed import timestamp, timestamp_or_none
from vmsnapshot.lifecycle.common.selection import is_named
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.lifecycle.port import InventoryEntry, InventoryScope, NotRead
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.functions import (
    GetSnapshotInventoryArgs,
    GetSnapshotInventoryResult,
    InventorySnapshot,
    NotReadVirtualMachine,
    SnapshotOwnership,
)
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot
from vmsnapshot.model.status import parse_quantity

_PLACES: Final = ("folder", "datacenter", "cluster")
# Whether a snapshot is one that was asked for; None: it isn't known.
_Match = Callable[[InventorySnapshot], "bool | None"]


def get_snapshot_inventory(session: Session, args: GetSnapshotInventoryArgs) -> GetSnapshotInventoryResult:
    """The snapshots of a scope's VMs that match, and those of which it isn't known.

    Raises:
        InvalidInput: The scope is more than one place, or one that the platform doesn't have.
        NotFound: There is no such place.
        Ambiguous: Several have that name.
    """
    scope = _scope(session, args)
    operation = session.operation("", "reading the inventory of snapshots", batched=False)
    moment = session.now(operation)
    filters = list(_filters(args))
    matching: list[InventorySnapshot] = []
    undecided: list[InventorySnapshot] = []
    not_read: list[NotReadVirtualMachine] = []
    needed: list[VirtualMachineIdentity] = []
    not_known = vm_count = snapshot_count = 0
    for entry in session.backend.inventory(scope, operation):
        operation.check()
        if isinstance(entry, NotRead):
            if entry.name is None or _named(entry.name, args.vm_name_pattern):
                not_read.append(_not_read(entry))
            continue
        if not _named(entry.vm.identity.name, args.vm_name_pattern):
            continue
        vm_count += 1
        not_known += entry.consolidation_needed is None
        if entry.consolidation_needed:
            needed.append(entry.vm.identity)
        for item, snapshot in zip(entry.vm.snapshots, _snapshots(entry, moment), strict=True):
            snapshot_count += 1
            if not is_named(item, args.name_pattern):
                continue
            found = _all(accepts(snapshot) for accepts in filters)
            if found is not False:
                (matching if found else undecided).append(snapshot)
    sizes = [item.size_bytes for item in matching if item.size_bytes is not None]
    return GetSnapshotInventoryResult(
        time=timestamp(moment),
        snapshots=_sorted(matching, args.sort_by),
        undecided=_sorted(undecided, args.sort_by),
        not_read=not_read,
        consolidation_needed=needed,
        consolidation_not_known=not_known,
        vm_count=vm_count,
        snapshot_count=snapshot_count,
        total_bytes=sum(sizes),
        sizes_not_known=len(matching) - len(sizes),
    )


def _scope(session: Session, args: GetSnapshotInventoryArgs) -> InventoryScope:
    given = [name for name in _PLACES if getattr(args, name) is not None]
    if len(given) > 1:
        raise InvalidInput(given[1], f"only one of {', '.join(_PLACES)} can be set; remove {given[0]}")
    platform = session.platform
    if given and platform.has_namespaces:
        raise InvalidInput(given[0], f"{platform.title} has no {given[0]}s; use `namespace`")
    if args.namespace is not None and not platform.has_namespaces:
        raise InvalidInput("namespace", f"{platform.title} has no namespaces; remove it")
    if args.folder is not None:
        return InventoryScope("folder", args.folder)
    if args.datacenter is not None:
        return InventoryScope("datacenter", args.datacenter)
    if args.cluster is not None:
        return InventoryScope("cluster", args.cluster)
    return InventoryScope(namespace=args.namespace)


def _named(name: str, pattern: str | None) -> bool:
    return pattern is None or fnmatch.fnmatchcase(name, pattern)


def _all(found: Iterable[bool | None]) -> bool | None:
    """Whether all hold; None: none is known not to, but of some it isn't known."""
    known = set(found)
    return False if False in known else None if None in known else True


def _filters(args: GetSnapshotInventoryArgs) -> Iterator[_Match]:
    if args.older_than is not None:
        oldest = parse_duration(args.older_than).total_seconds()
        yield lambda item: None if item.age_seconds is None else item.age_seconds > oldest
    if args.larger_than is not None:
        largest = parse_quantity(args.larger_than)
        yield lambda item: None if item.size_bytes is None else item.size_bytes > largest
    if args.deeper_than is not None:
        deepest = args.deeper_than
        yield lambda item: None if item.depth is None else item.depth > deepest
    if args.unmanaged_only:
        yield lambda item: {"Marked": False, "MarkNotProven": None, "Unmarked": True}[item.ownership]


def _snapshots(entry: InventoryEntry, moment: dt.datetime) -> Iterator[InventorySnapshot]:
    """The VM's snapshots, each parent before its children."""
    vm = entry.vm
    paths: dict[str | None, tuple[str, int]] = {}
    known: dict[str | None, bool] = {}
    for item in vm.snapshots:
        above, depth = paths.get(item.parent_id, ("", 0))
        path = f"{above}/{item.name}" if depth else item.name
        paths[item.id] = path, depth + 1
        known[item.id] = item.place_known and known.get(item.parent_id, True)
        yield InventorySnapshot(
            vm=vm.identity,
            id=item.id,
            parent_id=item.parent_id,
            name=item.name,
            path=path,
            depth=depth + 1 if known[item.id] else None,
            description=item.description,
            create_time=timestamp_or_none(item.create_time),
            age_seconds=_age(item, moment),
            size_bytes=_size(item),
            # What a revert leaves is off unless the snapshot holds memory.
            memory=None if item.power_state is None else item.power_state != "PoweredOff",
            quiesced=item.quiesced,
            current=item.id == vm.current_snapshot_id,
            ownership=_ownership(item),
            marked_by=item.made_by,
            consolidation_needed=entry.consolidation_needed,
            connection=vm.connection,
        )


def _age(item: Snapshot, moment: dt.datetime) -> int | None:
    # One that was taken while the inventory was read is younger than its beginning.
    return None if item.create_time is None else max(0, int((moment - item.create_time).total_seconds()))


def _size(item: Snapshot) -> int | None:
    if item.storage is None or item.storage.used is None:
        return None
    try:
        return parse_quantity(item.storage.used)
    except ValueError:
        return None


def _ownership(item: Snapshot) -> SnapshotOwnership:
    if item.mark is None:
        return "Unmarked"
    return "Marked" if item.mark_proof == "exact" else "MarkNotProven"


def _not_read(entry: NotRead) -> NotReadVirtualMachine:
    return NotReadVirtualMachine(
        id=entry.vm_id, name=entry.name, path=entry.path, reason=entry.reason.message
    )


# By order: what is compared, the greatest first; None: not known.
_KEYS: Final[Mapping[str, Callable[[InventorySnapshot], int | None]]] = {
    "age": lambda item: item.age_seconds,
    "size": lambda item: item.size_bytes,
    "depth": lambda item: item.depth,
}


def _sorted(items: list[InventorySnapshot], order: str) -> list[InventorySnapshot]:
    def place(item: InventorySnapshot) -> tuple[str, str]:
        return item.vm.path or item.vm.name, item.vm.id

    by_vm = sorted(items, key=place)  # stable: a parent stays before its children
    if order not in _KEYS:
        return by_vm
    key = _KEYS[order]

    def rank(item: InventorySnapshot) -> tuple[bool, Any]:
        value = key(item)
        return value is None, 0 if value is None else -value

    return sorted(by_vm, key=rank)
