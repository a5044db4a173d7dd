"""Safety snapshots of many VMs: the states that a rollback is about to lose."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common import ownership
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.marks import marked
from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.parallel import joined, split, together
from vmsnapshot.lifecycle.common.selection import title
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unreachable, VmsnapshotError
from vmsnapshot.lifecycle.port import SnapshotRequest
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# One that an interrupted run took stands for today's state of a VM only when it isn't older than this.
_FRESH: Final = dt.timedelta(hours=1)


class SafetySnapshots:
    """The safety snapshots of one rollback; each is found again by the request that it was taken for.

    Args:
        session: The backend and the voice.
        urn: The resource.
    """

    def __init__(self, session: Session, urn: str) -> None:
        self._session = session
        self._urn = urn

    def of(self, vm: VirtualMachine, request_id: str) -> Snapshot | None:
        """The newest that was taken of a VM for a request."""
        ours = marked(vm, self._owner(request_id).mark)
        return ours[-1] if ours else None

    def take_all(
        self, asked: Mapping[str, tuple[VirtualMachine, str]], operation: Operation
    ) -> dict[str, tuple[VirtualMachine, Snapshot]]:
        """Take one of each VM at once; the VMs with theirs, as they then are.

        Args:
            asked: Each VM and its request's id, by the member's key.
            operation: Whose time counts.

        Raises:
            VmsnapshotError: One could not be taken; those that were are removed again. Every VM that
                failed is named with its cause.
        """
        doing = "taking safety snapshots"
        failures = split(
            together(
                asked,
                lambda _key, item, part: self._take(*item, part),
                operation,
                doing,
                lambda key: f"taking the safety snapshot of {title(asked[key][0])}",
            )
        )[1]
        # Also of those that failed: what a lost answer was about may be there all the same.
        kept: dict[str, tuple[VirtualMachine, Snapshot]] = {}
        ids = [vm.identity.id for vm, _ in asked.values()]
        try:
            observed = self._session.backend.observe_all(ids, operation)
        except VmsnapshotError as error:
            observed = [error for _ in ids]
        for (key, (_, request_id)), vm in zip(asked.items(), observed, strict=True):
            if isinstance(vm, VmsnapshotError):
                failures.setdefault(key, vm)
            elif (found := self.of(vm, request_id)) is not None:
                kept[key] = vm, found
            else:
                message = f"the safety snapshot of {title(vm)} was not taken"
                failures.setdefault(key, Unreachable(message))
        if failures:
            left = self.remove_all(kept, operation)
            head = f"{operation.what}: {len(failures)} of {len(asked)} safety snapshots could not be taken."
            raise joined(head, failures, f"Nothing was reverted.{_left(left)}")
        return kept

    def remove_all(
        self, snapshots: Mapping[str, tuple[VirtualMachine, Snapshot]], operation: Operation
    ) -> dict[str, VmsnapshotError]:
        """Remove them again; why those that are left could not be removed."""

        def remove(_key: str, item: tuple[VirtualMachine, Snapshot], part: Operation) -> None:
            self._session.backend.remove_snapshot(
                *item, remove_children=False, consolidate=True, operation=part
            )

        left = split(
            together(
                snapshots,
                remove,
                operation,
                "removing safety snapshots",
                lambda key: f"removing the safety snapshot of {title(snapshots[key][0])}",
            )
        )[1]
        for error in left.values():
            self._session.say(self._urn, rq.Severity.WARNING, f"A safety snapshot stays: {error.message}")
        return left

    def _take(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        backend = self._session.backend
        owner = self._owner(request_id)
        vm = wait_until_idle(self._session, vm, operation)  # an interrupted run's task may still be making it
        found = self.of(vm, request_id)
        if found is not None and _is_fresh(found):
            return
        if found is not None:  # of an earlier day: it protects nothing, the VM has gone on since
            backend.remove_snapshot(vm, found, remove_children=False, consolidate=True, operation=operation)
        request = SnapshotRequest(
            name=f"before-rollback-{owner.mark.making}",
            description="State before a rollback.",
            owner=owner,
            memory=False,
            quiesce=None,
        )
        try:
            backend.settle_snapshot(vm, backend.create_snapshot(vm, request, operation), operation)
        except Unreachable:
            operation.pause(1)  # the answer was lost, the snapshot perhaps not: the caller looks

    def _owner(self, request_id: str) -> ownership.Owner:
        return ownership.owner_by(self._urn, request_id)


def _is_fresh(snapshot: Snapshot) -> bool:
    return snapshot.create_time is None or now() - snapshot.create_time < _FRESH


def _left(left: Mapping[str, VmsnapshotError]) -> str:
    return f" {len(left)} safety snapshots could not be removed again." if left else ""
