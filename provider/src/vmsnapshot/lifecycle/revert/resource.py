"""The verbs of VirtualMachineRevert."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.comparison import compare_inputs, compare_machines, not_ignored
from vmsnapshot.lifecycle.common.identity import KnownSnapshot
from vmsnapshot.lifecycle.common.observed import parse_timestamp, preview_outputs, with_secrets
from vmsnapshot.lifecycle.common.platform_check import validate_revert
from vmsnapshot.lifecycle.common.safety import SafetySnapshots
from vmsnapshot.lifecycle.common.safety_records import LEFTOVER, leftover_changes
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.validation import check, load, without_empty, without_handed_back
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.lifecycle.revert.evidence import (
    RevertEvidence,
    RevertRequest,
    forget,
    say_weaker_protection,
)
from vmsnapshot.lifecycle.revert.executor import RevertRun
from vmsnapshot.lifecycle.revert.fingerprint import fingerprint_of
from vmsnapshot.lifecycle.revert.plan import Asker, PlannedRevert, plan_request, powered
from vmsnapshot.lifecycle.revert.state import (
    COMPUTED,
    NAMING,
    Unfinished,
    asks_for_revert,
    carried_over,
    fulfilled_inputs,
    gone_text,
    is_asked,
    is_first,
    moved_text,
    pending_power,
    request_id,
    revert_state,
    safety_spec,
    watched,
    with_unknown,
    without_gone,
    without_power_pending,
    without_vm,
)
from vmsnapshot.lifecycle.revert.text import still_to_power_text
from vmsnapshot.model.catalogue import REVERT
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine
from vmsnapshot.model.revert import LeftoverSafetySnapshot, RevertInputs, RevertState, TakenSafetySnapshot
from vmsnapshot.model.values import UNKNOWN, has_unknown, plain


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
        failures = [*result.failures, *validate_revert(result.inputs, self._session.platform)]
        if failures:
            return rq.CheckResult(result.inputs, failures)
        inputs = dict(result.inputs)
        if not asks_for_revert(old, inputs):
            return rq.CheckResult(self._carried_over(request.urn, old, inputs))
        if any(has_unknown(inputs.get(name)) for name in NAMING):
            return rq.CheckResult({**inputs, **dict.fromkeys(COMPUTED, UNKNOWN)})
        asked = load(RevertInputs, {**inputs, "triggers": None})
        self._tell_target(request.urn)
        # The engine checks one resource after another.
        what = f'looking at VM "{asked.vm_name}"'
        operation = self._session.operation(request.urn, what, alone=True)
        try:
            planned = plan_request(self._session, asked, operation, self._asker(request.urn, inputs))
        except (NotFound, Ambiguous) as error:
            field, _, reason = error.message.partition(": ")
            return rq.CheckResult(inputs, [rq.CheckFailure(field, reason)])
        inputs["target"] = planned.target.id
        planned = self._after(planned, request.urn)
        if not asks_for_revert(old, inputs):  # only another name for the same snapshot
            return rq.CheckResult(self._carried_over(request.urn, old, inputs))
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

    def _tell_target(self, urn: str) -> None:
        """Record which snapshot `snapshot` named when the VM was reverted last."""
        state = self._states.get(urn)
        if state is None or state.vm is None or state.reverted_to is None:
            return
        if state.snapshot is None or state.target is None or state.reverted_to.create_time is None:
            return
        moment = parse_timestamp(state.reverted_to.create_time)
        known = KnownSnapshot(state.target, state.reverted_to.name, moment, mark=None)
        self._session.paths.reach(state.vm.id, state.snapshot, known)

    def _carried_over(self, urn: str, old: rq.Properties, inputs: rq.Properties) -> rq.Properties:
        """The inputs without a new request; `machine` shows what is still to be done about the power."""
        carried = carried_over(old, inputs)
        state = self._states.get(urn)
        machine = None if state is None else _still_to_power(state, inputs)
        return carried if machine is None else {**carried, "machine": machine.properties()}

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Inputs against inputs; and, only when a revert is asked for, live VM against target."""
        changes = compare_inputs(RevertInputs, request.old_inputs, request.new_inputs)
        changes |= leftover_changes(request.old_state)
        state = self._states.setdefault(request.urn, load(RevertState, request.old_state))
        named = (plain(request.new_inputs.get("vmName")), plain(request.new_inputs.get("namespace")))
        changes = self._session.without_same_vm(changes, state.vm, named, request.urn)
        if is_asked(request.old_inputs, request.old_state, request.new_inputs):
            checked = self._checked_plan(request.urn, request.new_inputs)
            live, target = request.old_state.get("machine"), request.new_inputs.get("machine")
            if checked is not None:
                # The old outputs are fresh only where the engine refreshes before an update.
                operation = self._session.operation(
                    request.urn, f"looking at {format_vm(checked.vm)}", alone=True
                )
                planned = self._recalled(request.urn, checked, request.new_inputs, state, operation)
                live, target = planned.vm.machine.properties(), planned.after.properties()
            if isinstance(target, Mapping):
                changes |= compare_machines(("machine",), live, target)
        elif (machine := _still_to_power(state, request.new_inputs)) is not None:
            changes |= compare_machines(("machine",), request.old_state.get("machine"), machine.properties())
        return rq.DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Revert the VM if a snapshot is asked for; otherwise only watch it."""
        if request.preview:
            asked = asks_for_revert({}, request.inputs)
            self._announce(request.urn, request.inputs, self._states.get(request.urn), asked=asked)
            tree = with_unknown(preview_outputs(REVERT, request.inputs))
            return watched("", tree, request.inputs)
        operation = self._operation(request.urn, request.inputs, request.timeout)
        inputs = load(RevertInputs, request.inputs)
        # Without a state of its own it may replace one that has.
        run = RevertRun(self._session, request.urn, inputs, None, self._states.get(request.urn))
        try:
            state = run.revert(operation) if asks_for_revert({}, request.inputs) else run.watch(operation)
        except Unfinished as failed:
            tree = failed.state.properties()
            recorded = request.inputs if failed.reverted else fulfilled_inputs(request.inputs, tree)
            kept = _watched(failed.state, recorded, secrets=request.inputs)
            raise rq.PartialState(kept, failed.cause) from failed
        return _watched(state, request.inputs, secrets=request.inputs)

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
                if (machine := _still_to_power(old, request.new_inputs)) is not None:
                    known["machine"] = machine.properties()
                    now = None if old.machine is None else old.machine.power_state
                    text = still_to_power_text(old.vm_name, now, machine.power_state)
                    self._session.log(request.urn, rq.Severity.WARNING, text)
            tree = with_unknown(preview_outputs(REVERT, request.new_inputs, known))
            return watched(request.id, tree, request.new_inputs)
        operation = self._operation(request.urn, request.new_inputs, request.timeout)
        run = RevertRun(self._session, request.urn, load(RevertInputs, request.new_inputs), old)
        try:
            state = run.revert(operation) if asked else run.watch(operation)
        except Unfinished as failed:
            # With the old inputs, the next update still asks for the revert.
            recorded = request.new_inputs if failed.reverted else request.old_inputs
            secrets = request.new_inputs if failed.reverted else request.old_state
            kept = _watched(failed.state, recorded, secrets=secrets, identifier=request.id)
            raise rq.PartialState(kept, failed.cause) from failed
        return _watched(state, request.new_inputs, secrets=request.new_inputs)

    def delete(self, request: rq.DeleteRequest) -> None:
        """Forget. The VM stays as it is; its safety snapshots go if deletePolicy says so.

        Raises:
            VmsnapshotError: Safety snapshots could not be removed; the resource is still there then.
        """
        state = load(RevertState, request.state)
        left: list[TakenSafetySnapshot | LeftoverSafetySnapshot] = [
            *state.safety_snapshots,
            *state.leftover_safety_snapshots,
        ]
        rule = state.safety_snapshot
        if left and state.vm is not None and rule is not None and rule.delete_policy == "remove":
            what = f'removing the safety snapshots of VM "{state.vm_name}"'
            operation = self._session.operation(request.urn, what, request.timeout)
            safety = SafetySnapshots(self._session, request.urn, safety_spec(state))
            left = list(_remove_safety_snapshots(self._session, safety, state, state.vm, operation))
        forget(self._session, request.urn, [] if state.vm is None else [state.vm])
        self._states.pop(request.urn, None)
        if left:
            names = ", ".join(f'"{item.name}"' for item in left)
            self._session.log(
                request.urn,
                rq.Severity.INFO,
                f'Safety snapshots of VM "{state.vm_name}" stay on the platform: {names}.',
            )

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The live VM beside what is remembered. That outlives the VM: a new one of its name is another."""
        operation = self._session.operation(request.urn, f"reading VM {request.id}", request.timeout)
        if request.state is None:
            vm = self._session.backend.find(VMReference(request.id), operation)
            watching = RevertInputs(vm_name=request.id)
            state = revert_state(watching, vm)
            return watched(vm.identity.id, state.properties(), watching.properties())
        old = load(RevertState, request.state)
        known = old.vm or VirtualMachineIdentity(id=request.id, name=old.vm_name)
        try:
            vm = self._session.locate(known, operation)
        except Gone as gone:
            self._session.log(request.urn, rq.Severity.WARNING, gone_text(gone.message))
            fresh = without_vm(old)
        else:
            conditions = without_power_pending(without_gone(old.conditions), old.power_policy, vm.machine)
            fresh = revert_state(old, vm, old, conditions=conditions)
            if (text := moved_text(old, vm)) is not None:
                self._session.log(request.urn, rq.Severity.INFO, text)
        self._states[request.urn] = fresh
        tree = with_secrets(fresh, request.state)
        return watched(request.id, tree, fulfilled_inputs(dict(request.inputs or {}), request.state))

    def _operation(self, urn: str, inputs: rq.Properties, timeout: dt.timedelta | None) -> Operation:
        return self._session.operation(urn, f'VM "{plain(inputs["vmName"])}"', timeout)

    # --- what a revert will do --------------------------------------------------------------

    def _announce(self, urn: str, new_inputs: rq.Properties, old: RevertState | None, *, asked: bool) -> None:
        """In a preview, say what the revert that is asked for would do."""
        if not asked:
            return
        if any(has_unknown(new_inputs.get(name)) for name in NAMING):
            self._session.log(
                urn,
                rq.Severity.WARNING,
                "The VM will be reverted to a snapshot that is not known before the update: what that "
                "changes can't be shown.",
            )
            return
        known = {name: value for name, value in new_inputs.items() if not has_unknown(value)}
        inputs = load(RevertInputs, known)
        operation = self._session.operation(urn, f'looking at VM "{inputs.vm_name}"')
        asker = self._asker(urn, new_inputs)
        planned = self._checked_plan(urn, new_inputs) or plan_request(self._session, inputs, operation, asker)
        planned = dataclasses.replace(planned, before=None if old is None else old.vm)
        planned = self._recalled(urn, planned, new_inputs, old, operation)
        self._session.log(urn, rq.Severity.WARNING, planned.text)
        if not planned.is_done:
            say_weaker_protection(self._session, urn, [planned.vm], operation)
        self._session.notes.show(urn, fingerprint_of(planned.vm))

    def _asker(self, urn: str, inputs: rq.Properties) -> Asker | None:
        if has_unknown(inputs.get("triggers")):
            return None  # with what isn't known yet, nobody knows which request it is
        known = {name: value for name, value in inputs.items() if not has_unknown(value)}
        return Asker(urn, load(RevertInputs, known), self._states.get(urn))

    def _after(self, planned: PlannedRevert, urn: str) -> PlannedRevert:
        """The plan with the VM that state means, which may be another than the one of that name."""
        state = self._states.get(urn)
        return dataclasses.replace(planned, before=None if state is None else state.vm)

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
        known = {name: value for name, value in inputs.items() if not has_unknown(value)}
        identifier = request_id(urn, planned.target, load(RevertInputs, known), old)
        request = RevertRequest(identifier, planned.vm, planned.target)
        evidence = RevertEvidence(self._session, urn, first=is_first(old))
        recalled = dataclasses.replace(planned, found=evidence.recall(request, operation), looked=True)
        checked = self._checked.get(urn)
        if checked is not None and checked[1] is planned:  # what follows in this preview looks no more
            self._checked[urn] = checked[0], recalled
        return recalled


