"""How state and messages describe safety snapshots: pure values and functions."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common import observed
from vmsnapshot.lifecycle.common.observed import (
    age_by_both_clocks,
    failed_condition,
    parse_timestamp,
    timestamp,
    timestamp_or_none,
)
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.common.tree import format_names
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.formatting import format_count
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.revert import LeftoverSafetySnapshot, SafetySnapshot, TakenSafetySnapshot
from vmsnapshot.model.status import Condition

# The property of state that holds those that an update left.
LEFTOVER: Final = "leftoverSafetySnapshots"

# The condition of a resource whose leftover safety snapshots could not be removed.
REMOVED: Final = "SafetySnapshotsRemoved"


@dataclasses.dataclass(frozen=True)
class NotTaken:
    """Safety snapshots that could not be taken of every VM.

    Attributes:
        error: Every VM that failed with its cause, and what is left.
        leftovers: Those that are, or may be, left on the platform.
    """

    error: VmsnapshotError
    leftovers: list[LeftoverSafetySnapshot]


@dataclasses.dataclass(frozen=True)
class NotRemoved:
    """Safety snapshots of an earlier update that could not be removed.

    Attributes:
        error: Every VM with its cause.
        leftovers: Those that are left.
        moment: When that was tried, by the server's clock.
    """

    error: VmsnapshotError
    leftovers: list[LeftoverSafetySnapshot]
    moment: dt.datetime

    @property
    def condition(self) -> Condition:
        """The condition that state holds for it."""
        return failed_condition(REMOVED, "SafetySnapshotsLeftOver", self.error, self.moment)


def leftover_changes(left: Sequence[LeftoverSafetySnapshot]) -> dict[PropertyPath, requests.PropertyChange]:
    """Returns the change that makes the next update remove what an earlier one left, if there is any."""
    if not left:
        return {}
    return {(LEFTOVER,): requests.PropertyChange(requests.Change.DELETE, input_diff=False)}


def find_by_reference(vm: VirtualMachine, item: TakenSafetySnapshot) -> Snapshot | None:
    """Returns the snapshot with the uniqueID that state holds or, where none was known, with the name."""
    if item.unique_id is not None:
        return vm.snapshot_on_vsphere(item.unique_id)
    return next((one for one in vm.snapshots if one.name == item.name), None)


def when_taken(snapshot: Snapshot) -> dt.datetime | None:
    """When a safety snapshot was taken; or asked for, where it may have been adopted."""
    return snapshot.create_time or snapshot.requested


def record(snapshot: Snapshot) -> TakenSafetySnapshot:
    """Returns a safety snapshot's entry in state."""
    return TakenSafetySnapshot(
        name=snapshot.name,
        unique_id=snapshot.unique_id,
        create_time=timestamp_or_none(when_taken(snapshot)),
        ownership=snapshot.mark,
        recorded_at=timestamp(observed.now()),
    )


def removal_name(item: TakenSafetySnapshot) -> str:
    """Returns by what the notes name a safety snapshot that a preview shows to be removed."""
    return item.ownership or item.name


def is_over(item: TakenSafetySnapshot, rule: SafetySnapshot, moment: dt.datetime) -> bool:
    """Whether a safety snapshot has expired by the user's rule; `moment` is the server's time."""
    if rule.keep_updates is not None:
        return item.updates >= rule.keep_updates
    if rule.max_age is not None and item.create_time is not None:
        taken = parse_timestamp(item.create_time)
        return age_by_both_clocks(taken, item.recorded_at, moment) > parse_duration(rule.max_age)
    return False


def leftover_text(
    left: Sequence[LeftoverSafetySnapshot], taken: Sequence[str], causes: Mapping[str, VmsnapshotError]
) -> list[str]:
    """Returns sentences about what is left on which VM, and why."""
    lines: list[str] = []
    for verb, items in (
        ("stay", [item for item in left if item.member in taken]),
        ("may be", [item for item in left if item.member not in taken]),
    ):
        if items:
            each = ", ".join(f'{item.member} ("{item.name}")' for item in items)
            lines.append(f"Safety snapshots {verb} on {format_count(len(items), 'VM')}: {each}.")
    lines += [f"- {item.member}: {causes[item.member].message}" for item in left if item.member in causes]
    if left:
        lines.append("The next update uses or removes them.")
    return lines


def unheld_text(unheld: Sequence[tuple[VirtualMachine, Snapshot]]) -> str:
    """Returns what safety snapshots are that an equal request of another state has taken."""
    names = format_names(format_snapshot(vm, item) for vm, item in unheld)
    return (
        f"{names}: a safety snapshot that was taken for an equal request of a resource of the same names, by "
        "a stack in another backend, or by this one before its provider was replaced or upgraded, in a run "
        "that was interrupted. State doesn't hold it, and no update removes it: remove it yourself once "
        "nobody needs it as the way back."
    )


def only_way_back_text(vm: VirtualMachine, snapshot: Snapshot) -> str:
    """Returns why a safety snapshot that an earlier update left is kept, and no longer part of state."""
    return (
        f"{format_snapshot(vm, snapshot)}, a safety snapshot of an earlier update, is kept: the VM has been "
        "reverted since it was taken, so it may be the only way back. Remove it yourself if nobody needs it."
    )
