"""Reverts VMs, one or many, each exactly once: safety snapshots first, then the revert, then the power."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal

from vmsnapshot.lifecycle.common.late import look_again, noted
from vmsnapshot.lifecycle.common.observed import failed_condition
from vmsnapshot.lifecycle.common.preflight import raise_for_errors
from vmsnapshot.lifecycle.common.safety import SafetySnapshots, SafetySpec
from vmsnapshot.lifecycle.common.safety_records import REMOVED, NotRemoved, NotTaken, record
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound, Unreachable, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.lifecycle.revert.approval import compare_with_preview, require_as_before, require_target
from vmsnapshot.lifecycle.revert.earlier import find_earlier
from vmsnapshot.lifecycle.revert.evidence import RevertEvidence, RevertRequest
from vmsnapshot.lifecycle.revert.failed_request import find_failed_request, take_back_failed, try_to_take_back
from vmsnapshot.lifecycle.revert.half_done import say_outcome
from vmsnapshot.lifecycle.revert.plan import Asker, PlannedRevert, plan_request
from vmsnapshot.lifecycle.revert.state import (
    HALF_DONE,
    POWER_PENDING,
    REVERT_FAILED,
    SUCCEEDED,
    Unfinished,
    count_update,
    gone_text,
    is_first,
    known_until,
    not_begun_state,
    power_asked,
    recorded,
    request_id,
    revert_state,
    reverted_state,
    safety_spec,
    watched_state,
    with_inputs,
    with_taken,
    without_gone,
    without_vm,
)
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import (
    LeftoverSafetySnapshot,
    RevertInputs,
    RevertState,
    TakenSafetySnapshot,
)
from vmsnapshot.model.task import AskedTask, PastTask


class RevertExecutor:
    """The steps of one request: of VirtualMachineRevert for its VM, of EnvironmentRollback for each.

    Args:
        session: The backend and the logger.
        urn: The resource.
        first: Whether no state tells this request from an equal earlier one.
        spec: How safety snapshots are taken.
        strict: Whether `requireUnchanged` is set.

    Attributes:
        evidence: What interrupted runs of the request did.
        safety: Its safety snapshots.
        half_done: The requests of this run that have failed, and taken the VM's disks back all the same.
    """

    def __init__(
        self, session: Session, urn: str, *, first: bool, spec: SafetySpec, strict: bool = False
    ) -> None:
        self.evidence = RevertEvidence(session, urn, first=first)
        self.safety = SafetySnapshots(session, urn, spec, first=first)
        self.half_done: set[str] = set()
        self._session = session
        self._urn = urn
        self._strict = strict
        # The requests of which the platform took a record that they begin.
        self._announced: set[str] = set()

    def protect(
        self, requests: Mapping[str, RevertRequest], operation: Operation
    ) -> dict[str, tuple[VirtualMachine, Snapshot]] | NotTaken:
        """Take a safety snapshot of every VM, before the first is reverted; the VMs as they then are.

        All of them first: when one can't be taken nothing has been reverted yet, and together they are
        one more point, of nearly one moment, to which the environment can go back.
        """
        asked = {key: (request.vm, request.id) for key, request in requests.items()}
        return self.safety.take_all(asked, operation) if asked else {}

    def begin(self, requests: Iterable[RevertRequest], operation: Operation) -> None:
        """Write down on the platform that these reverts begin."""
        begun = [(request.vm, request.id) for request in requests]
        weaker = self._session.backend.begin(begun, operation)
        if weaker is None:
            self._announced |= {request_id for _, request_id in begun}
        else:
            self._session.log_wrapped(self._urn, Severity.WARNING, weaker)

    def revert(self, request: RevertRequest, operation: Operation) -> PastTask:
        """Revert a VM, and wait for it; the task that did it. `begin` comes first."""
        operation.progress(f'reverting to "{request.target.name}"')
        with noted(self._session, request.note):
            return self._revert_once(request, operation)

    def _revert_once(self, request: RevertRequest, operation: Operation) -> PastTask:
        notes = self._session.notes
        taken: AskedTask | None = None

        def asked(task: str) -> None:
            nonlocal taken
            taken = AskedTask(task, self.now(operation), announced=request.id in self._announced)
            notes.ask(request.note, taken)

        strict = self._strict
        again = partial(require_as_before, self._session, self._urn, request, operation, strict=strict)
        while True:
            try:
                ended = self._session.backend.revert(
                    request.vm,
                    request.target,
                    request.id,
                    operation,
                    suppress_power_on=request.power_policy == "off",
                    asked=asked,
                    again=again,
                )
            except Unreachable:
                # The answer was lost, the revert perhaps not: look before asking again.
                if (done := look_again(partial(self._done_now, request, operation), operation)) is not None:
                    return done
                again()
            except VmsnapshotError as error:
                if not error.outcome_unknown:
                    self._session.backend.end(request.vm, request.id, operation)
                    if taken is not None and say_outcome(self._session, request, error, operation):
                        self.half_done.add(request.id)
                raise
            else:
                completed = ended or self.now(operation)
                if taken is not None:
                    notes.ask(request.note, dataclasses.replace(taken, completed=completed))
                return PastTask(id="", running=False, succeeded=True, completed=completed)

    def _done_now(self, request: RevertRequest, operation: Operation) -> PastTask | None:
        """The task with which this very run has reverted a VM, once it has ended; None: none shows."""
        return self.evidence.wait_until_ended(request, operation, noted_now=True)[1]

    def now(self, operation: Operation) -> dt.datetime:
        """The time by the server's clock."""
        return self._session.now(operation)

    def power(
        self,
        vm: VirtualMachine,
        power: Literal["on", "off"],
        operation: Operation,
        *,
        part_of: str | None = None,
    ) -> None:
        """Switch a VM on or off, as powerPolicy has it, or as it was before."""
        self._session.backend.set_power(vm, power, operation, part_of=part_of)


