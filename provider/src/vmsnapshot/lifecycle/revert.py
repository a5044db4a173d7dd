"""The verbs of VirtualMachineRevert."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.comparison import compare_inputs, compare_outputs, ignored
from vmsnapshot.lifecycle.errors import (
    Ambiguous,
    Gone,
    NotFound,
    Unreachable,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.observed import foreseen, now, reference_to, timestamp, with_secrets
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.plan import plan_revert
from vmsnapshot.lifecycle.port import SnapshotRequest, VMReference
from vmsnapshot.lifecycle.preflight import refuse_errors
from vmsnapshot.lifecycle.selection import select_snapshot, title
from vmsnapshot.lifecycle.session import Session
from vmsnapshot.lifecycle.validation import check, load
from vmsnapshot.model.catalogue import REVERT
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.machine import Machine, PastTask, Snapshot, VirtualMachine
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.revert import (
    PowerPolicy,
    RevertedTo,
    RevertInputs,
    RevertState,
    TakenSafetySnapshot,
)
from vmsnapshot.model.snapshot import Condition
from vmsnapshot.model.values import UNKNOWN, has_unknown, plain

# A first revert (there is no state yet that would tell one request from an equal earlier one) that
# the platform remembers counts as this one only when it ended within this time and nothing else
# has run on the VM since: people run an interrupted update again soon.
INTERRUPTED_WITHIN: Final = dt.timedelta(hours=1)

# What asks for a revert when it changes.
_ASKING: Final = ("snapshot", "triggers")

# Inputs that check computes.
_COMPUTED: Final = ("machine", "target")

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
        if result.failures:
            return result
        inputs = dict(result.inputs)
        if not asks_for_revert(old, inputs):
            return rq.CheckResult(_carried_over(old, inputs))
        if any(has_unknown(inputs.get(name)) for name in _NAMING):
            return rq.CheckResult({**inputs, "machine": UNKNOWN, "target": UNKNOWN})
        asked = load(RevertInputs, {**inputs, "triggers": None})
        operation = self._session.operation(request.urn, f'looking at VM "{asked.vm_name}"')
        try:
            _, target, plan = self._plan(asked, operation)
        except (NotFound, Ambiguous) as error:
            field, _, reason = error.message.partition(": ")
            return rq.CheckResult(inputs, [rq.CheckFailure(field, reason)])
        inputs["target"] = target.unique_id
        if not asks_for_revert(old, inputs):  # only another name for the same snapshot
            return rq.CheckResult(_carried_over(old, inputs))
        inputs["machine"] = plan.after.properties()
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
            live, target = request.old_state.get("machine"), request.new_inputs.get("machine")
            if isinstance(target, Mapping):
                changes |= compare_outputs("machine", live, target)
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
            return rq.Resource("", tree, request.inputs, refresh_before_update=True)
        return self._apply(request.urn, None, {}, request.inputs, request.timeout)

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Revert the VM if that is asked for; otherwise record the inputs and look at the VM."""
        if request.preview:
            self._announce(request.urn, request.old_inputs, request.new_inputs)
            known = {
                name: request.old_state.get(name, UNKNOWN) for name in ("vm", "safetySnapshots", "conditions")
            }
            if not asks_for_revert(request.old_inputs, request.new_inputs):
                known = {**request.old_state, **request.new_inputs}
            tree = foreseen(REVERT, request.new_inputs, known)
            return rq.Resource(request.id, tree, request.new_inputs, refresh_before_update=True)
        old = load(RevertState, request.old_state)
        try:
            return self._apply(request.urn, old, request.old_inputs, request.new_inputs, request.timeout)
        except rq.PartialState:
            raise
        except VmsnapshotError as error:
            failed = old.model_copy(update={"conditions": [_failed(_REVERT_FAILED, error)]})
            kept = rq.Resource(
                request.id,
                with_secrets(failed, request.old_state),
                request.old_inputs,  # so that the next update still asks for the revert
                refresh_before_update=True,
            )
            raise rq.PartialState(kept, error) from error

    def delete(self, request: rq.DeleteRequest) -> None:
        """Forget. The VM and its snapshots stay as they are."""
        state = load(RevertState, request.state)
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
            return rq.Resource(
                vm.identity.id,
                state.properties(),
                watching.properties(),
                refresh_before_update=True,
            )
        old = load(RevertState, request.state)
        try:
            vm = self._session.backend.observe(old.vm.id if old.vm is not None else request.id, operation)
        except Gone as gone:
            self._session.say(request.urn, rq.Severity.WARNING, f"Forgotten: {gone.message}")
            return None
        tree = with_secrets(_state(old, vm, old), request.state)
        return rq.Resource(request.id, tree, dict(request.inputs or {}), refresh_before_update=True)

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
        operation.what = f'reverting {title(vm)} to snapshot "{vm.path(target.unique_id)}"'
        self._session.say(urn, rq.Severity.WARNING, plan.text)
        refuse_errors(plan.findings, operation.what)
        request_id = _request_id(urn, target, new_inputs, old)
        taken = list(old.safety_snapshots) if old is not None else []
        done = self._done_before(vm, request_id, old, operation)
        if inputs.safety_snapshot is not None:
            safety = self._safety_snapshot(urn, vm, inputs, request_id, operation, take=done is None)
            taken += [safety] if safety is not None else []
        if done is None:
            done = self._revert(vm, target, request_id, old, operation)
        else:
            self._session.say(
                urn,
                rq.Severity.WARNING,
                f'{title(vm)} was already reverted to "{vm.path(target.unique_id)}" by a run of '
                f"this request that was interrupted ({done.id}); it is not reverted again. To "
                "revert once more, change `triggers`.",
            )
        result = RevertState(
            **inputs.model_dump(exclude={"machine"}),
            reverted_to=RevertedTo(
                name=target.name,
                unique_id=target.unique_id,
                create_time=timestamp(target.create_time),
            ),
            reverted_at=timestamp(done.completed or now()),
            safety_snapshots=taken,
            vm=vm.identity,
        )
        return self._end(result, new_inputs, operation)

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
            vm = self._find_vm(inputs, operation)
            tree = with_secrets(_state(inputs, vm), new_inputs)
            return rq.Resource(vm.identity.id, tree, new_inputs, refresh_before_update=True)
        kept = self._expire(urn, old, inputs, operation)
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
        return rq.Resource(vm.identity.id, tree, new_inputs, refresh_before_update=True)

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
            resource = rq.Resource(result.vm.id, tree, new_inputs, refresh_before_update=True)
            raise rq.PartialState(resource, error) from error
        tree = with_secrets(_state(result, vm, result, conditions=[]), new_inputs)
        return rq.Resource(vm.identity.id, tree, new_inputs, refresh_before_update=True)

    def _done_before(
        self,
        vm: VirtualMachine,
        request_id: str,
        old: RevertState | None,
        operation: Operation,
    ) -> PastTask | None:
        """The revert of this very request, if an interrupted run has already done it.

        With state, the request's id holds the time of the revert before it and so is unique. A
        first revert has nothing such: there, only one that ended just now counts.
        """
        backend = self._session.backend
        task = backend.find_task(vm, request_id, operation)
        if task is not None and task.running:
            operation.progress(f"waiting for the revert that {task.id} is still doing")
            backend.wait_for_task(vm, task.id, operation)
            task = backend.find_task(vm, request_id, operation)
        if task is None or not task.succeeded:
            return None
        if old is not None and old.vm is not None:
            return task
        recent = task.completed is not None and now() - task.completed < INTERRUPTED_WITHIN
        return task if recent and task.latest else None

    def _revert(
        self,
        vm: VirtualMachine,
        target: Snapshot,
        request_id: str,
        old: RevertState | None,
        operation: Operation,
    ) -> PastTask:
        operation.progress(f'reverting to "{vm.path(target.unique_id)}"')
        backend = self._session.backend
        while True:
            try:
                backend.revert(vm, target, request_id, operation)
            except Unreachable:
                # The answer was lost, the revert perhaps not: look before asking again.
                operation.pause(1)
                done = self._done_before(vm, request_id, old, operation)
                if done is not None:
                    return done
            else:
                return PastTask(id="", running=False, succeeded=True, completed=now())

    def _safety_snapshot(
        self,
        urn: str,
        vm: VirtualMachine,
        inputs: RevertInputs,
        request_id: str,
        operation: Operation,
        *,
        take: bool,
    ) -> TakenSafetySnapshot | None:
        """Keep the state about to be lost; an interrupted run's own is found again by its mark."""
        assert inputs.safety_snapshot is not None  # noqa: S101 - the caller asked
        backend = self._session.backend
        mark = ownership.request_mark(urn, request_id)
        found = _marked(vm, mark)
        if found is None and take:
            name = inputs.safety_snapshot.name or f"before-revert-{mark.making}"
            operation.progress(f'taking safety snapshot "{name}"')
            request = SnapshotRequest(
                name=name,
                description=ownership.describe("State before a revert.", urn, mark),
                memory=inputs.safety_snapshot.memory,
                quiesce=None,
                request_id=f"vmsnapshot-{mark}",
            )
            try:
                backend.create_snapshot(vm, request, operation)
            except Unreachable:
                operation.pause(1)
            vm = backend.observe(vm.identity.id, operation)
            found = _marked(vm, mark)
            if found is None:
                message = f'{operation.what}: the safety snapshot "{name}" was not taken'
                raise Unreachable(message)
        if found is None:
            return None
        return TakenSafetySnapshot(
            name=found.name,
            unique_id=found.unique_id,
            create_time=timestamp(found.create_time),
        )

    def _expire(
        self, urn: str, old: RevertState, inputs: RevertInputs, operation: Operation
    ) -> list[TakenSafetySnapshot]:
        """Count this update, and remove the safety snapshots whose time is over."""
        rule = inputs.safety_snapshot
        counted = [item.model_copy(update={"updates": item.updates + 1}) for item in old.safety_snapshots]
        if rule is None or old.vm is None:
            return counted
        over = [item for item in counted if _is_over(item, rule.keep_updates, rule.max_age)]
        if over:
            vm = self._session.backend.observe(old.vm.id, operation)
            for item in over:
                snapshot = vm.snapshot(item.unique_id)
                if snapshot is not None and ownership.split(snapshot.description)[1] is not None:
                    self._session.backend.remove_snapshot(
                        vm, snapshot, remove_children=False, consolidate=True, operation=operation
                    )
                self._session.say(
                    urn, rq.Severity.INFO, f'Safety snapshot "{item.name}" was removed: its time is over.'
                )
        return [item for item in counted if item not in over]

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
        known = {name: value for name, value in new_inputs.items() if not has_unknown(value)}
        inputs = load(RevertInputs, known)
        operation = self._session.operation(urn, f'looking at VM "{inputs.vm_name}"')
        _, _, plan = self._plan(inputs, operation)
        self._session.say(urn, rq.Severity.WARNING, plan.text)

    def _plan(
        self, inputs: RevertInputs, operation: Operation
    ) -> tuple[VirtualMachine, Snapshot, RevertPlan]:
        vm, target = self._find(inputs, operation)
        then = self._session.backend.machines_at(vm, [target.unique_id], operation)
        return vm, target, plan_revert(vm, target, then[target.unique_id], inputs, now())

    def _find_vm(self, inputs: RevertInputs, operation: Operation) -> VirtualMachine:
        try:
            return self._session.backend.find(VMReference(inputs.vm_name, inputs.namespace), operation)
        except (NotFound, Ambiguous) as error:
            raise type(error)(f"vmName: {error.message}") from None

    def _find(self, inputs: RevertInputs, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        vm = self._find_vm(inputs, operation)
        reference = inputs.snapshot or ""
        foreseen = vm.snapshot(self._session.foreseen_name(vm.identity.id, reference))
        if foreseen is not None:
            return vm, foreseen
        try:
            return vm, select_snapshot(vm, reference)
        except (NotFound, Ambiguous) as error:
            raise type(error)(f"snapshot: {error.message}") from None


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


def _request_id(urn: str, target: Snapshot, inputs: rq.Properties, old: RevertState | None) -> str:
    """The same for the same request run again, and another for any other request."""
    asked = {
        "urn": urn,
        "target": target.unique_id,
        "inputs": {name: plain(inputs.get(name)) for name in _ASKING},
        "after": old.reverted_at if old is not None else None,
        "was": old.snapshot if old is not None else None,
        "wasTriggers": old.triggers if old is not None else None,
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return f"vmsnapshot-revert-{digest[:24]}"


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


def _marked(vm: VirtualMachine, mark: ownership.Mark) -> Snapshot | None:
    return next((item for item in vm.snapshots if ownership.split(item.description)[1] == mark), None)


def _is_over(item: TakenSafetySnapshot, keep_updates: int | None, max_age: str | None) -> bool:
    if keep_updates is not None:
        return item.updates >= keep_updates
    if max_age is not None:
        taken = dt.datetime.fromisoformat(item.create_time.replace("Z", "+00:00"))
        return now() - taken > parse_duration(max_age)
    return False


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
