"""The functions: what a program may ask without managing anything."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import FunctionType
from vmsnapshot.model.machine import Machine, Maker, PowerState
from vmsnapshot.model.snapshot import Kind, SnapshotReference
from vmsnapshot.model.status import Quantity


class GetVirtualMachineArgs(Model):
    """Which VM to look at."""

    vm_name: Annotated[
        str,
        Field(min_length=1),
        Property("The VM: a unique name, an inventory path, an instance or BIOS UUID, or its object id."),
    ]
    namespace: Annotated[str | None, Property("The VM's Kubernetes namespace (VM Operator only).")] = None


class Tools(Model):
    """VMware Tools in the guest."""

    running: Annotated[bool | None, Property("Whether they run; not set when not known.")] = None
    status: Annotated[str | None, Property("Their status in vSphere's words.")] = None


class Capability(Model):
    """What the platform allows on the VM now."""

    snapshots: Annotated[
        bool | None, Property("Whether snapshot operations are allowed; not set when not known.")
    ] = None
    template: Annotated[bool, Property("Whether it is a template, which can't be reverted.")]
    fault_tolerance: Annotated[bool, Property("Whether fault tolerance is on.")]
    consolidation_needed: Annotated[bool, Property("Whether its disks need consolidation.")]


class GetVirtualMachineResult(Model):
    """A VM as it is now."""

    vm: Annotated[VirtualMachineIdentity, Property("The VM.")]
    machine: Annotated[Machine, Property("Its power, hardware and settings.")]
    tools: Annotated[Tools, Property("VMware Tools in its guest.")]
    capability: Annotated[Capability, Property("What the platform allows on it now.")]
    current_snapshot: Annotated[
        SnapshotReference | None, Property("The snapshot that it runs on; not set without one.")
    ] = None


class GetVirtualMachineSnapshotsArgs(GetVirtualMachineArgs):
    """Which snapshots to list."""

    name_pattern: Annotated[
        str | None, Property("Only names that match this shell pattern, such as `release-*`.")
    ] = None
    type: Annotated[
        Kind | None,
        Property("Only snapshots made by this provider, or only those made by others."),
    ] = None
    min_age: Annotated[
        Duration | None,
        Property(
            "Only snapshots at least this old, as a duration such as `24h`. One whose age isn't known isn't "
            "among them; `tree` shows all."
        ),
    ] = None
    max_age: Annotated[
        Duration | None,
        Property("Only snapshots at most this old, as a duration such as `7d`; likewise."),
    ] = None


class SnapshotSummary(Model):
    """One snapshot of a list."""

    name: Annotated[str, Property("The snapshot's name.")]
    unique_id: Annotated[str | None, Property("Its uniqueID; not set: not known.")] = None
    path: Annotated[str, Property("Its path in the VM's snapshot tree.")]
    description: Annotated[str, Property("Its description, without the ownership line.")]
    create_time: Annotated[str | None, Property("When it was taken (RFC 3339, UTC); not set: not known.")] = (
        None
    )
    type: Annotated[Kind, Property("`Managed` when this provider made it.")]
    power_state: Annotated[
        PowerState | None, Property("The power state a revert leaves; not set: not known.")
    ] = None
    quiesced: Annotated[bool | None, Property("Whether it was quiesced; not set: not known.")] = None
    current: Annotated[bool, Property("Whether the VM now runs on it.")]


class GetVirtualMachineSnapshotsResult(Model):
    """A VM's snapshots."""

    snapshots: Annotated[list[SnapshotSummary], Property("The snapshots, each parent before its children.")]
    tree: Annotated[str, Property("The whole tree as text, drawn with lines.")]


# No type with a name: `pulumi do` has no flags for those.
InventoryOrder: TypeAlias = Literal["age", "size", "depth", "vm"]
SnapshotOwnership: TypeAlias = Annotated[
    Literal["Marked", "MarkNotProven", "Unmarked"],
    Choice(
        "SnapshotOwnership",
        "What a snapshot's ownership mark says of its maker.",
        {
            "Marked": "It carries this provider's ownership mark, bound to this VM and to this name.",
            "MarkNotProven": (
                "It carries a mark that isn't bound to it: release 0.1.0 wrote it, the snapshot was renamed "
                "since, or the VM's instance UUID could not be read."
            ),
            "Unmarked": "It carries no mark of this provider, or that of another VM's snapshot.",
        },
    ),
]


