"""The port, on the VM Operator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

from vmsnapshot.backends._keyed_lock import KeyedLock
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._cluster import Cluster
from vmsnapshot.backends.vmoperator._informer import vm_of
from vmsnapshot.backends.vmoperator._inventory import Inventory, suggested
from vmsnapshot.backends.vmoperator._objects import (
    machine_id,
    name_of,
    split_id,
)
from vmsnapshot.backends.vmoperator._observe import virtual_machine
from vmsnapshot.backends.vmoperator._past import machine_of
from vmsnapshot.backends.vmoperator._power import PowerRequest
from vmsnapshot.backends.vmoperator._revert_status import RevertJournal
from vmsnapshot.backends.vmoperator._reverts import Revert
from vmsnapshot.backends.vmoperator._snapshots import Snapshots
from vmsnapshot.backends.vmoperator._withdrawal import Withdrawal
from vmsnapshot.lifecycle.errors import (
    Denied,
    Gone,
    InvalidInput,
    NotFound,
    Unsupported,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner
from vmsnapshot.lifecycle.port import (
    InventoryEntry,
    InventoryScope,
    NotRead,
    Outcome,
    ReadMask,
    SnapshotRequest,
    VMReference,
)
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.identity import ServerIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.task import PastTask

T = TypeVar("T")
V = TypeVar("V")


class VmOperatorBackend:
    """The VM Operator of one cluster, over one login.

    A VM's id is `namespace/name`; a snapshot's is its object's name, and its identifier
    `namespace/name`.  An Unmanaged snapshot has no name there: it gets one such as `unmanaged-1`, and
    nothing can be done with it.

    Args:
        access: Where the server is and how to log in.
    """

    def __init__(self, access: Access) -> None:
        self._client = Client(access)
        self._cluster = Cluster(self._client)
        self._inventory = Inventory(self._client, self._cluster, access.namespace)
        self._vm_lock = KeyedLock()

    @classmethod
    def of(cls, configuration: Configuration) -> VmOperatorBackend:
        """The backend of a configuration; nothing is called yet.

        Raises:
            InvalidInput: A setting is wrong, or what the kubeconfig holds.
        """
        return cls(Access.of(configuration))

    # Looking

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
        return _value(self.find_all([reference], operation)[0])

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
                raise NotFound(self._inventory.nowhere(namespace, name, operation)) from None

        return _each(places, look)

    def observe(self, vm_id: str, operation: Operation, read: ReadMask = ReadMask.ALL) -> VirtualMachine:
        """Observe a VM whose id is known; the hardware comes with it in any case.

        Raises:
            Gone: It is definitely no longer there. Snapshot objects of it may still be there for a
                while: `find_snapshot` finds them.
        """
        return _value(self.observe_all([vm_id], operation, read)[0])

    def observe_all(
        self, vm_ids: Sequence[str], operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe many; each as it is, or why it could not be read."""
        del read  # all of it is in the same object
        places = [split_id(vm_id) for vm_id in vm_ids]
        self._inventory.begin((namespace for namespace, _ in places), operation)
        return _each(places, lambda place: self._inventory.observed(*place, operation))

    def list_machines(self, operation: Operation) -> Sequence[VirtualMachine]:
        """Observe every VM of the configured namespace."""
        cache = self._inventory.cache(self._inventory.default, operation)
        names = [name_of(item) for item in cache.machines.all()]
        found = self.observe_all([machine_id(self._inventory.default, name) for name in names], operation)
        return [vm for vm in found if isinstance(vm, VirtualMachine)]

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
        found = cache.snapshots.get(name)
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

    # Changing

    def create_snapshot(self, vm: VirtualMachine, request: SnapshotRequest, operation: Operation) -> str:
        """Make the snapshot's object; its name. `wait_until_complete` waits until the snapshot is taken.

        Made twice, by the same request, it is one.

        Raises:
            Refused: The namespace has one of that name which this request didn't make.
        """
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        about = _about(operation, vm, request.name)
        with self._vm_lock.hold(machine_id(namespace, request.name), operation):
            Snapshots(self._client, cache).create(name, request, operation, about)
        return request.name

    def wait_until_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> None:
        """Wait until a snapshot that was made is complete.

        A creation that failed is tried again by the VM Operator, so it is waited for, too.

        Raises:
            Gone: Somebody has removed it.
            TimedOut: It isn't complete yet; the message gives the condition's reason. The object stays.
        """
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        Snapshots(self._client, cache).wait_until_complete(
            name, snapshot_id, operation, _about(operation, vm, snapshot_id)
        )

    def withdraw_snapshot(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> bool:
        """Delete the object of a snapshot that was never taken; whether it is gone."""
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        about = _about(operation, vm, snapshot_id)
        return Withdrawal(self._client, cache, vm_name=name, snapshot_id=snapshot_id, about=about).run(
            operation
        )

    def change_snapshot(  # noqa: PLR0917 - as the port has it
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        name: str,
        description: str,
        owner: Owner,
        operation: Operation,
    ) -> None:
        """Change a snapshot's description and owner in place.

        Raises:
            Unsupported: The name is another.
        """
        _named(snapshot, operation)
        if name != snapshot.name:
            raise Unsupported(
                f'the VM Operator can\'t rename a snapshot ("{snapshot.name}" to "{name}").',
                subject=operation.what,
            )
        cache = self._inventory.cache(split_id(vm.identity.id)[0], operation)
        about = _about(operation, vm, snapshot.id)
        Snapshots(self._client, cache).change(snapshot.id, description, owner, operation, about)

    def remove_snapshot(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        *,
        remove_children: bool,
        consolidate: bool,
        operation: Operation,
    ) -> None:
        """Delete a snapshot's object and wait until the snapshot is gone; already gone counts as removed.

        Raises:
            Unsupported: With its children, without consolidation, or an Unmanaged one.
        """
        _named(snapshot, operation)
        if remove_children or not consolidate:
            what = "together with its children" if remove_children else "without consolidating the disks"
            raise Unsupported(f"the VM Operator can't remove a snapshot {what}.", subject=operation.what)
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        Snapshots(self._client, cache).remove(name, snapshot, operation, _about(operation, vm, snapshot.id))

    def revert(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        request_id: str,
        operation: Operation,
        *,
        suppress_power_on: bool = False,  # noqa: ARG002 - the VM Operator's API has no such choice
    ) -> None:
        """Revert the VM to a snapshot and wait for it.

        A lost answer is looked up here; the request is never sent where it could take effect twice.

        Raises:
            Refused: It failed; the request is cleared.
            Busy: Another revert is under way.
            TimedOut: It isn't done; what hadn't begun is cleared.
        """
        _named(snapshot, operation)
        namespace, name = split_id(vm.identity.id)
        about = _about(operation, vm, snapshot.id)
        with self._vm_lock.hold(vm.identity.id, operation):
            cache = self._inventory.cache(namespace, operation)
            asked = Revert(
                self._client,
                cache,
                vm_name=name,
                vm_uid=vm.identity.uid,
                target=snapshot.id,
                request_id=request_id,
                about=about,
            )
            asked.run(snapshot.power_state, operation)

    def begin(self, requests: Sequence[tuple[VirtualMachine, str]], operation: Operation) -> None:
        """Nothing: a revert leaves its own note on the VM before it asks."""

    def weaker_protection(self, vms: Sequence[VirtualMachine], operation: Operation) -> None:
        """It isn't: the notes on the VM and its snapshots tell."""

    def end(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        """Nothing: its note says how a revert ended."""

    def forget(self, vm_id: str, owner: str, operation: Operation) -> None:
        """Nothing: the ids of requests on the VM tell a later resource's from earlier ones."""

    def forgotten(self, owner: str, operation: Operation) -> None:
        """Nothing is known."""

    def recent_task(self, vm: VirtualMachine, request_id: str, operation: Operation) -> PastTask | None:
        """What became of a request for a revert, however old it is."""
        del operation  # it was read with the VM
        return vm.remembered.get(request_id)

    def find_tasks(
        self,
        requests: Sequence[tuple[VirtualMachine, str]],
        operation: Operation,
        read: ReadMask = ReadMask.TASKS,
    ) -> list[PastTask | None]:
        """What became of each request for a revert, by the notes on the VM and its snapshots."""
        del read  # reading again costs nothing: the VMs are watched
        places = [split_id(vm.identity.id) for vm, _ in requests]
        self._inventory.begin((namespace for namespace, _ in places), operation)
        found: list[PastTask | None] = []
        for (namespace, name), (_, request_id) in zip(places, requests, strict=True):
            cache = self._inventory.cache(namespace, operation)
            found.append(RevertJournal(cache).find(name, request_id))
        return found

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a request for a revert has ended, however it ended."""
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        RevertJournal(cache).wait(name, task_id, operation)

    def set_power(
        self,
        vm: VirtualMachine,
        power: Literal["on", "off"],
        operation: Operation,
        *,
        part_of: str | None = None,
    ) -> None:
        """Ask for a power state and wait for it; off is as the VM's `spec.powerOffMode` says."""
        namespace, name = split_id(vm.identity.id)
        about = _about(operation, vm)
        with self._vm_lock.hold(vm.identity.id, operation):
            cache = self._inventory.cache(namespace, operation)
            asked = PowerRequest(self._client, cache, vm_name=name, vm_uid=vm.identity.uid, about=about)
            asked.run(power, operation, part_of=part_of)

    def close(self) -> None:
        """End the watches and the connections; further calls raise Unreachable."""
        self._client.closed.set()
        self._inventory.stop()
        self._client.close()


def _named(snapshot: Snapshot, operation: Operation) -> None:
    """Refuse what was made outside the VM Operator."""
    if not snapshot.managed:
        raise Unsupported(
            "this snapshot was made outside the VM Operator (Unmanaged), which can "
            "neither revert to it nor change or remove it.",
            subject=operation.what,
        )


def _each(items: Sequence[T], look: Callable[[T], V]) -> list[Outcome[V]]:
    """The value for each, or its own error."""
    found: list[Outcome[V]] = []
    for item in items:
        try:
            found.append(look(item))
        except (NotFound, Denied) as error:
            found.append(error)
    return found


def _value(outcome: Outcome[V]) -> V:
    if isinstance(outcome, VmsnapshotError):
        raise outcome
    return outcome


def _about(operation: Operation, vm: VirtualMachine, snapshot: str | None = None) -> str:
    what = f', snapshot "{snapshot}"' if snapshot else ""
    return f'{operation.what} [VM "{vm.identity.id}"{what}]'
