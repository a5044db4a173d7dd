"""The verbs of EnvironmentRollback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.comparison import compare_machines, not_ignored
from vmsnapshot.lifecycle.common.identity import other_vms, snapshot_key
from vmsnapshot.lifecycle.common.interplay import say_meetings
from vmsnapshot.lifecycle.common.members import find_members, validate_members
from vmsnapshot.lifecycle.common.safety import SafetySnapshots, SafetySpec
from vmsnapshot.lifecycle.common.safety_records import leftover_changes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import owner_id
from vmsnapshot.lifecycle.requests import Change, DiffResult, PropertyChange, Severity
from vmsnapshot.lifecycle.revert.approval import shown_revert
from vmsnapshot.lifecycle.revert.earlier import EarlierRevert
from vmsnapshot.lifecycle.revert.evidence import RevertAttempt, forget
from vmsnapshot.lifecycle.revert.fingerprint import planned_fingerprint
from vmsnapshot.lifecycle.revert.plan import powered
from vmsnapshot.lifecycle.revert.protection import say_weaker_protection
from vmsnapshot.lifecycle.revert.text import CHANGED_SINCE_CHECK, another_vm_text
from vmsnapshot.lifecycle.rollback.begun import Begun
from vmsnapshot.lifecycle.rollback.executor import RollbackExecutor
from vmsnapshot.lifecycle.rollback.leaving import leave_safety_snapshots
from vmsnapshot.lifecycle.rollback.memory import CheckedPlan, RollbackMemory
from vmsnapshot.lifecycle.rollback.plan import plan_found, require_targets, spec_of
from vmsnapshot.lifecycle.rollback.refresh import observe_members
from vmsnapshot.lifecycle.rollback.standing import say_astray
from vmsnapshot.lifecycle.rollback.state import (
    ASKING,
    COMPUTED,
    NAMING,
    Unfinished,
    asks_for_rollback,
    carried_over,
    done_members,
    fulfilled_inputs,
    half_done_before,
    is_asked,
    is_open,
    is_power_pending,
    known_members,
    known_until,
    request_of,
    reverted_before,
    vms_of,
    watched_anew,
    watching,
    with_inputs,
    with_leftovers,
    with_safety_snapshots,
)
from vmsnapshot.lifecycle.rollback.text import found_text, open_text, rollback_text, unknown_target_text
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.machine import Machine
from vmsnapshot.model.revert import Fingerprint
from vmsnapshot.model.rollback import RollbackInputs, RollbackState

RollbackAnswer: TypeAlias = verbs.Answer[RollbackInputs, RollbackState]
RollbackPreview: TypeAlias = verbs.Preview[RollbackState]
RollbackUpdate: TypeAlias = verbs.UpdateRequest[RollbackInputs, RollbackState]


class RollbackResource(verbs.Verbs[RollbackInputs, RollbackState]):
    """Which checkpoint an environment was last rolled back to, and on whose request."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory = verbs.Memory(RollbackMemory)

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: verbs.CheckRequest[RollbackInputs]) -> verbs.CheckAnswer[RollbackInputs]:
        """Validate; when a rollback is asked for, say what the VMs will be: the input `machines`."""
        given, inputs = request.inputs, request.inputs.model
        old = None if request.old_inputs is None else request.old_inputs.model
        self._session.removals.reach(request.urn, ())
        if request.failures:
            return verbs.CheckAnswer(inputs)
        if given.knows("virtual_machines"):
            failures = validate_members(inputs.virtual_machines, self._session.platform)
            if failures:
                return verbs.CheckAnswer(inputs, failures)
        if not asks_for_rollback(old, given):
            return verbs.CheckAnswer(carried_over(old, inputs))
        if not given.knows(*NAMING):
            return verbs.CheckAnswer(inputs, unknown=[(name,) for name in COMPUTED])
        memory = self._memory.of(request.urn)
        self._session.backend.prepare(self._session.operation(request.urn, "looking for earlier rollbacks"))
        checked = self._plan(request.urn, given, memory.state, batched=False)
        failures = checked.planned.without(checked.found).check_failures(self._session.removals)
        if failures:
            return verbs.CheckAnswer(inputs, failures)
        self._session.removals.reach(request.urn, checked.planned.points.found.values())
        # Without state, which a provider that was changed in this update hasn't seen, it may not be all.
        memory.checked = checked if old is None or memory.state is not None else None
        later = checked.inputs.machines or {} if checked.planned.spec.unsettled.power else {}
        return verbs.CheckAnswer(checked.inputs, unknown=[("machines", key, "powerState") for key in later])

    def diff(self, request: verbs.DiffRequest[RollbackInputs, RollbackState]) -> DiffResult:
        """Inputs against inputs; and, only when a rollback is asked for, live VMs against targets."""
        changes = {**request.changes, **leftover_changes(request.old_state.leftover_safety_snapshots)}
        targets = request.new_inputs.model.machines
        checked = self._checked_plan(request.urn, request.new_inputs)
        if targets is None and checked is not None:
            targets = checked.inputs.machines  # of which the engine doesn't know all yet
        if targets is not None and is_asked(request.old_inputs.model, request.old_state, request.new_inputs):
            before = request.old_state.machines or {}
            done = (
                checked.done if checked else done_members(request.urn, request.new_inputs, request.old_state)
            )
            for key, after in targets.items():
                path = ("machines", key)
                if key in done and checked is None:
                    continue
                if key not in before and key not in done:
                    changes[path] = PropertyChange(Change.ADD, input_diff=False)
                    continue
                # The old outputs are fresh only where the engine refreshes before an update. Of what is
                # reverted, at most the power changes.
                fresh = checked.planned.plans.get(key) if checked else None
                done_live = checked.planned.vm(key).machine if checked and key in done else None
                live = fresh.live if fresh else done_live or before[key]
                changes |= compare_machines(path, live.properties(), after.properties())
                if after.power_state is None and not request.new_inputs.knows("machines"):
                    changes[*path, "powerState"] = PropertyChange(Change.UPDATE, input_diff=False)
        return DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def preview_create(self, request: verbs.CreateRequest[RollbackInputs]) -> RollbackPreview:
        """Say what the rollback would do, if one is asked for."""
        if asks_for_rollback(None, request.inputs):
            self._announce(request.urn, request.inputs, None)
        return verbs.Preview()

    def create(self, request: verbs.CreateRequest[RollbackInputs]) -> RollbackAnswer:
        """Roll back if a label is asked for; otherwise only watch the VMs."""
        operation = self._session.operation(request.urn, "looking at the environment", request.timeout)
        asked = asks_for_rollback(None, request.inputs)
        return self._apply(request.urn, None, request.inputs.model, operation, asked=asked)

    def preview_update(self, request: RollbackUpdate) -> RollbackPreview:
        """Say what the rollback would do, if one is asked for or isn't complete."""
        old = request.old_state
        if is_asked(request.old_inputs.model, old, request.new_inputs):
            self._announce(request.urn, request.new_inputs, old)
            return verbs.Preview()
        given = request.new_inputs.model
        same = old.virtual_machines == given.virtual_machines  # others are looked up by the update alone
        return verbs.Preview(with_inputs(old, given), () if same else [("vms",), ("machines",)])

    def update(self, request: RollbackUpdate) -> RollbackAnswer:
        """Roll back, or go on with it, if that is asked for; otherwise record the inputs."""
        operation = self._session.operation(request.urn, "looking at the environment", request.timeout)
        asked = is_asked(request.old_inputs.model, request.old_state, request.new_inputs)
        inputs = request.new_inputs.model
        return self._apply(request.urn, request.old_state, inputs, operation, asked=asked)

    def delete(self, request: verbs.DeleteRequest[RollbackState]) -> None:
        """Forget. The VMs stay as they are; their safety snapshots go if safetyDeletePolicy says so.

        Raises:
            VmsnapshotError: Safety snapshots could not be removed; the resource is still there then.
        """
        state = request.state
        what = "removing the environment's safety snapshots"
        operation = self._session.operation(request.urn, what, request.timeout)
        kept = leave_safety_snapshots(self._session, request.urn, state, operation)
        forget(self._session, request.urn, list(state.vms.values()), known_until(state))
        if kept:
            text = f"Safety snapshots stay on the platform: {', '.join(kept)}."
            self._session.log_wrapped(request.urn, Severity.INFO, text)

    # --- read -------------------------------------------------------------------------------

    def read(self, request: verbs.ReadRequest[RollbackInputs, RollbackState]) -> RollbackAnswer:
        """The live VMs beside what is remembered, which outlives the VMs."""
        operation = self._session.operation(request.urn, "reading the environment", request.timeout)
        old = request.state
        machines, unread = observe_members(self._session, request.urn, old, operation)
        state = replace(
            old,
            vms={**old.vms, **{key: vm.identity for key, vm in machines.items()}},
            machines={
                **{key: machine for key, machine in unread.items() if machine is not None},
                **{key: vm.machine for key, vm in machines.items()},
            },
        )
        self._memory.of(request.urn).state = state
        inputs = None if request.inputs is None else request.inputs.model
        if is_open(old):
            self._session.log_wrapped(request.urn, Severity.WARNING, open_text(old))
            inputs = None if inputs is None else fulfilled_inputs(inputs, old)
        elif old.to is not None:
            say_astray(self._session, request.urn, old.to, old.progress, machines)
        return verbs.Answer(request.id, state, inputs)

    def import_(self, request: verbs.ImportRequest) -> RollbackAnswer:
        """Watch an environment by its VMs: `web-1,web-2,db-1`, or `namespace/name` for each.

        Raises:
            InvalidInput: It names no VM, or one twice.
        """
        operation = self._session.operation(request.urn, "reading the environment", request.timeout)
        named = request.id
        names = [item.strip() for item in named.split(",") if item.strip()]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice or not names:
            reason = f"it names {', '.join(twice)} more than once" if twice else "it names no VM"
            message = (
                f"{named!r} is no import id of an EnvironmentRollback: {reason}. Write the names of its VMs, "
                "each once, with commas between them, such as web-1,web-2,db-1 (on the VM Operator "
                "<namespace>/<name> for each)"
            )
            raise InvalidInput("id", message)
        watch = RollbackInputs(virtual_machines=[EnvironmentMember(vm_name=name) for name in names])
        state = self._watch(request.urn, None, watch, operation)
        return verbs.Answer(owner_id(request.urn), state, watch)

    # --- what is done, and what would be ----------------------------------------------------

    def _apply(
        self,
        urn: str,
        old: RollbackState | None,
        inputs: RollbackInputs,
        operation: Operation,
        *,
        asked: bool,
    ) -> RollbackAnswer:
        identifier = owner_id(urn)
        self._session.require_servers([] if old is None else old.vms.values(), operation)
        if asked:
            run = RollbackExecutor(self._session, urn, old, inputs, request_of(urn, inputs, old))
            try:
                state = run.do(operation)
            except Unfinished as failed:
                answer: RollbackAnswer = verbs.Answer(identifier, failed.state)
                raise verbs.Incomplete(answer, failed.cause) from failed
        else:
            state = self._watch(urn, old, inputs, operation)
            leftovers = [] if old is None else old.leftover_safety_snapshots
            safety = SafetySnapshots(self._session, urn, SafetySpec("rollback"))
            if (not_removed := safety.clean_up(leftovers, {}, operation)) is not None:
                kept = with_leftovers(state, not_removed)
                raise verbs.Incomplete(verbs.Answer(identifier, kept), not_removed.error)
        return verbs.Answer(identifier, state)

    def _watch(
        self, urn: str, old: RollbackState | None, inputs: RollbackInputs, operation: Operation
    ) -> RollbackState:
        """State without a rollback; what state knows by a name stays that VM, whatever is called so now.

        Raises:
            InvalidInput: One of the others isn't found.
        """
        known = {} if old is None else known_members(old)
        new = [member for member in inputs.virtual_machines if member.key not in known]
        environment = find_members(self._session, new, operation)
        for failure in environment.check_failures():
            raise InvalidInput(failure.property, failure.reason)
        machines = dict(environment.machines)
        if old is None:
            return watched_anew(inputs, machines, self._session.now(operation))
        members = [member for member in inputs.virtual_machines if member.key in known]
        machines |= observe_members(self._session, urn, replace(old, virtual_machines=members), operation)[0]
        state = watching(inputs, machines, old)
        kept = {member.key: known[member.key] for member in members if member.key not in machines}
        return replace(state, vms={**with_safety_snapshots(old), **state.vms, **kept})

    def _announce(self, urn: str, given: Inputs[RollbackInputs], old: RollbackState | None) -> None:
        """In a preview, say what the rollback that is asked for would do."""
        if not given.knows(*NAMING):
            reached = None
            if old is not None and not is_open(old) and given.knows("triggers"):
                reached = old.to if old.triggers == given.model.triggers else None
            self._session.log_wrapped(urn, Severity.WARNING, unknown_target_text(reached))
            return
        checked = self._checked_plan(urn, given)
        if checked is None:
            earlier = self._memory.of(urn).checked
            if remediated := earlier is not None and earlier.is_changed(given):
                self._session.log_wrapped(urn, Severity.WARNING, CHANGED_SINCE_CHECK)
            checked = self._plan(urn, given, old)
            operation = self._session.operation(urn, "looking at the environment")
            require_targets(given.model, checked.planned, operation, remediated=remediated)
        found = checked.found
        done = [key for key, item in found.items() if item.done]
        if found:
            under_way = {key: item.running for key, item in found.items() if item.running and not item.done}
            uncertain = [key for key, task in under_way.items() if task.uncertain]
            running = [key for key in under_way if key not in uncertain]
            self._session.log(urn, Severity.WARNING, found_text(done, running, uncertain))
        again = old is not None and is_open(old)
        count = len(checked.done) + len(done)
        text = rollback_text(
            checked.planned.without(found),
            done=count,
            again=again,
            powered=checked.powered,
            earlier=checked.earlier,
        )
        others = {} if old is None else other_vms(old.vms, checked.planned.environment.machines)
        for key, before in others.items():
            lines = another_vm_text(before, checked.planned.environment.machines[key])
            text = "\n".join([text, *lines])
        self._session.log(urn, Severity.WARNING, text)
        if machines := [checked.planned.vm(key) for key in checked.planned.plans]:
            operation = self._session.operation(urn, "looking at the environment")
            say_weaker_protection(self._session, urn, machines, operation)
            say_meetings(self._session, urn, "revert", machines)
        self._session.notes.show_all(
            {
                f"{urn} {key}": shown_revert(self._session, *shown)
                for key, shown in checked.planned.targets.items()
            }
        )

    def _checked_plan(self, urn: str, given: Inputs[RollbackInputs]) -> CheckedPlan | None:
        """The plan that this preview's check has just made."""
        checked = self._memory.of(urn).checked
        return checked if checked is not None and checked.is_for(given) else None

    def _plan(
        self, urn: str, given: Inputs[RollbackInputs], old: RollbackState | None, *, batched: bool = True
    ) -> CheckedPlan:
        inputs = given.model
        asked = replace(inputs, triggers=None, machines=None, targets=None, seen=None)
        # With what isn't known yet, nobody knows whether it is the same request.
        request = request_of(urn, inputs, old) if given.knows(*ASKING) else None
        # The engine checks one resource after another.
        operation = self._session.operation(urn, "looking at the environment", batched=batched)
        begun = Begun.of(old, request)
        environment = begun.find(self._session, asked.virtual_machines, operation)
        old = begun.renamed(old, environment)
        done = {} if request is None else reverted_before(old, request.token)
        planned = plan_found(
            self._session,
            spec_of(self._session, asked, urn, given.unknown),
            environment,
            operation,
            without=done,
            begun_with=vms_of(old, request),  # by the keys that they have now
            half_done=[] if request is None else half_done_before(old, request.token),
        )
        found: Mapping[str, RevertAttempt] = {}
        earlier: Mapping[str, EarlierRevert] = {}
        if request is not None and planned.plans:
            run = RollbackExecutor(self._session, urn, old, asked, request)
            found = run.find_attempts(planned, operation)
            earlier = run.find_earlier(planned, found, operation)
        # Of those that are reverted, whether their power is still to be done.
        policy = None if planned.spec.unsettled.power else asked.power_policy
        stay = {key: policy is None or is_power_pending(old, item, policy) for key, item in done.items()}
        stay |= {key: True for key, item in found.items() if item.done}
        machines: dict[str, Machine] = {}
        targets: dict[str, str] = {}
        seen: dict[str, Fingerprint] = {}
        for key, vm in environment.machines.items():
            if key in stay:
                machines[key] = powered(vm.machine, policy) if stay[key] else vm.machine
            elif key in planned.plans:
                machines[key] = planned.plans[key].after
            if key in planned.plans:
                targets[key] = snapshot_key(planned.target(key))
                seen[key] = planned_fingerprint(self._session, vm)
            elif (before := done.get(key)) is not None and before.reverted_to is not None:
                targets[key] = before.reverted_to.id
        planned_inputs = replace(inputs, machines=machines, targets=targets, seen=seen)
        return CheckedPlan(planned_inputs, planned, done, found, earlier)
