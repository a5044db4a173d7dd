"""What the lifecycle needs of a platform: the port that every backend implements."""

from __future__ import annotations

from typing import Protocol

from vmsnapshot.lifecycle.cloning import Cloner
from vmsnapshot.lifecycle.port._changing import Changer
from vmsnapshot.lifecycle.port._reading import Reader
from vmsnapshot.lifecycle.port._values import (
    InventoryEntry,
    InventoryScope,
    NotRead,
    Outcome,
    ReadMask,
    SnapshotRequest,
    VMReference,
    values,
)

__all__ = [
    "Backend",
    "Changer",
    "InventoryEntry",
    "InventoryScope",
    "NotRead",
    "Outcome",
    "ReadMask",
    "Reader",
    "SnapshotRequest",
    "VMReference",
    "values",
]


class Backend(Reader, Changer, Protocol):
    """One platform, one login.

    Every method may be called from many threads at once and blocks until it is done.  Faults that pass (a
    busy VM, a dropped connection, an expired session) are retried with backoff while the operation has
    time.  Every error is one of `vmsnapshot.lifecycle.errors`, and says which VM, which snapshot, what was
    tried, and the platform's words.

    A VM's id is `VirtualMachine.identity.id`; a snapshot's is `Snapshot.id`.
    """

    @property
    def clones(self) -> Cloner | None:
        """What makes VMs out of snapshots; None: the platform can't."""
        ...

    def close(self) -> None:
        """Log out and let go of everything; further calls raise Unreachable."""
        ...
