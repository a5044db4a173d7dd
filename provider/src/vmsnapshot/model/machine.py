"""Models of what a backend observes: a VM, its hardware and its snapshots.

Plain values without behaviour, the same for every platform.  What a platform can't tell is None
("unknown"), which is never the same as "none" or "no".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import PrivateAttr

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.devices import Disk, NetworkAdapter
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.status import Condition, SnapshotStorage
from vmsnapshot.model.task import PastTask, RunningTask

PowerState: TypeAlias = Annotated[
    Literal["PoweredOn", "PoweredOff", "Suspended"],
    Choice(
        "PowerState",
        "Whether a VM runs.",
        {
            "PoweredOn": "The VM runs.",
            "PoweredOff": "The VM is off.",
            "Suspended": "The VM is suspended, its memory stored.",
        },
    ),
]


class Machine(Model):
    """The part of a VM that a revert changes: power, hardware and settings."""

    power_state: Annotated[PowerState | None, Property("`PoweredOn`, `PoweredOff` or `Suspended`.")] = None
    num_cpus: Annotated[int | None, Property("Number of virtual CPUs.")] = None
    cores_per_socket: Annotated[int | None, Property("Virtual CPU cores in one socket.")] = None
    memory_mb: Annotated[int | None, Property("Memory in MB of 2^20 bytes, as vSphere counts.")] = None
    hardware_version: Annotated[str | None, Property("The virtual hardware version, such as `vmx-21`.")] = (
        None
    )
    guest_id: Annotated[str | None, Property("The guest operating system's identifier.")] = None
    annotation: Annotated[str | None, Property("The VM's notes.")] = None
    disks: Annotated[dict[str, Disk] | None, Property("The virtual disks by device key.")] = None
    network_adapters: Annotated[
        dict[str, NetworkAdapter] | None, Property("The network adapters by device key.")
    ] = None
    other_devices: Annotated[
        dict[str, str] | None,
        Property("Devices other than disks, network adapters and controllers: label by device key."),
    ] = None
    class_name: Annotated[str | None, Property("The VM class (VM Operator).")] = None
    settings: Annotated[
        dict[str, str] | None,
        Property(
            "The rest of the VM's spec (VM Operator): each value by its path, such as "
            "`network.interfaces[0].name`; a value that is no string as JSON."
        ),
    ] = None
    setting_changes: Annotated[
        dict[str, str] | None,
        Property(
            "What else a revert changes (vSphere): settings without a property of their own, by their "
            "path in VirtualMachineConfigInfo, such as `cpuHotAddEnabled`, `extraConfig.disk.EnableUUID` "
            "or `device[1000].sharedBus`. Each as `now => then`; a value that may hold a password as the "
            "beginning of its SHA-256 digest. Not set on a live VM."
        ),
    ] = None
    labels: Annotated[dict[str, str] | None, Property("The VM's labels (VM Operator).")] = None
    annotations: Annotated[dict[str, str] | None, Property("The VM's annotations (VM Operator).")] = None
    not_known: Annotated[
        list[str] | None,
        Property(
            "Names of the properties above that could not be found out; what becomes of them is "
            "not known. Not set: all are known."
        ),
    ] = None

    # Some hundred values of each VM: read for plans, and kept out of state, where nobody could read them.
    _configuration: Callable[[], dict[str, str]] | None = PrivateAttr(None)

    @property
    def configuration(self) -> dict[str, str] | None:
        """The VM's settings without a property of their own, by path; None: the platform tells none."""
        return None if self._configuration is None else self._configuration()

    def with_configuration(self, configuration: Callable[[], dict[str, str]]) -> Machine:
        """Returns a copy that also holds the settings without a property of their own.

        Args:
            configuration: Tells them when they are first asked for, and always the same; few reads need them.
        """
        copy = self.model_copy()
        copy._configuration = configuration  # noqa: SLF001 - of this class
        return copy

    @property
    def of_image(self) -> bool:
        """Whether its spec names the image that it was made from (VM Operator)."""
        return any(name == "imageName" or name.startswith("image.") for name in self.settings or {})

    @property
    def independent_disks(self) -> list[str]:
        """The labels of the disks that snapshots leave out."""
        return [disk.label for disk in (self.disks or {}).values() if disk.independent]


