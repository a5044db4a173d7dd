"""Reverts the VMs of an environment, wave after wave, and takes it back where that is asked for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import now, timestamp
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.parallel import parallel_map, partition
from vmsnapshot.lifecycle.common.safety_records import NotTaken
from vmsnapshot.lifecycle.common.selection import title
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError
from vmsnapshot.lifecycle.revert.evidence import Attempt, RevertRequest
from vmsnapshot.lifecycle.revert.executor import RevertExecutor
from vmsnapshot.model.environment import EnvironmentMember, MemberRollback, MemberSnapshot
from vmsnapshot.model.machine import PowerState, Snapshot, VirtualMachine
from vmsnapshot.model.revert import LeftoverSafetySnapshot, PowerPolicy

_POWER: Final[dict[PowerState | None, Literal["on", "off"]]] = {"PoweredOn": "on", "PoweredOff": "off"}


@dataclasses.dataclass(frozen=True)
class MemberPlan:
    """What is to happen to one VM.

    Attributes:
        member: Which, and in which wave.
        vm: As found before anything changed.
        attempt: The try that is to revert it, or that has.
        target: The snapshot to go back to; None: it is reverted, only its power may be still to be done.
    """

    member: EnvironmentMember
    vm: VirtualMachine
    attempt: Attempt
    target: Snapshot | None = None


class RollbackExecutor:
    """One rollback at work.

    Args:
        reverts: Reverts one VM, or takes its safety snapshot.
        plans: Every VM, by its key.
        progress: What was done to each before this run; goes on while it works.
        label: The label that all go back to.
        policy: The power afterwards.

    Attributes:
        plans: Every VM, by its key.
        progress: What was done to each VM so far.
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
        self.progress = dict(progress)
        self.leftovers: list[LeftoverSafetySnapshot] = []
        self._lock = threading.Lock()
        self._reverts = reverts
        self.plans = plans
        self._label = label
        self._policy = policy
        # The safety snapshots that there are: those of an earlier run of this request, then ours.
        self._kept = {
            key: (plan.vm, found)
            for key, plan in plans.items()
            if (found := reverts.safety.find(plan.vm, plan.attempt.id)) is not None
        }
        for key, (vm, found) in self._kept.items():
            self._note(key, safety_snapshot=member_snapshot(vm, found))
        self._ended = 0

    @property
    def reverted(self) -> list[str]:
        """The keys of those VMs that are reverted now."""
        return [key for key in self.plans if self._entry(key).reverted_to is not None]

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
                self._note(key, safety_snapshot=None)
            return taken
        self._kept |= taken
        for key, (vm, snapshot) in taken.items():
            self._note(key, safety_snapshot=member_snapshot(vm, snapshot))
        return None

    def run(self, operation: Operation) -> dict[str, VmsnapshotError]:
        """Revert wave after wave, and stop after one in which a VM fails; the failures."""
        failures: dict[str, VmsnapshotError] = {}
        for wave in waves([plan.member for plan in self.plans.values()], descending=True):
            failures = self._each(wave, self._revert, operation, f"rolling back to {self._label}")
            if failures:
                break
        for key, error in failures.items():
            self._note(key, failure=error.message)
        return failures

    def undo(self, failed: Sequence[str], operation: Operation) -> dict[str, VmsnapshotError]:
        """Bring back what was reverted, the last wave first; why the rest could not be.

        Then their safety snapshots are no longer needed, and are removed, as are those of VMs that
        were not reverted at all.

        Args:
            failed: The VMs whose revert failed, as far as is known.
            operation: Whose time counts.
        """
        self._look_again(failed, operation)
        failures: dict[str, VmsnapshotError] = {}
        self._ended = len(self.plans) - len(self.reverted)  # counted on to all VMs as they were
        for wave in waves([self.plans[key].member for key in self.reverted]):
            failures |= self._each(wave, self._take_back, operation, "bringing VMs back as they were")
        for key, error in failures.items():
            self._note(key, failure=error.message)
        over = {key: item for key, item in self._kept.items() if key not in self.reverted}
        safety = self._reverts.safety
        unused = [safety.leftover(key, vm, self.plans[key].attempt.id) for key, (vm, _) in over.items()]
        left = safety.remove_leftovers(unused, operation)
        self.leftovers = [item for item in unused if item.member in left]
        for key in over:
            self._note(key, safety_snapshot=None)
        return failures

    def _look_again(self, failed: Sequence[str], operation: Operation) -> None:
        """A revert that failed for us (its time was over, the connection broken) may have ended well."""
        targets = {
            key: (plan.vm, plan.target)
            for key in failed
            if (plan := self.plans[key]).target is not None and key not in self.reverted
        }
        tries = {key: self.plans[key].attempt for key in targets}
        for key, attempt in self._reverts.evidence.find_attempts(targets, tries, operation).items():
            if attempt.done is not None and attempt.id == self.plans[key].attempt.id:
                self._reverted(key, attempt.done.completed or now())

    def _each(
        self,
        wave: Sequence[EnvironmentMember],
        act: Callable[[str, MemberPlan, Operation], None],
        operation: Operation,
        doing: str,
    ) -> dict[str, VmsnapshotError]:
        plans = {item.key: self.plans[item.key] for item in wave}
        before, of = self._ended, len(self.plans)
        outcomes = parallel_map(
            plans, act, operation, doing, lambda key: f"{doing}: {key}", before=before, of=of
        )
        done, failed = partition(outcomes)
        self._ended += len(done)
        return failed

    # --- one VM -----------------------------------------------------------------------------

    def _revert(self, key: str, plan: MemberPlan, part: Operation) -> None:
        if plan.target is not None:
            where = f'"{plan.vm.path(plan.target.id)}"'
            step = _step(part, f"reverting {title(plan.vm)} to snapshot {where}")
            request = RevertRequest(plan.attempt.id, plan.vm, plan.target)
            self._reverted(key, self._reverts.revert(request, step).completed or now())
        if self._policy != "snapshot" and self._entry(key).power_pending:
            step = _step(part, f"powering {title(plan.vm)} {self._policy} after its revert")
            self._reverts.power(plan.vm, self._policy, step, part_of=plan.attempt.id)
        self._note(key, power_pending=False, failure=None)

    def _reverted(self, key: str, ended: dt.datetime) -> None:
        plan = self.plans[key]
        assert plan.target is not None  # noqa: S101 - only such are reverted
        self._note(
            key,
            reverted_to=member_snapshot(plan.vm, plan.target),
            reverted_at=timestamp(ended),
            request=plan.attempt.id,
            power_before=plan.vm.machine.power_state,
            power_pending=self._policy != "snapshot",
            undone_at=None,
            failure=None,
        )

    def _take_back(self, key: str, plan: MemberPlan, part: Operation) -> None:
        before = self._entry(key).power_before
        if key not in self._kept:
            message = f"{title(plan.vm)} stays reverted: it has no safety snapshot to go back to."
            raise Refused(message)
        vm, snapshot = self._kept[key]
        step = _step(part, f'bringing {title(vm)} back to its safety snapshot "{snapshot.name}"')
        request = RevertRequest(plan.attempt.undo_id, vm, snapshot)
        ended = self._reverts.revert(request, step).completed or now()
        self._note(
            key,
            reverted_to=None,
            reverted_at=None,
            request=None,
            power_pending=False,
            undone_at=timestamp(ended),
        )
        if before in _POWER:
            step = _step(part, f"powering {title(vm)} {_POWER[before]}, as it was before its revert")
            self._reverts.power(vm, _POWER[before], step)

    def _entry(self, key: str) -> MemberRollback:
        return self.progress.get(key, MemberRollback())

    def _note(self, key: str, **changes: Any) -> None:
        with self._lock:
            self.progress[key] = self._entry(key).model_copy(update=changes)


def _step(part: Operation, what: str) -> Operation:
    """One step of what is done to a VM; its words are for messages, and left out of the progress line."""
    return part.part(what, lambda text: part.progress(text.removeprefix(f"{what}: ")))


def member_snapshot(vm: VirtualMachine, snapshot: Snapshot) -> MemberSnapshot:
    """A snapshot as state holds it."""
    return MemberSnapshot(
        id=snapshot.id,
        path=vm.path(snapshot.id),
        unique_id=snapshot.unique_id,
        create_time=None if snapshot.create_time is None else timestamp(snapshot.create_time),
    )
