"""Deletes clones: VMs of which the caller is certain that the resource made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmsnapshot.lifecycle.clone.note import note_of
from vmsnapshot.lifecycle.clone.plan import require_cloner
from vmsnapshot.lifecycle.clone.text import attached_text, not_ours_text, standing_text
from vmsnapshot.lifecycle.cloning import Dependents
from vmsnapshot.lifecycle.common.dependents import say_unread
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused, full_stop
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.clone import CloneState
from vmsnapshot.model.machine import VirtualMachine


def standing_on(
    session: Session, clones: Sequence[VirtualMachine], operation: Operation
) -> Mapping[str, Outcome[Dependents]]:
    """What stands on the files of clones, by the clone's id; the calls don't grow with them."""
    asked = {vm.identity.id: [item.id for item in vm.snapshots] for vm in clones}
    return require_cloner(session).dependents(asked, operation) if asked else {}


def warn_of_refusals(
    session: Session, urn: str, clones: Sequence[VirtualMachine], operation: Operation
) -> None:
    """In a preview that deletes clones, warn of those that `delete_clone` would refuse to delete.

    Raises:
        VmsnapshotError: What stands on their files could not be read.
    """
    standing = standing_on(session, clones, operation)
    for vm in clones:
        if why := _refusal(session, vm, standing[vm.identity.id]):
            session.log_wrapped(urn, Severity.WARNING, f"As things are, {full_stop(why)}")


def require_ours(state: CloneState, vm: VirtualMachine, operation: Operation) -> None:
    """Go on only with the VM that state made: by its instance UUID, and by the mark that is bound to it.

    Raises:
        Refused: It isn't certain to be that one.
    """
    known = None if state.vm is None else state.vm.instance_uuid
    note = note_of(vm)
    same = known is not None and known == vm.identity.instance_uuid
    if not same or note is None or state.ownership != str(note.mark):
        raise Refused(not_ours_text(state, vm), subject=operation.what)


def delete_clone(
    session: Session, vm: VirtualMachine, standing: Outcome[Dependents], operation: Operation
) -> None:
    """Switch a clone off and delete it with its files; one that is gone counts as deleted.

    Args:
        session: The backend.
        vm: The clone, as just observed.
        standing: What `standing_on` says of it.
        operation: Whose time counts.

    Raises:
        Refused: Others stand on its files; or it has a disk that it wasn't made with and that isn't in its
            folder, such as another VM's: destroying a VM deletes the files of all its disks.
    """
    if why := _refusal(session, vm, standing):
        raise Refused(why, subject=operation.what)
    if vm.machine.power_state != "PoweredOff":
        session.backend.set_power(vm, "off", operation)
    require_cloner(session).destroy(vm, operation)


def _refusal(session: Session, vm: VirtualMachine, standing: Outcome[Dependents]) -> str | None:
    """Why a clone isn't deleted, and what to do; None: it can be."""
    if not isinstance(standing, Dependents):
        raise standing
    say_unread(session, standing.unread)
    if standing.on_vm:
        return standing_text(vm, standing.on_vm)
    # A disk may have the key of one that was there before (API reference, VirtualDevice.key).
    attached = list(dict.fromkeys([*_attached(vm, standing.folder), *standing.disks_of_others]))
    return attached_text(vm, attached) if attached else None


def _attached(vm: VirtualMachine, folder: str) -> list[str]:
    """The files, outside its folder, of disks that a clone wasn't made with, as far as its note tells."""
    note = note_of(vm)
    if note is None or note.disks is None:
        return []
    return [
        disk.backing or disk.label
        for key, disk in (vm.machine.disks or {}).items()
        if key not in note.disks and (disk.backing or "").rpartition("/")[0] != folder
    ]
