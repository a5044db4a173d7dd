"""checkRollback: fails unless every VM of an environment can be rolled back to a label."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

from vmsnapshot.lifecycle.common import observed
from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.common.parallel import partition
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import format_names, wrapped
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError, full_stop
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.rollback.plan import PlannedRollback, RollbackSpec, plan_rollback
from vmsnapshot.lifecycle.rollback.restore_points import CheckpointMaker
from vmsnapshot.lifecycle.rollback.text import rollback_text
from vmsnapshot.model.check_rollback import CheckRollbackArgs, CheckRollbackResult
from vmsnapshot.model.duration import format_duration, parse_duration
from vmsnapshot.model.formatting import CLOCKS_DIFFER
from vmsnapshot.model.task import PastRevert

_MINUTE: Final = dt.timedelta(minutes=1)


def check_rollback(session: Session, args: CheckRollbackArgs) -> CheckRollbackResult:
    """What a rollback would do to each VM, without doing anything.

    Raises:
        Refused: One can't be rolled back; every such VM is named with its cause. Or the checkpoint is older
            than `maxAge`, or its age isn't known.
    """
    operation = session.operation("", f'checking a rollback to "{args.to}"')
    whose = CheckpointMaker.of(session, args.checkpoint, "")
    spec = RollbackSpec(args.virtual_machines, args.to, args.power_policy, args.safety_snapshot, whose=whose)
    planned = plan_rollback(session, spec, operation)
    planned.raise_for_errors(operation.what)
    between = planned.points.taken_between
    age = None if between is None else _age(between, planned.moment)
    if args.max_age is not None:
        # What a server's clock that is behind calls young may be too old for who asks.
        behind = max(dt.timedelta(), observed.now() - planned.moment)
        _raise_if_older(operation.what, args.max_age, None if age is None else age + behind)
    reverts, unread = _last_reverts(session, planned, operation) if args.estimate else ({}, {})
    expected = _expected(planned, reverts)
    text = rollback_text(planned)
    if args.estimate:
        text = "\n".join([text, *wrapped(_estimate_text(planned, reverts, unread, expected), first="  ")])
    return CheckRollbackResult(
        to=args.to,
        taken_at=None if between is None else timestamp(between[0]),
        skew_seconds=None if between is None else (between[1] - between[0]).total_seconds(),
        # Of two clocks that differ by a little, it may be below 0.
        age_seconds=None if age is None else max(0, int(age.total_seconds())),
        plans=dict(planned.plans),
        last_reverts=reverts,
        expected_seconds=expected,
        text=text,
    )


def _age(between: tuple[dt.datetime, dt.datetime], moment: dt.datetime) -> dt.timedelta | None:
    """How old the first of the snapshots is; None: not known, as one is dated by a clock that is ahead."""
    first, last = between
    return None if last - moment > CLOCKS_DIFFER else moment - first


def _last_reverts(
    session: Session, planned: PlannedRollback, operation: Operation
) -> tuple[dict[str, PastRevert], dict[str, VmsnapshotError]]:
    """The last revert of each VM, as far as the platform remembers; and of which that isn't known, why."""
    outcomes = session.backend.last_reverts([planned.vm(key) for key in planned.plans], operation)
    found, unread = partition(dict(zip(planned.plans, outcomes, strict=True)))
    return {key: item for key, item in found.items() if item is not None}, unread


def _expected(planned: PlannedRollback, reverts: Mapping[str, PastRevert]) -> float | None:
    """Seconds that the reverts may take, each wave as long as the longest of its VMs; None: not known."""
    if not reverts or reverts.keys() != planned.plans.keys():
        return None
    by_wave = waves(planned.spec.members, descending=True)
    return round(sum(max(reverts[member.key].seconds for member in wave) for wave in by_wave), 1)


def _estimate_text(
    planned: PlannedRollback,
    reverts: Mapping[str, PastRevert],
    unread: Mapping[str, VmsnapshotError],
    expected: float | None,
) -> str:
    """How long it may take, in words."""
    if expected is not None:
        number = len(waves(planned.spec.members))
        each = "its" if len(reverts) == 1 else "their"
        in_waves = "" if number == 1 else f" in {number} waves"
        return (
            f"By {each} last reverts, reverting takes about {expected:.0f} s{in_waves}; safety snapshots, "
            "powerPolicy and the guests' own start come on top."
        )
    none = [key for key in planned.plans if key not in reverts and key not in unread]
    causes = [f"no past revert is remembered of {format_names(none)}"] if none else []
    if unread:
        why = full_stop(next(iter(unread.values())).message)
        causes.append(f"whether {format_names(unread)} was reverted before could not be read: {why}")
    return full_stop(f"How long it takes is not known: {'; '.join(causes)}")


def _raise_if_older(what: str, max_age: str, age: dt.timedelta | None) -> None:
    if age is None:
        message = (
            "the checkpoint's age is not known (a snapshot of it has no date, or one that is still to come "
            f"by the server's clock), so it may be older than maxAge ({max_age})"
        )
        raise Refused(message, subject=what)
    if age > parse_duration(max_age):
        # In the units of maxAge: "1 day" would read as less than 26h.
        shown = format_duration(age - age % _MINUTE if age > _MINUTE else age)
        message = f"the checkpoint is {shown} old, older than maxAge ({max_age})"
        raise Refused(message, subject=what)
