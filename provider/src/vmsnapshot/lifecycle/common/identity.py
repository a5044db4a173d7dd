"""Tells whether what was found is what state means.

What stays, on vSphere and on the VM Operator::

    a server     about.instanceUuid             UID of the namespace kube-system, where this user may
                                                read it, else of the VM's own namespace
    a VM         its server, instance UUID      its server, UID of the object
    a snapshot   its VM, creation time, mark    its VM, UID of the object

Managed object ids are unique within one server only, and small and per host on ESXi; names pass from VM to
VM, and an object may be re-created under its name.  They say where something was last seen, never what it
is::

    Sameness
    ├── SAME        found where state says
    ├── ELSEWHERE   the same, under another id
    ├── ANOTHER     something else has that id now
    ├── GONE        it is definitely not there
    └── UNKNOWN     what was read doesn't tell

UNKNOWN and ANOTHER never pass for SAME or for GONE.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping

from vmsnapshot.lifecycle.common.observed import parse_timestamp
from vmsnapshot.model.identity import ServerIdentity, VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import SnapshotState


class Sameness(enum.Enum):
    """Whether what was found is what state means."""

    SAME = "same"
    ELSEWHERE = "elsewhere"
    ANOTHER = "another"
    GONE = "gone"
    UNKNOWN = "unknown"


def compare_servers(known: ServerIdentity, seen: ServerIdentity) -> Sameness:
    """Returns whether the server that was seen is the known one: SAME, ANOTHER or UNKNOWN.

    Two logins may know a cluster by different namespaces: then nothing can be compared.
    """
    for mine, theirs in ((known.server, seen.server), (known.namespace_uid, seen.namespace_uid)):
        if mine is not None and theirs is not None:
            return Sameness.SAME if mine == theirs else Sameness.ANOTHER
    return Sameness.UNKNOWN


def vm_key(vm: VirtualMachineIdentity) -> str:
    """Returns what tells a VM from all others, in one word; its id only where nothing else is known."""
    return f"{vm.server or vm.namespace_uid or ''}/{vm.uid or vm.instance_uuid or vm.id}"


def compare_vm(known: VirtualMachineIdentity, seen: VirtualMachineIdentity) -> Sameness:
    """Returns whether the VM that was seen is the known one.

    State of release 0.1.0 has no server and no UID; a VM without an instance UUID in it is known by its id
    alone.
    """
    if compare_servers(known.on, seen.on) is Sameness.ANOTHER:
        return Sameness.ANOTHER
    found = Sameness.SAME if known.id == seen.id else Sameness.ELSEWHERE
    for mine, theirs in ((known.uid, seen.uid), (known.instance_uuid, seen.instance_uuid)):
        if mine is not None and theirs is not None:
            return found if mine.lower() == theirs.lower() else Sameness.ANOTHER
    if known.uid is None and known.instance_uuid is None and found is Sameness.SAME:
        return Sameness.SAME
    return Sameness.UNKNOWN


def other_vms(
    known: Mapping[str, VirtualMachineIdentity], found: Mapping[str, VirtualMachine]
) -> dict[str, VirtualMachineIdentity]:
    """Returns the known VMs, by their keys, instead of which other VMs were found."""
    return {
        key: identity
        for key, identity in known.items()
        if key in found and compare_vm(identity, found[key].identity) is Sameness.ANOTHER
    }


def snapshot_identity(snapshot: Snapshot) -> str:
    """Returns what tells a snapshot of a VM from all others, wherever it is; its id only where that is all.

    It is the UID of its object, or else when it was taken. An id is another once the VM is registered anew,
    and may be that of another snapshot by then.
    """
    taken = snapshot.create_time
    return snapshot.uid or (snapshot.id if taken is None else taken.isoformat())


def snapshot_key(snapshot: Snapshot) -> str:
    """Returns the same behind the id by which the snapshot was last seen: `snapshot-41@<identity>`."""
    identity = snapshot_identity(snapshot)
    return snapshot.id if identity == snapshot.id else f"{snapshot.id}@{identity}"


def is_same_key(one: str, other: str) -> bool:
    """Returns whether two keys are those of one snapshot. A key of an older release may be an id alone."""
    (mine, _, my_identity), (theirs, _, their_identity) = one.partition("@"), other.partition("@")
    return my_identity == their_identity if my_identity and their_identity else mine == theirs


@dataclasses.dataclass(frozen=True)
class KnownSnapshot:
    """A snapshot as state knows it.

    Attributes:
        id: Its id where it was last seen.
        name: Its name then.
        create_time: When it was taken; None: state doesn't tell.
        mark: Which resource made it, in which making; None: state doesn't tell, or somebody else did.
        uid: The UID of its object (VM Operator); None: state of an older release, or another platform.
        unique_id: Its id on vSphere, where that isn't `id`; None: state doesn't tell.
    """

    id: str
    name: str
    create_time: dt.datetime | None
    mark: str | None
    uid: str | None = None
    unique_id: str | None = None

    @classmethod
    def of_state(cls, snapshot_id: str, state: SnapshotState) -> KnownSnapshot:
        """Returns what the state of a VirtualMachineSnapshot knows."""
        moment = state.create_time
        return cls(
            snapshot_id,
            state.name,
            None if moment is None else parse_timestamp(moment),
            state.ownership,
            state.uid,
            state.unique_id,
        )


def find_known_snapshot(known: KnownSnapshot, vm: VirtualMachine) -> tuple[Sameness, Snapshot | None]:
    """Find a known snapshot among those of its VM.

    Args:
        known: What state knows.
        vm: The VM, as observed.

    Returns:
        The answer; and the snapshot, where it is the same (or, with ANOTHER, what has its id now).
    """
    here = vm.snapshot(known.id)
    if known.uid is not None or (here is not None and here.uid is not None):
        return _find_object(known, here)
    same = here is not None and _is(known, here)
    if same is not False:
        return (Sameness.SAME, here) if same else (Sameness.UNKNOWN, None)
    elsewhere = [item for item in vm.snapshots if item.id != known.id and _is_moved(known, item)]
    if len(elsewhere) == 1:
        return Sameness.ELSEWHERE, elsewhere[0]
    if elsewhere:
        return Sameness.UNKNOWN, None
    return (Sameness.GONE, None) if here is None else (Sameness.ANOTHER, here)


def _find_object(known: KnownSnapshot, here: Snapshot | None) -> tuple[Sameness, Snapshot | None]:
    """The same where a snapshot is an object, which can't be renamed: it is here or nowhere."""
    if here is None:
        return Sameness.GONE, None
    if here.uid is None:
        return (Sameness.SAME if _is(known, here) else Sameness.ANOTHER), here
    sameness = _compare_objects(known, here)
    return sameness, None if sameness is Sameness.UNKNOWN else here


def _compare_objects(known: KnownSnapshot, found: Snapshot) -> Sameness:
    """Whether the object under the known name is the known one.

    State of an older release has no UID: the snapshot on vSphere tells, or the mark. (The time doesn't: it is
    that of the object until the snapshot is taken.)
    """
    by = ((known.uid, found.uid), (known.unique_id, found.unique_id), (known.mark, found.mark))
    for mine, theirs in by:
        if mine is not None and theirs is not None:
            return Sameness.SAME if mine == theirs else Sameness.ANOTHER
    return Sameness.UNKNOWN


def _is(known: KnownSnapshot, found: Snapshot) -> bool | None:
    """Whether the snapshot under the known id is the known one; None: the server doesn't tell."""
    if known.create_time is not None and found.create_time is not None:
        return known.create_time == found.create_time
    if known.mark is not None and known.mark == found.mark:
        return True
    return None if known.create_time is not None else False


def _is_moved(known: KnownSnapshot, found: Snapshot) -> bool:
    """Whether a snapshot under another id is the known one: its time says so, with its mark or its name."""
    if known.create_time is None or known.create_time != found.create_time:
        return False
    return found.mark == known.mark if known.mark is not None else found.name == known.name
