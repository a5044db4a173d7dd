"""Reads the VMs of a rollback as they are now; what can't be read is not taken for gone."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.members import find_members
from vmsnapshot.lifecycle.common.selection import new_id_text
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import NotFound, VmsnapshotError, full_stop
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.machine import Machine, VirtualMachine
from vmsnapshot.model.rollback import RollbackState


def observe_members(
    session: Session, urn: str, old: RollbackState, operation: Operation
) -> tuple[dict[str, VirtualMachine], dict[str, Machine | None]]:
    """The VMs that are still there, and what state holds of those that can't be read.

    A VM that was re-created under the name of one that is gone is another.
    """
    known = {item.key: old.vms[item.key] for item in old.virtual_machines if item.key in old.vms}
    found = session.locate_all(known, operation, ReadMask.HARDWARE)
    # State of a rollback that failed early may not tell which VM is meant.
    unknown = [item for item in old.virtual_machines if item.key not in known]
    if unknown:
        again = find_members(session, unknown, operation, ReadMask.HARDWARE)
        found |= {**again.machines, **again.failures}
    machines: dict[str, VirtualMachine] = {}
    unread: dict[str, Machine | None] = {}
    for key, outcome in found.items():
        if isinstance(outcome, NotFound):
            session.log_wrapped(
                urn,
                Severity.WARNING,
                f"VM {key} is no longer there: {full_stop(outcome.message)} What is remembered of it "
                "stays, and nothing is rolled back until `to` or `triggers` change.",
            )
        elif isinstance(outcome, VmsnapshotError):
            session.log_wrapped(
                urn,
                Severity.WARNING,
                f"VM {key} could not be read, so the state keeps what it holds of it: {outcome.message}",
            )
            unread[key] = (old.machines or {}).get(key)
        else:
            machines[key] = outcome
            if key in known and outcome.identity.id != known[key].id:
                session.log_wrapped(urn, Severity.WARNING, new_id_text(known[key].id, outcome))
    return machines, unread
