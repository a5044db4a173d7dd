"""The part of the port that changes something, on the VM Operator."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Literal

from vmsnapshot.backends._keyed_lock import KeyedLock
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._objects import (
    FORGOTTEN,
    MACHINES,
    machine_id,
    split_id,
)
from vmsnapshot.backends.vmoperator._power import PowerRequest
from vmsnapshot.backends.vmoperator._reader import VmOperatorReader
from vmsnapshot.backends.vmoperator._requests import RevertRequest
from vmsnapshot.backends.vmoperator._reverts import Revert
from vmsnapshot.backends.vmoperator._snapshots import Snapshots
from vmsnapshot.backends.vmoperator._withdrawal import Withdrawal
from vmsnapshot.lifecycle.cloning import Cloner
from vmsnapshot.lifecycle.errors import Subject, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner
from vmsnapshot.lifecycle.port import (
    SnapshotRequest,
)
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.machine import Snapshot, VirtualMachine


class VmOperatorBackend(VmOperatorReader):
    """The VM Operator of one cluster, over one login.

    A VM's id is `namespace/name`; a snapshot's is its object's name, and its identifier
    `namespace/name`.  An Unmanaged snapshot has no name there: it gets one such as `unmanaged-1`, and
    nothing can be done with it.

    Args:
        access: Where the server is and how to log in.
    """

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self._vm_lock = KeyedLock()

    @property
    def clones(self) -> Cloner | None:
        """Nothing: its API makes no VM out of a snapshot."""
        return None

    @classmethod
    def of(cls, configuration: Configuration) -> VmOperatorBackend:
        """The backend of a configuration; nothing is called yet.

        Raises:
            InvalidInput: A setting is wrong, or what the kubeconfig holds.
        """
        return cls(Access.of(configuration))

    # Changing

    def create_snapshot(
        self,
        vm: VirtualMachine,
        request: SnapshotRequest,
        operation: Operation,
        *,
        looks: bool = False,  # noqa: ARG002 - the port's
    ) -> str:
        """Make the snapshot's object; its name. `wait_until_complete` waits until the snapshot is taken.

        Made twice, by the same request, it is one.

        Raises:
            Gone: The VM is no longer there; another may have its name.
            Refused: The namespace has one of that name which this request didn't make.
        """
        namespace, name = split_id(vm.identity.id)
        cache = self._inventory.cache(namespace, operation)
        about = _about(operation, vm, request.name)
        with self._vm_lock.hold(machine_id(namespace, request.name), operation):
            cache.machine(name, vm.identity.uid, about)
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

    def observe_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> VirtualMachine:
        """The same; the VM as it is then."""
        self.wait_until_complete(vm, snapshot_id, operation)
        return self.observe(vm.identity.id, operation)

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
        Snapshots(self._client, cache).change(snapshot, description, owner, operation, about)

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
        cache = self._inventory.cache(split_id(vm.identity.id)[0], operation)
        Snapshots(self._client, cache).remove(snapshot, operation, _about(operation, vm, snapshot.id))

    def revert(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        request_id: str,
        operation: Operation,
        *,
        suppress_power_on: bool = False,  # noqa: ARG002 - the VM Operator's API has no such choice
        asked: Callable[[str], None] | None = None,  # noqa: ARG002 - it has no tasks
        again: Callable[[], object] = lambda: None,  # noqa: ARG002 - nor is it asked twice
    ) -> dt.datetime | None:
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
            doing = Revert(
                self._client,
                cache,
                vm_name=name,
                vm_uid=vm.identity.uid,
                target=snapshot.id,
                target_uid=snapshot.uid,
                request_id=request_id,
                about=about,
                known_done=(before := vm.remembered.get(request_id)) is not None and before.succeeded,
            )
            return doing.run(snapshot.power_state, operation)

    def begin(self, requests: Sequence[tuple[VirtualMachine, str]], operation: Operation) -> None:
        """Nothing: a revert leaves its own note on the VM before it asks."""

    def end(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        """Nothing: its note says how a revert ended."""

    def take_back(self, vm: VirtualMachine, operation: Operation) -> bool:
        """Clear a failed request of ours, of whose process nothing is heard any more."""
        namespace, name = split_id(vm.identity.id)
        with self._vm_lock.hold(vm.identity.id, operation):
            asked = RevertRequest(
                self._client,
                self._inventory.cache(namespace, operation),
                vm_name=name,
                vm_uid=vm.identity.uid,
                target="",
                request_id="",
                about=_about(operation, vm),
            )
            return asked.take_back_failed(operation)

    def forget(self, vm_ids: Sequence[str], owner: str, until: dt.datetime, operation: Operation) -> None:
        """Note on the VMs that a resource has been deleted, on each that takes it."""
        change = {"metadata": {"annotations": {FORGOTTEN + owner: until.isoformat()}}}
        for vm_id in vm_ids:
            namespace, name = split_id(vm_id)
            with contextlib.suppress(VmsnapshotError):
                cache = self._inventory.cache(namespace, operation)
                path = self._client.path(namespace, MACHINES, name)
                cache.machines.upsert(self._client.merge(path, change, operation, operation.what))

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


def _about(operation: Operation, vm: VirtualMachine, snapshot: str | None = None) -> Subject:
    return Subject(operation.what, f'"{vm.identity.id}"', f'"{snapshot}"' if snapshot else None)
