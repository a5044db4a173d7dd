"""What the verbs of one snapshot pass on to each other."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Final

from vmsnapshot.lifecycle.common.observed import parse_timestamp
from vmsnapshot.model.machine import Snapshot
from vmsnapshot.model.snapshot import SnapshotState

_SECOND: Final = dt.timedelta(seconds=1)


@dataclasses.dataclass
class SnapshotMemory:
    """What this process knows of one snapshot resource.

    The states that the engine has shown tell a snapshot that a replacement is about to replace (it stands in
    state) from one that an interrupted run left behind (it doesn't).

    Attributes:
        named_by_us: Whether check made up its name.
        in_state: Whether the stack's state holds the resource.
        states: The states that the engine has shown, by the snapshot's id on the platform.
    """

    named_by_us: bool = False
    in_state: bool = False
    states: dict[str, SnapshotState] = dataclasses.field(default_factory=dict)

    @property
    def held_ids(self) -> frozenset[str] | None:
        """The ids of the snapshots that state holds for the resource; None: it holds one that isn't known."""
        return None if self.in_state and not self.states else frozenset(self.states)

    def is_newer(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot was taken after all that the stack's state holds for the resource.

        What an interrupted run took to replace one of these was. An older one was in state itself: it stayed
        when it was replaced, by `retainOnDelete` or as its delete failed.
        """
        held = [state.create_time for state in self.states.values() if state.create_time is not None]
        taken = snapshot.create_time
        if taken is None and snapshot.requested is not None:
            taken = snapshot.requested + _SECOND  # an object's time is cut to whole seconds
        return taken is None or all(parse_timestamp(moment) < taken for moment in held)
