"""Reverts a VM exactly once: finds what an interrupted run of the same request has done."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Final

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.observed import now, timestamp
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.ownership import Mark, owner_by
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unreachable
from vmsnapshot.lifecycle.port import SnapshotRequest
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.machine import PastTask, Snapshot, VirtualMachine
from vmsnapshot.model.revert import RevertInputs, RevertState, SafetySnapshot, TakenSafetySnapshot
from vmsnapshot.model.values import plain

# People run an interrupted update again soon.  What an interrupted run did longer ago counts only
# while the VM is still on the snapshot (that far back, previews look for nothing else); and a first
# revert (there is no state yet that would tell one request from an equal earlier one) doesn't count
# then at all, nor when anything else has run on the VM since.
INTERRUPTED_WITHIN: Final = dt.timedelta(hours=1)

# What asks for a revert when it changes.
ASKING: Final = ("snapshot", "triggers")


class Reverting:
    """The steps of one request for a revert.

    Args:
        session: The backend and the voice.
        urn: The resource.
        request_id: The same for the same request run again (`request_id`).
        target: The snapshot that is asked for.
        first: Whether no state tells this request from an equal earlier one.
    """

    def __init__(self, session: Session, urn: str, request_id: str, target: Snapshot, *, first: bool) -> None:
        self.request_id = request_id
        self._target = target
        self._session = session
        self._urn = urn
        self._first = first

    @classmethod
    def of(
        cls, session: Session, urn: str, target: Snapshot, inputs: rq.Properties, old: RevertState | None
    ) -> Reverting:
        """The request that inputs make, after what state holds."""
        first = old is None or old.vm is None
        return cls(session, urn, request_id(urn, target, inputs, old), target, first=first)

    def recall(self, vm: VirtualMachine, operation: Operation) -> PastTask | None:
        """The same as `find`, for previews: in few calls for many VMs."""
        task = self._session.backend.recent_task(vm, self.request_id, operation)
        if task is None and not self._first and self._is_on_target(vm):
            return self.find(vm, operation)
        return self._mine(task, vm)

    def find(self, vm: VirtualMachine, operation: Operation, *, just_read: bool = False) -> PastTask | None:
        """The revert of this very request that is under way or done, as far as the platform remembers."""
        (task,) = self._session.backend.find_tasks([(vm, self.request_id)], operation, just_read=just_read)
        return self._mine(task, vm)

    def settled(
        self, vm: VirtualMachine, operation: Operation, *, just_read: bool = False
    ) -> tuple[VirtualMachine, PastTask | None]:
        """The VM once no interrupted run of this request works on it; and the revert, if one has done it."""
        backend = self._session.backend
        task = self.find(vm, operation, just_read=just_read)
        while task is not None and task.running:
            operation.progress(f"waiting for the revert that {task.id} is still doing")
            backend.wait_for_task(vm, task.id, operation)
            vm = backend.observe(vm.identity.id, operation)
            task = self.find(vm, operation, just_read=True)
        return vm, task

    def counts(self, task: PastTask | None) -> bool:
        """Whether a task with the request's id is the revert that is asked for, and ended well.

        With state, the id holds what came before and so is unique. A first revert has nothing such:
        there, only one that ended just now counts, with nothing done to the VM since, and not one that
        belongs to a resource that has been deleted since.
        """
        if task is None or task.running or not task.succeeded:
            return False
        if not self._first:
            return True
        if task.completed is None or not _is_recent(task) or not task.latest:
            return False
        forgotten = self._session.notes.forgotten(self._urn)
        return forgotten is None or forgotten < task.completed

    def _mine(self, task: PastTask | None, vm: VirtualMachine) -> PastTask | None:
        if task is None or task.running:
            return task
        return task if self.counts(task) and (_is_recent(task) or self._is_on_target(vm)) else None

    def _is_on_target(self, vm: VirtualMachine) -> bool:
        return vm.current_snapshot_id == self._target.id

    def revert(self, vm: VirtualMachine, operation: Operation) -> PastTask:
        """Revert the VM and wait for it."""
        operation.progress(f'reverting to "{self._target.name}"')
        backend = self._session.backend
        while True:
            try:
                backend.revert(vm, self._target, self.request_id, operation)
            except Unreachable:
                # The answer was lost, the revert perhaps not: look before asking again.
                operation.pause(1)
                vm, done = self.settled(vm, operation)
                if done is not None:
                    return done
            else:
                return PastTask(id="", running=False, succeeded=True, completed=now())

    def keep(
        self, vm: VirtualMachine, rule: SafetySnapshot, operation: Operation, *, take: bool
    ) -> TakenSafetySnapshot | None:
        """Keep the state about to be lost; an interrupted run's own is found again by its mark."""
        backend = self._session.backend
        owner = owner_by(self._urn, self.request_id)
        found = _marked(vm, owner.mark)
        if found is None and take:
            name = rule.name or f"before-revert-{owner.mark.making}"
            if self._session.platform.has_namespaces and rule.name is None:
                name = self._session.platform.fit_name(f"{vm.identity.name}-{name}")
            operation.progress(f'taking safety snapshot "{name}"')
            request = SnapshotRequest(
                name=name,
                description="State before a revert.",
                owner=owner,
                memory=rule.memory,
                quiesce=None,
            )
            try:
                backend.settle_snapshot(vm, backend.create_snapshot(vm, request, operation), operation)
            except Unreachable:
                operation.pause(1)
            vm = backend.observe(vm.identity.id, operation)
            found = _marked(vm, owner.mark)
            if found is None:
                message = f'{operation.what}: the safety snapshot "{name}" was not taken'
                raise Unreachable(message)
        if found is None:
            return None
        if not found.ready:
            # What isn't complete yet can't bring back what the revert loses.
            backend.settle_snapshot(vm, found.id, operation)
        return TakenSafetySnapshot(
            name=found.name,
            unique_id=found.unique_id,
            create_time=timestamp(found.create_time or now()),
        )


