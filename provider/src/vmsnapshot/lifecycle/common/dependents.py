"""Keeps snapshots that linked clones stand on: removing one merges or deletes files of the clones' disks.

VMware's Web Services SDK Programming Guide ("Linked Virtual Machines") leaves both to a vCenter, which knows
what is shared; what becomes of the clones on a single host, or of the space, nothing says.  So nothing is
removed as long as a clone stands on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle.background import in_background
from vmsnapshot.lifecycle.cloning import Dependents
from vmsnapshot.lifecycle.common.consolidation import add_unmerged
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import printable
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# So many VMs are named in a message.
_NAMED: Final = 5


def clones_on(
    session: Session, snapshots: Mapping[str, Sequence[str]], operation: Operation
) -> dict[str, Sequence[VirtualMachineIdentity]]:
    """Returns the linked clones on snapshots, by the snapshot's id; those without any are missing.

    The user is warned once of the VMs of which it isn't known.

    Args:
        session: The backend.
        snapshots: By the id of each VM those of its snapshots that are asked about.
        operation: Whose time counts.

    Raises:
        VmsnapshotError: It could not be read.
    """
    return _told(session, _read(session, snapshots, operation))


def _read(
    session: Session, snapshots: Mapping[str, Sequence[str]], operation: Operation
) -> Mapping[str, Outcome[Dependents]]:
    cloner = session.backend.clones
    asked = {vm_id: ids for vm_id, ids in snapshots.items() if ids}
    return cloner.dependents(asked, operation) if cloner is not None and asked else {}


def _told(
    session: Session, answers: Mapping[str, Outcome[Dependents]]
) -> dict[str, Sequence[VirtualMachineIdentity]]:
    found: dict[str, Sequence[VirtualMachineIdentity]] = {}
    for item in answers.values():
        if isinstance(item, VmsnapshotError):
            raise item
        say_unread(session, item.unread)
        found |= item.by_snapshot
    return found


class LookBeside:
    """A look what stands on a snapshot, made while its VM is read: both take round trips.

    Args:
        session: The backend.
        vm_id: The VM that state means.
        snapshot_id: The snapshot.
        operation: Whose time counts.
    """

    def __init__(self, session: Session, vm_id: str, snapshot_id: str, operation: Operation) -> None:
        self._session = session
        self._asked = {vm_id: [snapshot_id]}
        self._answers = in_background("dependents", lambda: _read(session, self._asked, operation))

    def clones_on(
        self, vm: VirtualMachine, going: Sequence[Snapshot], operation: Operation
    ) -> dict[str, Sequence[VirtualMachineIdentity]]:
        """Returns the linked clones on snapshots; looked for again, if it was another that was asked about.

        Raises:
            VmsnapshotError: It could not be read.
        """
        asked = {vm.identity.id: [item.id for item in going]}
        begun = asked == self._asked
        answers = self._answers.wait(operation) if begun else _read(self._session, asked, operation)
        return _told(self._session, answers)


def say_unread(session: Session, unread: Collection[VirtualMachineIdentity]) -> None:
    """Warn once, for the whole stack, of VMs that may stand on files which are to be removed.

    The server doesn't tell which files their disks consist of.  That refuses nothing: a single VM whose
    host is away would keep all others on its datastores from being cleaned up, and vCenter itself knows
    what is shared.
    """
    new = [item for item in unread if session.is_first(f"unread clone {item.id}")]
    if new:
        text = (
            f"{_names(new)}: on the same datastores, but the server doesn't tell which files their disks "
            "consist of. Whether they are linked clones that stand on what is removed is not known. If one "
            "may be, cancel; connect its host, or give this user the privilege System.Read on it, and look "
            "again. Otherwise nothing needs to be done."
        )
        session.log_wrapped("", Severity.WARNING, text)


def remove_snapshot(
    session: Session,
    vm: VirtualMachine,
    snapshot: Snapshot,
    operation: Operation,
    *,
    remove_children: bool = False,
    consolidate: bool = True,
    look: LookBeside | None = None,
) -> None:
    """Remove a snapshot on which no linked clone stands; `look`: that looks already.

    Raises:
        Refused: One stands on it, or on one below it that is to be removed too; nothing was done.
        VmsnapshotError: It isn't known which files a snapshot holds; nothing was done.
    """
    going = [snapshot, *(vm.descendants(snapshot.id) if remove_children else ())]
    if look is None:
        standing = clones_on(session, {vm.identity.id: [item.id for item in going]}, operation)
    else:
        standing = look.clones_on(vm, going, operation)
    for item in going:
        if clones := standing.get(item.id):
            raise Refused(standing_text(vm, item, clones), subject=operation.what)
    try:
        session.backend.remove_snapshot(
            vm, snapshot, remove_children=remove_children, consolidate=consolidate, operation=operation
        )
    except VmsnapshotError as error:
        if not error.outcome_unknown:
            add_unmerged(session, vm, snapshot, error, operation)
        raise


def standing_text(vm: VirtualMachine, snapshot: Snapshot, clones: Sequence[VirtualMachineIdentity]) -> str:
    """Why a snapshot isn't removed, and what to do."""
    return (
        f"{format_snapshot(vm, snapshot)} is not removed: {format_clones(clones)}. Delete those VMs first, "
        "or give them disks of their own (vSphere: PromoteDisks_Task)"
    )


def user_of(
    session: Session, snapshot: Snapshot, clones: Collection[VirtualMachineIdentity] | None
) -> str | None:
    """Returns who needs a snapshot, in words: the linked clones on it, or a resource of this update."""
    if clones:
        return format_clones(clones)
    user = session.removals.reached_by(snapshot.mark)
    return None if user is None else f'"{printable(user)}" needs it in this update'


def format_clones(clones: Collection[VirtualMachineIdentity]) -> str:
    """Formats the linked clones on a snapshot for messages."""
    verb = "stands" if len(clones) == 1 else "stand"
    kind = "a linked clone" if len(clones) == 1 else "linked clones"
    return f"{_names(clones)} {verb} on it ({kind})"


def _names(vms: Collection[VirtualMachineIdentity]) -> str:
    names = [f'VM "{item.name}" ({item.id})' for item in vms]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
