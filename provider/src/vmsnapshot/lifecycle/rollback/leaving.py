"""What becomes of a rollback's safety snapshots when its resource is deleted."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.parallel import aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.safety import SafetySnapshots, SafetySpec
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Gone
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.revert import TakenSafetySnapshot
from vmsnapshot.model.rollback import RollbackState


def leave_safety_snapshots(
    session: Session, urn: str, state: RollbackState, operation: Operation
) -> list[str]:
    """Remove the safety snapshots that state holds, if `safetyDeletePolicy` says so; returns those that stay.

    Raises:
        VmsnapshotError: Some could not be removed; the others are.
    """
    recorded = _recorded(state)
    if not recorded and not state.leftover_safety_snapshots:
        return []
    if state.safety_delete_policy == "keep":
        kept = [f'"{item.name}" of {key}' for key, item in recorded.items()]
        return kept + [f'"{item.name}" of {item.member}' for item in state.leftover_safety_snapshots]
    safety = SafetySnapshots(session, urn, SafetySpec("rollback"))
    not_removed = safety.clean_up(state.leftover_safety_snapshots, {}, operation)
    if not_removed is not None:
        raise not_removed.error
    found, unread = partition(
        session.locate_all({key: state.vms[key] for key in recorded if key in state.vms}, operation)
    )

    def remove(key: str, vm: VirtualMachine, part: Operation) -> list[TakenSafetySnapshot]:
        return safety.remove_recorded([recorded[key]], vm, "its resource is deleted", part)

    outcomes, failed = partition(parallel_map(found, remove, operation, "removing safety snapshots"))
    failures = {key: error for key, error in unread.items() if not isinstance(error, Gone)} | failed
    if failures:
        head = f"{len(failures)} of {len(recorded)} could not be removed."
        ending = "The resource stays in the stack; the next `pulumi destroy` tries again."
        raise aggregate_errors(head, failures, ending, subject=operation.what)
    # The state of release 0.1.0 doesn't tell which VM it is that has left the program.
    stay = [f'"{item.name}" of {key}' for key, item in recorded.items() if key not in state.vms]
    return stay + [f'"{item.name}" of {key}' for key, in_use in outcomes.items() for item in in_use]


def _recorded(state: RollbackState) -> dict[str, TakenSafetySnapshot]:
    """The last rollback's safety snapshots as those of a revert are recorded, by the member's key."""
    return {
        key: TakenSafetySnapshot(
            name=(kept.path or kept.id).rpartition("/")[2],
            unique_id=kept.unique_id,
            create_time=kept.create_time,
            ownership=kept.ownership,
        )
        for key, item in state.progress.items()
        if (kept := item.safety_snapshot) is not None
    }