def expire(
    session: Session, urn: str, old: RevertState, inputs: RevertInputs, operation: Operation
) -> list[TakenSafetySnapshot]:
    """Count this update, and remove the safety snapshots whose time is over.

    One that the VM has come to run on again (somebody undid the revert) stays as long as it does.
    """
    rule = inputs.safety_snapshot
    kept = count_update(old)
    if rule is None or old.vm is None:
        return kept
    over = [item for item in kept if _is_over(item, rule.keep_updates, rule.max_age)]
    if not over:
        return kept
    vm = session.backend.observe(old.vm.id, operation)
    in_use = {item.id for item in vm.ancestry(vm.current_snapshot_id)}
    for item in over:
        snapshot = vm.snapshot_on_vsphere(item.unique_id)
        if snapshot is not None and snapshot.id in in_use:
            continue
        if snapshot is not None and snapshot.mark is not None:
            session.backend.remove_snapshot(
                vm, snapshot, remove_children=False, consolidate=True, operation=operation
            )
        kept.remove(item)
        session.say(urn, rq.Severity.INFO, f'Safety snapshot "{item.name}" was removed: its time is over.')
    return kept


def count_update(old: RevertState) -> list[TakenSafetySnapshot]:
    """The safety snapshots after one more update of the resource."""
    return [item.model_copy(update={"updates": item.updates + 1}) for item in old.safety_snapshots]


def request_id(urn: str, target: Snapshot, inputs: rq.Properties, old: RevertState | None) -> str:
    """The same for the same request run again, and another for any other request."""
    asked = {
        "urn": urn,
        "target": target.id,
        "inputs": {name: plain(inputs.get(name)) for name in ASKING},
        # What came before: an equal request of another resource of this name came after something else.
        "after": (old.reverted_at or old.watched_since) if old is not None else None,
        "was": old.snapshot if old is not None else None,
        "wasTriggers": old.triggers if old is not None else None,
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return f"vmsnapshot-revert-{digest[:24]}"


def _is_recent(task: PastTask) -> bool:
    return task.completed is not None and now() - task.completed <= INTERRUPTED_WITHIN


def _marked(vm: VirtualMachine, mark: Mark) -> Snapshot | None:
    return next((item for item in vm.snapshots if item.mark == str(mark)), None)


def _is_over(item: TakenSafetySnapshot, keep_updates: int | None, max_age: str | None) -> bool:
    if keep_updates is not None:
        return item.updates >= keep_updates
    if max_age is not None:
        taken = dt.datetime.fromisoformat(item.create_time.replace("Z", "+00:00"))
        return now() - taken > parse_duration(max_age)
    return False
