"""What the lifecycle needs of a platform: the port that every backend implements."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias, TypeVar

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner
from vmsnapshot.model.identity import ServerIdentity
from vmsnapshot.model.machine import Machine, PastTask, Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import WindowsQuiesce

_T = TypeVar("_T")

# One of several that were asked for at once: each succeeds or fails for itself.
Outcome: TypeAlias = _T | VmsnapshotError


def values(outcomes: Iterable[Outcome[_T]]) -> list[_T]:
    """The values, where none may be missing.

    Raises:
        VmsnapshotError: The first that failed.
    """
    found: list[_T] = []
    for outcome in outcomes:
        if isinstance(outcome, VmsnapshotError):
            raise outcome
        found.append(outcome)
    return found


@dataclasses.dataclass(frozen=True)
class VMReference:
    """How a user names a VM.

    Attributes:
        name: vSphere: a unique name, an inventory path, an instance or BIOS UUID, or a managed object id.
        namespace: The Kubernetes namespace, where the platform has such.
    """

    name: str
    namespace: str | None = None


@dataclasses.dataclass(frozen=True)
class SnapshotRequest:
    """The snapshot to take.

    Attributes:
        description: What the user wrote.
        owner: Who takes it; kept with the snapshot, and read back as `Snapshot.mark`.
        quiesce: How long quiescing may take; None: no quiescing.
        windows: How VSS quiesces a guest that runs Windows; None: as the server does.
    """

    name: str
    description: str
    owner: Owner
    memory: bool
    quiesce: timedelta | None
    windows: WindowsQuiesce | None = None

    @property
    def request_id(self) -> str:
        """The caller's own mark of this request, kept by the platform with the task where it can."""
        return f"vmsnapshot-{self.owner.mark}"


@dataclasses.dataclass(frozen=True)
class InventoryScope:
    """Which VMs an inventory is of; nothing set: all that the login may see, or the default namespace's.

    Attributes:
        kind: What `place` is; only vSphere has these.
        place: Its inventory path, unique name, or managed object id.
        namespace: The Kubernetes namespace, where the platform has such.
    """

    kind: Literal["folder", "datacenter", "cluster"] | None = None
    place: str = ""
    namespace: str | None = None


@dataclasses.dataclass(frozen=True)
class InventoryEntry:
    """One VM of an inventory: its identity, its snapshots, their sizes; no hardware, no tasks.

    Attributes:
        consolidation_needed: None: not known.
    """

    vm: VirtualMachine
    consolidation_needed: bool | None


@dataclasses.dataclass(frozen=True)
class NotRead:
    """A VM of an inventory of which nothing is known but that it is there, or was a moment ago."""

    vm_id: str
    name: str | None
    path: str | None
    reason: VmsnapshotError


