"""Takes a snapshot exactly once, also when the platform's answer is lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Final

from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.late import look_again, note_name, noted, wait_for_late
from vmsnapshot.lifecycle.common.marks import marked
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Gone, Unreachable
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import OwnerRef, is_same_state
from vmsnapshot.lifecycle.port import SnapshotRequest
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# What an interrupted run made, and no state holds, the next run adopts.  A snapshot that is older than this
# says too little of today's VM to pass for the restore point that is asked for now; an older clone may have
# been kept on purpose.
ADOPT_WITHIN: Final = dt.timedelta(days=1)

# What a preview says of it where the mark doesn't tell the state. The engine tells a provider neither its
# backend nor the organisation (pulumi 3.250, the fields of ProviderHandshakeRequest and CreateRequest).
SAME_NAMES: Final = (
    "This mark is made of the names of project, stack and resource alone: if a stack of the same names in "
    "another backend or organisation has made this, cancel, and rename the stack or the resource."
)


def will_be_adopted_text(mark: OwnerRef | None, state: str | None) -> str:
    """Returns what a preview says of what is taken over for an interrupted run's, after its name."""
    text = (
        "carries this resource's mark, and this stack's state doesn't hold it, as after a run that was "
        "interrupted: it will be taken over."
    )
    return text if is_same_state(mark, state) else f"{text} {SAME_NAMES}"


def other_state_text(name: str, what: str) -> str:
    """Returns what becomes of what a resource of the same URN has made in another state.

    Args:
        name: What it made.
        what: Of what kind that is.
    """
    return (
        f"{name} was made by a resource of the same names in another state, as of a stack in another backend "
        f"or organisation: it is left alone, and a new {what} is made. (This stack itself may have made it "
        "before its provider was replaced or upgraded, in a run that was interrupted: then import it in "
        f"place of the new {what}, before the update, or afterwards as another resource; or remove it if "
        "nobody needs it. Else give one of the two stacks another name.)"
    )


def create_once(
    session: Session,
    vm: VirtualMachine,
    request: SnapshotRequest,
    operation: Operation,
    *,
    note: str | None = None,
    known: Collection[str] = (),
    looks: bool = False,
) -> str:
    """Take a snapshot unless the request has already been carried out; returns its id.

    When the connection breaks before the answer, the snapshot may have been taken all the same, or its
    task may still run: that is waited for and looked for by the mark, before it is asked for again.

    Args:
        session: The backend, and the notes.
        vm: The VM.
        request: What is asked.
        operation: Whose time counts.
        note: The name of the note that the request is being made, where the caller has looked for what an
            interrupted run of it may have begun. Without it the mark is the same in each run, and is
            looked for here.
        known: The ids of snapshots with the same mark that are of earlier requests.
        looks: Whether `Backend.observe_complete` comes next.
    """
    backend = session.backend

    def find() -> str | None:
        after = wait_until_idle(session, backend.observe(vm.identity.id, operation), operation)
        made = (item.id for item in marked(after, request.owner.mark) if item.id not in known)
        return next(made, None)

    if note is None:
        note = note_name(request.request_id, vm)
        if (late := wait_for_late(session, note, find, operation)) is not None:
            return late
    with noted(session, note):
        while True:
            try:
                return backend.create_snapshot(vm, request, operation, looks=looks)
            except Unreachable:
                if (made := look_again(find, operation)) is not None:
                    return made


def made_snapshot(session: Session, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> Snapshot:
    """Returns a snapshot that was just made; one that isn't among its VM's is asked for alone.

    Raises:
        Gone: Somebody has removed it.
        Unreachable: It is there all the same: what was read isn't all.
    """
    found = vm.snapshot(snapshot_id)
    if found is not None:
        return found
    what = f"snapshot {snapshot_id} of {format_vm(vm)}"
    if session.backend.has_snapshot(vm, snapshot_id, operation):
        text = f"{what} was made, but is missing in what the platform answered; asked for alone, it is there"
        raise Unreachable(text, retryable=True)
    raise Gone(f"{what} was removed right after it was taken")
