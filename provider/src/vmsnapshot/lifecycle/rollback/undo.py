"""Undoes a rollback that failed: brings the VMs back through their safety snapshots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal

from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.revert.evidence import RevertRequest
from vmsnapshot.lifecycle.revert.executor import RevertExecutor
from vmsnapshot.lifecycle.rollback.plan import MemberPlan
from vmsnapshot.lifecycle.rollback.text import undone_text
from vmsnapshot.lifecycle.rollback.waves import WaveExecutor, step_of
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.machine import PowerState

_POWER: Final[dict[PowerState | None, Literal["on", "off"]]] = {"PoweredOn": "on", "PoweredOff": "off"}


class RollbackUndo:
    """Takes back what one run of a rollback has done.

    Args:
        executor: The rollback that has failed.
        reverts: Reverts one VM.
        earlier: The VMs that state knew to be reverted before this run: somebody was told that they stay so,
            and may have worked on them since.
    """

    def __init__(self, executor: WaveExecutor, reverts: RevertExecutor, earlier: Collection[str]) -> None:
        self._executor = executor
        self._reverts = reverts
        self._earlier = earlier

    @property
    def _reverted(self) -> list[str]:
        """The keys of those VMs that are to be brought back and are not yet."""
        return [key for key in self._executor.reverted if key not in self._earlier]

    @property
    def _half_done(self) -> list[str]:
        """The keys of those VMs whose revert has failed, and has taken their disks back all the same."""
        plans = self._executor.plans
        return [key for key, plan in plans.items() if plan.attempt.id in self._reverts.half_done]

    def undo(self, failed: Sequence[str], operation: Operation) -> str:
        """Bring back what was reverted, the last wave first; what became of each, in words.

        Then their safety snapshots are no longer needed, and are removed, as are those of VMs that
        were not reverted at all.

        Args:
            failed: The VMs whose revert failed, as far as is known.
            operation: Whose time counts.
        """
        executor = self._executor
        undone = {key: item.undone_at for key, item in executor.progress.members.items()}
        self._look_again(failed, operation)
        failures: dict[str, VmsnapshotError] = {}
        executor.ended = len(executor.plans) - len(self._reverted)  # counted on to all VMs as they were
        for wave in waves([executor.plans[key].member for key in self._reverted]):
            failures |= self._begin(wave, operation) or executor.each(
                wave, self._take_back, operation, "bringing VMs back as they were"
            )
        for key, error in failures.items():
            known = executor.progress.of(key)
            if key in self._half_done:  # it isn't what it was, and not what was asked for
                known = replace(known, reverted_to=None, reverted_at=None, power_pending=False)
            executor.progress.record(key, replace(known, failure=error.message))
        over = {key: item for key, item in executor.kept.items() if key not in executor.reverted}
        safety = self._reverts.safety
        unused = [safety.leftover(key, vm, executor.plans[key].attempt.id) for key, (vm, _) in over.items()]
        left = safety.remove_leftovers(unused, operation)
        executor.leftovers = [item for item in unused if item.member in left]
        for key in over:
            executor.progress.record(key, replace(executor.progress.of(key), safety_snapshot=None))
        back = [
            key
            for key, item in executor.progress.members.items()
            if key not in failures and item.undone_at not in (None, undone.get(key))
        ]
        return undone_text(back, failures, [key for key in executor.reverted if key in self._earlier])

    def _look_again(self, failed: Sequence[str], operation: Operation) -> None:
        """A revert that failed for us (its time was over, the connection broken) may have ended well."""
        executor = self._executor
        targets = {
            key: (plan.vm, plan.target)
            for key in failed
            if (plan := executor.plans[key]).target is not None and key not in executor.reverted
        }
        tries = {key: executor.plans[key].attempt for key in targets}
        found = self._reverts.evidence.find_attempts(targets, tries, operation, undoes=True)
        for key, attempt in found.items():
            if attempt.done is not None and attempt.id == executor.plans[key].attempt.id:
                executor.record_revert(key, attempt.done.completed or self._reverts.now(operation))
        for key in self._half_done:
            executor.record_revert(key, self._reverts.now(operation))

    def _begin(self, wave: Sequence[EnvironmentMember], operation: Operation) -> dict[str, VmsnapshotError]:
        """Write down on the platform which of a wave's VMs will be brought back; why that failed, if it did.

        By that the next run knows, where the platform keeps no mark with tasks, that a VM isn't reverted.
        """
        keys = [member.key for member in wave]
        try:
            self._reverts.begin([self._request(key) for key in keys if key in self._executor.kept], operation)
        except VmsnapshotError as error:
            return dict.fromkeys(keys, error)
        return {}

    def _request(self, key: str) -> RevertRequest:
        vm, snapshot = self._executor.kept[key]
        return RevertRequest(self._executor.plans[key].attempt.undo_id, vm, snapshot, shown=False)

    def _take_back(self, key: str, plan: MemberPlan, part: Operation) -> None:
        before = self._executor.progress.of(key).power_before
        if key not in self._executor.kept:
            message = f"{format_vm(plan.vm)} stays reverted: it has no safety snapshot to go back to."
            raise Refused(message)
        vm, snapshot = self._executor.kept[key]
        step = step_of(part, f'bringing {format_vm(vm)} back to its safety snapshot "{snapshot.name}"')
        ended = self._reverts.revert(self._request(key), step).completed or self._reverts.now(step)
        self._executor.progress.record(
            key,
            replace(
                self._executor.progress.of(key),
                reverted_to=None,
                reverted_at=None,
                request=None,
                power_pending=False,
                undone_at=timestamp(ended),
            ),
        )
        if before in _POWER:
            step = step_of(part, f"powering {format_vm(vm)} {_POWER[before]}, as it was before its revert")
            self._reverts.power(vm, _POWER[before], step)
