"""The verbs of VirtualMachineRevert."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.comparison import compare_inputs, compare_machines, not_ignored
from vmsnapshot.lifecycle.common.observed import (
    foreseen,
    now,
    timestamp,
    timestamp_or_none,
    unmet,
    with_secrets,
)
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.platform_check import unfit_revert
from vmsnapshot.lifecycle.common.preflight import refuse_errors
from vmsnapshot.lifecycle.common.safety_records import (
    LEFTOVER,
    REMOVED,
    NotRemoved,
    NotTaken,
    leftover_changes,
)
from vmsnapshot.lifecycle.common.selection import title
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.validation import check, load, without_empty, without_handed_back
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound, Refused, VmsnapshotError
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.lifecycle.revert.evidence import RevertEvidence, RevertRequest
from vmsnapshot.lifecycle.revert.executor import RevertExecutor
from vmsnapshot.lifecycle.revert.fingerprint import changed_since, fingerprint_of
from vmsnapshot.lifecycle.revert.plan import PlannedRevert, plan_request
from vmsnapshot.lifecycle.revert.state import (
    ASKING,
    COMPUTED,
    NAMING,
    POWER_PENDING,
    REVERT_FAILED,
    SUCCEEDED,
    asks_for_revert,
    carried_over,
    count_update,
    fulfilled_inputs,
    is_asked,
    is_first,
    power_asked,
    request_id,
    revert_state,
    safety_spec,
    watched,
    with_taken,
    with_unknown,
)
from vmsnapshot.model.catalogue import REVERT
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.revert import (
    LeftoverSafetySnapshot,
    RevertedTo,
    RevertInputs,
    RevertState,
    TakenSafetySnapshot,
)
from vmsnapshot.model.values import UNKNOWN, has_unknown, plain


class _RevertFailed(Exception):
    """A revert that failed, and what state is to hold of it; None: as before."""

    def __init__(self, cause: VmsnapshotError, state: RevertState | None) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.state = state


class RevertResource:
    """Which snapshot a VM was last reverted to, and on whose request."""

    kind = REVERT

    def __init__(self, session: Session) -> None:
        self._session = session
        # What check planned, by resource, for the diff and the preview that follow it.
        self._checked: dict[str, tuple[rq.Properties, PlannedRevert]] = {}
        # What the engine has shown of state, by resource: check and create are not told it.
        self._states: dict[str, RevertState] = {}

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate; when a revert is asked for, say what the VM will be: the input `machine`."""
        old = request.old_inputs or {}
        given = without_handed_back(without_empty(request.new_inputs, "snapshot"), old, COMPUTED)
        result = check(RevertInputs, given)
        failures = [*result.failures, *unfit_revert(result.inputs, self._session.platform)]
        if failures:
            return rq.CheckResult(result.inputs, failures)
        inputs = dict(result.inputs)
        if not asks_for_revert(old, inputs):
            return rq.CheckResult(carried_over(old, inputs))
        if any(has_unknown(inputs.get(name)) for name in NAMING):
            return rq.CheckResult({**inputs, **dict.fromkeys(COMPUTED, UNKNOWN)})
        asked = load(RevertInputs, {**inputs, "triggers": None})
        # The engine checks one resource after another.
        what = f'looking at VM "{asked.vm_name}"'
        operation = self._session.operation(request.urn, what, alone=True)
        try:
            planned = plan_request(self._session, asked, operation)
        except (NotFound, Ambiguous) as error:
            field, _, reason = error.message.partition(": ")
            return rq.CheckResult(inputs, [rq.CheckFailure(field, reason)])
        inputs["target"] = planned.target.id
        if not asks_for_revert(old, inputs):  # only another name for the same snapshot
            return rq.CheckResult(carried_over(old, inputs))
        state = self._states.get(request.urn)
        if state is not None or request.old_inputs is None:
            planned = self._recalled(request.urn, planned, inputs, state, operation)
        inputs["machine"] = planned.after.properties()
        inputs["seen"] = fingerprint_of(planned.vm).properties()
        self._checked[request.urn] = inputs, planned
        return rq.CheckResult(
            inputs,
            [
                rq.CheckFailure("snapshot", f"the revert can't work: {item.message}")
                for item in planned.errors
            ],
        )

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Inputs against inputs; and, only when a revert is asked for, live VM against target."""
        changes = compare_inputs(RevertInputs, request.old_inputs, request.new_inputs)
        changes |= leftover_changes(request.old_state)
        state = self._states.setdefault(request.urn, load(RevertState, request.old_state))
        if is_asked(request.old_inputs, request.old_state, request.new_inputs):
            checked = self._checked_plan(request.urn, request.new_inputs)
            live, target = request.old_state.get("machine"), request.new_inputs.get("machine")
            if checked is not None:
                # The old outputs are fresh only where the engine refreshes before an update.
                operation = self._session.operation(
                    request.urn, f"looking at {title(checked.vm)}", alone=True
                )
                planned = self._recalled(request.urn, checked, request.new_inputs, state, operation)
                live, target = planned.vm.machine.properties(), planned.after.properties()
            if isinstance(target, Mapping):
                changes |= compare_machines(("machine",), live, target)
        return rq.DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Revert the VM if a snapshot is asked for; otherwise only watch it."""
        if request.preview:
            asked = asks_for_revert({}, request.inputs)
            self._announce(request.urn, request.inputs, self._states.get(request.urn), asked=asked)
            tree = with_unknown(foreseen(REVERT, request.inputs))
            return watched("", tree, request.inputs)
        asked = asks_for_revert({}, request.inputs)
        try:
            return self._apply(request.urn, None, request.inputs, request.timeout, asked=asked)
        except _RevertFailed as failed:
            if failed.state is None or failed.state.vm is None:
                raise failed.cause from failed
            # State holds what is left on the platform, and that nothing was reverted yet.
            condition = unmet(SUCCEEDED, REVERT_FAILED, failed.cause)
            state = failed.state.model_copy(update={"conditions": [condition]})
            inputs = fulfilled_inputs(request.inputs, state.properties())
            kept = watched(failed.state.vm.id, with_secrets(state, request.inputs), inputs)
            raise rq.PartialState(kept, failed.cause) from failed

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Revert the VM if that is asked for; otherwise record the inputs and look at the VM."""
        old = load(RevertState, request.old_state)
        asked = is_asked(request.old_inputs, request.old_state, request.new_inputs)
        if request.preview:
            self._announce(request.urn, request.new_inputs, old, asked=asked)
            known = {
                name: request.old_state.get(name, UNKNOWN) for name in ("vm", "safetySnapshots", "conditions")
            }
            if not asked:
                # What was asked for is told by the new inputs alone; `machine` is the live VM.
                gone = request.old_inputs.keys() - {"machine"}
                known = {name: value for name, value in request.old_state.items() if name not in gone}
                known |= {LEFTOVER: []} if LEFTOVER in known else {}
            tree = with_unknown(foreseen(REVERT, request.new_inputs, known))
            return watched(request.id, tree, request.new_inputs)
        try:
            return self._apply(request.urn, old, request.new_inputs, request.timeout, asked=asked)
        except _RevertFailed as failed:
            state, cause = failed.state or old, failed.cause
        except rq.PartialState:
            raise
        except VmsnapshotError as error:
            if not asked:
                raise  # no revert has failed: what state holds stays as it is
            state, cause = old, error
        # With the old inputs, the next update still asks for the revert.
        failed_state = state.model_copy(update={"conditions": [unmet(SUCCEEDED, REVERT_FAILED, cause)]})
        kept = watched(request.id, with_secrets(failed_state, request.old_state), request.old_inputs)
        raise rq.PartialState(kept, cause) from cause

    def delete(self, request: rq.DeleteRequest) -> None:
        """Forget. The VM and its snapshots stay as they are."""
        state = load(RevertState, request.state)
        self._session.notes.forget(request.urn, now())
        self._states.pop(request.urn, None)
        left = [item.name for item in state.safety_snapshots]
        left += [item.name for item in state.leftover_safety_snapshots]
        if left:
            names = ", ".join(f'"{name}"' for name in left)
            self._session.say(
                request.urn,
                rq.Severity.INFO,
                f'Safety snapshots of VM "{state.vm_name}" stay on the platform: {names}.',
            )

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The live VM beside what is remembered; None when the VM is definitely gone."""
        operation = self._session.operation(request.urn, f"reading VM {request.id}", request.timeout)
        if request.state is None:
            vm = self._session.backend.find(VMReference(request.id), operation)
            watching = RevertInputs(vm_name=request.id)
            state = revert_state(watching, vm)
            return watched(vm.identity.id, state.properties(), watching.properties())
        old = load(RevertState, request.state)
        try:
            vm = self._session.backend.observe(old.vm.id if old.vm is not None else request.id, operation)
        except Gone as gone:
            self._session.say(request.urn, rq.Severity.WARNING, f"Forgotten: {gone.message}")
            return None
        fresh = self._states[request.urn] = revert_state(old, vm, old)
        tree = with_secrets(fresh, request.state)
        return watched(request.id, tree, fulfilled_inputs(dict(request.inputs or {}), request.state))

    # --- the revert itself ------------------------------------------------------------------

    def _apply(
        self,
        urn: str,
        old: RevertState | None,
        new_inputs: rq.Properties,
        timeout: dt.timedelta | None,
        *,
        asked: bool,
    ) -> rq.Resource:
        inputs = load(RevertInputs, new_inputs)
        operation = self._session.operation(urn, f'VM "{inputs.vm_name}"', timeout)
        if not asked:
            return self._without_revert(urn, old, inputs, new_inputs, operation)
        planned = plan_request(self._session, inputs, operation)
        target = planned.target
        operation.what = f'reverting {title(planned.vm)} to snapshot "{planned.vm.path(target.id)}"'
        # Without a state of its own it may replace one that has.
        before = old or self._states.get(urn)
        request = RevertRequest(request_id(urn, target, new_inputs, before), planned.vm, target)
        executor = RevertExecutor(self._session, urn, first=is_first(before), spec=safety_spec(inputs))
        vm, done = executor.evidence.wait_until_ended(request, operation, just_read=True)
        if vm is not planned.vm:  # an interrupted run has been waited for
            planned = plan_request(self._session, inputs, operation)
        planned = dataclasses.replace(planned, found=done)
        refuse_errors(planned.errors, operation.what)
        self._session.say(urn, rq.Severity.WARNING, planned.text)
        if done is None:
            self._compare_with_preview(urn, vm, inputs, operation)
        key, leftovers = inputs.vm_name, [] if old is None else old.leftover_safety_snapshots
        not_removed = executor.safety.clean_up(leftovers, {key: request.id}, operation)
        leftovers = [] if not_removed is None else not_removed.leftovers
        request = dataclasses.replace(request, vm=vm)
        safety = executor.safety.find(vm, request.id)
        if done is None and inputs.safety_snapshot is not None:
            protected = executor.protect({key: request}, operation)
            if isinstance(protected, NotTaken):
                state = old or revert_state(inputs, vm).model_copy(update=dict.fromkeys(ASKING))
                left = [*leftovers, *protected.leftovers]
                state = state.model_copy(update={"leftover_safety_snapshots": left})
                raise _RevertFailed(protected.error, state if old or left else None)
            safety = protected[key][1]
        taken = None if safety is None else executor.safety.record(safety)
        if done is None:
            try:
                done = executor.revert(request, operation)
            except VmsnapshotError as error:
                raise self._failed(urn, old, taken, leftovers, error) from error
        result = RevertState(
            **inputs.model_dump(exclude={"machine"}),
            reverted_to=RevertedTo(
                name=target.name,
                unique_id=target.unique_id,
                create_time=timestamp_or_none(target.create_time),
            ),
            reverted_at=timestamp(done.completed or now()),
            watched_since=old.watched_since if old is not None else None,
            safety_snapshots=with_taken(count_update(old) if old is not None else [], taken),
            leftover_safety_snapshots=leftovers,
            vm=vm.identity,
        )
        return self._end(result, new_inputs, executor, operation, not_removed, part_of=request.id)

    def _failed(
        self,
        urn: str,
        old: RevertState | None,
        taken: TakenSafetySnapshot | None,
        leftovers: list[LeftoverSafetySnapshot],
        error: VmsnapshotError,
    ) -> _RevertFailed:
        """What a revert leaves that failed, or of which it isn't known whether it has failed."""
        if old is None:
            if taken is not None:
                text = f'Safety snapshot "{taken.name}" stays: the same update run again uses it.'
                self._session.say(urn, rq.Severity.WARNING, text)
            return _RevertFailed(error, None)
        changes = {
            "safety_snapshots": with_taken(old.safety_snapshots, taken),
            "leftover_safety_snapshots": leftovers,
        }
        return _RevertFailed(error, old.model_copy(update=changes))

    def _compare_with_preview(
        self, urn: str, vm: VirtualMachine, inputs: RevertInputs, operation: Operation
    ) -> None:
        """Say what has changed on the VM since somebody agreed to this.

        Raises:
            Refused: Something has, and `requireUnchanged` is set.
        """
        changed = changed_since(self._session.notes.shown(urn) or inputs.seen, vm)
        if changed is None:
            return
        if inputs.require_unchanged:
            message = (
                f"{operation.what}: the VM is no longer as the preview showed it: {changed}. "
                "requireUnchanged is set, so nothing was done. Look at a new preview"
            )
            raise Refused(message)
        self._session.say(
            urn,
            rq.Severity.WARNING,
            f"{title(vm)} is no longer as the preview showed it: {changed}.",
        )

    def _without_revert(
        self,
        urn: str,
        old: RevertState | None,
        inputs: RevertInputs,
        new_inputs: rq.Properties,
        operation: Operation,
    ) -> rq.Resource:
        """Record the inputs; finish what a failed update left; let safety snapshots go in time."""
        if old is None or old.vm is None:
            vm = self._session.find(inputs.vm_name, inputs.namespace, operation)
            tree = with_secrets(revert_state(inputs, vm), new_inputs)
            return watched(vm.identity.id, tree, new_inputs)
        executor = RevertExecutor(self._session, urn, first=False, spec=safety_spec(inputs))
        kept = count_update(old)
        if inputs.safety_snapshot is not None:
            kept = executor.safety.remove_expired(kept, inputs.safety_snapshot, old.vm.id, operation)
        not_removed = executor.safety.clean_up(old.leftover_safety_snapshots, {}, operation)
        result = old.model_copy(
            update={
                **{name: getattr(inputs, name) for name in RevertInputs.model_fields},
                "safety_snapshots": kept,
                "leftover_safety_snapshots": [] if not_removed is None else not_removed.leftovers,
                "conditions": [item for item in old.conditions if item.type != REMOVED],
            }
        )
        if any(item.reason == POWER_PENDING for item in old.conditions):
            return self._end(result, new_inputs, executor, operation, not_removed)
        vm = self._session.backend.observe(old.vm.id, operation)
        return _recorded(vm.identity.id, revert_state(inputs, vm, result), new_inputs, not_removed)

    def _end(
        self,
        result: RevertState,
        new_inputs: rq.Properties,
        executor: RevertExecutor,
        operation: Operation,
        not_removed: NotRemoved | None,
        *,
        part_of: str | None = None,
    ) -> rq.Resource:
        """After the revert: the power that is asked for, and the VM as it then is.

        Raises:
            PartialState: The revert is done and recorded, what comes after it isn't.
        """
        assert result.vm is not None  # noqa: S101 - both callers set it
        backend = self._session.backend
        try:
            vm = backend.observe(result.vm.id, operation)
            power = power_asked(result.power_policy, vm.machine)
            if power is not None:
                operation.progress(f"powering {power}")
                executor.power(vm, power, operation, part_of=part_of)
                vm = backend.observe(result.vm.id, operation)
        except VmsnapshotError as error:
            partial = result.model_copy(update={"conditions": [unmet(SUCCEEDED, POWER_PENDING, error)]})
            tree = with_secrets(partial, new_inputs)
            resource = watched(result.vm.id, tree, new_inputs)
            raise rq.PartialState(resource, error) from error
        return _recorded(
            vm.identity.id, revert_state(result, vm, result, conditions=[]), new_inputs, not_removed
        )

    # --- what a revert will do --------------------------------------------------------------

    def _announce(self, urn: str, new_inputs: rq.Properties, old: RevertState | None, *, asked: bool) -> None:
        """In a preview, say what the revert that is asked for would do."""
        if not asked:
            return
        if any(has_unknown(new_inputs.get(name)) for name in NAMING):
            self._session.say(
                urn,
                rq.Severity.WARNING,
                "The VM will be reverted to a snapshot that is not known before the update: what that "
                "changes can't be shown.",
            )
            return
        known = {name: value for name, value in new_inputs.items() if not has_unknown(value)}
        inputs = load(RevertInputs, known)
        operation = self._session.operation(urn, f'looking at VM "{inputs.vm_name}"')
        planned = self._checked_plan(urn, new_inputs) or plan_request(self._session, inputs, operation)
        planned = self._recalled(urn, planned, new_inputs, old, operation)
        self._session.say(urn, rq.Severity.WARNING, planned.text)
        self._session.notes.show(urn, fingerprint_of(planned.vm))

    def _checked_plan(self, urn: str, inputs: rq.Properties) -> PlannedRevert | None:
        """The plan that this preview's check has just made."""
        checked = self._checked.get(urn)
        if checked is None or any(plain(checked[0][name]) != plain(inputs.get(name)) for name in COMPUTED):
            return None
        return checked[1]

    def _recalled(
        self,
        urn: str,
        planned: PlannedRevert,
        inputs: rq.Properties,
        old: RevertState | None,
        operation: Operation,
    ) -> PlannedRevert:
        """The plan with what an interrupted run of the same request did."""
        if planned.looked or has_unknown(inputs.get("triggers")):
            return planned  # with what isn't known yet, nobody knows whether it is the same
        request = RevertRequest(request_id(urn, planned.target, inputs, old), planned.vm, planned.target)
        evidence = RevertEvidence(self._session, urn, first=is_first(old))
        recalled = dataclasses.replace(planned, found=evidence.recall(request, operation), looked=True)
        checked = self._checked.get(urn)
        if checked is not None and checked[1] is planned:  # what follows in this preview looks no more
            self._checked[urn] = checked[0], recalled
        return recalled


def _recorded(
    identifier: str, state: RevertState, inputs: rq.Properties, not_removed: NotRemoved | None
) -> rq.Resource:
    """A revert as it is now.

    Raises:
        PartialState: It is as asked, but safety snapshots of an earlier update could not be removed.
    """
    if not_removed is not None:
        conditions = [*state.conditions, not_removed.condition]
        state = state.model_copy(update={"conditions": conditions})
    resource = watched(identifier, with_secrets(state, inputs), inputs)
    if not_removed is not None:
        raise rq.PartialState(resource, not_removed.error)
    return resource
