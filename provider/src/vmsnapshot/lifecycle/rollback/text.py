"""The plan of a rollback as the preview shows it: plain text of at most 100 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import parse_timestamp
from vmsnapshot.lifecycle.common.preflight import finding
from vmsnapshot.lifecycle.common.tree import (
    clip,
    format_findings,
    format_names,
    format_table,
    printable,
    wrapped,
)
from vmsnapshot.lifecycle.common.unsettled import depends_text
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.revert.earlier import EarlierRevert, format_earlier
from vmsnapshot.lifecycle.revert.text import as_of
from vmsnapshot.lifecycle.rollback.plan import PlannedRollback
from vmsnapshot.lifecycle.rollback.restore_points import made_by
from vmsnapshot.model.formatting import format_age, format_count, format_size, format_taken
from vmsnapshot.model.machine import PowerState
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.rollback import RollbackState

# Up to so many VMs are also shown each with its own plan and tree; more only in the table.
_WHOLE: Final = 3
# The table's longest; what is wrong or worth a warning is told of all in any case.
_ROWS: Final = 40
# The widest that a VM's name may make its column.
_NAME: Final = 28

_INDENT: Final = "  "
_POWER: Final[dict[PowerState | None, str]] = {
    "PoweredOn": "on",
    "PoweredOff": "off",
    "Suspended": "suspended",
    None: "not known",
}


def unknown_target_text(rolled_back_to: str | None) -> str:
    """What a preview says while the label or the VMs aren't known.

    Args:
        rolled_back_to: The label of the last rollback, if nothing else asks for another; else None.
    """
    if rolled_back_to is None:
        return (
            "The environment will be rolled back, to a checkpoint or with VMs that are not known before the "
            "update: what that changes can't be shown."
        )
    return (
        f'The environment will be rolled back unless `to` is "{rolled_back_to}" again, which is not known '
        "before the update: what a rollback changes can't be shown."
    )


def open_text(state: RollbackState) -> str:
    """What a refresh says of a rollback that isn't complete."""
    done = sum(item.reverted_to is not None for item in state.progress.values())
    of = len(state.virtual_machines)
    return (
        f"The last rollback that was asked for is not complete: {done} of {of} VMs are reverted. As long "
        "as the program asks for it, the next update goes on with the others."
    )


def rollback_text(
    planned: PlannedRollback,
    *,
    done: int = 0,
    again: bool = False,
    powered: Sequence[str] = (),
    earlier: Mapping[str, EarlierRevert] | None = None,
) -> str:
    """What a person reads before approving: which VMs in which waves, ages, power, what is lost.

    Args:
        planned: The VMs that are still to be reverted.
        done: How many others have been, by a run of the same rollback.
        again: Whether a run of the same rollback has failed.
        powered: Those of the others that are still switched on or off, as powerPolicy says.
        earlier: Of the VMs, the reverts that may have been done for this, and don't count.
    """
    plans = _in_order(planned)
    if not plans and done:
        to = printable(planned.spec.to)
        but = _but(planned, powered)
        left = f'No VM is left to be rolled back to "{to}". What has been stays as it is{but}.'
        return "\n".join(wrapped(left))
    lines = list(wrapped(_head(planned, len(plans), done, _but(planned, powered), again=again)))
    lines += _table(planned, plans)
    if len(plans) <= _WHOLE:
        lines += [planned.text(key) for _, key, _ in plans]
    else:
        lines += [*_sizes_as_of(plans, planned.moment), *_left(plans), *_grouped(plans)]
    lines += [line for text in format_earlier(earlier or {}) for line in wrapped(text, first=_INDENT)]
    return "\n".join(lines)


def found_text(done: Sequence[str], running: Sequence[str] = (), uncertain: Sequence[str] = ()) -> str:
    """What interrupted runs of the same request have done, still do, or may still do; empty: nothing."""
    lines: list[str] = []
    if done:
        lines += wrapped(
            f"{format_names(done)}: already reverted by a run of this request of which the stack's state "
            "doesn't know (it was interrupted, or the state is older, as one from a backup), and not "
            "reverted again. To revert all once more, change `triggers`."
        )
    if running:
        lines += wrapped(
            f"{format_names(running)}: being reverted by a run of this request that was interrupted. The "
            "update waits for that, and reverts only what fails."
        )
    if uncertain:
        lines += wrapped(
            f"{format_names(uncertain)}: a run of this request that was interrupted may be reverting them; "
            "the platform shows nothing while a revert runs. The update waits until it is known, and reverts "
            "those whose revert did not happen."
        )
    return "\n".join(lines)


def undone_text(back: Sequence[str], left: Mapping[str, VmsnapshotError], earlier: Sequence[str]) -> str:
    """Which VMs were brought back as they were, why the others could not be, and which an earlier run did."""
    text = "" if left or earlier else "No VM was reverted."
    if back:
        text = f"Brought back as they were: {', '.join(back)}."
    if left:
        causes = "".join(f"\n- {key}: {error.message}" for key, error in left.items())
        text += f"\nNot brought back as they were:{causes}\n"
    if earlier:
        text += f" Reverted by an earlier update, and left so: {', '.join(earlier)}."
    return text.strip(" ")


def _in_order(planned: PlannedRollback) -> list[tuple[int, str, RevertPlan]]:
    """Each VM's wave (from 1), key and plan, in the order of reverting."""
    found: list[tuple[int, str, RevertPlan]] = []
    open_members = [item for item in planned.spec.members if item.key in planned.plans]
    for number, wave in enumerate(waves(open_members, descending=True), start=1):
        found += [(number, member.key, planned.plans[member.key]) for member in wave]
    return found


