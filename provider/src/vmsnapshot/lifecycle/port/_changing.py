"""The part of the port that changes something on the platform, or notes there that it is about to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner
from vmsnapshot.lifecycle.port._values import SnapshotRequest
from vmsnapshot.model.machine import Snapshot, VirtualMachine


class Changer(Protocol):
    """Takes, changes and removes snapshots, reverts VMs and switches them on and off.

    Operations that change one VM queue. Nothing that could have happened is sent twice without looking first.
    """

    def create_snapshot(
        self,
        vm: VirtualMachine,
        request: SnapshotRequest,
        operation: Operation,
        *,
        looks: bool = False,
    ) -> str:
        """Take a snapshot, or have it taken; its id. `wait_until_complete` waits until it is complete.

        With `looks`, `observe_complete` comes next: the VM may be read with the end of the task.

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

    def observe_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> VirtualMachine:
        """The same; the VM as it is then, with the sizes of its snapshots.

        Raises:
            Gone: Somebody has removed it, or the VM.
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
        asked: Callable[[str], None] | None = None,
        again: Callable[[], object] = lambda: None,
    ) -> dt.datetime | None:
        """Revert the VM to a snapshot and wait for it.

        With `suppress_power_on`, a VM whose snapshot holds the memory of a running VM doesn't run again,
        where the platform can do that (vSphere: it is suspended then).
        `request_id` is kept by the platform with the task, where it can.  When the connection
        drops before the answer, this raises Unreachable instead of sending again: the caller
        looks for the task.  `asked` is told the task's id as soon as the call has returned, where there
        is a task.  `again` is called before the platform, which could not begin with it, is asked once more:
        what was known of the VM may be over, and an error that it raises ends the wait.

        Returns:
            When that ended by the server's clock, as `find_tasks` tells it, too; None: it wasn't told.
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

    def end(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        """Write down, where that can be, that a request which was begun has failed for certain."""
        ...

    def take_back(self, vm: VirtualMachine, operation: Operation) -> bool:
        """Take back a revert that this provider asked for and that has failed, where the platform tries on.

        Returns:
            Whether there was one, and it isn't asked for any more.

        Raises:
            VmsnapshotError: There is one, and it may still be asked for.
        """
        ...

    def forget(self, vm_ids: Sequence[str], owner: str, until: dt.datetime, operation: Operation) -> None:
        """Write down, where that can be, that a resource which reverts VMs has been deleted.

        An equal request of a later resource of the same name is then another.

        Args:
            vm_ids: Its VMs.
            owner: The first half of its marks. Another stack may have a resource with the same.
            until: The end of the last thing that its state knows to have been done, by the server's clock.
            operation: Whose time counts.
        """
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
