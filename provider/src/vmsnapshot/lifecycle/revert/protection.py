"""What keeps a revert from being done twice where the server tells little of the past."""

from __future__ import annotations

from collections.abc import Sequence

from vmsnapshot.lifecycle.common.marks import marked_for
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.lifecycle.revert.text import WHETHER_AGAIN
from vmsnapshot.model.machine import VirtualMachine


def say_weaker_protection(
    session: Session, urn: str, vms: Sequence[VirtualMachine], operation: Operation
) -> None:
    """In a preview, say once that an interrupted revert might not be recognised on this platform, and why."""
    if session.is_first("weaker protection"):
        text = session.backend.weaker_protection(vms, operation)
        if text is not None:
            session.log_wrapped(urn, Severity.WARNING, text)


def require_not_left(session: Session, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
    """Go on only if a VM still stands on the safety snapshot of a request of which no task is known.

    One that has left it was reverted since. Where the server would tell of it, somebody else did that.

    Raises:
        Refused: It has left it, and the server wouldn't tell.
    """
    stands_on = {item.id for item in vm.ancestry(vm.current_snapshot_id)}
    left = [item for item in marked_for(vm, request_id, session.state) if item.id not in stands_on]
    if not left or session.backend.weaker_protection([vm], operation) is None:
        return
    message = (
        f"{format_vm(vm)} was reverted after an earlier run of this request had taken "
        f"{format_snapshot(vm, left[-1])}, its safety snapshot. The server tells too little of it: whether "
        f"that was this request is not known, so nothing was done now. {WHETHER_AGAIN}"
    )
    raise Refused(message, subject=operation.what)
