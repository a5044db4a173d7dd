"""Whether what is about to be done is what a preview of the same command has shown."""

from __future__ import annotations

from typing import Final

from vmsnapshot.lifecycle.common.identity import is_same_key, snapshot_identity, snapshot_key, vm_key
from vmsnapshot.lifecycle.common.marks import marked_for
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.lifecycle.revert.evidence import RevertRequest
from vmsnapshot.lifecycle.revert.fingerprint import changed_since, fingerprint_of, planned_fingerprint
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import RevertInputs, ShownRevert

# The diff, and what somebody approves, is of the snapshot that check has found: what a policy pack remediates
# is not checked anew (`text.CHANGED_SINCE_CHECK`).
REDIRECTED: Final = (
    "a policy pack has changed which VM or snapshot is asked for, after that was checked. A pack may refuse "
    "a revert, or remediate how it is done, but not send it elsewhere: name that in the program. Nothing was "
    "done"
)
UNLESS_REDIRECTED: Final = (
    "Or a policy pack changes which one is asked for, which it can't: its preview fails, too."
)


def shown_revert(session: Session, vm: VirtualMachine, target: Snapshot) -> ShownRevert:
    """What a preview shows of a revert, as far as it is compared later."""
    return ShownRevert(
        seen=planned_fingerprint(session, vm), vm=vm_key(vm.identity), target=snapshot_identity(target)
    )


def another_text(shown: ShownRevert | None, vm: VirtualMachine, target: Snapshot) -> str | None:
    """Why this isn't the revert that a preview showed, in words; None: it is, or none was shown."""
    if shown is None:
        return None
    if shown.vm != vm_key(vm.identity):
        return f"the preview showed another VM than {format_vm(vm)}, which is meant by now"
    if shown.target != snapshot_identity(target):
        return (
            f"the preview showed another snapshot than {format_snapshot(vm, target)}, which is meant by now"
        )
    return None


def require_target(
    checked: str | None, target: Snapshot, operation: Operation, *, remediated: bool = False
) -> None:
    """Go on only with the snapshot that check has found.

    Args:
        checked: Its key; None: it hasn't found any.
        target: The snapshot that the inputs mean.
        operation: What is refused.
        remediated: Whether a policy pack is known to have changed the inputs since.

    Raises:
        Refused: It is another.
    """
    if checked is None or is_same_key(checked, snapshot_key(target)):
        return
    if remediated:
        raise Refused(REDIRECTED, subject=operation.what)
    message = (
        f"this is not the snapshot that was meant when the update began ({checked}): the VM, its name or its "
        f"snapshots have changed since. {UNLESS_REDIRECTED} Nothing was done. Look at a new preview"
    )
    raise Refused(message, subject=operation.what)


def compare_with_preview(
    session: Session,
    urn: str,
    revert: tuple[VirtualMachine, Snapshot],
    inputs: RevertInputs,
    operation: Operation,
) -> None:
    """Say what has changed on a VM since somebody approved its revert.

    Raises:
        Refused: Another VM or another snapshot was approved; or `requireUnchanged` is set, and something
            has changed.
    """
    vm, shown = revert[0], session.notes.shown(urn)
    if (other := another_text(shown, *revert)) is not None:
        raise Refused(f"{other}. Nothing was done. Look at a new preview", subject=operation.what)
    changed = changed_since(inputs.seen if shown is None else shown.seen, vm, session)
    if changed is None:
        return
    what = f"is no longer as the preview showed it: {changed}"
    if inputs.require_unchanged:
        raise _changed(what, "nothing was done", operation)
    session.log(urn, Severity.WARNING, f"{format_vm(vm)} {what}.")


def require_as_before(
    session: Session, urn: str, request: RevertRequest, operation: Operation, *, strict: bool
) -> None:
    """Go on only if a VM whose revert could not begin at once is still the one that is to be reverted.

    Args:
        session: The backend.
        urn: The resource.
        request: The revert, with the VM as it was when it was asked for first.
        operation: Whose time counts.
        strict: Whether `requireUnchanged` is set.

    Raises:
        Refused: The VM has been reverted to that snapshot meanwhile; or `strict`, and something has changed.
    """
    if not request.shown:
        return
    before, target = request.vm, request.target
    vm = session.backend.observe(before.identity.id, operation)
    if vm.current_snapshot_id == target.id != before.current_snapshot_id:
        message = (
            f'{format_vm(vm)} was reverted to "{target.name}" while this revert waited: whether by this '
            "request is not known. It was not reverted again. Look at the VM, and run the update again"
        )
        error = Refused(message, subject=operation.what)
        error.outcome_unknown = True
        raise error
    made = marked_for(vm, request.id, session.state)
    protected = [item for item in made if before.snapshot(item.id) is None]
    changed = changed_since(fingerprint_of(before), vm, session, {item.id for item in protected})
    if changed is None:
        return
    what = f"has changed while its revert waited: {changed}"
    if strict:
        raise _changed(what, "it was not reverted", operation)
    session.log(urn, Severity.WARNING, f"{format_vm(vm)} {what}.")


def _changed(what: str, done: str, operation: Operation) -> Refused:
    """The refusal of a VM that is not as it was approved, where `requireUnchanged` is set."""
    message = f"the VM {what}. requireUnchanged is set, so {done}. Look at a new preview"
    return Refused(message, subject=operation.what)
