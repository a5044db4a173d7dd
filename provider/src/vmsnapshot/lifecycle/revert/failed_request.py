"""Takes back a failed request of ours that an interrupted run left: the platform tries it for ever."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.machine import VirtualMachine


def is_to_take_back(vm: VirtualMachine) -> bool:
    """Whether an update takes a failed request back before it does anything else, or refuses to."""
    return vm.revert_failure is not None and vm.revert_is_ours


def take_back_failed(session: Session, urn: str, vm: VirtualMachine, operation: Operation) -> bool:
    """Take a failed request of ours back, and tell its reason; whether it was.

    Raises:
        VmsnapshotError: It could not be, so that the platform may still carry it out.
    """
    if not is_to_take_back(vm):
        return False
    what = f'A revert of {format_vm(vm)} to "{vm.revert_requested}"'
    try:
        taken_back = session.backend.take_back(vm, operation)
    except VmsnapshotError as error:
        error.add(
            f"{what} has failed, is still asked for and could not be taken back: the VM is reverted as soon "
            f"as that works. {vm.revert_remedy or ''}".rstrip()
        )
        raise
    if taken_back:
        text = f"{what} is no longer asked for: it has failed. {vm.revert_failure}."
        session.log_wrapped(urn, Severity.WARNING, text)
    return taken_back


def try_to_take_back(session: Session, urn: str, vm: VirtualMachine, operation: Operation) -> bool:
    """The same, where that fails nothing: then a warning tells it."""
    try:
        return take_back_failed(session, urn, vm, operation)
    except VmsnapshotError as error:
        session.log_wrapped(urn, Severity.WARNING, error.message)
    return False


def find_failed_request(
    session: Session, vm_name: str, namespace: str | None, operation: Operation
) -> VirtualMachine | None:
    """The VM, if a failed request of ours stands on it, for a program that can't be planned."""
    try:
        vm = session.find(vm_name, namespace, operation)
    except (NotFound, Ambiguous):
        return None
    return vm if is_to_take_back(vm) else None


def only_taken_back_text(vm: VirtualMachine, error: VmsnapshotError) -> str:
    """What the preview says where the update takes the failed request back and can't do more."""
    return (
        f'A revert of {format_vm(vm)} to "{vm.revert_requested}" has failed and is still asked for: '
        f"{vm.revert_failure}. The update takes it back, and then ends with an error, without a revert: "
        f"{error.message}"
    )
