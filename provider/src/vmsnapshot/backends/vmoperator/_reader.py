"""The part of the port that looks, on the VM Operator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._cluster import Cluster
from vmsnapshot.backends.vmoperator._informer import vm_of
from vmsnapshot.backends.vmoperator._inventory import Inventory, suggested
from vmsnapshot.backends.vmoperator._objects import (
    FORGOTTEN,
    annotations_of,
    machine_id,
    name_of,
    split_id,
)
from vmsnapshot.backends.vmoperator._observe import virtual_machine
from vmsnapshot.backends.vmoperator._past import machine_of
from vmsnapshot.backends.vmoperator._revert_status import RevertJournal, moment_of
from vmsnapshot.lifecycle.errors import (
    Denied,
    Gone,
    InvalidInput,
    NotFound,
    Unsupported,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import (
    InventoryEntry,
    InventoryScope,
    NotRead,
    Outcome,
    ReadMask,
    VMReference,
    values,
)
from vmsnapshot.model.identity import ServerIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.task import AskedTask, PastRevert, PastTask

T = TypeVar("T")
V = TypeVar("V")


class VmOperatorReader:
    """What is in one cluster of the VM Operator: VMs, their snapshots and reverts. Changes nothing.

    A VM's id is `namespace/name`; a snapshot's is its object's name, and its identifier
    `namespace/name`.  An Unmanaged snapshot has no name there: it gets one such as `unmanaged-1`, and
    nothing can be done with it.

    Args:
        access: Where the server is and how to log in.

    Attributes:
        address: The API server's.
    """

    def __init__(self, access: Access) -> None:
        self.address = access.server
        self._client = Client(access)
        self._cluster = Cluster(self._client)
        self._inventory = Inventory(self._client, self._cluster, access.namespace)

    def server(self, vm_id: str, operation: Operation) -> ServerIdentity:
        """The cluster, by the UIDs of `kube-system` and of the VM's namespace, as far as they may be read."""
        return self._cluster.identity(split_id(vm_id)[0], operation)

    def now(self, operation: Operation) -> dt.datetime:
        """The time by the Date header of the API server's answers."""
        return self._client.now(operation)

    def find(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        """Look a VM up by its name (or `namespace/name`), and observe it.

        Raises:
            NotFound: There is none; close names are suggested.
        """
        return values(self.find_all([reference], operation))[0]

    def find_shown(
        self, reference: VMReference, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> VirtualMachine:
        """The same: watches keep all VMs of a namespace as they are."""
        return values(self.find_all([reference], operation, read))[0]

    def forget_shown(self) -> None:
        """Nothing: watches keep all VMs of a namespace as they are."""

    def prepare(self, operation: Operation) -> None:
        """Nothing: all that is asked of reverts comes with the VMs."""

    def find_all(
        self,
        references: Sequence[VMReference],
        operation: Operation,
        read: ReadMask = ReadMask.ALL,
    ) -> list[Outcome[VirtualMachine]]:
        """Look many up; each as found, or why it wasn't."""
        del read  # all of it is in the same object
        places = [self._inventory.place(reference) for reference in references]
        self._inventory.begin((namespace for namespace, _ in places), operation)

        def look(place: tuple[str, str]) -> VirtualMachine:
            namespace, name = place
            try:
                return self._inventory.observed(namespace, name, operation)
            except Gone:
                raise self._inventory.nowhere(namespace, name, operation) from None

        return _each(places, look)

    def observe(self, vm_id: str, operation: Operation, read: ReadMask = ReadMask.ALL) -> VirtualMachine:
        """Observe a VM whose id is known; the hardware comes with it in any case.

        Raises:
            Gone: It is definitely no longer there. Snapshot objects of it may still be there for a
                while: `find_snapshot` finds them.
        """
        return values(self.observe_all([vm_id], operation, read))[0]

    def observe_all(
        self, vm_ids: Sequence[str], operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe many; each as it is, or why it could not be read."""
        del read  # all of it is in the same object
        places = [split_id(vm_id) for vm_id in vm_ids]
        self._inventory.begin((namespace for namespace, _ in places), operation)
        return _each(places, lambda place: self._inventory.observed(*place, operation))

    def list_machines(
        self, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe every VM of the configured namespace; each, or why it could not be read."""
        cache = self._inventory.cache(self._inventory.default, operation)
        names = [name_of(item) for item in cache.machines.all()]
        return self.observe_all(
            [machine_id(self._inventory.default, name) for name in names], operation, read
        )

    def inventory(self, scope: InventoryScope, operation: Operation) -> Iterator[InventoryEntry | NotRead]:
        """Every VM of a namespace with its snapshots, from two lists: of the VMs and of the snapshots."""
        return self._inventory.entries(scope.namespace or self._inventory.default, operation)

    def find_snapshot(self, identifier: str, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        """The snapshot that an import names, `namespace/name` (or a name in the configured namespace).

        It is found also while its VM is gone: then of the VM nothing but its name is known.

        Raises:
            InvalidInput: It has another form.
            NotFound: There is none.
        """
        namespace, separator, name = identifier.rpartition("/")
        namespace = namespace if separator else self._inventory.default
        if not namespace or not name or "/" in namespace:
            raise InvalidInput("id", f"{identifier!r} names no snapshot; expected <namespace>/<name>.")
        cache = self._inventory.cache(namespace, operation)
        found = cache.snapshots.find(name, operation)
        if found is None:
            known = [name_of(item) for item in cache.snapshots.all()]
            raise NotFound(
                f'namespace {namespace} has no VirtualMachineSnapshot "{name}"{suggested(name, known)}',
                subject=operation.what,
            )
        vm_name = vm_of(found)
        try:
            vm = self._inventory.observed(namespace, vm_name, operation)
        except Gone:
            vm = virtual_machine(namespace, vm_name, None, cache.snapshots_of(vm_name), supported=None)
        snapshot = vm.snapshot(name)
        if snapshot is None:
            raise NotFound(
                f'VirtualMachineSnapshot "{identifier}" has just been removed.', subject=operation.what
            )
        return vm, snapshot

    def has_snapshot(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> bool:
        """Whether there is a snapshot's object all the same, asked for alone."""
        namespace, name = split_id(vm.identity.id)
        item = self._inventory.cache(namespace, operation).snapshots.ask_alone(snapshot_id, operation)
        return item is not None and vm_of(item) == name

    def identifier(self, vm: VirtualMachine, snapshot_id: str) -> str:
        """The resource id of a snapshot: `shop/release-41`."""
        return f"{split_id(vm.identity.id)[0]}/{snapshot_id}"

    def machines_at(
        self, targets: Sequence[tuple[VirtualMachine, Snapshot]], operation: Operation
    ) -> list[Outcome[Machine]]:
        """What each VM was when its snapshot was taken, where we took it; else `not_known` says so.

        The VM Operator keeps the VM's past where only it can read it; we keep a copy with the snapshots
        that we take.
        """
        self._inventory.begin((split_id(vm.identity.id)[0] for vm, _ in targets), operation)

        def look(target: tuple[VirtualMachine, Snapshot]) -> Machine:
            vm, snapshot = target
            cache = self._inventory.cache(split_id(vm.identity.id)[0], operation)
            item = cache.snapshots.get(snapshot.id) if snapshot.managed else None
            if snapshot.managed and item is None:
                raise Gone(f'snapshot "{snapshot.name}" is no longer there.', subject=operation.what)
            return machine_of(vm, snapshot, item)

        return _each(targets, look)

    def weaker_protection(self, vms: Sequence[VirtualMachine], operation: Operation) -> None:
        """It isn't: the notes on the VM and its snapshots tell."""

    def forgotten(self, vm: VirtualMachine, owner: str, operation: Operation) -> dt.datetime | None:
        """Until when what was done to a VM belongs to a deleted resource, as a note on it tells."""
        namespace, name = split_id(vm.identity.id)
        machine = self._inventory.cache(namespace, operation).machines.get(name)
        return None if machine is None else moment_of(annotations_of(machine).get(FORGOTTEN + owner))

    def recent_task(self, vm: VirtualMachine, request_id: str, operation: Operation) -> PastTask | None:
        """What became of a request for a revert, however old it is."""
        del operation  # it was read with the VM
        return vm.remembered.get(request_id)

    def find_tasks(
        self,
        requests: Sequence[tuple[VirtualMachine, str]],
        operation: Operation,
        read: ReadMask = ReadMask.TASKS,
        noted: Mapping[str, AskedTask] | None = None,
    ) -> list[PastTask | None]:
        """What became of each request for a revert, by the notes on the VM and its snapshots."""
        del noted  # there are no tasks
        del read  # reading again costs nothing: the VMs are watched
        places = [split_id(vm.identity.id) for vm, _ in requests]
        self._inventory.begin((namespace for namespace, _ in places), operation)
        found: list[PastTask | None] = []
        for (namespace, name), (_, request_id) in zip(places, requests, strict=True):
            cache = self._inventory.cache(namespace, operation)
            found.append(RevertJournal(cache).find(name, request_id))
        return found

    def known_reverts(self, vm: VirtualMachine, operation: Operation) -> Mapping[str, PastTask]:
        """What the notes on the VM and its snapshots tell."""
        del operation  # it was read with the VM
        return vm.remembered

    def last_reverts(
        self, vms: Sequence[VirtualMachine], operation: Operation
    ) -> list[Outcome[PastRevert | None]]:
        """Unsupported: no object tells when a revert began."""
        error = Unsupported("the VM Operator doesn't tell when a revert began", subject=operation.what)
        return [error] * len(vms)

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a request for a revert has ended, however it ended."""
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        RevertJournal(cache).wait(name, task_id, operation)


def _each(items: Sequence[T], look: Callable[[T], V]) -> list[Outcome[V]]:
    """The value for each, or its own error."""
    found: list[Outcome[V]] = []
    for item in items:
        try:
            found.append(look(item))
        except (NotFound, Denied) as error:
            found.append(error)
    return found
