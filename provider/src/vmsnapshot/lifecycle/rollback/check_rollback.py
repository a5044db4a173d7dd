"""checkRollback: fails unless every VM of an environment can be rolled back to a label."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.rollback.plan import RollbackSpec, plan_rollback
from vmsnapshot.lifecycle.rollback.restore_points import CheckpointMaker
from vmsnapshot.lifecycle.rollback.text import rollback_text
from vmsnapshot.model.environment import CheckRollbackArgs, CheckRollbackResult


def check_rollback(session: Session, args: CheckRollbackArgs) -> CheckRollbackResult:
    """What a rollback would do to each VM, without doing anything.

    Raises:
        Refused: One can't be rolled back; every such VM is named with its cause.
    """
    operation = session.operation("", f'checking a rollback to "{args.to}"')
    whose = CheckpointMaker.of(args.checkpoint, "")
    spec = RollbackSpec(args.virtual_machines, args.to, args.power_policy, args.safety_snapshot, whose)
    planned = plan_rollback(session, spec, operation)
    planned.refuse_failures(operation.what)
    times = [item.create_time for item in planned.points.found.values()]
    known = [moment for moment in times if moment is not None]
    return CheckRollbackResult(
        to=args.to,
        taken_at=timestamp(min(known)) if known else None,
        # With a time missing, another snapshot may be the first or the last.
        skew_seconds=(max(known) - min(known)).total_seconds()
        if known and len(known) == len(times)
        else None,
        plans=dict(planned.plans),
        text=rollback_text(planned),
    )
