"""What VirtualMachineClone needs of a platform beside `port.Backend`: verbs that make and destroy VMs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a user wants a clone; None: where its source is.

    Attributes:
        networks: By the label of an adapter the network that it is to be on.
    """

    folder: str | None = None
    resource_pool: str | None = None
    host: str | None = None
    datastore: str | None = None
    networks: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Place:
    """One object of the inventory: its id and its inventory path."""

    id: str
    path: str


@dataclasses.dataclass(frozen=True)
class Site:
    """A placement as found.

    Attributes:
        folder: The folder of the new VM.
        resource_pool: Its resource pool; None: the source's.
        host: Its host; None: the server chooses.
        datastore: Its datastore; None: the source's.
        networks: By the label of an adapter the network.
        namesake: The id of the VM in that folder that has the clone's name already; None: there is none.
        free_bytes: What is free on the datastore; None: not known.
        datastore_name: That datastore's name; None: not known.
        used_bytes: What the snapshot's disks take, all files that they stand on included; None: not known.
    """

    folder: Place
    resource_pool: Place | None
    host: Place | None
    datastore: Place | None
    networks: Mapping[str, Place]
    namesake: str | None
    free_bytes: int | None
    datastore_name: str | None
    used_bytes: int | None


@dataclasses.dataclass(frozen=True)
class CloneRequest:
    """The clone to make.

    Attributes:
        name: The new VM's name.
        instance_uuid: Its instance UUID, by which it is found whatever becomes of the answer.
        note: Kept in its configuration, and read back as `VirtualMachine.clone_note`.
        linked: Whether its disks stand on the snapshot's files.
        site: Where it is made.
        isolated: Whether its adapters are disconnected.
        num_cpus: Its virtual CPUs; None: as in the snapshot.
        memory_mb: Its memory; None: as in the snapshot.
        request_id: The caller's own mark of this request, kept by the platform with the task where it can.
    """

    name: str
    instance_uuid: str
    note: str
    linked: bool
    site: Site
    isolated: bool
    num_cpus: int | None
    memory_mb: int | None
    request_id: str


@dataclasses.dataclass(frozen=True)
class CloneChange:
    """What changes in place; None: it stays.

    Attributes:
        networks: By the label of an adapter the network that it is to be on.
        isolated: Whether its adapters are disconnected.
        left_adapters: The keys of those that `isolated` leaves as they are.
        note: As in `CloneRequest`.
    """

    name: str | None = None
    num_cpus: int | None = None
    memory_mb: int | None = None
    networks: Mapping[str, Place] = dataclasses.field(default_factory=dict)
    isolated: bool | None = None
    left_adapters: Sequence[str] = ()
    note: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self == CloneChange()


@dataclasses.dataclass(frozen=True)
class Dependents:
    """What stands on a VM's files.

    Attributes:
        by_snapshot: For each snapshot's id the other VMs whose disks stand on the files that it holds.
        on_vm: The other VMs whose disks stand on files of the VM itself.
        folder: The folder of the VM's configuration file, such as `[ds-1] web-1`; empty: not known.
        disks_of_others: The files of those of its disks that it wasn't made with, as their places tell: they
            are another VM's, or lie in another VM's folder.
        unread: VMs on the same datastores of which the server doesn't tell their disks' files: whether they
            stand on these is not known.
    """

    by_snapshot: Mapping[str, Sequence[VirtualMachineIdentity]]
    on_vm: Sequence[VirtualMachineIdentity]
    folder: str = ""
    disks_of_others: Sequence[str] = ()
    unread: Sequence[VirtualMachineIdentity] = ()


class Cloner(Protocol):
    """Makes, changes and destroys VMs; each method as `port.Backend` says of its own."""

    def site(
        self, vm: VirtualMachine, snapshot: Snapshot, name: str, placement: Placement, operation: Operation
    ) -> Site:
        """Find where a clone of a snapshot is to be made, and what room is needed and there.

        Raises:
            NotFound: There is no such place; close names are suggested.
            Ambiguous: Several have that name.
            Unsupported: This server can't clone.
        """
        ...

    def networks(
        self, vm: VirtualMachine, networks: Mapping[str, str], operation: Operation
    ) -> Mapping[str, Place]:
        """Find networks for a VM's adapters, by the adapter's label; likewise."""
        ...

    def clone(
        self, vm: VirtualMachine, snapshot: Snapshot, request: CloneRequest, operation: Operation
    ) -> str:
        """Make the clone, which is off, and wait for it; its id.

        When the connection drops before the answer, this raises Unreachable instead of sending again: the
        caller looks what came of it.

        Raises:
            Refused: The folder has a VM of that name, or whatever else the server refuses.
        """
        ...

    def reconfigure(self, vm: VirtualMachine, change: CloneChange, operation: Operation) -> None:
        """Change a VM in place and wait for it; done twice, it is as done once."""
        ...

    def destroy(self, vm: VirtualMachine, operation: Operation) -> None:
        """Delete a VM that is off, with its files, and wait for it; one that is gone counts as deleted.

        Only the very VM that is meant: the caller has compared its identity.
        """
        ...

    def dependents(
        self, snapshots: Mapping[str, Sequence[str]], operation: Operation
    ) -> dict[str, Dependents | VmsnapshotError]:
        """What stands on VMs' files, by the VM's id; the calls don't grow with them.

        An error instead of it: the server doesn't tell which files the VM or a snapshot itself consists of.

        Args:
            snapshots: By the id of each VM those of its snapshots that are asked about.
            operation: Whose time counts.
        """
        ...

    def addresses(self, vm: VirtualMachine, operation: Operation) -> Sequence[str]:
        """The IP addresses that VMware Tools tell of the guest; empty: none are told."""
        ...