def _later(skew: dt.timedelta) -> str:
    """How long after the first snapshot the last one was taken; nothing if they are of one moment."""
    seconds = skew.total_seconds()
    if not seconds:
        return ""
    return ", its last snapshot " + ("less than 1 s later" if seconds < 1 else f"{seconds:.0f} s later")


def _but(planned: PlannedRollback, powered: Sequence[str]) -> str:
    """What still happens to VMs that are reverted already, in words; nothing: nothing does."""
    if not powered:
        return ""
    policy = planned.spec.power_policy
    return f", but for their power: {format_names(powered)} will be powered {policy} (powerPolicy)"


def _head(planned: PlannedRollback, count: int, done: int, but: str, *, again: bool) -> str:
    between = planned.points.taken_between
    when = "taken at a time that is not known"
    if between is not None:
        first, last = between
        when = format_taken(planned.moment - first, f"{first:%Y-%m-%d %H:%M:%S} UTC{_later(last - first)}")
    vms = format_count(count, "VM")
    before = f" {done} more have been rolled back already and stay as they are{but}." if done else ""
    unsettled = planned.spec.unsettled
    safety = " Each gets a safety snapshot of its disks first." if planned.spec.safety else ""
    if unsettled.safety:
        safety = " " + depends_text("Whether each gets a safety snapshot first", unsettled.safety)
    if unsettled.power:
        safety += " " + depends_text("What their power will be", ["powerPolicy"])
    if safety and again:
        safety += " It replaces one that an earlier try has taken, which is removed then."
    if planned.spec.safety and (policy := planned.spec.delete_policy) is not None:
        after = "leaves them on the VMs" if policy == "keep" else "removes them from the VMs"
        safety += f" Deleting this resource {after} (safetyDeletePolicy: {policy})."
    whose = _whose(planned)
    return f'{vms} will be rolled back to "{printable(planned.spec.to)}", {when}.{whose}{before}{safety}'


def _whose(planned: PlannedRollback) -> str:
    """Whose checkpoint it is, where it isn't one of this stack."""
    stack = planned.spec.whose.stack
    makers = {
        printable(maker)
        for item in planned.points.found.values()
        if item.made_by is not None and item.made_by.stack != stack and (maker := made_by(item)) is not None
    }
    return f" The checkpoint was taken by {' and '.join(sorted(makers))}." if makers and stack else ""


def _table(planned: PlannedRollback, plans: Sequence[tuple[int, str, RevertPlan]]) -> Iterator[str]:
    gone = "undone" if planned.spec.safety else "lost"  # a safety snapshot holds what is on the disks
    rows = [("VM", "wave", "target", "power", f"work {gone}")]
    rows += [
        (
            clip(printable(key), _NAME),
            str(wave),
            _age(plan),
            _power(plan),
            _lost(plan, planned.moment),
        )
        for wave, key, plan in plans[:_ROWS]
    ]
    yield from format_table(rows)
    if len(plans) > _ROWS:
        rest = [plan for _, _, plan in plans[_ROWS:]]
        known = [plan.discarded_bytes for plan in rest if plan.discarded_bytes is not None]
        switched = sum(plan.power_state.before != plan.power_state.after for plan in rest)
        yield from wrapped(
            f"… and {len(rest)} more VMs: {switched} of them change their power, "
            f"{format_size(sum(known))} are {gone} on the disks of {len(known)}.",
            first=_INDENT,
        )


def _age(plan: RevertPlan) -> str:
    if plan.age_seconds is None:
        return "age not known"
    return f"{format_age(dt.timedelta(seconds=plan.age_seconds))} old"


def _power(plan: RevertPlan) -> str:
    before, after = _POWER[plan.power_state.before], _POWER[plan.power_state.after]
    if before == after == "on" and plan.target.power_state != "PoweredOn":
        return "on, restarted"  # the snapshot holds no memory
    return before if before == after else f"{before} -> {after}"


def _lost(plan: RevertPlan, moment: dt.datetime) -> str:
    size = "size not known" if plan.discarded_bytes is None else format_size(plan.discarded_bytes)
    if plan.lost_since is None:
        return size
    since = parse_timestamp(plan.lost_since)
    return f"{format_age(moment - since)}, {size}"


def _sizes_as_of(plans: Sequence[tuple[int, str, RevertPlan]], moment: dt.datetime) -> Iterator[str]:
    """A line on how old the sizes are, where that matters and the plans themselves aren't shown."""
    looked = [
        parse_timestamp(plan.sizes_as_of)
        for _, _, plan in plans
        if plan.sizes_as_of is not None and plan.discarded_bytes is not None
    ]
    if looked and (oldest := as_of(min(looked), moment)):
        yield from wrapped(f"Sizes on disk are{oldest} or later.", first=_INDENT)


def _left(plans: Sequence[tuple[int, str, RevertPlan]]) -> Iterator[str]:
    """The snapshots that leave the current branches, each path once with the VMs that have it."""
    about: dict[str, list[str]] = {}
    for _, key, plan in plans:
        for item in plan.leaves_branch:
            about.setdefault(item.path, []).append(key)
    if about:
        each = format_names(f'"{path}" ({format_names(keys)})' for path, keys in about.items())
        sentence = f"Leave the current branches, but stay and can be reverted to: {each}."
        yield from wrapped(sentence, first=_INDENT)


def _grouped(plans: Sequence[tuple[int, str, RevertPlan]]) -> Iterator[str]:
    """Every finding, and what isn't known of the VMs after it."""
    found = [(key, item) for _, key, plan in plans for item in plan.findings]
    for _, key, plan in plans:
        if plan.after.not_known:
            message = f"What becomes of {', '.join(plan.after.not_known)} is not known."
            found.append((key, finding("unknown", "notKnown", message)))
    yield from format_findings(found)
