"""Safety snapshots: the states that a revert or a rollback is about to lose, of one VM or of many.

They are taken, found again and removed here only. Each carries the mark of its resource and of the
request that it was taken for: by that a repeated request finds it, and only one with that very mark,
of the date that state holds, is ever removed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from vmsnapshot.lifecycle import ownership, requests
from vmsnapshot.lifecycle.common.creation import create_once
from vmsnapshot.lifecycle.common.dependents import clones_on, remove_snapshot, user_of
from vmsnapshot.lifecycle.common.identity import vm_key
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.marks import free_name, is_for, marked_as_recorded, marked_for, snapshot_name
from vmsnapshot.lifecycle.common.observed import timestamp_or_none
from vmsnapshot.lifecycle.common.parallel import aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.safety_records import (
    NotRemoved,
    NotTaken,
    find_by_reference,
    is_over,
    leftover_text,
    only_way_back_text,
    removal_name,
    when_taken,
)
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import REMOVE_AGAIN_WITHIN, Session
from vmsnapshot.lifecycle.errors import Cancelled, Gone, Refused, TimedOut, Unreachable, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask, SnapshotRequest
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import LeftoverSafetySnapshot, SafetySnapshot, TakenSafetySnapshot

_NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True)
class SafetySpec:
    """How the safety snapshots of a request are taken.

    Attributes:
        purpose: What they are taken before; part of their names.
        name: Their name; None: one of its own for each VM and request.
        memory: Whether they hold the memory of running VMs.
    """

    purpose: Literal["revert", "rollback"]
    name: str | None = None
    memory: bool = False


class SafetySnapshots:
    """The safety snapshots of one resource.

    Args:
        session: The backend and the logger.
        urn: The resource.
        spec: How they are taken.
        first: Whether no state tells its requests from equal ones of other states.
    """

    def __init__(self, session: Session, urn: str, spec: SafetySpec, *, first: bool = True) -> None:
        self._session = session
        self._urn = urn
        self._spec = spec
        self._state = session.state if first else None  # a request that state tells apart is its own

    # --- found and taken --------------------------------------------------------------------

    def find(self, vm: VirtualMachine, request_id: str) -> Snapshot | None:
        """Returns the newest safety snapshot that was taken of a VM for a request; None: there is none."""
        ours = self.find_all(vm, request_id)
        return ours[-1] if ours else None

    def find_all(self, vm: VirtualMachine, request_id: str) -> list[Snapshot]:
        """Returns all that are there, the newest last: what earlier tries took may have stayed.

        The resource may have had another URN then: the request alone tells.
        """
        ours = marked_for(vm, request_id, self._state)
        return sorted(ours, key=lambda item: when_taken(item) or _NEVER)

    def unheld(self, vm: VirtualMachine, request_id: str) -> list[Snapshot]:
        """Returns those of an equal request of another state, or of this one before an upgrade."""
        ours = self.find_all(vm, request_id)
        return [item for item in marked_for(vm, request_id, None) if item not in ours]

    def replaced(self, vm: VirtualMachine, request_id: str) -> list[Snapshot]:
        """Returns those of earlier tries that one which is taken now replaces.

        The VM has gone on from them, so that it takes their state in. Those that it no longer stands on are
        kept: it has been reverted since, and they may be the only way back.
        """
        return [item for item in self.find_all(vm, request_id) if item.ready and _stands_on(vm, item)]

    def take_all(
        self, asked: Mapping[str, tuple[VirtualMachine, str]], operation: Operation
    ) -> dict[str, tuple[VirtualMachine, Snapshot]] | NotTaken:
        """Take a safety snapshot of each VM in parallel; returns each VM and its snapshot, as they then are.

        When one can't be taken, those that were are removed again, in a time of their own: that of the
        operation may be over.

        Args:
            asked: Each VM and its request's id, by the member's key.
            operation: Whose time counts.
        """
        outcomes = parallel_map(
            asked,
            lambda _key, item, part: self._take(*item, part),
            operation,
            "taking safety snapshots",
            lambda key: f"taking the safety snapshot of {format_vm(asked[key][0])}",
        )
        done, failures = partition(outcomes)
        if failures:
            return self._give_up(asked, list(done), failures, operation)
        taken, failures = self._read_back(asked, operation)
        return self._give_up(asked, list(asked), failures, operation) if failures else taken

    def _take(self, vm: VirtualMachine, request_id: str, operation: Operation) -> None:
        backend = self._session.backend
        vm = wait_until_idle(self._session, vm, operation)  # an interrupted run's task may still be making it
        earlier = self.find_all(vm, request_id)
        begun = next((item for item in earlier if not item.ready), None)
        if begun is None:
            name = free_name(self._name(vm, request_id), vm, unique=self._session.platform.has_namespaces)
            operation.progress(f'taking safety snapshot "{name}"')
            request = SnapshotRequest(
                name=name,
                description=f"State before a {self._spec.purpose}.",
                owner=self._owner(request_id),
                memory=self._spec.memory,
                quiesce=None,
            )
            known = frozenset(item.id for item in earlier)
            snapshot_id = create_once(self._session, vm, request, operation, known=known)
        else:
            snapshot_id = begun.id
        # What isn't complete yet can't bring back what the revert loses.
        backend.wait_until_complete(vm, snapshot_id, operation)
        self._remove_replaced(vm, self.replaced(vm, request_id), operation)

    def _remove_replaced(
        self, vm: VirtualMachine, replaced: Sequence[Snapshot], operation: Operation
    ) -> None:
        """Remove what a newer one stands for, but what can't be: a linked clone may stand on it."""
        if not replaced:
            return
        vm = self._session.backend.observe(vm.identity.id, operation)
        for item in replaced:
            try:
                self._remove(vm, item, operation)
            except (Cancelled, TimedOut, Unreachable):
                raise
            except VmsnapshotError as error:
                text = f"A safety snapshot of an earlier try stays: {error.message}"
                self._log(text, requests.Severity.WARNING)

    def _read_back(
        self, asked: Mapping[str, tuple[VirtualMachine, str]], operation: Operation
    ) -> tuple[dict[str, tuple[VirtualMachine, Snapshot]], dict[str, VmsnapshotError]]:
        """Those that were taken as the platform shows them once they are complete; and why not."""
        taken: dict[str, tuple[VirtualMachine, Snapshot]] = {}
        failures: dict[str, VmsnapshotError] = {}
        ids = [vm.identity.id for vm, _ in asked.values()]
        try:
            observed = self._session.backend.observe_all(ids, operation)
        except VmsnapshotError as error:
            return {}, dict.fromkeys(asked, error)
        for (key, (_, request_id)), vm in zip(asked.items(), observed, strict=True):
            if isinstance(vm, VmsnapshotError):
                failures[key] = vm
            elif (found := self.find(vm, request_id)) is None:
                message = (
                    f"the safety snapshot of {format_vm(vm)} was taken, and is no longer there, or somebody "
                    "has changed its description"
                )
                failures[key] = Refused(message, retryable=True)
            elif not found.ready:
                message = f"the safety snapshot {format_snapshot(vm, found)} is not ready"
                failures[key] = Refused(message, retryable=True)
            else:
                taken[key] = vm, found
        return taken, failures

    def _give_up(
        self,
        asked: Mapping[str, tuple[VirtualMachine, str]],
        taken: Sequence[str],
        failures: Mapping[str, VmsnapshotError],
        operation: Operation,
    ) -> NotTaken:
        """Remove what was taken, of the failed ones too: what failed for us may have ended well."""
        possible = [self.leftover(key, vm, request_id) for key, (vm, request_id) in asked.items()]
        if operation.cancellation.requested:  # nobody waits for anything any more
            head = "cancelled while safety snapshots were being taken."
            causes: Mapping[str, VmsnapshotError] = {}
            left = possible
        else:
            count = (
                f"{len(failures)} of {len(asked)} safety snapshots"
                if len(asked) > 1
                else "the safety snapshot"
            )
            head = f"{count} could not be taken."
            causes = self.remove_leftovers(possible, self._time_to_clean_up(operation))
            left = [item for item in possible if item.member in causes]
        ending = "\n".join(["Nothing was reverted.", *leftover_text(left, taken, causes)])
        return NotTaken(aggregate_errors(head, failures, ending, subject=operation.what), left)

    # --- removed ----------------------------------------------------------------------------

    def leftover(self, key: str, vm: VirtualMachine, request_id: str) -> LeftoverSafetySnapshot:
        """A VM's safety snapshot for a request as state holds it while it is to be removed."""
        return LeftoverSafetySnapshot(
            member=key,
            vm=vm.identity.id,
            name=self._name(vm, request_id),
            ownership=str(self._owner(request_id).mark),
            identity=vm.identity,
        )

    def remove_leftovers(
        self, leftovers: Sequence[LeftoverSafetySnapshot], operation: Operation
    ) -> dict[str, VmsnapshotError]:
        """Remove every snapshot with one of their marks; returns the errors, by the member's key.

        A VM's running tasks are waited for: one may still be taking it.
        """
        if not leftovers:
            return {}
        known = {vm_key(item.known_vm): item.known_vm for item in leftovers}
        try:
            outcomes = self._session.locate_all(known, operation, ReadMask.NOTHING)
        except VmsnapshotError as error:
            return {item.member: error for item in leftovers}
        failed: dict[str, VmsnapshotError] = {}
        # By the VM: two may have been the same member, one after the other.
        due: dict[str, tuple[VirtualMachine, list[LeftoverSafetySnapshot]]] = {}
        for item in leftovers:
            outcome = outcomes[vm_key(item.known_vm)]
            if isinstance(outcome, VirtualMachine):
                due.setdefault(format_vm(outcome), (outcome, []))[1].append(item)
            elif not isinstance(outcome, Gone):
                failed[item.member] = outcome

        removed = parallel_map(
            due,
            lambda _name, work, part: self._remove_marked(*work, part),
            operation,
            "removing safety snapshots",
            lambda name: f"removing the safety snapshot of {name}",
        )
        for name, cause in partition(removed)[1].items():
            failed |= {item.member: cause for item in due[name][1]}
        return failed

    def _remove_marked(
        self, vm: VirtualMachine, leftovers: Sequence[LeftoverSafetySnapshot], operation: Operation
    ) -> None:
        """Remove a VM's snapshots with one of these marks, but those that may be the only way back."""
        vm = wait_until_idle(self._session, vm, operation)
        for item in leftovers:
            for snapshot in marked_as_recorded(vm, item.ownership, item.known_vm):
                if not snapshot.ready or _stands_on(vm, snapshot):
                    self._remove(vm, snapshot, operation)
                else:
                    self._log(only_way_back_text(vm, snapshot), requests.Severity.WARNING)

    def clean_up(
        self,
        leftovers: Sequence[LeftoverSafetySnapshot],
        request_ids: Mapping[str, str],
        operation: Operation,
    ) -> NotRemoved | None:
        """Remove what earlier updates left, except what this one uses; returns None if nothing is left.

        Args:
            leftovers: What state holds.
            request_ids: The id of each VM's request, by the member's key; empty: nothing is reverted.
            operation: Whose time counts.
        """
        used = set(request_ids.values())
        over = [item for item in leftovers if not any(is_for(item.ownership, one, None) for one in used)]
        causes = self.remove_leftovers(over, operation)
        left = [item for item in over if item.member in causes]
        if not left:
            return None
        head = "Safety snapshots of an earlier update could not be removed:"
        ending = "The next update tries again."
        return NotRemoved(aggregate_errors(head, causes, ending), left, self._session.planned_now())

    def remove_expired(
        self, kept: Sequence[TakenSafetySnapshot], rule: SafetySnapshot, vm_id: str, operation: Operation
    ) -> list[TakenSafetySnapshot]:
        """Remove the expired safety snapshots; returns those that state still holds.

        One that the VM runs on (somebody undid the revert) stays as long as it does.
        """
        moment = self._session.now(operation)
        over = [item for item in kept if is_over(item, rule, moment)]
        # What has expired since a preview, which didn't show that it goes, the next update removes.
        shown = self._session.removals.shown(self._session.notes, self._urn, map(removal_name, over))
        over = [item for item in over if removal_name(item) in shown]
        if not over:
            return list(kept)
        vm = self._session.backend.observe(vm_id, operation)
        in_use = self.remove_recorded(over, vm, "it has expired", operation)
        return [item for item in kept if item not in over or item in in_use]

    def remove_recorded(
        self, recorded: Sequence[TakenSafetySnapshot], vm: VirtualMachine, why: str, operation: Operation
    ) -> list[TakenSafetySnapshot]:
        """Remove safety snapshots that state holds; returns those that stay as something stands on them.

        That is the VM, or a linked clone. One that isn't surely ours is kept, and the user is told.
        """
        branch = {item.id for item in vm.ancestry(vm.current_snapshot_id)}
        ids = [item.id for item in vm.snapshots]
        standing = clones_on(self._session, {vm.identity.id: ids}, operation) if recorded else {}
        in_use: list[TakenSafetySnapshot] = []
        for item in recorded:
            ours = self._recorded(vm, item)
            if ours is not None and ours.id in branch:
                in_use.append(item)
                continue
            head = f'Safety snapshot "{item.name}" of {format_vm(vm)}'
            if ours is not None and (user := user_of(self._session, ours, standing.get(ours.id))):
                in_use.append(item)
                text = f"{head} is kept, although {why}: {user}."
                self._log(text, requests.Severity.WARNING)
            elif ours is not None:
                self._remove(vm, ours, operation)
                self._log(f"{head} was removed: {why}.")
            elif (
                other := find_by_reference(vm, item)
                or next(iter(marked_as_recorded(vm, item.ownership or "")), None)
            ) is not None:
                self._log(
                    f"{head} is kept, although {why}: {format_snapshot(vm, other)} doesn't carry the mark, "
                    "the name and the date that the stack's state holds. It is no longer part of the state; "
                    "remove it yourself if nobody needs it.",
                    requests.Severity.WARNING,
                )
            else:
                self._log(f"{head} is no longer there: it has been removed before.")
        return in_use

    def _recorded(self, vm: VirtualMachine, item: TakenSafetySnapshot) -> Snapshot | None:
        """Returns the snapshot that state holds, if its mark and its date prove that it is that one."""
        if item.ownership is not None:
            found = marked_as_recorded(vm, item.ownership)
        else:  # of release 0.1.0: by this resource's mark, and by the uniqueID where that was known
            other = find_by_reference(vm, item)
            mark = None if other is None else ownership.parse_mark(other.mark)
            ours = mark is not None and mark.owner == ownership.owner_id(self._urn)
            found = [other] if other is not None and ours else []
        same = [one for one in found if timestamp_or_none(when_taken(one)) == item.create_time]
        return same[0] if len(same) == 1 else None

    def _remove(self, vm: VirtualMachine, snapshot: Snapshot, operation: Operation) -> None:
        remove_snapshot(self._session, vm, snapshot, operation)

    def _time_to_clean_up(self, operation: Operation) -> Operation:
        what = "removing safety snapshots"
        return self._session.operation_after(operation, self._urn, what, at_most=REMOVE_AGAIN_WITHIN)

    def _log(self, text: str, severity: requests.Severity = requests.Severity.INFO) -> None:
        self._session.log(self._urn, severity, text)

    def _owner(self, request_id: str) -> ownership.Owner:
        return ownership.owner_by(self._urn, request_id, self._session.state)

    def _name(self, vm: VirtualMachine, request_id: str) -> str:
        if self._spec.name is not None:
            return self._spec.name
        name = f"before-{self._spec.purpose}-{self._owner(request_id).mark.generation}"
        return snapshot_name(self._session.platform, vm, name)


def _stands_on(vm: VirtualMachine, snapshot: Snapshot) -> bool:
    """Whether the VM has gone on from a snapshot: surely, as far as the platform tells its place."""
    return any(item.id == snapshot.id for item in vm.ancestry(vm.current_snapshot_id))