def _remove_safety_snapshots(
    session: Session,
    safety: SafetySnapshots,
    state: RevertState,
    known: VirtualMachineIdentity,
    operation: Operation,
) -> list[TakenSafetySnapshot]:
    """Remove all that state holds; returns those that stay because the VM runs on them."""
    try:
        vm = session.locate(known, operation)
    except Gone:
        return []
    leftovers = [item.model_copy(update={"vm": vm.identity.id}) for item in state.leftover_safety_snapshots]
    not_removed = safety.clean_up(leftovers, {}, operation)
    if not_removed is not None:
        raise not_removed.error
    vm = session.backend.observe(vm.identity.id, operation)
    return safety.remove_recorded(state.safety_snapshots, vm, "its resource is deleted", operation)


def _still_to_power(state: RevertState, inputs: rq.Properties) -> Machine | None:
    """The VM once its power is as powerPolicy asks, where an earlier update failed with that; else None."""
    if has_unknown(inputs.get("powerPolicy")):
        return None
    policy = load(
        RevertInputs, {"vmName": state.vm_name, "powerPolicy": inputs.get("powerPolicy")}
    ).power_policy
    if state.machine is None or pending_power(state, policy) is None:
        return None
    return powered(state.machine, policy)


def _watched(
    state: RevertState, inputs: rq.Properties, *, secrets: rq.Properties, identifier: str = ""
) -> rq.Resource:
    identifier = identifier or (state.vm.id if state.vm is not None else "")
    return watched(identifier, with_secrets(state, secrets), inputs)
