"""Tells whether what was found is what state means.

A VM is known by its server and instance UUID, a snapshot by its VM, its creation time and its mark.

Managed object ids are unique within one server only, and small and per host on ESXi; names pass from VM to
VM.  Both say where something was last seen, never what it is::

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
from vmsnapshot.model.machine import Snapshot, VirtualMachine, VirtualMachineIdentity
from vmsnapshot.model.snapshot import SnapshotState


class Sameness(enum.Enum):
    """Whether what was found is what state means."""

    SAME = "same"
    ELSEWHERE = "elsewhere"
    ANOTHER = "another"
    GONE = "gone"
    UNKNOWN = "unknown"


def compare_vm(known: VirtualMachineIdentity, seen: VirtualMachineIdentity) -> Sameness:
    """Returns whether the VM that was seen is the known one.

    State of release 0.1.0 has no server; a VM without an instance UUID in state is known by its id alone.
    """
    if known.server is not None and seen.server is not None and known.server != seen.server:
        return Sameness.ANOTHER
    if known.instance_uuid is None:
        return Sameness.SAME if known.id == seen.id else Sameness.UNKNOWN
    if seen.instance_uuid is None:
        return Sameness.UNKNOWN
    if known.instance_uuid.lower() != seen.instance_uuid.lower():
        return Sameness.ANOTHER
    return Sameness.SAME if known.id == seen.id else Sameness.ELSEWHERE


def other_vms(
    known: Mapping[str, VirtualMachineIdentity], found: Mapping[str, VirtualMachine]
) -> dict[str, VirtualMachineIdentity]:
    """Returns the known VMs, by their keys, instead of which other VMs were found."""
    return {
        key: identity
        for key, identity in known.items()
        if key in found and compare_vm(identity, found[key].identity) is Sameness.ANOTHER
    }


@dataclasses.dataclass(frozen=True)
class KnownSnapshot:
    """A snapshot as state knows it.

    Attributes:
        id: Its id where it was last seen.
        name: Its name then.
        create_time: When it was taken; None: state doesn't tell.
        mark: Which resource made it, in which making; None: state doesn't tell, or somebody else did.
    """

    id: str
    name: str
    create_time: dt.datetime | None
    mark: str | None

    @classmethod
    def of_state(cls, snapshot_id: str, state: SnapshotState) -> KnownSnapshot:
        """Returns what the state of a VirtualMachineSnapshot knows."""
        moment = state.create_time
        return cls(
            snapshot_id,
            state.name,
            None if moment is None else parse_timestamp(moment),
            state.ownership,
        )


def find_known_snapshot(
    known: KnownSnapshot, vm: VirtualMachine, *, ids_are_unique: bool = False
) -> tuple[Sameness, Snapshot | None]:
    """Find a known snapshot among those of its VM.

    Args:
        known: What state knows.
        vm: The VM, as observed.
        ids_are_unique: Whether an id is never given to another snapshot (VM Operator: the name of an
            object, whose mark is its own).

    Returns:
        The answer; and the snapshot, where it is the same (or, with ANOTHER, what has its id now).
    """
    here = vm.snapshot(known.id)
    if here is not None and (ids_are_unique or _is(known, here)):
        return Sameness.SAME, here
    elsewhere = [item for item in vm.snapshots if item.id != known.id and _is_moved(known, item)]
    if len(elsewhere) == 1:
        return Sameness.ELSEWHERE, elsewhere[0]
    if elsewhere:
        return Sameness.UNKNOWN, None
    return (Sameness.GONE, None) if here is None else (Sameness.ANOTHER, here)


def _is(known: KnownSnapshot, found: Snapshot) -> bool:
    """Whether the snapshot under the known id is the known one."""
    if known.create_time is None or found.create_time is None:
        return known.mark is not None and known.mark == found.mark
    return known.create_time == found.create_time


def _is_moved(known: KnownSnapshot, found: Snapshot) -> bool:
    """Whether a snapshot under another id is the known one: its time says so, with its mark or its name."""
    if known.create_time is None or known.create_time != found.create_time:
        return False
    return found.mark == known.mark if known.mark is not None else found.name == known.name
