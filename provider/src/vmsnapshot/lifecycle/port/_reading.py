"""The part of the port that looks: nothing on the platform changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port._values import (
    InventoryEntry,
    InventoryScope,
    NotRead,
    Outcome,
    ReadMask,
    VMReference,
)
from vmsnapshot.model.identity import ServerIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.task import AskedTask, PastRevert, PastTask


class Reader(Protocol):
    """Observes VMs, their snapshots and their tasks.

    Reads that come at the same time are gathered into few calls, and those of many VMs (`find_all`,
    `observe_all`, `machines_at`, `find_tasks`) take a number of calls that doesn't grow with the VMs.

    What can't be observed is None (`snapshots_supported`, `tools_running`, `shared_bus`, sizes): unknown,
    which forbids nothing and passes for nothing.
    """

    @property
    def address(self) -> str:
        """Where the server is; one server may have several."""
        ...

    def server(self, vm_id: str, operation: Operation) -> ServerIdentity:
        """Which server it is, where a VM of that id would be; what this user may not read isn't known.

        Raises:
            Unreachable: It could not be asked.
        """
        ...

    def now(self, operation: Operation) -> dt.datetime:
        """The time by the server's clock (UTC), by which it dates snapshots and tasks.

        Once it has been told, this raises nothing: it is reckoned on from there.

        Raises:
            Unreachable: The server has not told it yet, and can't be asked.
        """
        ...

    def find(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        """Look a VM up by what the user wrote, and observe it.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: Several have that name; the message lists their paths and ids.
        """
        ...

    def find_shown(
        self, reference: VMReference, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> VirtualMachine:
        """Look a VM up for what is only shown: as it is, or was within the last seconds.

        What a refresh has just read counts, unless something was done to the VM from here since; and VMs that
        will probably be asked for next may be read with it. Whoever acts on a VM reads it by `find`.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: Several have that name; the message lists their paths and ids.
        """
        ...

    def forget_shown(self) -> None:
        """Forget what was read to be shown, as another command of the engine begins."""
        ...

    def find_all(
        self,
        references: Sequence[VMReference],
        operation: Operation,
        read: ReadMask = ReadMask.ALL,
    ) -> list[Outcome[VirtualMachine]]:
        """Look many up; each as found, or why it wasn't (NotFound, Ambiguous, Denied).

        Raises:
            Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
        """
        ...

    def observe(self, vm_id: str, operation: Operation, read: ReadMask = ReadMask.ALL) -> VirtualMachine:
        """Observe a VM whose id is known.

        Raises:
            Gone: It is definitely no longer there.
        """
        ...

    def observe_all(
        self, vm_ids: Sequence[str], operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe many; each as it is, or why it could not be read (Gone, Denied).

        Raises:
            Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
        """
        ...

    def list_machines(
        self, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Observe every VM visible to this user, templates included; each, or why it could not be read.

        Raises:
            Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
        """
        ...

    def inventory(self, scope: InventoryScope, operation: Operation) -> Iterator[InventoryEntry | NotRead]:
        """Every VM of a scope with its snapshots, as they are read, by pages.

        A page takes a bounded number of calls and isn't kept. A VM is told once, or as not read: none is
        left out.

        Raises:
            NotFound: There is no such place.
            Ambiguous: Several have that name.
            Unreachable: A page could not be read; likewise whatever else fails all of it.
        """
        ...

    def find_snapshot(self, identifier: str, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        """The snapshot that an import names: the resource's id, or how people write it.

        vSphere: `<vm>@<snapshot>`; VM Operator: `<namespace>/<name>`.

        Raises:
            InvalidInput: It has another form.
            NotFound: There is none.
            Ambiguous: It names several.
        """
        ...

    def has_snapshot(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> bool:
        """Whether a snapshot that isn't among those of its VM is there all the same, asked for alone.

        An answer that leaves an object out isn't proof that it is gone. (For VMs, `observe` and `find` do
        the same by themselves.)
        """
        ...

    def identifier(self, vm: VirtualMachine, snapshot_id: str) -> str:
        """The resource id of a snapshot: `vm-42@snapshot-226` or `shop/release-41`."""
        ...

    def machines_at(
        self, targets: Sequence[tuple[VirtualMachine, Snapshot]], operation: Operation
    ) -> list[Outcome[Machine]]:
        """What each VM was when its snapshot was taken: hardware and settings.

        `power_state` is the one that a revert leaves; what the platform doesn't tell is named in
        `not_known`. Each as it was, or why it could not be read (Gone, Denied).
        """
        ...

    def prepare(self, operation: Operation) -> None:
        """Begin to read, in the background, what requests for reverts are looked for in.

        For whoever is about to ask: `recent_task` and `find_tasks` tell of it what they would tell anyway.
        """
        ...

    def weaker_protection(self, vms: Sequence[VirtualMachine], operation: Operation) -> str | None:
        """Why an interrupted revert of these VMs might not be recognised, and what helps, for previews.

        None: it will be, as far as can be told. It is found out once per login.
        """
        ...

    def forgotten(self, vm: VirtualMachine, owner: str, operation: Operation) -> dt.datetime | None:
        """Until when what was done to a VM belongs to a deleted resource of that owner; None: not known.

        Raises:
            PlatformError: It could not be read; likewise Denied, Refused, and Unsupported.
        """
        ...

    def recent_task(self, vm: VirtualMachine, request_id: str, operation: Operation) -> PastTask | None:
        """The most recent task with that request id, if it runs or ended within the last hour.

        For previews: asking one after another takes as few calls as asking at once. What began while
        this login works isn't looked for.
        """
        ...

    def find_tasks(
        self,
        requests: Sequence[tuple[VirtualMachine, str]],
        operation: Operation,
        read: ReadMask = ReadMask.TASKS,
        noted: Mapping[str, AskedTask] | None = None,
    ) -> list[PastTask | None]:
        """For each VM the most recent task with that request id, if the platform remembers.

        `noted`: tasks that are known to be those of requests, by the request's id, also where the platform
        keeps no mark with them.
        """
        ...

    def known_reverts(self, vm: VirtualMachine, operation: Operation) -> Mapping[str, PastTask]:
        """The reverts of a VM of late that this provider was asked for, by the request's id.

        As far as `recent_task` and `find_tasks` have read them.
        """
        ...

    def last_reverts(
        self, vms: Sequence[VirtualMachine], operation: Operation
    ) -> list[Outcome[PastRevert | None]]:
        """The last revert of each VM that ended well; None: the platform remembers none.

        Or why that isn't known (Denied, PlatformError, Unsupported).

        It takes a few calls for each VM.
        """
        ...

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a task has ended, however it ended; one that is forgotten has ended."""
        ...