class GetSnapshotInventoryArgs(Model):
    """Which VMs' snapshots to list, which of them, and in which order."""

    folder: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "Only VMs in this folder or below it (vSphere): an inventory path such as `/dc/vm/shop`, or a "
            "unique name. Of `folder`, `datacenter` and `cluster` at most one can be set."
        ),
    ] = None
    datacenter: Annotated[
        str | None,
        Field(min_length=1),
        Property("Only VMs of this datacenter (vSphere): an inventory path or a unique name."),
    ] = None
    cluster: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "Only VMs of this cluster, or of this host without one (vSphere): an inventory path such as "
            "`/dc/host/cluster-1`, or a unique name."
        ),
    ] = None
    namespace: Annotated[
        str | None,
        Field(min_length=1),
        Property("The VMs' Kubernetes namespace (VM Operator only). Default: the provider's `namespace`."),
    ] = None
    vm_name_pattern: Annotated[
        str | None, Property("Only VMs whose names match this shell pattern, such as `web-*`.")
    ] = None
    name_pattern: Annotated[
        str | None, Property("Only snapshots whose names match this shell pattern, such as `release-*`.")
    ] = None
    older_than: Annotated[
        Duration | None, Property("Only snapshots older than this duration, such as `7d`.")
    ] = None
    larger_than: Annotated[
        Quantity | None,
        Property("Only snapshots larger than this Kubernetes quantity of bytes, such as `10Gi`."),
    ] = None
    deeper_than: Annotated[
        int | None,
        Field(ge=0),
        Property("Only snapshots deeper in their tree than this; a root is at depth 1."),
    ] = None
    unmanaged_only: Annotated[
        bool, Property("Only snapshots without an ownership mark of this provider. Default: false.")
    ] = False
    sort_by: Annotated[
        InventoryOrder,
        Property(
            "The order: `age` (the oldest first), `size` (the largest first), `depth` (the deepest first) or "
            "`vm` (by the VM's path or name, each parent before its children). What isn't known comes last. "
            "Default: `age`."
        ),
    ] = "age"


class InventorySnapshot(Model):
    """One snapshot of the inventory."""

    vm: Annotated[VirtualMachineIdentity, Property("The snapshot's VM.")]
    id: Annotated[str, Property("Its identifier among the VM's snapshots (vSphere: the managed object id).")]
    parent_id: Annotated[str | None, Property("The parent's `id`; not set: a root.")] = None
    name: Annotated[str, Property("The snapshot's name.")]
    path: Annotated[str, Property("Its path in the VM's snapshot tree, as far as its place there is known.")]
    depth: Annotated[
        int | None,
        Property(
            "Its depth in the tree; a root is at depth 1. Not set: its place is not known (VM Operator, "
            "below a snapshot that was made outside it)."
        ),
    ] = None
    description: Annotated[str, Property("Its description, without the ownership line.")]
    create_time: Annotated[str | None, Property("When it was taken (RFC 3339, UTC); not set: not known.")] = (
        None
    )
    age_seconds: Annotated[int | None, Property("How old it is, in seconds; not set: not known.")] = None
    size_bytes: Annotated[int | None, Property("What its own files take, in bytes; not set: not known.")] = (
        None
    )
    memory: Annotated[bool | None, Property("Whether it holds the VM's memory; not set: not known.")] = None
    quiesced: Annotated[bool | None, Property("Whether it was quiesced; not set: not known.")] = None
    current: Annotated[bool, Property("Whether the VM now runs on it.")]
    ownership: Annotated[
        SnapshotOwnership,
        Property(
            "What its ownership mark says. Whether a stack still has the resource that it names isn't known "
            "to the platform."
        ),
    ]
    marked_by: Annotated[
        Maker | None, Property("The resource that the mark names; not set without a mark.")
    ] = None
    consolidation_needed: Annotated[
        bool | None, Property("Whether the VM's disks need consolidation; not set: not known.")
    ] = None
    connection: Annotated[
        str | None,
        Property(
            "Whether the platform can manage the VM now, in vSphere's words; what is told of a VM that is "
            "not `connected` is what the server knew last. Not set: not known."
        ),
    ] = None


class NotReadVirtualMachine(Model):
    """A VM of which nothing could be read, so that nothing is known of its snapshots."""

    id: Annotated[str, Property("The platform's own identifier (vSphere: the managed object id).")]
    name: Annotated[str | None, Property("The VM's name; not set: not known either.")] = None
    path: Annotated[str | None, Property("The VM's inventory path; not set: not known.")] = None
    reason: Annotated[str, Property("Why it could not be read.")]


class GetSnapshotInventoryResult(Model):
    """The snapshots of many VMs."""

    time: Annotated[
        str,
        Property(
            "When the inventory was read, by the server's clock (RFC 3339, UTC); ages are computed from it."
        ),
    ]
    snapshots: Annotated[list[InventorySnapshot], Property("The snapshots that match, in order.")]
    undecided: Annotated[
        list[InventorySnapshot],
        Property(
            "Snapshots that may match: the age, the size or the maker that a filter asks for is not known."
        ),
    ]
    not_read: Annotated[
        list[NotReadVirtualMachine],
        Property(
            "VMs that could not be read; their snapshots, if they have any, are not listed. One whose name "
            "is not known is listed whatever `vmNamePattern` says."
        ),
    ]
    consolidation_needed: Annotated[
        list[VirtualMachineIdentity],
        Property("VMs whose disks need consolidation, with or without snapshots."),
    ]
    consolidation_not_known: Annotated[
        int, Property("Number of VMs of which it isn't known whether they need consolidation.")
    ]
    vm_count: Annotated[
        int, Property("Number of VMs that were read, with or without snapshots; `notRead` is not counted.")
    ]
    snapshot_count: Annotated[int, Property("Number of all snapshots of these VMs, before any filter.")]
    total_bytes: Annotated[
        int, Property("Bytes that the files of `snapshots` take, as far as sizes are known.")
    ]
    sizes_not_known: Annotated[int, Property("Number of `snapshots` whose size is not known.")]


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
