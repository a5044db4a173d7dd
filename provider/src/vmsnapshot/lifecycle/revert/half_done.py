"""A revert that has failed and yet taken the VM's disks and settings back.

At the end of a revert to a snapshot with memory vSphere powers the VM on, and the task fails if that does:
for want of resources, or as "a configuration issue prevents the power-on" (API reference,
RevertToSnapshot_Task: InsufficientResourcesFault, VmConfigFault). What the VM had on its disks is lost by
then. So the VM is read: nobody is to believe that nothing has happened, and the next run must not take back
what was done since.
"""

from __future__ import annotations

from typing import Final

from vmsnapshot.lifecycle.common.marks import marked_for
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.revert.evidence import RevertRequest
from vmsnapshot.lifecycle.revert.state import HALF_DONE
from vmsnapshot.lifecycle.revert.text import WHETHER_AGAIN
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding
from vmsnapshot.model.revert import RevertState

_NEXT: Final = (
    "The next update reverts it once more, as only that brings the power state and the memory of then; if it "
    "runs by then, it is left alone, for what was done since."
)


def say_outcome(
    session: Session, request: RevertRequest, error: VmsnapshotError, operation: Operation
) -> bool:
    """Add to a failed task's error what it did to the VM; returns whether it may have reverted its disks.

    Args:
        session: The backend.
        request: The revert, with the VM as it was before, and before its safety snapshot was taken.
        error: Why it failed.
        operation: Whose time counts.
    """
    vm, target = request.vm, request.target
    try:
        (after,) = session.backend.observe_all([vm.identity.id], operation, ReadMask.NOTHING)
    except VmsnapshotError as failure:
        after = failure
    if isinstance(after, VmsnapshotError):
        error.add(f"Whether it has changed the VM all the same is not known: {after.message}")
        return False
    power = _power(vm, after)
    # The safety snapshot was taken right before: the VM stood on it.
    taken = [item.id for item in marked_for(after, request.id, session.state) if vm.snapshot(item.id) is None]
    stood_on = taken[-1] if taken else vm.current_snapshot_id
    if after.current_snapshot_id != target.id:
        error.add(f'The VM was not reverted: it doesn\'t run on "{target.name}"{power}.')
        return False
    # Nothing but what the snapshot holds of its memory suspends it.
    suspended = power != "" and after.machine.power_state == "Suspended"
    if stood_on != target.id or suspended:
        error.add(
            f'Its disks and settings were taken back all the same: the VM runs on "{target.name}" '
            f"now{power}. {_NEXT}"
        )
        return True
    error.add(
        f'Whether its disks were taken back all the same is not known: it ran on "{target.name}" '
        f"before, too{power}. {_NEXT if power else ''}".rstrip()
    )
    return power != ""


def _power(before: VirtualMachine, after: VirtualMachine) -> str:
    was, is_now = before.machine.power_state, after.machine.power_state
    if was == is_now or None in (was, is_now):
        return ""
    return f", and is {is_now}, while it was {was} before"


def was_half_done(old: RevertState | None, request_id: str) -> bool:
    """Whether an update of a request has failed so; another request, as with new `triggers`, asks anew."""
    conditions = [] if old is None else old.conditions
    return any(item.reason == HALF_DONE and request_id in (item.message or "") for item in conditions)


def half_done_findings(vm: VirtualMachine, target: Snapshot) -> list[Finding]:
    """Returns what is to be known of a VM that an earlier update of the same request has half reverted."""
    if vm.current_snapshot_id != target.id:
        return []
    was = f'An earlier update has taken (or may have) the disks of {format_vm(vm)} back to "{target.name}", '
    if vm.machine.power_state == "PoweredOn":
        text = (
            f"{was}and then failed; the VM runs by now. It is not reverted again: what was done on it since "
            f"would be lost. {WHETHER_AGAIN}."
        )
        return [Finding(severity="error", code="halfReverted", message=text)]
    text = f"{was}and then failed. It is reverted once more, as only that brings its power state of then."
    return [Finding(severity="warning", code="halfReverted", message=text)]
