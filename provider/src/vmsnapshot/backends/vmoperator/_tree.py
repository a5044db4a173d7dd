"""A VM's snapshots, from their objects and the VM's status."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from vmsnapshot.backends.vmoperator._objects import (
    ADOPTED,
    ADOPTION,
    BINDING,
    CREATED,
    IMPORTED,
    MARK,
    READY,
    URN,
    Object,
    annotations_of,
    being_deleted,
    condition_of,
    holds,
    machine_id,
    name_of,
    spec_of,
    status_of,
    uid_of,
)
from vmsnapshot.lifecycle.ownership import Proof, check, parse_mark, resource_name, stack_of
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import (
    Maker,
    PowerState,
    Snapshot,
)
from vmsnapshot.model.status import Condition, SnapshotStorage, StorageRequest

_UNMANAGED: Final = "Made outside the VM Operator, which tells nothing more of it."


def tree(
    status: Mapping[str, Any],
    items: Sequence[Object],
    of_others: Callable[[str], bool] = lambda _name: False,
) -> tuple[tuple[Snapshot, ...], str | None]:
    """The snapshots, each parent before its children, and the id of the one that the VM runs on.

    The API names no children of a snapshot that was made outside the VM Operator: what is taken, and named
    by nothing while the VM has such snapshots, is somewhere below one, and its place is not known. What is
    taken and named by nothing else is not listed: as a rule vSphere has it no more.

    Args:
        status: The VM's.
        items: The snapshot objects of the VM.
        of_others: Whether a name is that of another VM's snapshot object.
    """
    known = {name_of(item): item for item in items}
    placed: dict[str, Snapshot] = {}
    outside: list[str] = []
    outsiders: dict[str, str] = {}

    def put(references: Sequence[Mapping[str, Any]], parent: str | None) -> None:
        for reference in references:
            name = str(reference.get("name") or "")
            if reference.get("type") == "Unmanaged" or not name:
                outside.append(f"unmanaged-{len(outside) + 1}")
                placed[outside[-1]] = _unmanaged(outside[-1], parent)
            elif name in known and name not in placed:
                placed[name] = replace(snapshot(known[name]), parent_id=parent)
                put(status_of(known[name]).get("children") or (), name)
            elif name not in known and of_others(name):
                # Made outside, and named like the object of another VM's snapshot: that is the name shown.
                outsiders[name] = f"unmanaged-{name}"
                placed[outsiders[name]] = _unmanaged(outsiders[name], parent, name)

    put(status.get("rootSnapshots") or (), None)
    unlisted = _unlisted(status, known, placed)
    named = {
        str(child.get("name") or "") for item in items for child in status_of(item).get("children") or ()
    }
    unnamed = [name for name in known if name not in placed and name not in named]
    put([{"type": "Managed", "name": name} for name in unnamed], None)
    some_outside = bool(outside or outsiders)
    for name in unnamed:
        hidden = some_outside and holds(known[name], CREATED)
        placed[name] = replace(placed[name], place_known=not hidden)
    for name in known:  # children of each other, as only a broken status says
        put([{"type": "Managed", "name": name}], None)
    for name in unlisted:
        placed[name] = replace(placed[name], listed=False)
    current = status.get("currentSnapshot") or {}
    if current.get("type") == "Unmanaged" or not current.get("name"):
        return tuple(placed.values()), outside[0] if current and len(outside) == 1 else None
    running = outsiders.get(str(current["name"]), str(current["name"]))
    return tuple(placed.values()), running if running in placed else None


def _unlisted(
    status: Mapping[str, Any], known: Mapping[str, Object], in_tree: Mapping[str, Snapshot]
) -> list[str]:
    """The names of what is taken and not in the VM's tree; none where that may hide something."""
    told = status.get("uniqueID") and status.get("conditions")
    if not told or not all(item.managed for item in in_tree.values()):
        return []
    return [name for name, item in known.items() if name not in in_tree and holds(item, CREATED)]


def unmanaged_count(status: Mapping[str, Any], items: Sequence[Object]) -> int:
    """How many snapshots that were made outside the VM Operator the API shows; more may be below them."""
    return sum(reference.get("type") == "Unmanaged" for reference in _references(status, items))


def in_tree(name: str, status: Mapping[str, Any], items: Sequence[Object]) -> bool:
    """Whether the VM or another snapshot says where a snapshot is."""
    return any(reference.get("name") == name for reference in _references(status, items))


