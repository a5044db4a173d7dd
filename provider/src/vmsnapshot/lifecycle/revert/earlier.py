"""Reverts of late that don't count as a request's, and may have been done for it: previews name them."""

from __future__ import annotations

import dataclasses

from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.revert.evidence import RERUN_WITHIN, RevertRequest
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.task import PastTask


@dataclasses.dataclass(frozen=True)
class EarlierRevert:
    """A revert to the snapshot that is asked for, of late.

    Attributes:
        task: What did it.
        own: Whether it was asked for by an equal request of a resource of the same name.
        recent: Whether it ended within the time in which an interrupted revert counts.
    """

    task: PastTask
    own: bool
    recent: bool

    def text(self, vm: VirtualMachine) -> str:
        """What a preview says of it."""
        ended = self.task.completed
        when = "" if ended is None else f", ended {ended:%Y-%m-%d %H:%M:%S} UTC"
        task = f"{self.task.id}{when}{', judged by its time' if self.task.by_time else ''}"
        if self.own:
            why = (
                "something else has changed the VM since" if self.recent else "that is more than an hour ago"
            )
            return (
                f"An equal request of a resource of this name has reverted {format_vm(vm)} to this snapshot "
                f"already ({task}). It doesn't count: {why}. If a run of this update was interrupted then, "
                "the VM is now reverted for the second time."
            )
        return (
            f"Another request has reverted {format_vm(vm)} to this snapshot already ({task}), and no state "
            "of this resource knows of it. If that was this resource under another name, in a run that was "
            "interrupted, cancel, and preview it under that name: it is not done again if it counts there."
        )


def find_earlier(
    session: Session, request: RevertRequest, operation: Operation, *, first: bool
) -> EarlierRevert | None:
    """The latest revert to the snapshot that doesn't count as the request's; None: there is none of late.

    Args:
        session: The backend.
        request: A request that isn't found to be done.
        operation: Whose time counts.
        first: Whether no state tells the request from an equal earlier one.
    """
    vm, target = request.vm, request.target
    moment = session.now(operation)
    known = session.backend.known_reverts(vm, operation)
    found: list[tuple[bool, EarlierRevert]] = []
    for key, task in known.items():
        if not task.succeeded or task.completed is None:
            continue
        own, recent = key == request.id, moment - task.completed <= RERUN_WITHIN
        to_target = task.reverted_to == target.name
        if task.reverted_to is None:
            to_target = own or vm.current_snapshot_id == target.id
        # The latest of its own, if it doesn't count, is that of a resource that was deleted.
        counts = not (recent and task.latest) if own else first and recent
        if to_target and counts:
            found.append((own, EarlierRevert(task, own=own, recent=recent)))
    return max(found, key=lambda item: (item[0], str(item[1].task.completed)))[1] if found else None