class RevertRun:
    """One update of VirtualMachineRevert, or its create.

    Args:
        session: The backend and the logger.
        urn: The resource.
        inputs: What is asked for.
        old: What state holds; None: nothing yet.
        replaced: What state holds of the resource that this one replaces, if it does.
    """

    def __init__(
        self,
        session: Session,
        urn: str,
        inputs: RevertInputs,
        old: RevertState | None,
        replaced: RevertState | None = None,
    ) -> None:
        self._session = session
        self._urn = urn
        self._inputs = inputs
        self._old = old
        self._before = old or replaced
        first = is_first(self._before)
        self._executor = RevertExecutor(
            session, urn, first=first, spec=safety_spec(inputs), strict=inputs.require_unchanged
        )
        self._not_removed: NotRemoved | None = None
        # What an earlier update left of this very target: it is to be reverted to, not to be removed.
        self._to_target: list[LeftoverSafetySnapshot] = []

    def revert(self, operation: Operation) -> RevertState:
        """Revert the VM; what state holds then.

        Raises:
            Unfinished: It isn't complete.
            VmsnapshotError: The same, where there is nothing for a state to hold yet.
        """
        try:
            return self._revert(operation)
        except VmsnapshotError as error:
            if self._old is None:
                raise
            raise self._failed(self._old, error) from error

    def watch(self, operation: Operation) -> RevertState:
        """Record the inputs; finish what a failed update left; let safety snapshots go in time.

        Raises:
            Unfinished: What a failed update left could not be finished.
        """
        old, inputs = self._old, self._inputs
        if old is None or old.vm is None:
            vm = self._session.find(inputs.vm_name, inputs.namespace, operation)
            return watched_state(inputs, vm, self._session.now(operation))
        try:
            vm = self._session.locate(old.vm, operation)
        except Gone as gone:
            self._session.log(self._urn, Severity.WARNING, gone_text(gone.message))
            return without_vm(with_inputs(old, inputs), self._session.planned_now())
        try:
            take_back_failed(self._session, self._urn, vm, operation)
        except VmsnapshotError as error:
            state = replace(with_inputs(old, inputs), machine=old.machine)
            raise Unfinished(state, error, reverted=True) from error
        old = replace(old, vm=vm.identity, conditions=without_gone(old.conditions))
        safety = self._executor.safety
        kept = count_update(old)
        if inputs.safety_snapshot is not None:
            kept = safety.remove_expired(kept, inputs.safety_snapshot, vm.identity.id, operation)
        self._not_removed = safety.clean_up(old.leftover_safety_snapshots, {}, operation)
        result = replace(
            with_inputs(old, inputs),
            safety_snapshots=kept,
            leftover_safety_snapshots=self._leftovers,
            conditions=[item for item in old.conditions if item.type != REMOVED],
        )
        if any(item.reason == POWER_PENDING for item in old.conditions):
            return self._end(result, operation)
        if kept != count_update(old) or old.leftover_safety_snapshots:
            vm = self._session.backend.observe(vm.identity.id, operation)
        return recorded(revert_state(inputs, vm, result), self._not_removed)

    def _revert(self, operation: Operation) -> RevertState:
        inputs, old, executor = self._inputs, self._old, self._executor
        if self._before is not None and self._before.vm is not None:
            self._session.require_server(self._before.vm, operation)
        asker = Asker(self._urn, inputs, self._before)
        planned = self._plan(asker, operation)
        if self._before is not None:
            planned = dataclasses.replace(planned, before=self._before.vm)
        target = planned.target
        operation.what = f'reverting {format_vm(planned.vm)} to snapshot "{planned.vm.path(target.id)}"'
        require_target(inputs.target, target, operation)
        identifier = request_id(self._urn, planned.vm, target, inputs, self._before)
        request = RevertRequest(identifier, planned.vm, target, inputs.power_policy)
        vm, done = executor.evidence.wait_until_ended(request, operation, ReadMask.NOTHING)
        if vm is not planned.vm:  # an interrupted run has been waited for
            planned = self._plan(asker, operation)
        planned = dataclasses.replace(planned, found=done)
        if done is None:
            since = None if self._before is None else known_until(self._before)
            earlier = find_earlier(self._session, self._urn, request, operation, since=since)
            planned = dataclasses.replace(planned, earlier=earlier)
        if planned.errors and try_to_take_back(self._session, self._urn, planned.vm, operation):
            raise_for_errors(planned.errors, operation.what, end="Nothing was reverted")
        raise_for_errors(planned.errors, operation.what)
        self._session.log(self._urn, Severity.WARNING, planned.text)
        if done is None:
            compare_with_preview(self._session, self._urn, (vm, target), inputs, operation)
        leftovers = [] if old is None else old.leftover_safety_snapshots
        self._to_target = [item for item in leftovers if item.ownership == target.mark]
        leftovers = [item for item in leftovers if item not in self._to_target]
        request = dataclasses.replace(request, vm=vm)
        self._not_removed = executor.safety.clean_up(leftovers, {inputs.vm_name: request.id}, operation)
        taken = self._protect(request, operation, needed=done is None)
        if done is None:
            try:
                executor.begin([request], operation)
                done = executor.revert(request, operation)
            except VmsnapshotError as error:
                raise self._not_reverted(request, taken, error) from error
        moment = done.completed or self._session.now(operation)
        result = replace(
            reverted_state(inputs, vm, target, moment, old),
            safety_snapshots=with_taken(self._kept(target), taken),
            leftover_safety_snapshots=[] if self._not_removed is None else self._not_removed.leftovers,
        )
        return self._end(result, operation, part_of=request.id)

    def _plan(self, asker: Asker, operation: Operation) -> PlannedRevert:
        """What is asked for, looked up; if it isn't there, a failed request of ours is taken back first."""
        inputs = self._inputs
        try:
            return plan_request(self._session, inputs, operation, asker)
        except (NotFound, Ambiguous):
            vm = find_failed_request(self._session, inputs.vm_name, inputs.namespace, operation)
            if vm is not None:
                try_to_take_back(self._session, self._urn, vm, operation)
            raise

    def _protect(
        self, request: RevertRequest, operation: Operation, *, needed: bool
    ) -> list[TakenSafetySnapshot]:
        """The safety snapshots of this request, the newest last; one is taken if needed and asked for.

        Raises:
            Unfinished: It could not be taken; state holds what may be left of it.
            VmsnapshotError: The same, where nothing is left of it and there is no state.
        """
        safety = self._executor.safety
        vm = request.vm
        if needed and self._inputs.safety_snapshot is not None:
            key = self._inputs.vm_name
            protected = self._executor.protect({key: request}, operation)
            if isinstance(protected, NotTaken):
                left = [*self._leftovers, *protected.leftovers]
                if self._old is None and not left:
                    raise protected.error
                state = replace(self._kept_state(request.vm), leftover_safety_snapshots=left)
                raise self._failed(state, protected.error)
            vm = protected[key][0]
        return [record(item) for item in safety.find_all(vm, request.id)]

    def _not_reverted(
        self, request: RevertRequest, taken: list[TakenSafetySnapshot], error: VmsnapshotError
    ) -> Exception:
        """What a revert leaves that failed, or of which it isn't known whether it has failed."""
        half_done = request.id in self._executor.half_done
        if self._old is None and not half_done:
            if taken:
                text = f'Safety snapshot "{taken[-1].name}" stays: the same update run again replaces it.'
                self._session.log(self._urn, Severity.WARNING, text)
            return error
        old = self._kept_state(request.vm)
        state = replace(
            old,
            safety_snapshots=with_taken(old.safety_snapshots, taken),
            leftover_safety_snapshots=self._leftovers,
        )
        if not half_done:
            return self._failed(state, error)
        error.add(f"(Request {request_id(self._urn, request.vm, request.target, self._inputs, old)}.)")
        return self._failed(state, error, HALF_DONE)

    def _kept_state(self, vm: VirtualMachine) -> RevertState:
        return self._old or not_begun_state(self._inputs, vm, self._session.planned_now())

    def _end(self, result: RevertState, operation: Operation, *, part_of: str | None = None) -> RevertState:
        """After the revert: the power that is asked for, and the VM as it then is.

        Raises:
            Unfinished: The revert is done and recorded, what comes after it isn't.
        """
        assert result.vm is not None  # noqa: S101 - both callers set it
        backend = self._session.backend
        try:
            vm = backend.observe(result.vm.id, operation)
            power = power_asked(result.power_policy, vm.machine)
            if power is not None:
                operation.progress(f"powering {power}")
                self._executor.power(vm, power, operation, part_of=part_of)
                vm = backend.observe(result.vm.id, operation)
        except VmsnapshotError as error:
            condition = failed_condition(SUCCEEDED, POWER_PENDING, error, self._session.planned_now())
            partial = replace(result, conditions=[condition])
            raise Unfinished(partial, error, reverted=True) from error
        return recorded(revert_state(result, vm, result, conditions=[]), self._not_removed)

    def _kept(self, target: Snapshot) -> list[TakenSafetySnapshot]:
        """The safety snapshots that are kept, what the revert goes back to among them."""
        kept = [] if self._old is None else count_update(self._old)
        return with_taken(kept, [record(target)]) if self._to_target else kept

    @property
    def _leftovers(self) -> list[LeftoverSafetySnapshot]:
        return [*self._to_target, *(() if self._not_removed is None else self._not_removed.leftovers)]

    def _failed(self, state: RevertState, error: VmsnapshotError, reason: str = REVERT_FAILED) -> Unfinished:
        condition = failed_condition(SUCCEEDED, reason, error, self._session.planned_now())
        return Unfinished(replace(state, conditions=[condition]), error, reverted=False)
