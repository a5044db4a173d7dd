"""The verbs of VirtualMachineRevert."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.comparison import compare_inputs, compare_machines, ignored
from vmsnapshot.lifecycle.errors import (
    Ambiguous,
    Gone,
    NotFound,
    Refused,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.observed import (
    foreseen,
    now,
    reference_to,
    timestamp,
    timestamp_or_none,
    with_secrets,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.plan import plan_revert
from vmsnapshot.lifecycle.platform_check import unfit_namespace
from vmsnapshot.lifecycle.port import VMReference, values
from vmsnapshot.lifecycle.preflight import refuse_errors
from vmsnapshot.lifecycle.reverting import Reverting, count_update, expire, request_id
from vmsnapshot.lifecycle.seen import changed_since, seen_now
from vmsnapshot.lifecycle.selection import select_snapshot, title
from vmsnapshot.lifecycle.session import Session
from vmsnapshot.lifecycle.validation import check, load
from vmsnapshot.model.catalogue import REVERT
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.revert import (
    PowerPolicy,
    RevertedTo,
    RevertInputs,
    RevertState,
    Seen,
)
from vmsnapshot.model.status import Condition
from vmsnapshot.model.values import UNKNOWN, has_unknown, plain

# Inputs that check computes.
_COMPUTED: Final = ("machine", "target", "seen")

# What says which VM and which snapshot a revert is about.
_NAMING: Final = ("vmName", "namespace", "snapshot")

_CONDITION: Final = "VirtualMachineSnapshotRevertSucceeded"
_REVERT_FAILED: Final = "VirtualMachineSnapshotRevertFailed"
_POWER_PENDING: Final = "VirtualMachinePowerPolicyPending"


class RevertResource:
    """Which snapshot a VM was last reverted to, and on whose request."""

    kind = REVERT

    def __init__(self, session: Session) -> None:
        self._session = session
        # What check planned, by resource, for the diff and the preview that follow it.
        self._checked: dict[str, tuple[rq.Properties, RevertPlan]] = {}

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate; when a revert is asked for, say what the VM will be: the input `machine`."""
        old = request.old_inputs or {}
        given = dict(request.new_inputs)
        for name in _COMPUTED:
            # ignoreChanges makes the engine hand the old value back: that isn't a user's own.
            if plain(given.get(name)) == plain(old.get(name)):
                given.pop(name, None)
        result = check(RevertInputs, given)
        failures = [*result.failures, *unfit_namespace(result.inputs, self._session.platform)]
        if failures:
            return rq.CheckResult(result.inputs, failures)
        inputs = dict(result.inputs)
        if not asks_for_revert(old, inputs):
            return rq.CheckResult(_carried_over(old, inputs))
        if any(has_unknown(inputs.get(name)) for name in _NAMING):
            return rq.CheckResult({**inputs, **dict.fromkeys(_COMPUTED, UNKNOWN)})
        asked = load(RevertInputs, {**inputs, "triggers": None})
        # The engine checks one resource after another.
        what = f'looking at VM "{asked.vm_name}"'
        operation = self._session.operation(request.urn, what, alone=True)
        try:
            vm, target, plan = self._plan(asked, operation)
        except (NotFound, Ambiguous) as error:
            field, _, reason = error.message.partition(": ")
            return rq.CheckResult(inputs, [rq.CheckFailure(field, reason)])
        inputs["target"] = target.id
        if not asks_for_revert(old, inputs):  # only another name for the same snapshot
            return rq.CheckResult(_carried_over(old, inputs))
        inputs["machine"] = plan.after.properties()
        inputs["seen"] = seen_now(vm).properties()
        self._checked[request.urn] = inputs, plan
        return rq.CheckResult(
            inputs,
            [
                rq.CheckFailure("snapshot", f"the revert can't work: {item.message}")
                for item in plan.findings
                if item.severity == "error"
            ],
        )

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Inputs against inputs; and, only when a revert is asked for, live VM against target."""
        changes = compare_inputs(RevertInputs, request.old_inputs, request.new_inputs)
        if asks_for_revert(request.old_inputs, request.new_inputs):
            # The old outputs are fresh only where the engine refreshes before an update.
            checked = self._checked_plan(request.urn, request.new_inputs)
            live = checked[0].live.properties() if checked else request.old_state.get("machine")
            target = request.new_inputs.get("machine")
            if isinstance(target, Mapping):
                changes |= compare_machines("machine", live, target)
        return rq.DiffResult(
            {
                path: change
                for path, change in changes.items()
                if not ignored(path, list(request.ignore_changes))
            }
        )

    # --- create, update, delete -------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Revert the VM if a snapshot is asked for; otherwise only watch it."""
        if request.preview:
            self._announce(request.urn, {}, request.inputs)
            tree = foreseen(REVERT, request.inputs)
            return _watched("", tree, request.inputs)
        return self._apply(request.urn, None, {}, request.inputs, request.timeout)

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Revert the VM if that is asked for; otherwise record the inputs and look at the VM."""
        if request.preview:
            self._announce(request.urn, request.old_inputs, request.new_inputs)
            known = {
                name: request.old_state.get(name, UNKNOWN) for name in ("vm", "safetySnapshots", "conditions")
            }
            if not asks_for_revert(request.old_inputs, request.new_inputs):
                # What was asked for is told by the new inputs alone; `machine` is the live VM.
                gone = request.old_inputs.keys() - {"machine"}
                known = {name: value for name, value in request.old_state.items() if name not in gone}
            tree = foreseen(REVERT, request.new_inputs, known)
            return _watched(request.id, tree, request.new_inputs)
        old = load(RevertState, request.old_state)
        try:
            return self._apply(request.urn, old, request.old_inputs, request.new_inputs, request.timeout)
        except rq.PartialState:
            raise
        except VmsnapshotError as error:
            if not asks_for_revert(request.old_inputs, request.new_inputs):
                raise  # no revert has failed: what state holds stays as it is
            failed = old.model_copy(update={"conditions": [_failed(_REVERT_FAILED, error)]})
            # With the old inputs, the next update still asks for the revert.
            kept = _watched(request.id, with_secrets(failed, request.old_state), request.old_inputs)
            raise rq.PartialState(kept, error) from error

    def delete(self, request: rq.DeleteRequest) -> None:
        """Forget. The VM and its snapshots stay as they are."""
        state = load(RevertState, request.state)
        self._session.notes.forget(request.urn, now())
        if state.safety_snapshots:
            names = ", ".join(f'"{item.name}"' for item in state.safety_snapshots)
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
            state = _state(watching, vm)
            return _watched(vm.identity.id, state.properties(), watching.properties())
        old = load(RevertState, request.state)
        try:
            vm = self._session.backend.observe(old.vm.id if old.vm is not None else request.id, operation)
        except Gone as gone:
            self._session.say(request.urn, rq.Severity.WARNING, f"Forgotten: {gone.message}")
            return None
        tree = with_secrets(_state(old, vm, old), request.state)
        return _watched(request.id, tree, dict(request.inputs or {}))

    # --- the revert itself ------------------------------------------------------------------

    def _apply(
        self,
        urn: str,
        old: RevertState | None,
        old_inputs: rq.Properties,
        new_inputs: rq.Properties,
        timeout: dt.timedelta | None,
    ) -> rq.Resource:
        inputs = load(RevertInputs, new_inputs)
        operation = self._session.operation(urn, f'VM "{inputs.vm_name}"', timeout)
        if not asks_for_revert(old_inputs, new_inputs):
            return self._without_revert(urn, old, inputs, new_inputs, operation)
        vm, target, plan = self._plan(inputs, operation)
        operation.what = f'reverting {title(vm)} to snapshot "{vm.path(target.id)}"'
        refuse_errors(plan.findings, operation.what)
        first = old is None or old.vm is None
        asked = request_id(urn, target, new_inputs, old)
        reverting = Reverting(self._session, urn, asked, first=first)
        self._session.say(urn, rq.Severity.WARNING, plan.text)
        taken = count_update(old) if old is not None else []
        done = reverting.done_before(vm, operation)
        if done is None:
            self._compare_with_preview(urn, vm, inputs, operation)
        if inputs.safety_snapshot is not None:
            safety = reverting.keep(vm, inputs.safety_snapshot, operation, take=done is None)
            taken += [safety] if safety is not None else []
        if done is None:
            done = reverting.revert(vm, target, operation)
        else:
            self._session.say(
                urn,
                rq.Severity.WARNING,
                f'{title(vm)} was already reverted to "{vm.path(target.id)}" by a run of '
                f"this request that was interrupted ({done.id}); it is not reverted again. To "
                "revert once more, change `triggers`.",
            )
        result = RevertState(
            **inputs.model_dump(exclude={"machine"}),
            reverted_to=RevertedTo(
                name=target.name,
                unique_id=target.unique_id,
                create_time=timestamp_or_none(target.create_time),
            ),
            reverted_at=timestamp(done.completed or now()),
            safety_snapshots=taken,
            vm=vm.identity,
        )
        return self._end(result, new_inputs, operation)

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
            tree = with_secrets(_state(inputs, vm), new_inputs)
            return _watched(vm.identity.id, tree, new_inputs)
        kept = expire(self._session, urn, old, inputs, operation)
        result = old.model_copy(
            update={
                **{name: getattr(inputs, name) for name in RevertInputs.model_fields},
                "safety_snapshots": kept,
            }
        )
        if any(item.reason == _POWER_PENDING for item in old.conditions):
            return self._end(result, new_inputs, operation)
        vm = self._session.backend.observe(old.vm.id, operation)
        tree = with_secrets(_state(inputs, vm, result), new_inputs)
        return _watched(vm.identity.id, tree, new_inputs)

    def _end(self, result: RevertState, new_inputs: rq.Properties, operation: Operation) -> rq.Resource:
        """After the revert: the power that is asked for, and the VM as it then is.

        Raises:
            PartialState: The revert is done and recorded, what comes after it isn't.
        """
        assert result.vm is not None  # noqa: S101 - both callers set it
        backend = self._session.backend
        try:
            vm = backend.observe(result.vm.id, operation)
            power = _power_asked(result.power_policy, vm.machine)
            if power is not None:
                operation.progress(f"powering {power}")
                backend.set_power(vm, power, operation)
                vm = backend.observe(result.vm.id, operation)
        except VmsnapshotError as error:
            partial = result.model_copy(update={"conditions": [_failed(_POWER_PENDING, error)]})
            tree = with_secrets(partial, new_inputs)
            resource = _watched(result.vm.id, tree, new_inputs)
            raise rq.PartialState(resource, error) from error
        tree = with_secrets(_state(result, vm, result, conditions=[]), new_inputs)
        return _watched(vm.identity.id, tree, new_inputs)

    # --- what a revert will do --------------------------------------------------------------

    def _announce(self, urn: str, old_inputs: rq.Properties, new_inputs: rq.Properties) -> None:
        """In a preview, say what the revert that is asked for would do."""
        if not asks_for_revert(old_inputs, new_inputs):
            return
        if any(has_unknown(new_inputs.get(name)) for name in _NAMING):
            self._session.say(
                urn,
                rq.Severity.WARNING,
                "The VM will be reverted to a snapshot that is not known before the update: what that "
                "changes can't be shown.",
            )
            return
        plan, seen = self._checked_plan(urn, new_inputs) or self._plan_again(urn, new_inputs)
        self._session.say(urn, rq.Severity.WARNING, plan.text)
        self._session.notes.show(urn, seen)

    def _checked_plan(self, urn: str, inputs: rq.Properties) -> tuple[RevertPlan, Seen] | None:
        """The plan that this preview's check has just made."""
        checked = self._checked.get(urn)
        if checked is None or any(plain(checked[0][name]) != plain(inputs.get(name)) for name in _COMPUTED):
            return None
        return checked[1], load(Seen, checked[0]["seen"])

    def _plan_again(self, urn: str, new_inputs: rq.Properties) -> tuple[RevertPlan, Seen]:
        known = {name: value for name, value in new_inputs.items() if not has_unknown(value)}
        inputs = load(RevertInputs, known)
        operation = self._session.operation(urn, f'looking at VM "{inputs.vm_name}"')
        vm, _, plan = self._plan(inputs, operation)
        return plan, seen_now(vm)

    def _plan(
        self, inputs: RevertInputs, operation: Operation
    ) -> tuple[VirtualMachine, Snapshot, RevertPlan]:
        vm, target = self._find(inputs, operation)
        (then,) = values(self._session.backend.machines_at([(vm, target)], operation))
        return vm, target, plan_revert(vm, target, then, inputs, now())

    def _find(self, inputs: RevertInputs, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        vm = self._session.find(inputs.vm_name, inputs.namespace, operation)
        reference = inputs.snapshot or ""
        foreseen = vm.snapshot(self._session.foreseen_name(vm.identity.id, reference))
        if foreseen is not None:
            return vm, foreseen
        try:
            return vm, select_snapshot(vm, reference)
        except (NotFound, Ambiguous) as error:
            raise type(error)(f"snapshot: {error.message}") from None


def _watched(identifier: str, state: rq.Properties, inputs: rq.Properties) -> rq.Resource:
    """A revert as it is now; the live VM is read before each preview and update."""
    return rq.Resource(identifier, state, inputs, refresh_before_update=True)


def asks_for_revert(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether new inputs ask for a revert that the old ones didn't.

    They do when the triggers change, or when `snapshot` does; not when it is only spelt in another
    way, and still names the snapshot (`target`) that was asked for before.
    """
    if new.get("snapshot") is None:
        return False
    if old.get("snapshot") is None or _differ(old, new, "triggers"):
        return True
    same_target = new.get("target") is not None and not _differ(old, new, "target")
    return _differ(old, new, "snapshot") and not same_target


def _differ(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    return has_unknown(new.get(name)) or plain(old.get(name)) != plain(new.get(name))


def _carried_over(old: rq.Properties, inputs: rq.Properties) -> rq.Properties:
    """The inputs without a new request: what was computed for the last one stays."""
    if inputs.get("snapshot") is None:
        return inputs
    return {**inputs, **{name: old[name] for name in _COMPUTED if name in old}}


def _failed(reason: str, error: VmsnapshotError) -> Condition:
    return Condition(
        type=_CONDITION,
        status="False",
        reason=reason,
        message=error.message,
        last_transition_time=timestamp(now()),
    )


def _power_asked(policy: PowerPolicy, machine: Machine) -> Literal["on", "off"] | None:
    """What is still to be done about the power after a revert."""
    if policy == "on" and machine.power_state != "PoweredOn":
        return "on"
    if policy == "off" and machine.power_state != "PoweredOff":
        return "off"
    return None


def _state(
    inputs: RevertInputs,
    vm: VirtualMachine,
    remembered: RevertState | None = None,
    *,
    conditions: list[Condition] | None = None,
) -> RevertState:
    """What state holds: the inputs, what is remembered, and the live VM."""
    kept: dict[str, Any] = {}
    if remembered is not None:
        kept = {
            "reverted_to": remembered.reverted_to,
            "reverted_at": remembered.reverted_at,
            "safety_snapshots": remembered.safety_snapshots,
            "conditions": remembered.conditions if conditions is None else conditions,
        }
    asked = {name: getattr(inputs, name) for name in RevertInputs.model_fields}
    live = {
        "current_snapshot": reference_to(vm.current_snapshot),
        "machine": vm.machine,
        "vm": vm.identity,
    }
    return RevertState(**{**asked, **kept, **live})
