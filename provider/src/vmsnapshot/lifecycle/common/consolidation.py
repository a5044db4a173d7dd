"""Disks that a removal has left unmerged: the snapshot is off the VM's list, its files stay, and grow.

Where vSphere can't merge the disks, as a backup holds one of their files or the datastore is full, the
removal fails, and the snapshot is off the list all the same: what is left is that the VM needs consolidation
("Snapshot consolidation is useful when snapshot disks fail to compact after a Delete", vSphere Virtual
Machine Administration; mxlit.com KB-00091). The next run finds nothing to remove: it has to say what is left.
"""

from __future__ import annotations

from typing import Final

from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.machine import Snapshot, VirtualMachine

_NEEDED: Final = (
    "needs consolidation of its disks: until then, what it writes may go to a delta file that grows, and can "
    "fill the datastore. See that nothing holds files of the VM (often a backup) and that there is room; "
    "then consolidate in the vSphere Client (Snapshots > Consolidate)."
)


def say_unmerged(session: Session, urn: str, vm: VirtualMachine) -> None:
    """Warn, once for each VM, if a removal that failed has left its disks unmerged."""
    if vm.consolidation_needed and session.is_first(f"consolidation {vm.identity.id}"):
        session.log_wrapped(urn, Severity.WARNING, f"{format_vm(vm)} {_NEEDED}")


def add_unmerged(
    session: Session, vm: VirtualMachine, snapshot: Snapshot, error: VmsnapshotError, operation: Operation
) -> None:
    """Add to the error with which a removal has failed what it has done all the same, where that shows.

    A snapshot that isn't among its VM's is asked for alone before it counts as gone.
    """
    try:
        (after,) = session.backend.observe_all([vm.identity.id], operation, ReadMask.NOTHING)
        if not isinstance(after, VirtualMachine) or after.snapshot(snapshot.id) is not None:
            return
        gone = not session.backend.has_snapshot(after, snapshot.id, operation)
    except VmsnapshotError:
        return
    if gone:
        unmerged = f", but the VM {_NEEDED}" if after.consolidation_needed else "."
        error.add(f"The snapshot itself is gone{unmerged} The next update takes it for removed.")