class Maker(Model):
    """The resource of this provider that made a snapshot, as the platform tells it."""

    resource: Annotated[str, Property("The resource's name in its program.")]
    stack: Annotated[str, Property("Project and stack, such as `shop/dev`.")]


class Snapshot(Model):
    """One snapshot as the platform shows it."""

    id: Annotated[
        str,
        Property(
            "What tells it from the VM's other snapshots, for as long as it lives (vSphere: its "
            "managed object id; VM Operator: its object's name)."
        ),
    ]
    unique_id: Annotated[
        str | None, Property("Its identifier on vSphere, such as `snapshot-226`; null: not known (yet).")
    ]
    uid: Annotated[
        str | None, Property("The UID of its object (VM Operator): one that is re-created has another.")
    ] = None
    name: Annotated[str, Property("The snapshot's name as people see it.")]
    stored_name: Annotated[
        str | None,
        Property("The name as the platform stores it (vSphere: `%`, `/` and `\\` escaped); null: the same."),
    ] = None
    client_name: Annotated[
        str | None,
        Property("The name as the vSphere Client shows it, where it has stored it escaped twice; else null."),
    ] = None
    description: Annotated[str, Property("The description as its author wrote it.")]
    mark: Annotated[
        str | None,
        Property("Which resource of this provider made it, in which making; null: somebody else did."),
    ] = None
    mark_proof: Annotated[
        Literal["exact", "renamed", "none"],
        Property(
            "Whether the mark is bound to this snapshot: `exact`; `renamed`: to this VM, but the snapshot "
            "was renamed by somebody; `none`: release 0.1.0 made it, or the VM's identity is not known."
        ),
    ] = "none"
    made_by: Annotated[Maker | None, Property("That resource in words; null: not known.")] = None
    managed: Annotated[
        bool,
        Property("vSphere: whether this provider made it; VM Operator: whether there is an object for it."),
    ]
    create_time: Annotated[dt.datetime | None, Property("When it was taken (UTC); null: not known.")]
    requested: Annotated[dt.datetime | None, Property("When its object was made (UTC; VM Operator).")] = None
    adoption: Annotated[
        Literal["adopted", "possible", "imported"] | None,
        Property(
            "Whether the VM Operator has taken an older snapshot of vSphere for it; `imported`: its object "
            "says so; null: no."
        ),
    ] = None
    power_state: Annotated[
        PowerState | None,
        Property("What a revert leaves: `PoweredOn` only with memory; null: not known (yet)."),
    ]
    quiesced: Annotated[bool | None, Property("Whether quiescing was asked for; null: not known.")] = False
    parent_id: Annotated[str | None, Property("The parent's id.")] = None
    place_known: Annotated[bool, Property("Whether it is known where in the tree it is.")] = True
    listed: Annotated[
        bool,
        Property("Whether the VM's own tree has it (VM Operator): if not, vSphere may have it no more."),
    ] = True
    unreachable_files: Annotated[
        tuple[str, ...],
        Property("Files that a revert to it needs and that vSphere can't reach, as it last saw them."),
    ] = ()
    ready: Annotated[bool, Property("Whether it is complete and a revert may go back to it.")] = True
    being_deleted: Annotated[
        bool, Property("Whether its object is to go and waits for its finalizers (VM Operator).")
    ] = False
    conditions: Annotated[
        tuple[Condition, ...], Property("Its conditions as the platform reports them, where it does.")
    ] = ()
    storage: Annotated[
        SnapshotStorage | None, Property("The space it takes (memory, settings, frozen deltas).")
    ] = None


