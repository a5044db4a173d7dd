"""Rolls an environment back: reverts its VMs wave after wave, and undoes that where it is asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Final

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common.members import Environment
from vmsnapshot.lifecycle.common.observed import failed_condition, timestamp
from vmsnapshot.lifecycle.common.parallel import aggregate_errors
from vmsnapshot.lifecycle.common.safety import SafetySpec
from vmsnapshot.lifecycle.common.safety_records import NotRemoved, unheld_text
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask, values
from vmsnapshot.lifecycle.revert.earlier import EarlierRevert, find_earlier
from vmsnapshot.lifecycle.revert.evidence import RevertAttempt, RevertRequest
from vmsnapshot.lifecycle.revert.executor import RevertExecutor
from vmsnapshot.lifecycle.revert.failed_request import try_to_take_back
from vmsnapshot.lifecycle.rollback.begun import Begun
from vmsnapshot.lifecycle.rollback.plan import (
    MemberAttempts,
    MemberPlan,
    PlannedRollback,
    changed_members,
    plan_found,
    require_targets,
    spec_of,
)
from vmsnapshot.lifecycle.rollback.standing import say_astray
from vmsnapshot.lifecycle.rollback.state import (
    SUCCEEDED,
    RollbackRequest,
    Unfinished,
    completed,
    half_done_before,
    is_open,
    is_power_pending,
    known_until,
    member_snapshot,
    reverted_before,
    unfinished,
    vms_of,
    with_leftovers,
)
from vmsnapshot.lifecycle.rollback.text import found_text, rollback_text
from vmsnapshot.lifecycle.rollback.undo import RollbackUndo
from vmsnapshot.lifecycle.rollback.waves import WaveExecutor
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.rollback import MemberRollback, RollbackInputs, RollbackState

_REFUSED: Final = "EnvironmentRollbackNotBegun"
_FAILED: Final = "EnvironmentRollbackFailed"
_UNDONE: Final = "EnvironmentRollbackUndone"
_NOT_READ: Final = "EnvironmentNotRead"

# What reading the VMs may last after a failure: it only makes state fresher.
_READ_WITHIN: Final = dt.timedelta(minutes=1)


class RollbackExecutor:
    """One run of a request for a rollback; an interrupted or failed one before it is continued.

    Args:
        session: The backend and the logger.
        urn: The resource.
        old: What state holds; None: nothing yet.
        inputs: What is asked for; `to` is set.
        request: Which request that is.
    """

    def __init__(
        self,
        session: Session,
        urn: str,
        old: RollbackState | None,
        inputs: RollbackInputs,
        request: RollbackRequest,
    ) -> None:
        self._session = session
        self._urn = urn
        self._old = old
        self._inputs = inputs
        self._request = request
        # Without anything before it, no state tells this request from an equal earlier one.
        first = request.after is None
        spec, strict = SafetySpec("rollback"), inputs.require_unchanged
        self._reverts = RevertExecutor(session, urn, first=first, spec=spec, strict=strict)
        self._spec = spec_of(session, inputs, urn)
        self._not_removed: NotRemoved | None = None
        self._vms: Mapping[str, VirtualMachine] = {}

    def do(self, operation: Operation) -> RollbackState:
        """Roll the environment back and return what state holds then.

        Raises:
            Unfinished: It isn't complete.
            VmsnapshotError: The same, where there is no state yet and no VM was reverted.
        """
        operation.what = f'rolling back to "{self._inputs.to}"'
        try:
            executor, planned = self._look(operation)
            self._compare_with_preview(planned, operation)
        except VmsnapshotError as error:
            raise self._not_begun(error) from error
        again = self._old is not None and is_open(self._old)
        earlier = self.find_earlier(planned, (), operation)
        text = rollback_text(planned, done=len(executor.reverted), again=again, earlier=earlier)
        self._session.log(self._urn, requests.Severity.WARNING, text)
        if self._old is not None:
            attempts = {key: plan.attempt.id for key, plan in executor.plans.items()}
            leftovers = self._old.leftover_safety_snapshots
            self._not_removed = self._reverts.safety.clean_up(leftovers, attempts, operation)
        if planned.spec.safety and (not_taken := executor.protect(operation)) is not None:
            raise self._unfinished(executor, _REFUSED, not_taken.error) from not_taken.error
        failures = executor.run(operation)
        if failures:
            raise self._failed(executor, failures, operation)
        try:
            ids = [vm.identity.id for vm in self._vms.values()]
            after = values(self._session.backend.observe_all(ids, operation, ReadMask.HARDWARE))
        except VmsnapshotError as error:
            raise self._unfinished(executor, _NOT_READ, error) from error
        machines = dict(zip(self._vms, after, strict=True))
        moment = self._session.now(operation)
        say_astray(self._session, self._urn, self._inputs.to or "", executor.progress.members, machines)
        state = completed(self._inputs, machines, executor.progress.members, self._request, moment)
        if self._not_removed is not None:
            raise Unfinished(with_leftovers(state, self._not_removed), self._not_removed.error)
        return state

    # --- before anything changes ------------------------------------------------------------

    @property
    def _before(self) -> Mapping[str, MemberRollback]:
        """What state tells of this very request."""
        old = self._old
        return old.progress if old is not None and old.request == self._request.token else {}

    @property
    def _attempts(self) -> MemberAttempts:
        return MemberAttempts(self._reverts, self._request, self._before, safety=self._spec.safety)

    def _find(self, operation: Operation) -> Environment:
        """The VMs; what state knows of those that the request was begun with is by their keys from now on."""
        begun = Begun.of(self._old, self._request)
        environment = begun.find(self._session, self._inputs.virtual_machines, operation)
        self._old = begun.renamed(self._old, environment)
        return environment

    def find_attempts(self, planned: PlannedRollback, operation: Operation) -> dict[str, RevertAttempt]:
        """For previews: what interrupted runs of the request did, or still do, to VMs to be reverted."""
        attempts = self._attempts.find(planned.targets, operation, wait=False)
        return {key: item for key, item in attempts.items() if item.done or item.running}

    def find_earlier(
        self, planned: PlannedRollback, found: Collection[str], operation: Operation
    ) -> dict[str, EarlierRevert]:
        """Of VMs that aren't found to be done, the reverts that may have been done for the rollback."""
        since = None if self._old is None else known_until(self._old)
        earlier: dict[str, EarlierRevert] = {}
        for key, (vm, target) in planned.targets.items():
            request = RevertRequest(self._attempts.first(key, vm, target).id, vm, target)
            if key not in found and (
                item := find_earlier(self._session, self._urn, request, operation, since=since)
            ):
                earlier[key] = item
        return earlier

    def _look(self, operation: Operation) -> tuple[WaveExecutor, PlannedRollback]:
        """Every VM looked up and checked, and what was already done to it.

        Raises:
            Refused: One can't be rolled back; all such are named.
        """
        members = {member.key: member for member in self._inputs.virtual_machines}
        planned = self._plan(operation)
        attempts = self._attempts.find(planned.targets, operation)
        found = [key for key in planned.targets if attempts[key].done is not None]
        try:
            planned.without(found).raise_for_errors(operation.what)
        except Refused:
            # What interrupted runs were still doing has been waited for.
            planned = self._plan(operation)
            self._raise_for_errors(planned.without(found), operation)
        require_targets(self._inputs, planned, operation)
        self._vms = planned.environment.machines
        before = reverted_before(self._old, self._request.token)
        targets = planned.targets
        policy = self._inputs.power_policy
        progress = {
            key: replace(item, power_pending=is_power_pending(self._old, item, policy))
            if item.reverted_to is not None
            else item
            for key, item in self._before.items()
            if key in members
        }
        plans: dict[str, MemberPlan] = {}
        for key, (vm, target) in targets.items():
            done = attempts[key].done
            plans[key] = MemberPlan(members[key], vm, attempts[key], None if done else target)
            if done is not None:
                progress[key] = MemberRollback(
                    reverted_to=member_snapshot(vm, target),
                    reverted_at=timestamp(done.completed or self._session.now(operation)),
                    request=attempts[key].id,
                    power_pending=policy != "snapshot",
                )
        for key in before.keys() & members.keys():
            plans[key] = MemberPlan(members[key], planned.vm(key), RevertAttempt(before[key].request or ""))
        if found:
            self._session.log(self._urn, requests.Severity.WARNING, found_text(found))
        pairs = [(plan.vm, plan.attempt.id) for plan in plans.values()]
        unheld = [(vm, item) for vm, attempt in pairs for item in self._reverts.safety.unheld(vm, attempt)]
        if unheld:
            self._session.log_wrapped(self._urn, requests.Severity.WARNING, unheld_text(unheld))
        executor = WaveExecutor(
            self._reverts,
            {key: plans[key] for key in members},
            progress=progress,
            label=self._inputs.to or "",
            policy=policy,
        )
        return executor, planned.without(found)

    def _plan(self, operation: Operation) -> PlannedRollback:
        environment = self._find(operation)
        before = reverted_before(self._old, self._request.token)
        begun_with = vms_of(self._old, self._request)
        return plan_found(
            self._session,
            self._spec,
            environment,
            operation,
            without=before,
            begun_with=begun_with,
            half_done=half_done_before(self._old, self._request.token),
        )

    def _raise_for_errors(self, planned: PlannedRollback, operation: Operation) -> None:
        """Go on only if every VM can be rolled back; else failed requests of ours are taken back first.

        Raises:
            Refused: Names all that can't.
        """
        try:
            planned.raise_for_errors(operation.what)
        except Refused:
            for vm in planned.environment.machines.values():
                try_to_take_back(self._session, self._urn, vm, operation)
            raise

    def _compare_with_preview(self, planned: PlannedRollback, operation: Operation) -> None:
        """Say what has changed on the VMs since somebody approved this.

        Raises:
            Refused: Something has, and `requireUnchanged` is set; or it is another VM or snapshot.
        """
        changed = changed_members(self._session, self._urn, planned, self._inputs.seen, operation)
        if not changed:
            return
        listed = "\n".join(changed)
        if self._inputs.require_unchanged:
            reason = "requireUnchanged is set, so nothing was done. Look at a new preview."
            raise Refused(f"{reason}\n{listed}", subject=operation.what)
        self._session.log(self._urn, requests.Severity.WARNING, listed)

    # --- when it isn't complete -------------------------------------------------------------

    def _failed(
        self, executor: WaveExecutor, failures: Mapping[str, VmsnapshotError], operation: Operation
    ) -> Exception:
        """What a failure leaves, after `onFailure`."""
        count = len(self._vms)
        head = f"{len(failures)} of {count} VMs failed."
        reason = _FAILED
        if self._inputs.on_failure == "undo" and not operation.cancellation.requested:
            reason = _UNDONE
            ending = self._undo(executor, list(failures), operation)
        else:
            done = len(executor.reverted)
            ending = f"{done} of {count} are reverted and stay so."
        ending += " The next `pulumi up` goes on with those that are not reverted."
        error = aggregate_errors(head, failures, ending, subject=operation.what)
        return self._unfinished(executor, reason, error)

    def _undo(self, executor: WaveExecutor, failed: list[str], operation: Operation) -> str:
        what = f"bringing back what was reverted when {operation.what}"
        within = self._session.operation_after(operation, self._urn, what)
        try:
            earlier = reverted_before(self._old, self._request.token)
            return RollbackUndo(executor, self._reverts, earlier).undo(failed, within)
        except VmsnapshotError as error:
            return f"What was reverted could not be brought back: {error.message}"

    def _not_begun(self, error: VmsnapshotError) -> Exception:
        if self._old is None:
            return error
        conditions = [failed_condition(SUCCEEDED, _REFUSED, error, self._session.planned_now())]
        return Unfinished(replace(self._old, conditions=conditions), error)

    def _unfinished(self, executor: WaveExecutor, reason: str, error: VmsnapshotError) -> Exception:
        leftovers = [*executor.leftovers, *(self._not_removed.leftovers if self._not_removed else ())]
        members = executor.progress.members.values()
        # What was undone is remembered, too: the next run isn't to take it for somebody else's revert.
        signs = ((item.reverted_to, item.request, item.safety_snapshot, item.undone_at) for item in members)
        touched = any(map(any, signs))
        if self._old is None and not touched and not leftovers:
            return error
        machines = self._read_back()
        state = unfinished(
            self._inputs,
            self._vms,
            machines,
            self._old,
            progress=executor.progress.members,
            request=self._request,
            condition=failed_condition(SUCCEEDED, reason, error, self._session.planned_now()),
        )
        state = replace(state, leftover_safety_snapshots=leftovers)
        return Unfinished(state, error)

    def _read_back(self) -> dict[str, VirtualMachine]:
        """The VMs as they are now, as far as they can be read."""
        operation = self._session.operation(self._urn, "reading the environment", _READ_WITHIN)
        ids = [vm.identity.id for vm in self._vms.values()]
        try:
            outcomes = self._session.backend.observe_all(ids, operation, ReadMask.HARDWARE)
        except VmsnapshotError:
            return {}  # the next refresh does
        found = zip(self._vms, outcomes, strict=True)
        return {key: vm for key, vm in found if not isinstance(vm, VmsnapshotError)}
