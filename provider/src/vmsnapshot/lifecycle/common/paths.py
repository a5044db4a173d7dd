"""Which snapshot is meant by a path that a program takes from the outputs of a VirtualMachineSnapshot.

A path in state is right when it is written. It is out of date once the snapshot's parent was removed, or the
snapshot that it replaces: only a refresh writes it anew. The snapshot that it meant is known by its id.
"""

from __future__ import annotations

from vmsnapshot.lifecycle.common.identity import KnownSnapshot


class SnapshotPaths:
    """The paths that the resources of this process have told, by VM.

    The engine goes through resources in the order of their dependencies: what a path comes from was told
    before the path is used.
    """

    def __init__(self) -> None:
        self._planned: dict[tuple[str, str], str] = {}
        self._held: dict[tuple[str, str], KnownSnapshot] = {}
        self._written: dict[tuple[str, str], KnownSnapshot] = {}
        self._reached: dict[tuple[str, str], KnownSnapshot] = {}

    def plan(self, vm_id: str, path: str, snapshot_id: str) -> None:
        """Record that a snapshot will have this path after the update that is being previewed."""
        self._planned[vm_id, path] = snapshot_id

    def planned(self, vm_id: str, path: str) -> str | None:
        """Returns the id of the snapshot that will have this path; None: there is none."""
        return self._planned.get((vm_id, path))

    def hold(self, vm_id: str, path: str, known: KnownSnapshot) -> None:
        """Record that state holds this path of a snapshot; it may have another by now."""
        self._held[vm_id, path] = known

    def write(self, vm_id: str, path: str, known: KnownSnapshot) -> None:
        """Record that a snapshot has this path in this update; that is worth more than what state holds."""
        self._written[vm_id, path] = known

    def known(self, vm_id: str, path: str) -> KnownSnapshot | None:
        """Returns the snapshot that this path of a resource means; None: no resource has told it."""
        return self._written.get((vm_id, path)) or self._held.get((vm_id, path))

    def reach(self, vm_id: str, reference: str, known: KnownSnapshot) -> None:
        """Record the snapshot to which a VM was reverted when the program gave this name or path."""
        self._reached[vm_id, reference] = known

    def reached(self, vm_id: str, reference: str) -> KnownSnapshot | None:
        """Returns the snapshot that this name or path led to before; it counts where it leads nowhere now."""
        return self._reached.get((vm_id, reference))