class VirtualMachine(Model):
    """One VM with its snapshots, as observed at one moment."""

    identity: Annotated[VirtualMachineIdentity, Property("Which VM this is.")]
    machine: Annotated[Machine, Property("The live VM.")]
    snapshots: Annotated[
        tuple[Snapshot, ...], Property("Every snapshot, each parent before its children.")
    ] = ()
    current_snapshot_id: Annotated[
        str | None, Property("The id of the snapshot that the VM now runs on.")
    ] = None
    tools_running: Annotated[
        bool | None, Property("Whether VMware Tools run in the guest; null: not known.")
    ] = None
    tools_status: Annotated[str | None, Property("VMware Tools' status in vSphere's words.")] = None
    shared_bus: Annotated[
        bool | None, Property("Whether a SCSI controller shares its bus; null: not known.")
    ] = None
    connection: Annotated[
        str | None,
        Property(
            "Whether the platform can manage it now, in vSphere's words: `connected`, `disconnected`, "
            "`inaccessible`, `invalid` or `orphaned`; null: not known."
        ),
    ] = None
    question: Annotated[
        str | None, Property("The question that it waits for an answer to; null: none is known.")
    ] = None
    configuration_missing: Annotated[
        bool, Property("Whether the platform has no configuration of it (inaccessible, orphaned).")
    ] = False
    template: Annotated[bool, Property("Whether it is a template.")] = False
    snapshots_supported: Annotated[
        bool | None, Property("Whether the platform allows snapshot operations on it now.")
    ] = None
    snapshots_disabled: Annotated[
        bool | None, Property("Whether snapshots are switched off for it; null: not known.")
    ] = None
    snapshots_locked: Annotated[
        bool | None,
        Property("Whether its snapshot tree is locked, so that none can be added; null: not known."),
    ] = None
    fault_tolerance: Annotated[bool, Property("Whether fault tolerance is on.")] = False
    consolidation_needed: Annotated[bool, Property("Whether its disks need consolidation.")] = False
    disabled_operations: Annotated[
        tuple[str, ...], Property("Operations that the platform has disabled on it now.")
    ] = ()
    running_tasks: Annotated[
        tuple[RunningTask, ...], Property("Tasks that are running or queued on it.")
    ] = ()
    remembered: Annotated[
        dict[str, PastTask],
        Property(
            "The tasks of this provider that the platform remembers with the VM, by the id of their request "
            "(vSphere: for some minutes)."
        ),
    ] = {}
    datastore: Annotated[
        str | None,
        Property(
            "The datastore of its snapshots' memory and settings (`snapshotDirectory`); null: not known."
        ),
    ] = None
    delta_datastores: Annotated[
        tuple[str, ...], Property("The datastores on which its disks' deltas grow, as far as known.")
    ] = ()
    free_bytes: Annotated[
        dict[str, int], Property("Free bytes of its datastores by name, as far as known.")
    ] = {}
    discarded_bytes: Annotated[
        int | None, Property("Bytes written since the current snapshot; null: not known.")
    ] = None
    sizes_as_of: Annotated[
        dt.datetime | None,
        Property(
            "When the platform last looked at the sizes of its files (UTC), by which `discarded_bytes` and "
            "the snapshots' `storage` go; null: not known."
        ),
    ] = None
    first_class_disks: Annotated[
        tuple[str, ...],
        Property("The labels of its first-class disks, which may have snapshots of their own."),
    ] = ()
    raw_disks: Annotated[
        tuple[str, ...],
        Property("The labels of its raw device mappings in physical mode, which snapshots leave out."),
    ] = ()
    shared_disks: Annotated[
        tuple[str, ...],
        Property("The labels of the disks that other VMs write to as well, and that snapshots would hold."),
    ] = ()
    nvdimms: Annotated[tuple[str, ...], Property("The labels of its NVDIMMs; snapshots leave them out.")] = ()
    nvdimm_mode: Annotated[
        str | None, Property("What a revert does to them, in vSphere's words; null: that is not set.")
    ] = None
    power_off_behavior: Annotated[
        str | None,
        Property(
            "What vSphere does with its snapshots when it is powered off (`snapshotPowerOffBehavior`: "
            "`powerOff`, `revert`, `prompt` or `take`); null: not known."
        ),
    ] = None
    connected_adapters: Annotated[
        tuple[str, ...],
        Property("The labels of its network adapters that are connected now; only valid while it runs."),
    ] = ()
    clone_note: Annotated[
        str | None,
        Property("What a VirtualMachineClone that made it keeps in its configuration; null: none did."),
    ] = None
    vks_node: Annotated[
        bool,
        Property("Whether it is a node of a Kubernetes cluster that vSphere manages (VKS; VM Operator)."),
    ] = False
    vm_service: Annotated[
        bool, Property("Whether a Supervisor's VM Service manages it (vSphere), as it does VKS nodes.")
    ] = False
    csi_volumes: Annotated[
        tuple[str, ...], Property("Its volumes that a CSI driver provides (VM Operator).")
    ] = ()
    volume_snapshots: Annotated[
        dict[str, dt.datetime | None] | None,
        Property("CSI snapshots of those volumes by name, and when they were taken; null: not known."),
    ] = None
    unapplied: Annotated[
        tuple[str, ...], Property("What the platform says isn't in effect of its spec (VM Operator).")
    ] = ()
    copy_outdated: Annotated[
        str | None,
        Property(
            "Why the platform's copy of the VM's object, which snapshots take along, may be an old one (VM "
            "Operator); null: it isn't said to be."
        ),
    ] = None
    power_asked: Annotated[
        PowerState | None,
        Property("The power state that its object asks for (VM Operator); null: not known."),
    ] = None
    before_snapshots: Annotated[
        tuple[str, ...],
        Property("What the platform waits for before it takes a snapshot (VM Operator)."),
    ] = ()
    paused: Annotated[bool, Property("Whether the platform leaves it alone for now (VM Operator).")] = False
    being_deleted: Annotated[
        bool, Property("Whether its object is to go and waits for its finalizers (VM Operator).")
    ] = False
    revert_requested: Annotated[
        str | None, Property("The snapshot that a revert under way goes back to (VM Operator).")
    ] = None
    revert_failure: Annotated[
        str | None, Property("Why that revert has failed (VM Operator); null: it has not.")
    ] = None
    revert_remedy: Annotated[
        str | None, Property("How the failed request of somebody else is taken back (VM Operator).")
    ] = None
    revert_is_ours: Annotated[
        bool, Property("Whether this provider has asked for that revert (VM Operator).")
    ] = False
    revert_left_behind: Annotated[
        bool,
        Property("Whether a failed revert has left its in-progress mark on the VM (VM Operator)."),
    ] = False

    def snapshot(self, snapshot_id: str | None) -> Snapshot | None:
        """Returns the snapshot with that id, or None."""
        return next((item for item in self.snapshots if item.id == snapshot_id), None)

    def snapshot_on_vsphere(self, unique_id: str | None) -> Snapshot | None:
        """Returns the snapshot with that uniqueID, or None."""
        if unique_id is None:
            return None
        return next((item for item in self.snapshots if item.unique_id == unique_id), None)

    @property
    def current_snapshot(self) -> Snapshot | None:
        """The snapshot that the VM now runs on."""
        return self.snapshot(self.current_snapshot_id)

    def children(self, snapshot_id: str | None) -> list[Snapshot]:
        """Returns the direct children of a snapshot; of None, the roots."""
        return [item for item in self.snapshots if item.parent_id == snapshot_id]

    def ancestry(self, snapshot_id: str | None) -> list[Snapshot]:
        """Returns the chain from the root down to a snapshot, both included."""
        chain: list[Snapshot] = []
        found = self.snapshot(snapshot_id)
        while found is not None:
            chain.append(found)
            found = self.snapshot(found.parent_id)
        return chain[::-1]

    def place_known(self, snapshot_id: str | None) -> bool:
        """Returns whether it is known what is above a snapshot, up to its root."""
        return all(item.place_known for item in self.ancestry(snapshot_id))

    def descendants(self, snapshot_id: str) -> Iterator[Snapshot]:
        """Returns all snapshots below one, each parent before its children."""
        for child in self.children(snapshot_id):
            yield child
            yield from self.descendants(child.id)

    def path(self, snapshot_id: str) -> str:
        """Returns a snapshot's path from its root, such as `base/release-41`."""
        return "/".join(item.name for item in self.ancestry(snapshot_id))
