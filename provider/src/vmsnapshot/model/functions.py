"""The functions: what a program may ask without managing anything."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vmsnapshot.model._base import Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.machine import Machine, PowerState, VirtualMachineIdentity
from vmsnapshot.model.snapshot import Kind, SnapshotReference


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
        Property("Only snapshots made by this provider, or only those made by anybody else."),
    ] = None
    min_age: Annotated[
        Duration | None,
        Property("Only snapshots at least this old, as a duration such as `24h`."),
    ] = None
    max_age: Annotated[
        Duration | None,
        Property("Only snapshots at most this old, as a duration such as `7d`."),
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
    tree: Annotated[str, Property("The whole tree as text, as a person draws it.")]
