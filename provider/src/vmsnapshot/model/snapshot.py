"""VirtualMachineSnapshot: one snapshot of one VM, managed for its whole life."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.machine import PowerState
from vmsnapshot.model.status import Condition, SnapshotStorage
from vmsnapshot.model.text import StoredText, storable

# vSphere's own limit (InvalidName beyond it), which the VM Operator inherits.
NAME_LIMIT = 80

ChildPolicy: TypeAlias = Annotated[
    Literal["keep", "remove", "refuse"],
    Choice(
        "ChildPolicy",
        "What becomes of a snapshot's children when the snapshot is deleted.",
        {
            "keep": "Children move up to the parent and stay usable.",
            "remove": "Children are removed too.",
            "refuse": "A snapshot that has children is not deleted.",
        },
    ),
]
Kind: TypeAlias = Annotated[
    Literal["Managed", "Unmanaged"],
    Choice(
        "SnapshotType",
        "Whether a snapshot was made by this provider.",
        {"Managed": "Made by this provider.", "Unmanaged": "Made by others."},
    ),
]


SnapshotName: TypeAlias = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT), AfterValidator(storable)]


RecordedAt: TypeAlias = Annotated[
    str | None,
    Property(
        "When state came to hold it, by the clock of the machine that the update ran on (RFC 3339, UTC). "
        "`maxAge` counts from there, too; not set: an older release took it."
    ),
]

VssBackupType: TypeAlias = Annotated[
    Literal["full", "incremental", "differential", "log", "copy", "other"],
    Choice(
        "VssBackupType",
        "The kind of backup that VSS is told of, in a guest that runs Windows.",
        {
            "full": "VSS_BT_FULL: each writer's data, whatever was backed up before.",
            "incremental": "VSS_BT_INCREMENTAL: what has changed since the last full or incremental backup.",
            "differential": "VSS_BT_DIFFERENTIAL: what has changed since the last full backup.",
            "log": "VSS_BT_LOG: the writers' log files.",
            "copy": "VSS_BT_COPY: as full, but no writer's record of backups changes.",
            "other": "VSS_BT_OTHER: none of these.",
        },
    ),
]
VssBackupContext: TypeAlias = Annotated[
    Literal["ctx_auto", "ctx_backup", "ctx_file_share_backup"],
    Choice(
        "VssBackupContext",
        "The context in which VSS quiesces a guest that runs Windows.",
        {
            "ctx_auto": "VMware Tools take ctx_backup, or ctx_file_share_backup where that isn't available.",
            "ctx_backup": "VSS_CTX_BACKUP: applications that know VSS are quiesced.",
            "ctx_file_share_backup": "VSS_CTX_FILE_SHARE_BACKUP: without writers.",
        },
    ),
]


class WindowsQuiesce(Model):
    """How VSS (Volume Shadow Copy Service) quiesces Windows: the API's VirtualMachineWindowsQuiesceSpec."""

    backup_type: Annotated[
        VssBackupType | None, Property("What type of backup writers prepare for. Default: the server's.")
    ] = None
    context: Annotated[
        VssBackupContext | None, Property("The context of the backup. Default: the server's.")
    ] = None
    bootable_system_state: Annotated[
        bool | None, Property("Whether the backup holds a bootable system state. Default: the server's.")
    ] = None
    partial_file_support: Annotated[
        bool | None, Property("Whether parts of files may be backed up. Default: the server's.")
    ] = None


class Quiesce(Model):
    """How the guest's file systems are quiesced before the snapshot is taken."""

    timeout: Annotated[
        Duration | None,
        Property(
            "How long quiescing may take, as a duration such as `10m` (`10min` is understood "
            "too). vSphere takes 5 to 240 whole minutes. Default: `10m`."
        ),
    ] = None
    windows: Annotated[
        WindowsQuiesce | None,
        Property("How VSS quiesces a guest that runs Windows (vSphere only). Default: as the server does."),
    ] = None