def snapshot(item: Object) -> Snapshot:
    """One snapshot object; its place in the tree is the VM's to say."""
    spec, status = spec_of(item), status_of(item)
    created = condition_of(item, CREATED)
    taken = created is not None and created.get("status") == "True"
    when = created.get("lastTransitionTime") if created is not None and taken else None
    proof = proof_of(item)
    adoption = _adoption(item) if taken else None
    return Snapshot(
        id=name_of(item),
        unique_id=status.get("uniqueID") or None,
        uid=uid_of(item) or None,
        name=name_of(item),
        description=spec.get("description") or "",
        mark=None if proof is None else annotations_of(item).get(MARK),
        mark_proof=proof or "none",
        made_by=None if proof is None else _maker(annotations_of(item).get(URN)),
        managed=True,
        create_time=None if adoption else _time(when or item["metadata"].get("creationTimestamp")),
        requested=_time(item["metadata"].get("creationTimestamp")),
        adoption=adoption,
        power_state=_power_after(spec, status, taken_by_it=adoption is None),
        # The API leaves a false one out; of one that may have been adopted it tells what was asked for now.
        quiesced=bool(status.get("quiesced")) if taken and adoption is None else None,
        ready=holds(item, READY) and not being_deleted(item),
        being_deleted=being_deleted(item),
        conditions=tuple(_condition(one) for one in status.get("conditions") or ()),
        storage=_storage(status.get("storage")),
    )


def _references(status: Mapping[str, Any], items: Sequence[Object]) -> list[Object]:
    references = [*(status.get("rootSnapshots") or ())]
    for item in items:
        references += status_of(item).get("children") or ()
    return references


def _unmanaged(snapshot_id: str, parent: str | None, name: str | None = None) -> Snapshot:
    return Snapshot(
        id=snapshot_id,
        unique_id=None,
        name=name or snapshot_id,
        description=_UNMANAGED,
        managed=False,
        create_time=None,
        power_state=None,
        quiesced=None,
        parent_id=parent,
        ready=False,
    )


def _adoption(item: Object) -> Literal["adopted", "possible", "imported"] | None:
    """Whether an object stands for a snapshot that was there before it, as far as `_adoption` found out.

    Of an object that isn't ours, only its annotation tells.
    """
    noted = annotations_of(item).get(ADOPTION)
    if noted is not None:
        return "adopted" if noted == ADOPTED else "possible"
    return "imported" if IMPORTED in annotations_of(item) and proof_of(item) is None else None


def proof_of(item: Object) -> Proof | None:
    """What binds the object's mark to it; None: it has no mark, or that of the object it was copied from."""
    mark = parse_mark(annotations_of(item).get(MARK))
    if mark is None:
        return None
    vm = machine_id(item["metadata"].get("namespace", ""), str(spec_of(item).get("vmName")))
    proof = check(mark, annotations_of(item).get(BINDING), vm, name_of(item))
    # Objects can't be renamed.
    return None if proof == "renamed" else proof


def _maker(urn: str | None) -> Maker | None:
    if urn is None:
        return None
    return Maker(resource=resource_name(urn), stack=stack_of(urn))


def _power_after(
    spec: Mapping[str, Any], status: Mapping[str, Any], *, taken_by_it: bool
) -> PowerState | None:
    """What a revert leaves: without memory the VM is off, but a suspended one always has its memory.

    The status has it from vSphere (pkg/util/kube/vmsnapshot.go, PatchSnapshotSuccessStatus). Whether one that
    the VM Operator may have adopted holds memory, the object's spec doesn't tell.
    """
    seen = power_state(status.get("powerState"))
    if spec.get("memory") or seen == "Suspended" or not taken_by_it:
        return seen
    return "PoweredOff"


def power_state(text: Any) -> PowerState | None:
    """A power state as the API writes it; None: not told, or none that is known here."""
    match text:
        case "PoweredOn" | "PoweredOff" | "Suspended":
            return text  # type: ignore[no-any-return]
        case _:
            return None


def _condition(one: Mapping[str, Any]) -> Condition:
    status = one.get("status")
    return Condition(
        type=str(one.get("type")),
        status=status if status in {"True", "False"} else "Unknown",
        reason=one.get("reason") or None,
        message=one.get("message") or None,
        last_transition_time=one.get("lastTransitionTime"),
    )


def _storage(status: Mapping[str, Any] | None) -> SnapshotStorage | None:
    if not status:
        return None
    used, requested = status.get("used"), status.get("requested")
    return SnapshotStorage(
        used=None if used is None else str(used),
        requested=requested
        and [
            StorageRequest(storage_class=str(one.get("storageClass")), total=str(one.get("total")))
            for one in requested
        ],
    )


def _time(text: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text or "")
    except ValueError:
        return None
