"""What passes between the lifecycle and a backend beside the models: values and the read mask."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.ownership import Owner
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.snapshot import WindowsQuiesce

_T = TypeVar("_T")

# One of several that were asked for at once: each succeeds or fails for itself.
Outcome: TypeAlias = _T | VmsnapshotError


def values(outcomes: Iterable[Outcome[_T]]) -> list[_T]:
    """The values, where none may be missing.

    Raises:
        VmsnapshotError: The first that failed.
    """
    found: list[_T] = []
    for outcome in outcomes:
        if isinstance(outcome, VmsnapshotError):
            raise outcome
        found.append(outcome)
    return found


class ReadMask(enum.Flag):
    """What of a VM is read beside its identity, its power and its snapshot tree.

    What isn't asked for may be left unknown, where it is much to read; a backend to which it costs nothing
    gives it all the same.

    Attributes:
        HARDWARE: Its devices, and its settings that have a property of their own.
        SETTINGS: All its other settings, and what only they tell of it.
        SIZES: The sizes of its snapshots, and of what a revert discards.
        TASKS: The tasks that the platform lists with it, as they are now; else as they were read with the VM.
        CURRENT: What its current snapshot holds, for `machines_at`: that is where most reverts go.
    """

    NOTHING = 0
    HARDWARE = enum.auto()
    SETTINGS = enum.auto()
    SIZES = enum.auto()
    TASKS = enum.auto()
    CURRENT = enum.auto()
    ALL = HARDWARE | SETTINGS | SIZES | TASKS


@dataclasses.dataclass(frozen=True)
class VMReference:
    """How a user names a VM.

    Attributes:
        name: vSphere: a unique name, an inventory path, an instance or BIOS UUID, or a managed object id.
        namespace: The Kubernetes namespace, where the platform has such.
    """

    name: str
    namespace: str | None = None


@dataclasses.dataclass(frozen=True)
class SnapshotRequest:
    """The snapshot to take.

    Attributes:
        description: What the user wrote.
        owner: Who takes it; kept with the snapshot, and read back as `Snapshot.mark`.
        quiesce: How long quiescing may take; None: no quiescing.
        windows: How VSS quiesces a guest that runs Windows; None: as the server does.
    """

    name: str
    description: str
    owner: Owner
    memory: bool
    quiesce: timedelta | None
    windows: WindowsQuiesce | None = None

    @property
    def request_id(self) -> str:
        """The caller's own mark of this request, kept by the platform with the task where it can."""
        return f"vmsnapshot-{self.owner.mark}"


@dataclasses.dataclass(frozen=True)
class InventoryScope:
    """Which VMs an inventory is of; nothing set: all that this user sees, or the default namespace's.

    Attributes:
        kind: What `place` is; only vSphere has these.
        place: Its inventory path, unique name, or managed object id.
        namespace: The Kubernetes namespace, where the platform has such.
    """

    kind: Literal["folder", "datacenter", "cluster"] | None = None
    place: str = ""
    namespace: str | None = None


@dataclasses.dataclass(frozen=True)
class InventoryEntry:
    """One VM of an inventory: its identity, its snapshots, their sizes; no hardware, no tasks.

    Attributes:
        consolidation_needed: None: not known.
    """

    vm: VirtualMachine
    consolidation_needed: bool | None


@dataclasses.dataclass(frozen=True)
class NotRead:
    """A VM of an inventory of which nothing is known but that it is there, or was a moment ago."""

    vm_id: str
    name: str | None
    path: str | None
    reason: VmsnapshotError
