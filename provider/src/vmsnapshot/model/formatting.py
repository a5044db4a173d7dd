"""Formats numbers of things, ages and sizes for people."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# Snapshots are dated by their hosts, whose clocks differ from vCenter's: by days (Broadcom KB 312016), or by
# years, as where one begins anew at 2000-01-01 (hydrotho/VMware_Snapshot_Timestamp_Converter). More than this
# is no delay of ours.
CLOCKS_DIFFER: Final = timedelta(minutes=10)


def format_count(count: int, noun: str) -> str:
    """Formats how many there are of something: `1 VM`, `3 VMs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_age(age: timedelta) -> str:
    """Formats an age in its largest whole unit: `2 days`, `3 hours`, `5 minutes`, `less than a minute`."""
    seconds = age.total_seconds()  # of two clocks that differ by a little, it may be below 0
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(seconds // size)
        if count > 0:
            return format_count(count, unit)
    return "less than a minute"


def format_taken(age: timedelta, date: str) -> str:
    """Formats when something was taken: `taken 2 days ago (…)`; a date that is far ahead isn't when."""
    if age < -CLOCKS_DIFFER:
        return f"dated {format_age(-age)} in the future ({date}), so when it was taken is not known"
    return f"taken {format_age(age)} ago ({date})"


def format_size(size: int) -> str:
    """Formats bytes in the largest unit that fits: `1.2 GiB`."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - the factor between binary units
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
