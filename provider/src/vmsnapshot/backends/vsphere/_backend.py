"""The part of the port that changes something, on vSphere."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from pyVmomi import vim

from vmsnapshot.backends._keyed_lock import KeyedLock
from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._clones import Clones
from vmsnapshot.backends.vsphere._connection import Login
from vmsnapshot.backends.vsphere._create import start_snapshot
from vmsnapshot.backends.vsphere._credentials import Credentials
from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.backends.vsphere._faults import Subject, Unread
from vmsnapshot.backends.vsphere._marks import part_mark
from vmsnapshot.backends.vsphere._names import escape
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._properties import WITH_RESULT, WITHOUT_HARDWARE, WITHOUT_SIZES
from vmsnapshot.backends.vsphere._reader import VsphereReader
from vmsnapshot.backends.vsphere._reads import Reading
from vmsnapshot.backends.vsphere._tasks import NOTHING_DONE, REPEATABLE
from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle.errors import (
    Busy,
    Gone,
    PlatformError,
    Refused,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner
from vmsnapshot.lifecycle.port import ReadMask, SnapshotRequest
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# How long it may take to record that reverts begin, which nothing is done before. Ours.
_BEGINNING: Final = dt.timedelta(minutes=5)
# How long a look may take whether a task has ended, until it is waited for. Ours.
_LOOKING: Final = dt.timedelta(seconds=5)


class VsphereBackend(VsphereReader):
    """vCenter or a single ESXi host, over one login.

    Args:
        endpoint: Where the server is and which certificate it must show.
        credentials: Who logs in, at the first call.
        ignore_history: Whether a task history that can't be read counts as empty.
    """

    def __init__(self, endpoint: Endpoint, credentials: Credentials, *, ignore_history: bool = False) -> None:
        super().__init__(endpoint, credentials, ignore_history=ignore_history)
        self._vm_lock = KeyedLock(self._changes)
        # The VMs as they were read with the end of a task that made a snapshot, by the snapshot's id.
        self._with_made: dict[str, VirtualMachine] = {}
        self._begins: Batcher[tuple[str, str], str | None] = Batcher(
            "events", self._begin_together, self._connection.crowd, silence=self._connection.silence.text
        )
        self.clones = Clones(self._connection, self._reads, self._tasks, self._vm_lock)

    @classmethod
    def of(cls, configuration: Configuration) -> VsphereBackend:
        """The backend of a configuration; nothing is called yet.

        Raises:
            InvalidInput: A setting is wrong.
        """
        endpoint = Endpoint.of(configuration)
        return cls(
            endpoint,
            Credentials.of(configuration, endpoint),
            ignore_history=configuration.ignore_task_history,
        )

    def _changes(self, vm_id: str) -> None:
        """Something is about to be done to a VM, or has been: what was read of it counts no more."""
        self._kept.forget(vm_id)
        self.clones.changes(vm_id)

    def create_snapshot(
        self,
        vm: VirtualMachine,
        request: SnapshotRequest,
        operation: Operation,
        *,
        looks: bool = False,
    ) -> str:
        """Take a snapshot and wait for it; its uniqueID.

        On cancellation the task is cancelled where the platform can.

        Raises:
            Unreachable: The connection dropped before the answer; it is not sent again: the
                caller looks what came of it.
        """
        subject = Subject.of(operation.what, vm, request.name)
        after: Reading | None = None

        def look(task_id: str) -> Mapping[str, Any]:
            nonlocal after
            asked = [(WITH_RESULT, task_id), (WITHOUT_HARDWARE, vm.identity.id)]
            looking = operation.part(operation.what, within=_LOOKING)
            task, machine = self._reads.outcomes(asked, looking)
            after = machine if isinstance(machine, Reading) else None
            return task.properties if isinstance(task, Reading) else {}

        def start(login: Login) -> Any:
            target = login.ref("VirtualMachine", vm.identity.id)
            return start_snapshot(target, request, vm.identity.instance_uuid)

        with self._vm_lock.hold(vm.identity.id, operation):
            result = retry(
                operation,
                NOTHING_DONE,
                lambda: self._tasks.run(
                    operation,
                    subject,
                    start,
                    request_id=request.request_id,
                    once=True,
                    look=look if looks else None,
                ),
            ).result
        if result is None:
            raise PlatformError(
                "vSphere says that it is done, but not which snapshot it made.", subject=subject
            )
        made = object_id(result)
        if after is not None:
            self._with_made[made] = self._observed(vm.identity.id, after, operation)
        return made

    def wait_until_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> None:
        """Nothing: a snapshot is complete when it is made."""

    def observe_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> VirtualMachine:
        """The VM with a snapshot that was made: as it was read with the task, or else as it is now."""
        after = self._with_made.pop(snapshot_id, None)
        if after is None or after.snapshot(snapshot_id) is None:
            after = self.observe(vm.identity.id, operation, ReadMask.SIZES)
        return after

    def withdraw_snapshot(
        self,
        vm: VirtualMachine,  # noqa: ARG002 - the port's
        snapshot_id: str,  # noqa: ARG002
        operation: Operation,  # noqa: ARG002
    ) -> bool:
        """Nothing: a snapshot that has an id is taken."""
        return False

    def change_snapshot(  # noqa: PLR0917 - the port's
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        name: str,
        description: str,
        owner: Owner,
        operation: Operation,
    ) -> None:
        """Change a snapshot's name, description and owner in place.

        Raises:
            Unsupported: The server can't.
        """
        subject = Subject.of(operation.what, vm, snapshot)
        stored = ownership.describe(description, owner, vm.identity.instance_uuid, name)

        def rename(login: Login) -> None:
            login.ref("VirtualMachineSnapshot", snapshot.id).RenameSnapshot(escape(name), stored)

        with self._vm_lock.hold(vm.identity.id, operation):
            retry(operation, REPEATABLE, lambda: self._connection.call(operation, subject, rename))

    def remove_snapshot(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        *,
        remove_children: bool,
        consolidate: bool,
        operation: Operation,
    ) -> None:
        """Remove a snapshot and wait for it; one that is already gone counts as removed.

        That something wasn't found may be said of something else, such as a file: it is looked for alone.
        """

        def start(login: Login) -> Any:
            return login.ref("VirtualMachineSnapshot", snapshot.id).RemoveSnapshot_Task(
                remove_children, consolidate
            )

        subject = Subject.of(operation.what, vm, snapshot)
        with self._vm_lock.hold(vm.identity.id, operation):
            try:
                retry(operation, REPEATABLE, lambda: self._tasks.run(operation, subject, start))
            except Gone as error:
                self._require_removed(vm, snapshot, error, operation)

    def _require_removed(
        self, vm: VirtualMachine, snapshot: Snapshot, error: Gone, operation: Operation
    ) -> None:
        """Go on only if a snapshot, asked for alone, is no longer there, and has left nothing unmerged.

        Raises:
            PlatformError: It is there, or the disks could not be merged.
            Unread: Nothing is known of it: its VM may have another id by now, and it, too.
        """
        asked = [(WITHOUT_SIZES, vm.identity.id), ("VirtualMachineSnapshot", snapshot.id)]
        reading, held = self._reads.outcomes(asked, operation)
        why, subject = error.explanation, error.subject
        if not isinstance(reading, Reading):
            text = f"{why} Whether it was removed is not known: of its VM, {reading.explanation}"
            raise Unread(text, subject=subject)
        after = self._observed(vm.identity.id, reading, operation)
        if after.snapshot(snapshot.id) is not None or isinstance(held, Reading):
            raise PlatformError(f"{error.reason} But the snapshot is still there.", subject=subject)
        if not isinstance(held, Gone):
            raise Unread(f"{why} Whether it was removed is not known: {held.explanation}", subject=subject)
        if after.consolidation_needed and not vm.consolidation_needed:
            raise PlatformError(error.reason, subject=subject)

    def revert(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        request_id: str,
        operation: Operation,
        *,
        suppress_power_on: bool = False,
        asked: Callable[[str], None] | None = None,
        again: Callable[[], object] = lambda: None,
    ) -> dt.datetime | None:
        """Revert the VM to a snapshot and wait for it.

        With `suppress_power_on`, a snapshot with the memory of a running VM leaves it suspended.

        Raises:
            Gone: The snapshot is definitely no longer there.
            Unreachable: The connection dropped before the answer; it is not sent again: the
                caller looks for the task by `request_id`.
        """

        def start(login: Login) -> Any:
            return login.ref("VirtualMachineSnapshot", snapshot.id).RevertToSnapshot_Task(
                host=None, suppressPowerOn=suppress_power_on
            )

        subject = Subject.of(operation.what, vm, snapshot)
        tries = itertools.count()

        def attempt() -> dt.datetime | None:
            if next(tries):
                again()
            begun: list[str] = []

            def started(task_id: str) -> None:
                begun.append(task_id)
                if asked is not None:
                    asked(task_id)

            try:
                ended = self._tasks.run(
                    operation, subject, start, request_id=request_id, once=True, started=started
                )
            except Busy as error:
                # Only of a VM that was busy is it sure that nothing was done: what else was in use may have
                # kept it from being powered on, after its disks were taken back.
                if begun and not isinstance(error.__cause__, vim.fault.TaskInProgress):
                    raise Refused(error.reason, subject=subject, hint=error.hint, retryable=True) from error
                raise
            return ended.completed

        with self._vm_lock.hold(vm.identity.id, operation):
            self._hardware.forget(vm.identity.id)
            return retry(operation, NOTHING_DONE, attempt)

    def begin(self, requests: Sequence[tuple[VirtualMachine, str]], operation: Operation) -> str | None:
        """Write down on the server that requests begin: in its event log, where it has one and lets us."""
        asked = [(vm.identity.id, request_id) for vm, request_id in requests]
        if len(asked) == 1:
            return self._begins.ask(asked[0], operation)
        return self._history.events.begin(asked, operation)

    def _begin_together(self, requests: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        """Write down that requests of several resources begin."""
        operation = Operation("recording that reverts begin", timeout=_BEGINNING)
        return dict.fromkeys(requests, self._history.events.begin(requests, operation))

    def end(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        """Write down on the server that a request has failed."""
        self._history.events.end(vm, request_id, operation)

    def take_back(self, vm: VirtualMachine, operation: Operation) -> bool:  # noqa: ARG002 - as the port has it
        """Nothing: vSphere tries nothing again."""
        return False

    def forget(self, vm_ids: Sequence[str], owner: str, until: dt.datetime, operation: Operation) -> None:
        """Write down on the server that a resource has been deleted."""
        self._history.events.forget(vm_ids, owner, until, operation)

    def set_power(
        self,
        vm: VirtualMachine,
        power: Literal["on", "off"],
        operation: Operation,
        *,
        part_of: str | None = None,
    ) -> None:
        """Switch the VM on or (hard) off and wait for it; nothing is done if it already is."""
        vm_id = vm.identity.id
        mark = None if part_of is None else part_mark(part_of)
        wanted = {"on": "PoweredOn", "off": "PoweredOff"}[power]
        subject = Subject.of(operation.what, vm)

        def start(login: Login) -> Any:
            machine = login.ref("VirtualMachine", vm_id)
            return machine.PowerOnVM_Task() if power == "on" else machine.PowerOffVM_Task()

        def switch() -> None:
            if self.observe(vm_id, operation).machine.power_state != wanted:
                self._tasks.run(operation, subject, start, request_id=mark)

        with self._vm_lock.hold(vm_id, operation):
            try:
                retry(operation, REPEATABLE, switch)
            except Refused:
                # Somebody else may have done it since we looked.
                if self.observe(vm_id, operation).machine.power_state != wanted:
                    raise

    def close(self) -> None:
        """Log out and let go of everything; further calls raise Unreachable."""
        self._tasks.close()
        self._connection.close()