class Backend(Protocol):
    """One platform, one login.

    Every method may be called from many threads at once and blocks until it is done.  Reads that
    come at the same time are gathered into few calls, and those of many VMs (`find_all`,
    `observe_all`, `machines_at`, `find_tasks`) take a number of calls that doesn't grow with the
    VMs.  Operations that change one VM queue.  Faults that pass (a busy VM, a dropped connection,
    an expired session) are retried with backoff while the operation has time; nothing that could
    have happened is sent twice without looking first.  Every error is one of
    `vmsnapshot.lifecycle.errors`, and says which VM, which snapshot, what was tried, and the
    platform's words.

    What can't be observed is None (`snapshots_supported`, `tools_running`, `shared_bus`, sizes):
    unknown, which forbids nothing and passes for nothing.

    A VM's id is `VirtualMachine.identity.id`; a snapshot's is `Snapshot.id`.
    """

    def server(self, vm_id: str, operation: Operation) -> ServerIdentity:
        """Which server it is, where a VM of that id would be; what the login may not read isn't known.

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

    def find_all(
        self,
        references: Sequence[VMReference],
        operation: Operation,
        *,
        hardware: bool = True,
        sizes: bool = True,
    ) -> list[Outcome[VirtualMachine]]:
        """Look many up; each as found, or why it wasn't (NotFound, Ambiguous, Denied).

        Without `hardware`, a backend may leave that unknown, where it is much to read; without `sizes`,
        those of the snapshots, and of what a revert discards.

        Raises:
            Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
        """
        ...

    def observe(self, vm_id: str, operation: Operation, *, hardware: bool = True) -> VirtualMachine:
        """Observe a VM whose id is known.

        Without `hardware`, a backend may leave that unknown, where it is much to read.

        Raises:
            Gone: It is definitely no longer there.
        """
        ...

    def observe_all(
        self, vm_ids: Sequence[str], operation: Operation, *, hardware: bool = True, sizes: bool = True
    ) -> list[Outcome[VirtualMachine]]:
        """Observe many; each as it is, or why it could not be read (Gone, Denied).

        `hardware` and `sizes` as of `find_all`.

        Raises:
            Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
        """
        ...

    def list_machines(self, operation: Operation) -> Sequence[VirtualMachine]:
        """Observe every VM that the login may see (templates included)."""
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

    def create_snapshot(self, vm: VirtualMachine, request: SnapshotRequest, operation: Operation) -> str:
        """Take a snapshot, or have it taken; its id. `wait_until_complete` waits until it is complete.

        On cancellation the task is cancelled where the platform can.  When the connection drops
        before the answer, this raises Unreachable instead of sending again: the caller looks what
        came of it.

        Raises:
            Refused: There is one of that name which this request didn't make, where names are unique.
        """
        ...

    def wait_until_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> None:
        """Wait until a snapshot that was made is complete; vSphere's are when they are made.

        Raises:
            Gone: Somebody has removed it.
            TimedOut: It isn't complete yet; the message gives the platform's reason.
        """
        ...

    def withdraw_snapshot(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> bool:
        """Take back a snapshot that was asked for and never taken, where the platform would go on trying.

        Returns:
            Whether it is gone. One that was taken, or may be being taken, is left.
        """
        ...

    def change_snapshot(  # noqa: PLR0917 - what is to be kept and who keeps it, like the others
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
            Unsupported: The platform can't rename, and the name is another.
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

    def revert(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        request_id: str,
        operation: Operation,
        *,
        suppress_power_on: bool = False,
    ) -> None:
        """Revert the VM to a snapshot and wait for it.

        With `suppress_power_on`, a VM whose snapshot holds the memory of a running VM doesn't run again,
        where the platform can do that (vSphere: it is suspended then).
        `request_id` is kept by the platform with the task, where it can.  When the connection
        drops before the answer, this raises Unreachable instead of sending again: the caller
        looks for the task.
        """
        ...

    def begin(self, requests: Sequence[tuple[VirtualMachine, str]], operation: Operation) -> str | None:
        """Write down that requests for a revert begin, where it outlives this machine and the revert.

        `find_tasks` takes it for a sign where the platform keeps no mark with a task. What can't be written
        is left out.

        Returns:
            Why it could not be written, what that means and what helps; None: it was, or need not be.

        Raises:
            Unreachable: The connection broke; nothing but the note may have been made.
        """
        ...

    def weaker_protection(self, vms: Sequence[VirtualMachine], operation: Operation) -> str | None:
        """Why an interrupted revert of these VMs might not be recognised, and what helps, for previews.

        None: it will be, as far as can be told. It is found out once per login.
        """
        ...

    def end(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        """Write down, where that can be, that a request which was begun has failed for certain."""
        ...

    def forget(self, vm_id: str, owner: str, operation: Operation) -> None:
        """Write down, where that can be, that the resource with these marks has been deleted.

        An equal request of a later resource of the same name is then another.
        """
        ...

    def forgotten(self, owner: str, operation: Operation) -> dt.datetime | None:
        """When that was last; None: it isn't known to have been."""
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
        *,
        just_read: bool = False,
    ) -> list[PastTask | None]:
        """For each VM the most recent task with that request id, if the platform remembers.

        `just_read`: what was read with the VMs is as good as what would be read now.
        """
        ...

    def wait_for_task(self, vm: VirtualMachine, task_id: str, operation: Operation) -> None:
        """Wait until a task has ended, however it ended; one that is forgotten has ended."""
        ...

    def set_power(
        self,
        vm: VirtualMachine,
        power: Literal["on", "off"],
        operation: Operation,
        *,
        part_of: str | None = None,
    ) -> None:
        """Switch the VM on or (hard) off and wait for it; nothing is done if it already is.

        `part_of` is the id of the request for the revert that this ends: `PastTask.latest` doesn't take it
        for somebody else's doing.
        """
        ...

    def close(self) -> None:
        """Log out and let go of everything; further calls raise Unreachable."""
        ...
