"""Works on the VMs of a rollback wave after wave, those of one wave in parallel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.common.parallel import parallel_map, partition
from vmsnapshot.lifecycle.common.safety_records import NotTaken, record
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.revert.evidence import RevertRequest
from vmsnapshot.lifecycle.revert.executor import RevertExecutor
from vmsnapshot.lifecycle.rollback.plan import (
    MemberPlan,
)
from vmsnapshot.lifecycle.rollback.state import (
    Progress,
    member_snapshot,
)
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import LeftoverSafetySnapshot, PowerPolicy
from vmsnapshot.model.rollback import MemberRollback


class WaveExecutor:
    """Reverts the VMs of one rollback.

    Args:
        reverts: Reverts one VM, or takes its safety snapshot.
        plans: Every VM, by its key.
        progress: What was done to each before this run; goes on while it works.
        label: The label that all go back to.
        policy: The power afterwards.

    Attributes:
        plans: Every VM, by its key.
        progress: What was done to each VM so far.
        kept: Each VM's safety snapshot, with the VM, where there is one.
        ended: How many VMs the progress line counts as done.
        leftovers: Safety snapshots that nobody needs any more and that could not be removed.
    """

    def __init__(
        self,
        reverts: RevertExecutor,
        plans: Mapping[str, MemberPlan],
        *,
        progress: Mapping[str, MemberRollback],
        label: str,
        policy: PowerPolicy,
    ) -> None:
        self.plans = plans
        self.progress = Progress(progress)
        self.leftovers: list[LeftoverSafetySnapshot] = []
        self._reverts = reverts
        self._label = label
        self._policy = policy
        # The safety snapshots that there are: those of an earlier run of this request, then ours.
        self.kept = {
            key: (plan.vm, found)
            for key, plan in plans.items()
            if (found := reverts.safety.find(plan.vm, plan.attempt.id)) is not None
        }
        for key, (vm, found) in self.kept.items():
            self._record_safety(key, vm, found)
        self.ended = 0

    @property
    def reverted(self) -> list[str]:
        """The keys of those VMs that are reverted now."""
        return [key for key in self.plans if self.progress.of(key).reverted_to is not None]

    def protect(self, operation: Operation) -> NotTaken | None:
        """Take a safety snapshot of every VM that is still to be reverted; None: all have one."""
        requests = {
            key: RevertRequest(plan.attempt.id, plan.vm, plan.target)
            for key, plan in self.plans.items()
            if plan.target is not None
        }
        taken = self._reverts.protect(requests, operation)
        if isinstance(taken, NotTaken):
            self.leftovers = taken.leftovers
            for key in requests:
                self.progress.record(key, replace(self.progress.of(key), safety_snapshot=None))
            return taken
        self.kept |= taken
        for key, (vm, snapshot) in taken.items():
            self._record_safety(key, vm, snapshot)
        return None

    def _record_safety(self, key: str, vm: VirtualMachine, snapshot: Snapshot) -> None:
        """Record a VM's safety snapshot with what proves later that it is this one."""
        taken = record(snapshot)
        recorded = replace(
            member_snapshot(vm, snapshot), create_time=taken.create_time, ownership=taken.ownership
        )
        self.progress.record(key, replace(self.progress.of(key), safety_snapshot=recorded))

    def run(self, operation: Operation) -> dict[str, VmsnapshotError]:
        """Revert wave after wave, and stop after one in which a VM fails; the failures."""
        failures: dict[str, VmsnapshotError] = {}
        for wave in waves([plan.member for plan in self.plans.values()], descending=True):
            failures = self._begin(wave, operation) or self.each(
                wave, self._revert, operation, f"rolling back to {self._label}"
            )
            if failures:
                break
        for key, error in failures.items():
            plan, known = self.plans[key], self.progress.of(key)
            if plan.attempt.id in self._reverts.half_done:
                known = replace(known, request=plan.attempt.id, power_before=plan.vm.machine.power_state)
            self.progress.record(key, replace(known, failure=error.message))
        return failures

    def _begin(self, wave: Sequence[EnvironmentMember], operation: Operation) -> dict[str, VmsnapshotError]:
        """Write down on the platform which of a wave's VMs will be reverted; why that failed, if it did."""
        plans = {item.key: self.plans[item.key] for item in wave}
        requests = {
            key: RevertRequest(plan.attempt.id, plan.vm, plan.target)
            for key, plan in plans.items()
            if plan.target is not None
        }
        try:
            self._reverts.begin(requests.values(), operation)
        except VmsnapshotError as error:
            return dict.fromkeys(requests, error)
        return {}

    def each(
        self,
        wave: Sequence[EnvironmentMember],
        act: Callable[[str, MemberPlan, Operation], None],
        operation: Operation,
        doing: str,
    ) -> dict[str, VmsnapshotError]:
        """Do something to every VM of a wave in parallel; the failures."""
        plans = {item.key: self.plans[item.key] for item in wave}
        before, of = self.ended, len(self.plans)
        outcomes = parallel_map(
            plans, act, operation, doing, lambda key: f"{doing}: {key}", before=before, of=of
        )
        done, failed = partition(outcomes)
        self.ended += len(done)
        return failed

    # --- one VM -----------------------------------------------------------------------------

    def _revert(self, key: str, plan: MemberPlan, part: Operation) -> None:
        if plan.target is not None:
            where = f'"{plan.vm.path(plan.target.id)}"'
            step = step_of(part, f"reverting {format_vm(plan.vm)} to snapshot {where}")
            request = RevertRequest(plan.attempt.id, plan.vm, plan.target, self._policy)
            ended = self._reverts.revert(request, step).completed or self._reverts.now(step)
            self.record_revert(key, ended)
        if self._policy != "snapshot" and self.progress.of(key).power_pending:
            step = step_of(part, f"powering {format_vm(plan.vm)} {self._policy} after its revert")
            self._reverts.power(plan.vm, self._policy, step, part_of=plan.attempt.id)
        self.progress.record(key, replace(self.progress.of(key), power_pending=False, failure=None))

    def record_revert(self, key: str, ended: dt.datetime) -> None:
        """Record that a VM was reverted."""
        plan = self.plans[key]
        assert plan.target is not None  # noqa: S101 - only such are reverted
        self.progress.record(
            key,
            replace(
                self.progress.of(key),
                reverted_to=member_snapshot(plan.vm, plan.target),
                reverted_at=timestamp(ended),
                request=plan.attempt.id,
                power_before=plan.vm.machine.power_state,
                power_pending=self._policy != "snapshot",
                undone_at=None,
                failure=None,
            ),
        )


def step_of(part: Operation, what: str) -> Operation:
    """One step of what is done to a VM; its words are for messages, and left out of the progress line."""
    return part.part(what, part.progress, headed=True)
