"""checkRollback: fails unless every VM of an environment can be rolled back to a label."""

from __future__ import annotations

import datetime as dt

from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused
from vmsnapshot.lifecycle.rollback.plan import RollbackSpec, plan_rollback
from vmsnapshot.lifecycle.rollback.restore_points import CheckpointMaker
from vmsnapshot.lifecycle.rollback.text import rollback_text
from vmsnapshot.model.check_rollback import CheckRollbackArgs, CheckRollbackResult
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.formatting import format_age


def check_rollback(session: Session, args: CheckRollbackArgs) -> CheckRollbackResult:
    """What a rollback would do to each VM, without doing anything.

    Raises:
        Refused: One can't be rolled back; every such VM is named with its cause. Or the checkpoint is older
            than `maxAge`, or its age isn't known.
    """
    operation = session.operation("", f'checking a rollback to "{args.to}"')
    whose = CheckpointMaker.of(args.checkpoint, "")
    spec = RollbackSpec(args.virtual_machines, args.to, args.power_policy, args.safety_snapshot, whose)
    planned = plan_rollback(session, spec, operation)
    planned.refuse_failures(operation.what)
    times = [item.create_time for item in planned.points.found.values()]
    known = [moment for moment in times if moment is not None]
    # With a time missing, another snapshot may be the first or the last.
    age = planned.moment - min(known) if known and len(known) == len(times) else None
    if args.max_age is not None:
        _refuse_old(operation.what, args.max_age, age)
    return CheckRollbackResult(
        to=args.to,
        taken_at=timestamp(min(known)) if known else None,
        skew_seconds=None if age is None else (max(known) - min(known)).total_seconds(),
        # Of two clocks that differ by a little, it may be below 0.
        age_seconds=None if age is None else max(0, int(age.total_seconds())),
        plans=dict(planned.plans),
        text=rollback_text(planned),
    )


def _refuse_old(what: str, max_age: str, age: dt.timedelta | None) -> None:
    if age is None:
        message = f"{what}: the checkpoint's age is not known, so it may be older than maxAge ({max_age})"
        raise Refused(message)
    if age > parse_duration(max_age):
        message = f"{what}: the checkpoint is {format_age(age)} old, older than maxAge ({max_age})"
        raise Refused(message)
