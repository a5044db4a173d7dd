"""The port, on vSphere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._history import Remembered, history, past_task
from vmsnapshot.backends.vsphere._inventory import Inventory
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import WITHOUT_HARDWARE, machine, virtual_machine
from vmsnapshot.backends.vsphere._queue import Queues
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reading, Reads
from vmsnapshot.backends.vsphere._retry import again, raises
from vmsnapshot.backends.vsphere._session import Login, Session
from vmsnapshot.backends.vsphere._tasks import Tasks
from vmsnapshot.lifecycle.errors import (
    Busy,
    Gone,
    NotFound,
    PlatformError,
    Refused,
    Unsupported,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import SnapshotRequest, VMReference
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.machine import Machine, PastTask, Snapshot, VirtualMachine

# vSphere takes whole minutes, and no fewer or more than these.
_QUIESCE_MINUTES: Final = (5, 240)

# After these nothing was done, so the same can be sent again.
_NOTHING_DONE = raises(Busy, faults.NotSent)
# For what may be done twice without harm.
_REPEATABLE = _NOTHING_DONE | raises(faults.Interrupted, faults.Forgotten)


class VsphereBackend:
    """vCenter or a single ESXi host, over one login.

    Args:
        endpoint: Where the server is and which certificate it must show.
        user: The user to log in as, at the first call.
        password: Their password; it appears in no message.
    """

    platform = "vsphere"
    can_rename = True

    def __init__(self, endpoint: Endpoint, user: str, password: str) -> None:
        self._session = Session(endpoint, user, password)
        self._inventory = Inventory(self._session)
        self._reads = Reads(self._session)
        self._tasks = Tasks(self._session)
        self._queues = Queues()
        # What a snapshot holds never changes, and its id is never given to another.
        self._machines: dict[str, Machine] = {}

    @classmethod
    def of(cls, configuration: Configuration) -> VsphereBackend:
        """The backend of a configuration; nothing is called yet.

        Raises:
            InvalidInput: A setting is wrong.
        """
        return cls(Endpoint.of(configuration), configuration.user or "", configuration.password or "")

    def find(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        """Look a VM up by what the user wrote, and observe it.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: Several have that name; the message lists their paths and ids.
        """
        stale = 0
        while True:
            entry = self._inventory.find(reference.name, operation, newer_than=stale)
            generation = self._inventory.generation
            try:
                vm = self.observe(entry.id, operation)
            except Gone:
                vm = None
            if vm is not None and (vm.identity.name, vm.identity.path) == (entry.name, entry.path):
                return vm
            if stale:
                break
            stale = generation
        if vm is None:
            raise NotFound(f'{operation.what}: VM "{reference.name}" ({entry.id}) has just been removed.')
        return vm

    def observe(self, vm_id: str, operation: Operation, *, hardware: bool = True) -> VirtualMachine:
        """Observe a VM whose id is known; without `hardware`, that is left unknown.

        Raises:
            Gone: It is definitely no longer there.
        """
        kind = "VirtualMachine" if hardware else WITHOUT_HARDWARE
        return self._observed(vm_id, self._reads.read([(kind, vm_id)], operation)[0], operation)

    def list_machines(self, operation: Operation) -> Sequence[VirtualMachine]:
        """Observe every VM that the login may see (templates included)."""
        index = self._inventory.index(operation, newer_than=self._inventory.generation)
        readings = self._reads.read_present([("VirtualMachine", vm_id) for vm_id in index.entries], operation)
        return [self._observed(vm_id, reading, operation) for (_, vm_id), reading in readings.items()]

    def machines_at(
        self, vm: VirtualMachine, snapshot_ids: Iterable[str], operation: Operation
    ) -> dict[str, Machine]:
        """What the VM was when each snapshot was taken: its hardware and settings.

        `power_state` is the one that a revert leaves.

        Raises:
            Gone: A snapshot is definitely no longer there.
        """
        wanted = list(dict.fromkeys(snapshot_ids))
        unread = [item for item in wanted if item not in self._machines]
        readings = self._reads.read([("VirtualMachineSnapshot", item) for item in unread], operation)
        for unique_id, reading in zip(unread, readings, strict=True):
            snapshot = vm.snapshot(unique_id)
            state = snapshot.power_state if snapshot else None
            self._machines[unique_id] = machine(reading.properties, state)
        return {unique_id: self._machines[unique_id] for unique_id in wanted}

    def create_snapshot(self, vm: VirtualMachine, request: SnapshotRequest, operation: Operation) -> str:
        """Take a snapshot and wait for it; its uniqueID.

        On cancellation the task is cancelled where the platform can.

        Raises:
            Unreachable: The connection dropped before the answer; it is not sent again: the
                caller looks what came of it.
        """
        subject = Subject.of(operation.what, vm, request.name)

        def start(login: Login) -> Any:
            return _start_snapshot(login.ref("VirtualMachine", vm.identity.id), request)

        with self._queues.turn(vm.identity.id, operation):
            result = again(
                operation,
                _NOTHING_DONE,
                lambda: self._tasks.run(operation, subject, start, request_id=request.request_id, once=True),
            )
        if result is None:
            raise PlatformError(f"{subject}: vSphere says that it is done, but not which snapshot it made.")
        return object_id(result)

    def rename_snapshot(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        name: str,
        description: str,
        operation: Operation,
    ) -> None:
        """Change a snapshot's name and stored description in place.

        Raises:
            Unsupported: The server can't.
        """
        subject = Subject.of(operation.what, vm, snapshot)

        def rename(login: Login) -> None:
            login.ref("VirtualMachineSnapshot", snapshot.unique_id).RenameSnapshot(name, description)

        with self._queues.turn(vm.identity.id, operation):
            again(operation, _REPEATABLE, lambda: self._session.call(operation, subject, rename))

    def remove_snapshot(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        *,
        remove_children: bool,
        consolidate: bool,
        operation: Operation,
    ) -> None:
        """Remove a snapshot and wait for it; one that is already gone counts as removed."""

        def start(login: Login) -> Any:
            return login.ref("VirtualMachineSnapshot", snapshot.unique_id).RemoveSnapshot_Task(
                remove_children, consolidate
            )

        subject = Subject.of(operation.what, vm, snapshot)
        with self._queues.turn(vm.identity.id, operation):
            try:
                again(operation, _REPEATABLE, lambda: self._tasks.run(operation, subject, start))
            except Gone:
                return

    def revert(self, vm: VirtualMachine, snapshot: Snapshot, request_id: str, operation: Operation) -> None:
        """Revert the VM to a snapshot and wait for it.

        Raises:
            Gone: The snapshot is definitely no longer there.
            Unreachable: The connection dropped before the answer; it is not sent again: the
                caller looks for the task by `request_id`.
        """

        def start(login: Login) -> Any:
            return login.ref("VirtualMachineSnapshot", snapshot.unique_id).RevertToSnapshot_Task(
                host=None, suppressPowerOn=False
            )

        subject = Subject.of(operation.what, vm, snapshot)
        with self._queues.turn(vm.identity.id, operation):
            again(
                operation,
                _NOTHING_DONE,
                lambda: self._tasks.run(operation, subject, start, request_id=request_id, once=True),
            )

    def find_task(self, vm: VirtualMachine, request_id: str, operation: Operation) -> PastTask | None:
        """The most recent task on the VM that carries this request id, if the platform remembers.

        vSphere remembers tasks for some minutes with the VM, and a vCenter for weeks in its
        history.
        """
        vm_id = vm.identity.id
        reading = self._reads.read([("VirtualMachine", vm_id)], operation)[0]
        recent = [
            task
            for task_id, properties in reading.tasks.items()
            if (task := Remembered.of_properties(task_id, properties)) is not None
        ]
        found = past_task(recent, request_id)
        if found is not None:
            return found
        subject = Subject.of(operation.what, vm)

        def look(login: Login) -> list[Remembered]:
            return history(login, vm_id) if login.is_vcenter else []

        try:
            older = again(
                operation,
                WORTH_ANOTHER_READ,
                lambda: self._session.call(operation, subject, look),
            )
        except (Unsupported, PlatformError):
            return None
        return past_task([*older, *recent], request_id)

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a task has ended, however it ended; one that is forgotten has ended."""
        self._tasks.wait(task_id, operation, Subject.of(operation.what, vm))

    def set_power(self, vm: VirtualMachine, power: Literal["on", "off"], operation: Operation) -> None:
        """Switch the VM on or (hard) off and wait for it; nothing is done if it already is."""
        vm_id = vm.identity.id
        wanted = {"on": "PoweredOn", "off": "PoweredOff"}[power]
        subject = Subject.of(operation.what, vm)

        def start(login: Login) -> Any:
            machine = login.ref("VirtualMachine", vm_id)
            return machine.PowerOnVM_Task() if power == "on" else machine.PowerOffVM_Task()

        def switch() -> None:
            if self.observe(vm_id, operation).machine.power_state != wanted:
                self._tasks.run(operation, subject, start)

        with self._queues.turn(vm_id, operation):
            try:
                again(operation, _REPEATABLE, switch)
            except Refused:
                # Somebody else may have done it since we looked.
                if self.observe(vm_id, operation).machine.power_state != wanted:
                    raise

    def close(self) -> None:
        """Log out and let go of everything; further calls raise Unreachable."""
        self._tasks.close()
        self._session.close()

    def _observed(self, vm_id: str, reading: Reading, operation: Operation) -> VirtualMachine:
        properties = reading.properties
        parent = properties.get("parentVApp") or properties.get("parent")
        path = parent and self._inventory.path(object_id(parent), properties.get("name") or vm_id, operation)
        return virtual_machine(vm_id, properties, reading.tasks, reading.datastores, path)


def _start_snapshot(vm: Any, request: SnapshotRequest) -> Any:
    if request.quiesce is None:
        return vm.CreateSnapshot_Task(request.name, request.description, request.memory, quiesce=False)
    spec = vim.vm.GuestQuiesceSpec(timeout=quiesce_minutes(request.quiesce))
    try:
        return vm.CreateSnapshotEx_Task(request.name, request.description, request.memory, spec)
    except (vmodl.fault.MethodNotFound, vmodl.fault.NotSupported):
        return vm.CreateSnapshot_Task(request.name, request.description, request.memory, quiesce=True)


def quiesce_minutes(time: timedelta) -> int:
    """Whole minutes, rounded up, within what vSphere takes."""
    least, most = _QUIESCE_MINUTES
    return max(least, min(most, -(-int(time.total_seconds()) // 60)))
