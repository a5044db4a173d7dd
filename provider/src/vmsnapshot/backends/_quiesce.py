"""How long vSphere may take to quiesce a guest's file systems."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# vSphere takes whole minutes, and no fewer or more than these.
_QUIESCE_MINUTES: Final = (5, 240)


def quiesce_minutes(time: timedelta) -> int:
    """Whole minutes, rounded up, within what vSphere takes."""
    least, most = _QUIESCE_MINUTES
    return max(least, min(most, -(-int(time.total_seconds()) // 60)))
