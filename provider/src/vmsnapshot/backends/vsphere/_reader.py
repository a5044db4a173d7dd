"""The part of the port that looks, on vSphere."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._above import parent_of
from vmsnapshot.backends.vsphere._connection import Connection
from vmsnapshot.backends.vsphere._credentials import Credentials
from vmsnapshot.backends.vsphere._durations import last_revert
from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._fleet import Fleet
from vmsnapshot.backends.vsphere._hardware import Hardware
from vmsnapshot.backends.vsphere._history import History
from vmsnapshot.backends.vsphere._inventory import Inventory
from vmsnapshot.backends.vsphere._kept import MOST_AHEAD, KeptVMs
from vmsnapshot.backends.vsphere._networks import Networks
from vmsnapshot.backends.vsphere._observe import hardware_of, machine, virtual_machine
from vmsnapshot.backends.vsphere._properties import (
    HELD,
    WITH_KNOWN_HARDWARE,
    WITHOUT_HARDWARE,
    WITHOUT_LAYOUT,
    WITHOUT_SETTINGS,
    WITHOUT_SIZES,
)
from vmsnapshot.backends.vsphere._protection import Protection
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reading, Reads
from vmsnapshot.backends.vsphere._remembered import past_tasks, recent
from vmsnapshot.backends.vsphere._table import Hit
from vmsnapshot.backends.vsphere._tasks import Tasks
from vmsnapshot.lifecycle.common.selection import select_snapshot
from vmsnapshot.lifecycle.errors import (
    Gone,
    InvalidInput,
    NotFound,
    VmsnapshotError,
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
from vmsnapshot.model._base import replace
from vmsnapshot.model.identity import ServerIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.task import AskedTask, PastRevert, PastTask

# Of so many snapshots, or of all that were asked for at once, what they hold is kept, some 20 KiB each:
# check, diff, preview and the act itself read it in turn.
_KEPT_MACHINES: Final = 256


class VsphereReader:
    """What is on a vCenter or a single ESXi host: VMs, their snapshots and their tasks. Changes nothing.

    Args:
        endpoint: Where the server is and which certificate it must show.
        credentials: Who logs in, at the first call.
        ignore_history: Whether a task history that can't be read counts as empty.

    Attributes:
        address: The server's, as the setting `vsphereServer` is written.
    """

    def __init__(self, endpoint: Endpoint, credentials: Credentials, *, ignore_history: bool = False) -> None:
        self.address = str(endpoint)
        self._connection = Connection(endpoint, credentials)
        self._reads = Reads(self._connection)
        self._networks = Networks(self._connection)
        self._inventory = Inventory(self._connection, self._reads, self._networks)
        self._tasks = Tasks(self._connection)
        self._history = History(self._connection, self._reads, ignored=ignore_history)
        self._protection = Protection(self._connection, self._history)
        self._hardware = Hardware()
        self._kept = KeptVMs()
        # What a snapshot holds never changes, and its id is never given to another. The latest ones are kept.
        self._machines: dict[str, Machine] = {}
        # The VMs of whose current snapshot that is kept, unless they have had another since.
        self._current: set[str] = set()

    def server(self, vm_id: str, operation: Operation) -> ServerIdentity:  # noqa: ARG002 - one for all VMs
        """The server's `about.instanceUuid`, which the login has read."""
        if not self._connection.is_logged_in:
            subject = Subject(operation.what)
            retry(
                operation,
                WORTH_ANOTHER_READ,
                lambda: self._connection.call(operation, subject, lambda _login: None),
            )
        return ServerIdentity(self._connection.server)

    def now(self, operation: Operation) -> dt.datetime:
        """The server's `CurrentTime`, reckoned on by this machine's clock."""
        return self._history.clock.now(operation)

    def find(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        """Look a VM up by what the user wrote, and observe it.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: Several have that name; the message lists their paths and ids.
        """
        return values(self.find_all([reference], operation))[0]

    def find_shown(
        self, reference: VMReference, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> VirtualMachine:
        """The same for what is only shown: as it was read in the last seconds, with others read ahead."""
        hit = self._inventory.find([reference.name], operation)[reference.name]
        if isinstance(hit, Hit):
            vm = self._kept.take(hit.id)
            if vm is None and (ahead := self._kept.next(hit.id, self._inventory.names)):
                # One of those that nobody has asked for may be what can't be read.
                with contextlib.suppress(VmsnapshotError):
                    self.observe_all([hit.id, *ahead], operation, read)
                vm = self._kept.take(hit.id)
            if vm is not None and hit.still_holds(reference.name, vm.identity):
                return vm
        return values(self.find_all([reference], operation, read))[0]

    def forget_shown(self) -> None:
        """Forget the readings of the last seconds."""
        self._kept.clear()

    def find_all(
        self,
        references: Sequence[VMReference],
        operation: Operation,
        read: ReadMask = ReadMask.ALL,
    ) -> list[Outcome[VirtualMachine]]:
        """Look many up; each as found, or why it wasn't."""
        names = list(dict.fromkeys(reference.name for reference in references))
        answers = self._look_up(names, operation, read)
        stale = [name for name in names if name not in answers]
        if stale:
            answers |= self._look_up(stale, operation, read, anew=True)
        return [answers.get(reference.name) or _passing(reference, operation) for reference in references]

    def _look_up(
        self, names: Sequence[str], operation: Operation, read: ReadMask, *, anew: bool = False
    ) -> dict[str, Outcome[VirtualMachine]]:
        """What each names; without those whose VM is no longer the one (renamed, moved, removed)."""
        found = self._inventory.find(names, operation, anew=anew)
        hits = {name: hit for name, hit in found.items() if isinstance(hit, Hit)}
        answers: dict[str, Outcome[VirtualMachine]] = {
            name: error for name, error in found.items() if isinstance(error, VmsnapshotError)
        }
        # Not kept: whoever looks a VM up by what the user wrote uses the reading now.
        observed = self._read_all([hit.id for hit in hits.values()], operation, read)
        for name, hit in hits.items():
            vm = observed[hit.id]
            self._kept.take(hit.id)  # this is newer
            if isinstance(vm, Gone):
                if anew:
                    text = f'VM "{name}" ({hit.id}) has just been removed.'
                    answers[name] = NotFound(text, subject=operation.what)
            elif not isinstance(vm, VirtualMachine) or hit.still_holds(name, vm.identity):
                answers[name] = vm
        return answers

    def observe(self, vm_id: str, operation: Operation, read: ReadMask = ReadMask.ALL) -> VirtualMachine:
        """Observe a VM whose id is known.

        Raises:
            Gone: It is definitely no longer there.
        """
        return values(self.observe_all([vm_id], operation, read))[0]

    def observe_all(
        self, vm_ids: Sequence[str], operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe many; each as it is, or why it could not be read."""
        begun = time.monotonic()
        found = self._read_all(vm_ids, operation, read)
        if ReadMask.ALL in read and len(found) <= 1 + MOST_AHEAD:
            for vm in found.values():
                if isinstance(vm, VirtualMachine):
                    self._kept.keep(vm, begun)
        return [found[vm_id] for vm_id in vm_ids]

    def _read_all(
        self, vm_ids: Sequence[str], operation: Operation, read: ReadMask
    ) -> dict[str, Outcome[VirtualMachine]]:
        hardware, sizes = ReadMask.HARDWARE in read, ReadMask.SIZES in read
        known = self._hardware.known(vm_ids) if hardware else {}
        unread = WITHOUT_HARDWARE if sizes else WITHOUT_SIZES
        if hardware:
            without_sizes = WITHOUT_LAYOUT if ReadMask.SETTINGS in read else WITHOUT_SETTINGS
            unread = "VirtualMachine" if sizes else without_sizes
        read_before = WITH_KNOWN_HARDWARE if sizes else WITHOUT_SIZES
        asked = [(read_before if vm_id in known else unread, vm_id) for vm_id in vm_ids]
        held = [(HELD, vm_id) for vm_id in vm_ids if ReadMask.CURRENT in read and vm_id not in self._current]
        outcomes = self._reads.outcomes([*asked, *held], operation)
        found = dict(zip(vm_ids, outcomes, strict=False))
        changed = [vm_id for vm_id, item in known.items() if item.is_old(found[vm_id])]
        whole = self._reads.outcomes([("VirtualMachine", vm_id) for vm_id in changed], operation)
        found |= zip(changed, whole, strict=True)

        def observed(vm_id: str) -> Outcome[VirtualMachine]:
            reading = found[vm_id]
            if isinstance(reading, VmsnapshotError):
                return reading
            vm = self._observed(vm_id, reading, operation)
            if vm_id in known and vm_id not in changed:
                return known[vm_id].completes(vm)
            if hardware and "config" in reading.properties:
                self._hardware.keep(vm, reading.properties)
            return vm

        vms = {vm_id: observed(vm_id) for vm_id in vm_ids}
        for (_, vm_id), outcome in zip(held, outcomes[len(asked) :], strict=True):
            self._keep_current(vms[vm_id], outcome, operation)
        return vms

    def _keep_current(
        self, vm: Outcome[VirtualMachine], held: Outcome[Reading], operation: Operation
    ) -> None:
        """Keep what the current snapshot of a VM holds, if that was told."""
        if isinstance(vm, VmsnapshotError) or isinstance(held, VmsnapshotError) or not held.properties:
            return
        if (snapshot := vm.snapshot(held.properties["id"])) is not None:
            names = self._networks.names(hardware_of(held.properties), operation)
            self._machines[snapshot.id] = machine(held.properties, snapshot.power_state, names)
            self._current.add(vm.identity.id)

    def list_machines(
        self, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe every VM visible to this user, templates included; each, or why it could not be read."""
        return self.observe_all(self._inventory.ids(operation), operation, read)

    def inventory(self, scope: InventoryScope, operation: Operation) -> Iterator[InventoryEntry | NotRead]:
        """Every VM of a scope with its snapshots, by pages of the property collector."""
        return Fleet(self._connection).entries(scope, operation)

    def find_snapshot(self, identifier: str, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        """The snapshot that an import names by `<vm>@<snapshot>`.

        VM names and snapshot names may hold an `@` themselves: each split is tried.

        Raises:
            InvalidInput: It has another form.
            NotFound: There is none.
            Ambiguous: It names several.
        """
        splits = [index for index, letter in enumerate(identifier) if letter == "@"]
        if not splits:
            raise InvalidInput(
                "id",
                f"{identifier!r} names no snapshot; write <vm>@<snapshot>, such as "
                "web-1@base/release-41 or vm-42@snapshot-226",
            )
        failure: VmsnapshotError | None = None
        for index in splits:
            try:
                vm = self.find(VMReference(identifier[:index]), operation)
                return vm, select_snapshot(vm, identifier[index + 1 :])
            except NotFound as error:
                failure = failure or error
        assert failure is not None  # noqa: S101 - there was at least one split, and it failed
        raise failure

    def has_snapshot(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> bool:  # noqa: ARG002
        """No: vSphere tells a VM's snapshots in one property, whole or not at all."""
        return False

    def identifier(self, vm: VirtualMachine, snapshot_id: str) -> str:
        """The resource id of a snapshot, such as `vm-42@snapshot-226`."""
        return f"{vm.identity.id}@{snapshot_id}"

    def machines_at(
        self, targets: Sequence[tuple[VirtualMachine, Snapshot]], operation: Operation
    ) -> list[Outcome[Machine]]:
        """What each VM was when its snapshot was taken: its hardware and settings.

        `power_state` is the one that a revert leaves. With what a single one was, that of kept VMs is read.
        """
        wanted = {snapshot.id: snapshot for _, snapshot in targets}
        known = dict(self._machines)
        found: dict[str, Outcome[Machine]] = {item: known[item] for item in wanted if item in known}
        unread = [item for item in wanted if item not in found]
        if unread and len(targets) == 1:
            wanted = {**self._alike(targets[0][1]), **wanted}
            unread = [item for item in wanted if item not in known]
        outcomes = self._reads.outcomes([("VirtualMachineSnapshot", item) for item in unread], operation)
        for snapshot_id, outcome in zip(unread, outcomes, strict=True):
            if isinstance(outcome, VmsnapshotError):
                found[snapshot_id] = outcome
            else:
                power = wanted[snapshot_id].power_state
                names = self._networks.names(hardware_of(outcome.properties), operation)
                read = machine(outcome.properties, power, names)
                found[snapshot_id] = self._machines[snapshot_id] = read
        for oldest in list(self._machines)[: -max(_KEPT_MACHINES, len(wanted))]:
            self._machines.pop(oldest, None)
        return [found[snapshot.id] for _, snapshot in targets]

    def _alike(self, target: Snapshot) -> dict[str, Snapshot]:
        """The snapshots of the same name of kept VMs, by id: probably what will be asked for next."""
        alike = [[item for item in vm.snapshots if item.name == target.name] for vm in self._kept.waiting()]
        return {items[0].id: items[0] for items in alike if len(items) == 1}

    def prepare(self, operation: Operation) -> None:
        """Begin to read the server's history and its events in the background."""
        self._history.prepare(operation)

    def weaker_protection(self, vms: Sequence[VirtualMachine], operation: Operation) -> str | None:
        """What this server and this login lack by which an interrupted revert would be recognised."""
        return self._protection.weaker(vms, operation)

    def forgotten(self, vm: VirtualMachine, owner: str, operation: Operation) -> dt.datetime | None:
        """Until when what was done to a VM belongs to a deleted resource, as far as events tell."""
        return self._history.events.forgotten(self._history.ids(vm), owner, operation)

    def recent_task(self, vm: VirtualMachine, request_id: str, operation: Operation) -> PastTask | None:
        """The most recent task with that request id, if it runs or ended within the last hour.

        vSphere lists the tasks of some minutes with the VM; a vCenter's history is read once for all.
        """
        return self._history.recent(vm, request_id, operation)

    def find_tasks(
        self,
        requests: Sequence[tuple[VirtualMachine, str]],
        operation: Operation,
        read: ReadMask = ReadMask.TASKS,
        noted: Mapping[str, AskedTask] | None = None,
    ) -> list[PastTask | None]:
        """For each VM the most recent task with that request id, if the platform remembers.

        vSphere remembers tasks for some minutes with the VM, and a vCenter for weeks in its
        history, which is asked once for all requests.
        """
        just_read = ReadMask.TASKS not in read
        return self._history.find(requests, operation, just_read=just_read, noted=noted or {})

    def known_reverts(self, vm: VirtualMachine, operation: Operation) -> Mapping[str, PastTask]:
        """Those that the server lists with the VM, and those of the last hours in its history and events."""
        return self._history.known_reverts(vm, operation)

    def last_reverts(
        self, vms: Sequence[VirtualMachine], operation: Operation
    ) -> list[Outcome[PastRevert | None]]:
        """The last revert of each VM that ended well, by the server's task history."""
        return [last_revert(self._history, vm, operation) for vm in vms]

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a task has ended, however it ended; one that is forgotten has ended."""
        self._tasks.wait(task_id, operation, Subject.of(operation.what, vm))

    def _observed(self, vm_id: str, reading: Reading, operation: Operation) -> VirtualMachine:
        properties = reading.properties
        path = self._reads.above.path(parent_of(properties), properties.get("name") or vm_id)
        names = self._networks.names(hardware_of(properties), operation)
        vm = virtual_machine(vm_id, properties, reading.tasks, reading.datastores, path, networks=names)
        identity = replace(vm.identity, server=self._connection.server)
        return replace(vm, identity=identity, remembered=past_tasks(recent(reading)))


def _passing(reference: VMReference, operation: Operation) -> VmsnapshotError:
    """The error of a VM that changed its name or place each time it was looked for."""
    text = (
        f'what "{reference.name}" names has changed between two calls, twice: VMs are being renamed or '
        "moved just now."
    )
    return faults.Unread(text, subject=operation.what)
