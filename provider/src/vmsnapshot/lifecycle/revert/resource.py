"""The verbs of VirtualMachineRevert."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Final, TypeAlias

from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.comparison import compare_machines, not_ignored
from vmsnapshot.lifecycle.common.identity import KnownSnapshot, snapshot_key
from vmsnapshot.lifecycle.common.interplay import say_meetings
from vmsnapshot.lifecycle.common.observed import parse_timestamp
from vmsnapshot.lifecycle.common.platform_check import validate_revert
from vmsnapshot.lifecycle.common.safety import SafetySnapshots
from vmsnapshot.lifecycle.common.safety_records import leftover_changes
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.unsettled import Unsettled
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.lifecycle.requests import Change, CheckFailure, DiffResult, PropertyChange, Severity
from vmsnapshot.lifecycle.revert.approval import require_target, shown_revert
from vmsnapshot.lifecycle.revert.earlier import find_earlier
from vmsnapshot.lifecycle.revert.evidence import RevertEvidence, RevertRequest, forget
from vmsnapshot.lifecycle.revert.executor import RevertRun
from vmsnapshot.lifecycle.revert.failed_request import (
    find_failed_request,
    is_to_take_back,
    only_taken_back_text,
)
from vmsnapshot.lifecycle.revert.fingerprint import planned_fingerprint
from vmsnapshot.lifecycle.revert.leaving import remove_safety_snapshots, say_expired
from vmsnapshot.lifecycle.revert.memory import CheckedPlan, RevertMemory
from vmsnapshot.lifecycle.revert.plan import Asker, PlannedRevert, plan_request, still_to_power
from vmsnapshot.lifecycle.revert.protection import say_weaker_protection
from vmsnapshot.lifecycle.revert.state import (
    COMPUTED,
    NAMING,
    Unfinished,
    asks_for_revert,
    carried_over,
    count_update,
    fulfilled_inputs,
    gone_text,
    is_asked,
    is_first,
    known_until,
    moved_text,
    request_id,
    revert_state,
    safety_spec,
    takes_safety,
    unknown_outputs,
    watched_state,
    with_inputs,
    without_gone,
    without_power_pending,
    without_vm,
)
from vmsnapshot.lifecycle.revert.text import CHANGED_SINCE_CHECK, still_to_power_text, unknown_target_text
from vmsnapshot.model._base import replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine
from vmsnapshot.model.revert import LeftoverSafetySnapshot, RevertInputs, RevertState, TakenSafetySnapshot

# What only the update tells where it isn't known what `powerPolicy` is.
_POWER_AFTER: Final = ("machine", "powerState")

# Outputs that only the revert tells.
_AFTERWARDS = ("revertedTo", "revertedAt", "watchedSince", "currentSnapshot", "leftoverSafetySnapshots")

RevertAnswer: TypeAlias = verbs.Answer[RevertInputs, RevertState]
RevertPreview: TypeAlias = verbs.Preview[RevertState]


class RevertResource(verbs.Verbs[RevertInputs, RevertState]):
    """Which snapshot a VM was last reverted to, and on whose request."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory = verbs.Memory(RevertMemory)

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: verbs.CheckRequest[RevertInputs]) -> verbs.CheckAnswer[RevertInputs]:
        """Validate; when a revert is asked for, say what the VM will be: the input `machine`."""
        given, inputs = request.inputs, request.inputs.model
        old = None if request.old_inputs is None else request.old_inputs.model
        self._session.removals.reach(request.urn, ())
        failures = list(validate_revert(inputs, self._session.platform))
        if failures or request.failures:
            return verbs.CheckAnswer(inputs, failures)
        if not asks_for_revert(old, given):
            return self._carried_over(request.urn, old, given)
        if not given.knows(*NAMING):
            return verbs.CheckAnswer(inputs, unknown=[(name,) for name in COMPUTED])
        return self._check_request(request.urn, old, given)

    def _check_request(
        self, urn: str, old: RevertInputs | None, given: Inputs[RevertInputs]
    ) -> verbs.CheckAnswer[RevertInputs]:
        """The inputs with what the revert makes of the VM."""
        inputs = given.model
        self._tell_target(urn)
        # The engine checks one resource after another.
        what = f'looking at VM "{inputs.vm_name}"'
        operation = self._session.operation(urn, what, batched=False)
        self._session.backend.prepare(operation)
        try:
            planned = self._plan_shown(given, operation, self._asker(urn, given))
        except (NotFound, Ambiguous) as error:
            # A failing check would keep the update from taking a failed request back; it refuses after that.
            later = find_failed_request(self._session, inputs.vm_name, inputs.namespace, operation)
            failures = [CheckFailure(error.property or "snapshot", error.reason)]
            return verbs.CheckAnswer(inputs, failures if later is None else ())
        given = dataclasses.replace(given, model=replace(inputs, target=snapshot_key(planned.target)))
        if not asks_for_revert(old, given):  # only another name for the same snapshot
            return self._carried_over(urn, old, given)
        state = self._memory.of(urn).state
        planned = dataclasses.replace(planned, before=None if state is None else state.vm)
        if state is not None or old is None:
            planned = self._recalled(urn, planned, given, state, operation)
        inputs = replace(
            given.model, machine=planned.after, seen=planned_fingerprint(self._session, planned.vm)
        )
        self._memory.of(urn).checked = CheckedPlan(inputs, planned)
        errors = [] if is_to_take_back(planned.vm) else [item.message for item in planned.errors]
        if not planned.is_done and (removal := self._session.removals.refusal(planned.target)) is not None:
            errors.append(removal)
        if not errors and not planned.is_done:
            self._session.removals.reach(urn, [planned.target])
        failures = [CheckFailure("snapshot", f"the revert can't work: {message}") for message in errors]
        return verbs.CheckAnswer(inputs, failures, [_POWER_AFTER] if planned.policy is None else [])

    def _plan_shown(
        self, given: Inputs[RevertInputs], operation: Operation, asker: Asker | None
    ) -> PlannedRevert:
        """The plan, perhaps of the VM as a refresh has just read it; never what that one would refuse.

        Raises:
            NotFound: There is no such VM or no such snapshot.
            Ambiguous: There are several.
        """
        inputs, unsettled = given.model, Unsettled.of(given.unknown)
        with contextlib.suppress(NotFound, Ambiguous):
            planned = plan_request(self._session, inputs, operation, asker, shown=True, unsettled=unsettled)
            if not planned.errors:
                return planned
        return plan_request(self._session, inputs, operation, asker, unsettled=unsettled)

    def _tell_target(self, urn: str) -> None:
        """Record which snapshot `snapshot` named when the VM was reverted last."""
        state = self._memory.of(urn).state
        if state is None or state.vm is None or state.reverted_to is None:
            return
        if state.snapshot is None or state.target is None or state.reverted_to.create_time is None:
            return
        moment = parse_timestamp(state.reverted_to.create_time)
        found_id, _, identity = state.target.partition("@")
        uid = identity if identity and self._session.platform.has_namespaces else None
        known = KnownSnapshot(found_id, state.reverted_to.name, moment, mark=None, uid=uid)
        self._session.paths.reach(state.vm.id, state.snapshot, known)

    def _carried_over(
        self, urn: str, old: RevertInputs | None, given: Inputs[RevertInputs]
    ) -> verbs.CheckAnswer[RevertInputs]:
        """The inputs without a new request; `machine` shows what is still to be done about the power."""
        carried = carried_over(old, given.model)
        state = self._memory.of(urn).state
        machine = None if state is None else still_to_power(state, given)
        if machine is not None:
            carried = replace(carried, machine=machine)
        return verbs.CheckAnswer(carried)

    def diff(self, request: verbs.DiffRequest[RevertInputs, RevertState]) -> DiffResult:
        """Inputs against inputs; and, only when a revert is asked for, live VM against target."""
        memory = self._memory.of(request.urn)
        memory.state = state = memory.state or request.old_state
        new, given = request.new_inputs, request.new_inputs.model
        changes = {**request.changes, **leftover_changes(request.old_state.leftover_safety_snapshots)}
        named = (given.vm_name, given.namespace)
        changes = self._session.without_same_vm(changes, state.vm, named, request.urn)
        live, target = request.old_state.machine, still_to_power(state, new)
        if is_asked(request.old_inputs.model, request.old_state, new):
            target = given.machine
            checked = self._checked_plan(request.urn, new)
            if checked is not None:
                # The old outputs are fresh only where the engine refreshes before an update.
                operation = self._session.operation(
                    request.urn, f"looking at {format_vm(checked.vm)}", batched=False
                )
                planned = self._recalled(request.urn, checked, new, state, operation)
                live, target = planned.vm.machine, planned.after
        if target is not None:
            before = None if live is None else live.properties()
            changes |= compare_machines(("machine",), before, target.properties())
            if target.power_state is None and not new.knows("machine"):
                changes[_POWER_AFTER] = PropertyChange(Change.UPDATE, input_diff=False)
        return DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create -----------------------------------------------------------------------------

    def preview_create(self, request: verbs.CreateRequest[RevertInputs]) -> RevertPreview:
        """Say what the revert would do, if one is asked for."""
        if asks_for_revert(None, request.inputs):
            self._announce(request.urn, request.inputs, self._memory.of(request.urn).state)
        return verbs.Preview(unknown=unknown_outputs(self._machine_after(request.urn, request.inputs)))

    def create(self, request: verbs.CreateRequest[RevertInputs]) -> RevertAnswer:
        """Revert the VM if a snapshot is asked for; otherwise only watch it."""
        inputs = request.inputs.model
        operation = self._session.operation(request.urn, f'VM "{inputs.vm_name}"', request.timeout)
        # Without a state of its own it may replace one that has.
        run = RevertRun(self._session, request.urn, inputs, None, self._memory.of(request.urn).state)
        asked = asks_for_revert(None, request.inputs)
        try:
            state = run.revert(operation) if asked else run.watch(operation)
        except Unfinished as failed:
            recorded = inputs if failed.reverted else fulfilled_inputs(inputs, failed.state)
            answer = verbs.Answer(_id_of(failed.state), failed.state, recorded)
            raise verbs.Incomplete(answer, failed.cause) from failed
        return verbs.Answer(_id_of(state), state)

    # --- update and delete ------------------------------------------------------------------

    def preview_update(self, request: verbs.UpdateRequest[RevertInputs, RevertState]) -> RevertPreview:
        """Say what the revert would do, if one is asked for; else what else is done to the VM."""
        old, given = request.old_state, request.new_inputs.model
        if is_asked(request.old_inputs.model, old, request.new_inputs):
            self._announce(request.urn, request.new_inputs, old)
            machine = self._machine_after(request.urn, request.new_inputs)
            state = replace(with_inputs(old, given), safety_snapshots=count_update(old), conditions=[])
            names = [*_AFTERWARDS, *(["safetySnapshots"] if takes_safety(request.new_inputs, old) else [])]
            return verbs.Preview(state, [*unknown_outputs(machine), *((name,) for name in names)])
        # What was asked for is told by the new inputs alone; `machine` is the live VM.
        state = replace(with_inputs(old, given), machine=old.machine, leftover_safety_snapshots=[])
        state = replace(state, safety_snapshots=count_update(old))
        if (machine := still_to_power(old, request.new_inputs)) is not None:
            state = replace(state, machine=machine)
            now = None if old.machine is None else old.machine.power_state
            text = still_to_power_text(old.vm_name, now, machine.power_state)
            self._session.log(request.urn, Severity.WARNING, text)
        expired = say_expired(self._session, request.urn, old, given)
        unknown = unknown_outputs(state.machine)
        return verbs.Preview(state, [*unknown, ("safetySnapshots",)] if expired else unknown)

    def update(self, request: verbs.UpdateRequest[RevertInputs, RevertState]) -> RevertAnswer:
        """Revert the VM if that is asked for; otherwise record the inputs and look at the VM."""
        inputs = request.new_inputs.model
        operation = self._session.operation(request.urn, f'VM "{inputs.vm_name}"', request.timeout)
        run = RevertRun(self._session, request.urn, inputs, request.old_state)
        asked = is_asked(request.old_inputs.model, request.old_state, request.new_inputs)
        try:
            state = run.revert(operation) if asked else run.watch(operation)
        except Unfinished as failed:
            # With the old inputs, the next update still asks for the revert.
            answer: RevertAnswer = verbs.Answer(request.id, failed.state)
            again = not failed.reverted
            raise verbs.Incomplete(answer, failed.cause, keeps_old_inputs=again) from failed
        return verbs.Answer(_id_of(state), state)

    def delete(self, request: verbs.DeleteRequest[RevertState]) -> None:
        """Forget. The VM stays as it is; its safety snapshots go if deletePolicy says so.

        Raises:
            VmsnapshotError: Safety snapshots could not be removed; the resource is still there then.
        """
        state = request.state
        left: list[TakenSafetySnapshot | LeftoverSafetySnapshot] = [
            *state.safety_snapshots,
            *state.leftover_safety_snapshots,
        ]
        rule = state.safety_snapshot
        if left and state.vm is not None and rule is not None and rule.delete_policy == "remove":
            what = f'removing the safety snapshots of VM "{state.vm_name}"'
            operation = self._session.operation(request.urn, what, request.timeout)
            safety = SafetySnapshots(self._session, request.urn, safety_spec(state))
            left = list(remove_safety_snapshots(self._session, safety, state, state.vm, operation))
        forget(self._session, request.urn, [] if state.vm is None else [state.vm], known_until(state))
        self._memory.of(request.urn).state = None
        if left:
            names = ", ".join(f'"{item.name}"' for item in left)
            self._session.log(
                request.urn,
                Severity.INFO,
                f'Safety snapshots of VM "{state.vm_name}" stay on the platform: {names}.',
            )

    # --- read -------------------------------------------------------------------------------

    def import_(self, request: verbs.ImportRequest) -> RevertAnswer:
        """Watch the VM from now on."""
        operation = self._session.operation(request.urn, f"reading VM {request.id}", request.timeout)
        vm = self._session.backend.find(VMReference(request.id), operation)
        inputs = RevertInputs(vm_name=request.id)
        return verbs.Answer(vm.identity.id, watched_state(inputs, vm, self._session.now(operation)), inputs)

    def read(self, request: verbs.ReadRequest[RevertInputs, RevertState]) -> RevertAnswer:
        """The live VM beside what is remembered. That outlives the VM: a new one of its name is another."""
        operation = self._session.operation(request.urn, f"reading VM {request.id}", request.timeout)
        old = request.state
        known = old.vm or VirtualMachineIdentity(id=request.id, name=old.vm_name)
        try:
            vm = self._session.locate(known, operation)
        except Gone as gone:
            self._session.log(request.urn, Severity.WARNING, gone_text(gone.message))
            fresh = without_vm(old, self._session.planned_now())
        else:
            conditions = without_power_pending(without_gone(old.conditions), old.power_policy, vm.machine)
            fresh = revert_state(old, vm, old, conditions=conditions)
            if (text := moved_text(old, vm)) is not None:
                self._session.log(request.urn, Severity.INFO, text)
        self._memory.of(request.urn).state = fresh
        if request.inputs is None:
            return verbs.Answer(request.id, fresh)
        return verbs.Answer(request.id, fresh, fulfilled_inputs(request.inputs.model, old))

    # --- what a revert will do --------------------------------------------------------------

    def _announce(self, urn: str, given: Inputs[RevertInputs], old: RevertState | None) -> None:
        """In a preview, say what the revert that is asked for would do."""
        if not given.knows(*NAMING):
            reached = None
            if old is not None and given.knows("triggers") and old.triggers == given.model.triggers:
                reached = old.snapshot
            self._session.log_wrapped(urn, Severity.WARNING, unknown_target_text(reached))
            return
        inputs = given.model
        operation = self._session.operation(urn, f'looking at VM "{inputs.vm_name}"')
        asker = self._asker(urn, given)
        try:
            planned = self._checked_plan(urn, given)
            if planned is None:
                checked = self._memory.of(urn).checked
                if remediated := checked is not None and checked.is_changed(given):
                    self._session.log_wrapped(urn, Severity.WARNING, CHANGED_SINCE_CHECK)
                unsettled = Unsettled.of(given.unknown)
                planned = plan_request(self._session, inputs, operation, asker, unsettled=unsettled)
                require_target(inputs.target, planned.target, operation, remediated=remediated)
        except (NotFound, Ambiguous) as error:
            vm = find_failed_request(self._session, inputs.vm_name, inputs.namespace, operation)
            if vm is None:
                raise
            self._session.log_wrapped(urn, Severity.WARNING, only_taken_back_text(vm, error))
            return
        planned = dataclasses.replace(planned, before=None if old is None else old.vm)
        planned = self._recalled(urn, planned, given, old, operation)
        self._session.log(urn, Severity.WARNING, planned.text)
        if not planned.is_done:
            say_weaker_protection(self._session, urn, [planned.vm], operation)
            say_meetings(self._session, urn, "revert", [planned.vm])
        self._session.notes.show(urn, shown_revert(self._session, planned.vm, planned.target))

    def _asker(self, urn: str, given: Inputs[RevertInputs]) -> Asker | None:
        if not given.knows("triggers"):
            return None  # with what isn't known yet, nobody knows which request it is
        return Asker(urn, given.model, self._memory.of(urn).state)

    def _checked_plan(self, urn: str, given: Inputs[RevertInputs]) -> PlannedRevert | None:
        """The plan that this preview's check has just made."""
        checked = self._memory.of(urn).checked
        return checked.planned if checked is not None and checked.is_for(given) else None

    def _machine_after(self, urn: str, given: Inputs[RevertInputs]) -> Machine | None:
        """What the revert makes of the VM, also where the inputs don't know all of it yet."""
        planned = self._checked_plan(urn, given)
        return given.model.machine if planned is None else planned.after

    def _recalled(
        self,
        urn: str,
        planned: PlannedRevert,
        given: Inputs[RevertInputs],
        old: RevertState | None,
        operation: Operation,
    ) -> PlannedRevert:
        """The plan with what an interrupted run of the same request did."""
        if planned.looked or not given.knows("triggers"):
            return planned  # with what isn't known yet, nobody knows whether it is the same
        identifier = request_id(urn, planned.vm, planned.target, given.model, old)
        request = RevertRequest(identifier, planned.vm, planned.target)
        found = RevertEvidence(self._session, urn, first=is_first(old)).recall(request, operation)
        recalled = dataclasses.replace(planned, found=found, looked=True)
        if found is None:
            since = None if old is None else known_until(old)
            earlier = find_earlier(self._session, urn, request, operation, since=since)
            recalled = dataclasses.replace(recalled, earlier=earlier)
        memory = self._memory.of(urn)
        if memory.checked is not None and memory.checked.planned is planned:
            # What follows in this preview looks no more.
            memory.checked = dataclasses.replace(memory.checked, planned=recalled)
        return recalled


def _id_of(state: RevertState) -> str:
    return "" if state.vm is None else state.vm.id
