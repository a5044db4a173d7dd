"""The list of all resources and functions, with their tokens and models."""

from __future__ import annotations

import dataclasses
from typing import Final

from vmsnapshot.model._base import Model
from vmsnapshot.model.check_rollback import CheckRollbackArgs, CheckRollbackResult
from vmsnapshot.model.clone import CloneInputs, CloneState
from vmsnapshot.model.environment import (
    CheckpointInputs,
    CheckpointState,
    RollbackInputs,
    RollbackState,
)
from vmsnapshot.model.functions import (
    GetSnapshotInventoryArgs,
    GetSnapshotInventoryResult,
    GetVirtualMachineArgs,
    GetVirtualMachineResult,
    GetVirtualMachineSnapshotsArgs,
    GetVirtualMachineSnapshotsResult,
)
from vmsnapshot.model.plan import GetRevertPlanArgs, RevertPlan
from vmsnapshot.model.revert import RevertInputs, RevertState
from vmsnapshot.model.snapshot import SnapshotFilter, SnapshotInputs, SnapshotState

PACKAGE: Final = "vmsnapshot"


def token(name: str) -> str:
    """Returns the engine's token of a resource, a function or a type."""
    return f"{PACKAGE}:index:{name}"


@dataclasses.dataclass(frozen=True)
class ResourceType:
    """A resource: its name and the models of what goes in and what comes out.

    `list_inputs` is by what existing ones can be listed; None: they can't.
    """

    name: str
    description: str
    inputs: type[Model]
    state: type[Model]
    list_inputs: type[Model] | None = None

    @property
    def token(self) -> str:
        """The type or function token by which the engine knows it."""
        return token(self.name)


@dataclasses.dataclass(frozen=True)
class FunctionType:
    """A function: its name and the models of its arguments and its result."""

    name: str
    description: str
    args: type[Model]
    result: type[Model]

    @property
    def token(self) -> str:
        """The type or function token by which the engine knows it."""
        return token(self.name)


SNAPSHOT: Final = ResourceType(
    "VirtualMachineSnapshot",
    "One snapshot of one virtual machine, managed for its whole life.",
    SnapshotInputs,
    SnapshotState,
    list_inputs=SnapshotFilter,
)
REVERT: Final = ResourceType(
    "VirtualMachineRevert",
    "Reverts a virtual machine to a snapshot, once for each request, and remembers it. The VM is "
    "reverted when `snapshot` or `triggers` changes; the same inputs never revert again, drift "
    "never does, and deleting the resource leaves the VM unchanged. Without `snapshot` the VM is only "
    "watched.",
    RevertInputs,
    RevertState,
)
CHECKPOINT: Final = ResourceType(
    "EnvironmentCheckpoint",
    "Restore points of a whole environment: each new `label` takes snapshots of all its virtual "
    "machines, or of none, and then removes the restore points that have expired. Deleting the "
    "resource removes all its snapshots; with the option `retainOnDelete` they stay.",
    CheckpointInputs,
    CheckpointState,
)
ROLLBACK: Final = ResourceType(
    "EnvironmentRollback",
    "Rolls the virtual machines of an environment back to a checkpoint's label, once for each request, "
    "and remembers it. They are reverted when `to` or `triggers` changes, after every one of them was "
    "checked; the same inputs never revert again, drift never does, and deleting the resource only "
    "forgets. Without `to` the virtual machines are only watched.",
    RollbackInputs,
    RollbackState,
)
CLONE: Final = ResourceType(
    "VirtualMachineClone",
    "A new virtual machine that is made from a snapshot of another one (vSphere only): linked to the "
    "snapshot's disks, or a full copy of them. It is deleted with the resource, if it is the very VM that "
    "the resource made; a snapshot that linked clones stand on isn't removed.",
    CloneInputs,
    CloneState,
)
GET_VIRTUAL_MACHINE: Final = FunctionType(
    "getVirtualMachine",
    "A virtual machine as it is now: power, hardware, VMware Tools, its current snapshot.",
    GetVirtualMachineArgs,
    GetVirtualMachineResult,
)
GET_VIRTUAL_MACHINE_SNAPSHOTS: Final = FunctionType(
    "getVirtualMachineSnapshots",
    "The snapshots of a virtual machine, as a list and as a drawn tree.",
    GetVirtualMachineSnapshotsArgs,
    GetVirtualMachineSnapshotsResult,
)
GET_SNAPSHOT_INVENTORY: Final = FunctionType(
    "getSnapshotInventory",
    "The snapshots of all virtual machines, or of those of a folder, datacenter, cluster or namespace: age, "
    "size, depth, and which resource of which stack made them, filtered and sorted. What could not be read "
    "is listed, too.",
    GetSnapshotInventoryArgs,
    GetSnapshotInventoryResult,
)
GET_REVERT_PLAN: Final = FunctionType(
    "getRevertPlan",
    "What a revert of a virtual machine to a snapshot would change, without doing anything: for "
    "programs and policies that decide.",
    GetRevertPlanArgs,
    RevertPlan,
)
CHECK_ROLLBACK: Final = FunctionType(
    "checkRollback",
    "Fails unless every virtual machine of an environment can be rolled back to a checkpoint's label, and "
    "names each that can't with its cause: for CI, before an update.",
    CheckRollbackArgs,
    CheckRollbackResult,
)

RESOURCES: Final = (SNAPSHOT, REVERT, CHECKPOINT, ROLLBACK, CLONE)
FUNCTIONS: Final = (
    GET_VIRTUAL_MACHINE,
    GET_VIRTUAL_MACHINE_SNAPSHOTS,
    GET_SNAPSHOT_INVENTORY,
    GET_REVERT_PLAN,
    CHECK_ROLLBACK,
)
