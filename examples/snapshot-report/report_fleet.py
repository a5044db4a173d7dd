"""What both reports say of a fleet: which snapshots stand out and why, and numbers in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import pulumi_vmsnapshot as vmsnapshot

GIB = 1024**3
DAY = 86400


@dataclasses.dataclass(frozen=True)
class Limits:
    """From when on a snapshot is old, large or deep."""

    old_days: int
    large_gib: int
    deep_levels: int

    def reasons(self, snapshot: Any) -> list[str]:
        """Why a snapshot stands out; what isn't known is a reason, too."""
        age, size = snapshot.age_seconds, snapshot.size_bytes
        found = []
        if age is None:
            found.append("age not known")
        elif age > self.old_days * DAY:
            found.append("old")
        if size is None:
            found.append("size not known")
        elif size > self.large_gib * GIB:
            found.append("large")
        if snapshot.depth is None:
            found.append("place not known")
        elif snapshot.depth > self.deep_levels:
            found.append("deep")
        return found

    def text(self) -> str:
        """The limits in words."""
        old, large = f"old: over {self.old_days} d", f"large: over {self.large_gib} GiB"
        return f"{old}, {large}, deep: over {self.deep_levels} levels"


def by_vm(snapshots: Iterable[Any]) -> list[list[Any]]:
    """The snapshots of each VM together, each parent before its children (the inventory's order `vm`)."""
    return [list(group) for _, group in groupby(snapshots, key=lambda it: it.vm.id)]


def standing_out(fleet: Any, limits: Limits) -> list[Any]:
    """The snapshots that stand out, those with most reasons first, then the largest and oldest."""

    def rank(it: Any) -> tuple[int, int, int]:
        return -len(limits.reasons(it)), -(it.size_bytes or 0), -(it.age_seconds or 0)

    return sorted((it for it in fleet.snapshots if limits.reasons(it)), key=rank)


def kind(snapshot: Any) -> str:
    """What `ownership` says, without the name of its class, which an enumeration's member has in a text."""
    return vmsnapshot.SnapshotOwnership(snapshot.ownership).value


def age_text(seconds: int | None) -> str:
    """An age in its largest unit, such as `12 d`."""
    if seconds is None:
        return "age not known"
    for length, unit in ((DAY, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def size_text(size: int | None) -> str:
    """A size in its largest binary unit, such as `3.2 GiB`."""
    if size is None:
        return "size not known"
    number = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the next unit
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def maker_text(snapshot: Any) -> str:
    """Who made a snapshot, as far as its mark says."""
    if snapshot.marked_by is None:
        return "no mark" if snapshot.ownership == "Unmarked" else "marked"
    named = f"{snapshot.marked_by.resource} of {snapshot.marked_by.stack}"
    return f"marked by {named}" if snapshot.ownership == "Marked" else f"marked by {named}, not proven"
