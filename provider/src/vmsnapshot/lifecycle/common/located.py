"""What it means that a VM which state knows isn't where it was, or can't be told from another."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.identity import Sameness, compare_vm
from vmsnapshot.lifecycle.common.identity_text import format_known_vm
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.errors import Gone, Unreachable
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import VirtualMachine


def same_or(
    known: VirtualMachineIdentity, seen: VirtualMachine, operation: Operation
) -> Outcome[VirtualMachine]:
    """Returns the VM that was looked for elsewhere if this is the one, else what that means."""
    match compare_vm(known, seen.identity):
        case Sameness.SAME | Sameness.ELSEWHERE:
            return seen
        case Sameness.UNKNOWN:
            return not_told(known, seen, operation)
        case _:
            return gone(known, operation)


def gone(known: VirtualMachineIdentity, operation: Operation) -> Gone:
    """Returns the error of a VM that is definitely not there."""
    return Gone(f"VM {format_known_vm(known)} is no longer there", subject=operation.what)


def not_told(known: VirtualMachineIdentity, seen: VirtualMachine, operation: Operation) -> Unreachable:
    """Returns the error of a VM of which what was read doesn't tell whether it is the known one."""
    return Unreachable(
        f'whether {format_vm(seen)} is VM "{known.name}" ({known.id}) could not be read: '
        f"its {'UID' if known.uid is not None else 'configuration, with the instance UUID,'} is missing; "
        f"that of the known one is {known.uid or known.instance_uuid}",
        subject=operation.what,
    )
