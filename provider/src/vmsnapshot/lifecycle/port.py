"""What the lifecycle needs of a platform: the port that every backend implements."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal, Protocol

from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import Machine, PastTask, Snapshot, VirtualMachine


@dataclasses.dataclass(frozen=True)
class VMReference:
    """How a user names a VM.

    Attributes:
        name: vSphere: a unique name, an inventory path, an instance UUID or a managed object id.
        namespace: The Kubernetes namespace, where the platform has such.
    """

    name: str
    namespace: str | None = None


@dataclasses.dataclass(frozen=True)
class SnapshotRequest:
    """The snapshot to take.

    Attributes:
        description: As it is to be stored, ownership line included.
        quiesce: How long quiescing may take; None: no quiescing.
        request_id: The caller's own mark of this request, kept by the platform with the task
            where it can.
    """

    name: str
    description: str
    memory: bool
    quiesce: timedelta | None
    request_id: str


class Backend(Protocol):
    """One platform, one login.

    Every method may be called from many threads at once and blocks until it is done.  Reads that
    come at the same time are gathered into few calls.  Operations that change one VM queue.
    Faults that pass (a busy VM, a dropped connection, an expired session) are retried with
    backoff while the operation has time; nothing that could have happened is sent twice without
    looking first.  Every error is one of `vmsnapshot.lifecycle.errors`, and says which VM, which
    snapshot, what was tried, and the platform's words.

    What can't be observed is None (`snapshots_supported`, `tools_running`, `shared_bus`, sizes):
    unknown, which forbids nothing and passes for nothing.

    A VM's `id` is `VirtualMachine.identity.id`; a snapshot's is `Snapshot.unique_id`.
    """

    platform: str
    can_rename: bool

    def find(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        """Look a VM up by what the user wrote, and observe it.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: Several have that name; the message lists their paths and ids.
        """
        ...

    def observe(self, vm_id: str, operation: Operation, *, hardware: bool = True) -> VirtualMachine:
        """Observe a VM whose id is known.

        Without `hardware`, a backend may leave that unknown, where it is much to read.

        Raises:
            Gone: It is definitely no longer there.
        """
        ...

    def list_machines(self, operation: Operation) -> Sequence[VirtualMachine]:
        """Observe every VM that the login may see (templates included)."""
        ...

    def machines_at(
        self, vm: VirtualMachine, snapshot_ids: Iterable[str], operation: Operation
    ) -> dict[str, Machine]:
        """What the VM was when each snapshot was taken: its hardware and settings.

        `power_state` is the one that a revert leaves.

        Raises:
            Gone: A snapshot is definitely no longer there.
        """
        ...

    def create_snapshot(self, vm: VirtualMachine, request: SnapshotRequest, operation: Operation) -> str:
        """Take a snapshot and wait for it; its uniqueID.

        On cancellation the task is cancelled where the platform can.  When the connection drops
        before the answer, this raises Unreachable instead of sending again: the caller looks what
        came of it.
        """
        ...

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
            Unsupported: The platform can't.
        """
        ...

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
        ...

    def revert(self, vm: VirtualMachine, snapshot: Snapshot, request_id: str, operation: Operation) -> None:
        """Revert the VM to a snapshot and wait for it.

        `request_id` is kept by the platform with the task, where it can.  When the connection
        drops before the answer, this raises Unreachable instead of sending again: the caller
        looks for the task.
        """
        ...

    def find_task(self, vm: VirtualMachine, request_id: str, operation: Operation) -> PastTask | None:
        """The most recent task on the VM that carries this request id, if the platform remembers."""
        ...

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a task has ended, however it ended; one that is forgotten has ended."""
        ...

    def set_power(self, vm: VirtualMachine, power: Literal["on", "off"], operation: Operation) -> None:
        """Switch the VM on or (hard) off and wait for it; nothing is done if it already is."""
        ...

    def close(self) -> None:
        """Log out and let go of everything; further calls raise Unreachable."""
        ...
