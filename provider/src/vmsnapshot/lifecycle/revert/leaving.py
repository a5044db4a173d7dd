"""What becomes of a revert's safety snapshots when their time is over, or the resource is deleted."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.safety import SafetySnapshots
from vmsnapshot.lifecycle.common.safety_records import is_over, removal_name
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Gone
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.lifecycle.revert.state import count_update
from vmsnapshot.model._base import replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.revert import RevertInputs, RevertState, TakenSafetySnapshot


def say_expired(session: Session, urn: str, old: RevertState, given: RevertInputs) -> bool:
    """In a preview of an update that reverts nothing, name the safety snapshots that it removes.

    Returns:
        Whether there are some.
    """
    rule, counted = given.safety_snapshot, count_update(old)
    if rule is None or not counted:
        return False
    moment = session.planned_now()
    over = [item for item in counted if is_over(item, rule, moment)]
    session.removals.show(session.notes, urn, map(removal_name, over))
    for item in over:
        text = (
            f'Safety snapshot "{item.name}" of VM "{old.vm_name}" will be removed: it has expired by '
            "then. It stays as long as the VM or a linked clone stands on it."
        )
        session.log_wrapped(urn, Severity.WARNING, text)
    return bool(over)


def remove_safety_snapshots(
    session: Session,
    safety: SafetySnapshots,
    state: RevertState,
    known: VirtualMachineIdentity,
    operation: Operation,
) -> list[TakenSafetySnapshot]:
    """Remove all that state holds; returns those that stay because the VM runs on them."""
    try:
        vm = session.locate(known, operation)
    except Gone:
        return []
    # Release 0.1.0 knew of the VM of one only where it was last seen.
    leftovers = [
        item if item.identity is not None else replace(item, vm=vm.identity.id)
        for item in state.leftover_safety_snapshots
    ]
    not_removed = safety.clean_up(leftovers, {}, operation)
    if not_removed is not None:
        raise not_removed.error
    vm = session.backend.observe(vm.identity.id, operation)
    return safety.remove_recorded(state.safety_snapshots, vm, "its resource is deleted", operation)