class SnapshotInputs(Model):
    """What a user may say of a snapshot."""

    vm_name: Annotated[
        str,
        Field(min_length=1),
        Property(
            "The VM to snapshot. vSphere: a unique name, an inventory path such as "
            "`/dc/vm/folder/web-1`, an instance or BIOS UUID, or a managed object id such as `vm-42`. "
            "VM Operator: the name of the VirtualMachine. A change takes a new snapshot.",
            replaces=True,
        ),
    ]
    namespace: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The VM's Kubernetes namespace (VM Operator only). Default: the provider's "
            "`namespace`. A change takes a new snapshot.",
            replaces=True,
        ),
    ] = None
    name: Annotated[
        SnapshotName | None,
        Property(
            f"The snapshot's name, at most {NAME_LIMIT} characters. Default: the resource's name "
            "with a random suffix. A change renames the snapshot in place on vSphere."
        ),
    ] = None
    description: Annotated[
        StoredText | None,
        Property("What the snapshot is for. Default: empty. A change updates in place.", empty_is_unset=True),
    ] = None
    memory: Annotated[
        bool,
        Property(
            "Whether the memory of a running VM is part of the snapshot. Without memory, a "
            "revert leaves the VM powered off. Default: false. A change takes a new snapshot.",
            replaces=True,
        ),
    ] = False
    quiesce: Annotated[
        Quiesce | None,
        Property(
            "Quiesce the guest's file systems first; VMware Tools must be running. Default: not "
            "quiesced. A change takes a new snapshot.",
            replaces=True,
        ),
    ] = None
    triggers: Annotated[
        dict[str, Any] | None,
        Property(
            "Any values; a change in them takes a new snapshot of the VM's current state and removes this "
            "one.",
            replaces=True,
        ),
    ] = None
    child_policy: Annotated[
        ChildPolicy,
        Property(
            "What becomes of the children when the snapshot is deleted: `keep` (they move up to "
            "the parent and stay usable), `remove` (they are removed too) or `refuse` (a snapshot "
            "that has children is not deleted). `pulumi destroy --preview-only --refresh` tells which "
            "children `remove` and `refuse` are about. Default: `keep`. A change only updates state."
        ),
    ] = "keep"
    consolidate: Annotated[
        bool,
        Property(
            "Whether disks are consolidated when the snapshot is deleted. Default: true. A change "
            "only updates state."
        ),
    ] = True
    cleanup_on_fail: Annotated[
        bool,
        Property(
            "Whether the object of a snapshot that was never taken is deleted again when the operation "
            "timed out or the update was cancelled (VM Operator only, which otherwise goes on until somebody "
            "deletes it). Only what the same update asked for is deleted. Default: true. A change only "
            "updates state."
        ),
    ] = True


class SnapshotFilter(Model):
    """Which existing snapshots to list; without anything, all that are visible to this user."""

    vm_name: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "Only those of this VM: a unique name, an inventory path, an instance or BIOS UUID, or its "
            "object id."
        ),
    ] = None
    namespace: Annotated[
        str | None,
        Field(min_length=1),
        Property("The VM's Kubernetes namespace (VM Operator only)."),
    ] = None
    type: Annotated[
        Kind | None,
        Property("Only snapshots made by this provider, or only those made by others."),
    ] = None


class SnapshotReference(Model):
    """A snapshot named by another object."""

    name: Annotated[str | None, Property("The snapshot's name; not set for an unmanaged snapshot.")] = None
    type: Annotated[
        Kind,
        Property("`Managed`: made by this provider. `Unmanaged`: made by others."),
    ]


class SnapshotState(SnapshotInputs):
    """A snapshot as state holds it: the inputs, and what was observed."""

    name: Annotated[SnapshotName, Property("The snapshot's name.")]
    unique_id: Annotated[
        str | None,
        Property("The snapshot's identifier on vSphere, such as `snapshot-226`; not set before it is taken."),
    ] = None
    uid: Annotated[
        str | None,
        Property("The UID of the snapshot's object (VM Operator): one that is re-created has another."),
    ] = None
    power_state: Annotated[
        PowerState | None,
        Property("The power state a revert leaves: `PoweredOn` only with memory."),
    ] = None
    quiesced: Annotated[
        bool | None, Property("Whether quiescing was asked for, as the platform shows it.")
    ] = None
    create_time: Annotated[
        str | None,
        Property(
            "When it was taken (RFC 3339, UTC); not set: not known, as of a snapshot that the VM Operator "
            "has adopted."
        ),
    ] = None
    path: Annotated[
        str | None,
        Property(
            "Its path in the VM's snapshot tree, such as `base/release-41`, for the `snapshot` of a revert. "
            "Its name alone where its place in the tree is not known, as below a snapshot that was made "
            "outside the VM Operator."
        ),
    ] = None
    parent: Annotated[
        SnapshotReference | None,
        Property("The snapshot above it; not set for a root, and where its place in the tree isn't known."),
    ] = None
    children: Annotated[list[SnapshotReference], Property("The snapshots directly below it.")] = []
    current: Annotated[bool | None, Property("Whether the VM now runs on this snapshot.")] = None
    conditions: Annotated[list[Condition], Property("The observed conditions.")] = []
    storage: Annotated[SnapshotStorage | None, Property("The space it takes.")] = None
    vm: Annotated[VirtualMachineIdentity | None, Property("The VM it belongs to.")] = None
    ownership: Annotated[
        str | None,
        Property(
            "The mark by which this resource knows its own snapshot, as written in the "
            "description's last line on the platform."
        ),
    ] = None


SNAPSHOT: Final = ResourceType(
    "VirtualMachineSnapshot",
    "One snapshot of one virtual machine, managed for its whole life.",
    SnapshotInputs,
    SnapshotState,
    list_inputs=SnapshotFilter,
)
