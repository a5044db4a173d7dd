"""What the verbs of one snapshot pass on to each other."""

from __future__ import annotations

import dataclasses

from vmsnapshot.model.snapshot import SnapshotState


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
