"""The verbs of EnvironmentRollback."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Mapping

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.comparison import compare_inputs, compare_machines, not_ignored
from vmsnapshot.lifecycle.common.identity import other_vms
from vmsnapshot.lifecycle.common.members import find_members, validate_members
from vmsnapshot.lifecycle.common.observed import preview_outputs, with_secrets
from vmsnapshot.lifecycle.common.safety import SafetySnapshots, SafetySpec
from vmsnapshot.lifecycle.common.safety_records import LEFTOVER, leftover_changes
from vmsnapshot.lifecycle.common.selection import new_id_text
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import wrapped
from vmsnapshot.lifecycle.common.validation import check, load, without_empty, without_handed_back
from vmsnapshot.lifecycle.errors import InvalidInput, NotFound, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import owner_id
from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.lifecycle.revert.evidence import RevertAttempt, forget, say_weaker_protection
from vmsnapshot.lifecycle.revert.fingerprint import fingerprint_of
from vmsnapshot.lifecycle.revert.plan import powered
from vmsnapshot.lifecycle.revert.text import another_vm_text
from vmsnapshot.lifecycle.rollback.executor import RollbackExecutor
from vmsnapshot.lifecycle.rollback.plan import PlannedRollback, plan_found, spec_of
from vmsnapshot.lifecycle.rollback.state import (
    COMPUTED,
    NAMING,
    Unfinished,
    asks_for_rollback,
    carried_over,
    fulfilled_inputs,
    is_asked,
    is_open,
    request_of,
    reverted_before,
    vms_of,
    watching,
    with_leftovers,
)
from vmsnapshot.lifecycle.rollback.text import found_text, rollback_text
from vmsnapshot.model.catalogue import ROLLBACK
from vmsnapshot.model.environment import EnvironmentMember, MemberRollback, RollbackInputs, RollbackState
from vmsnapshot.model.machine import Machine, VirtualMachine
from vmsnapshot.model.values import UNKNOWN, has_unknown, plain


@dataclasses.dataclass(frozen=True)
class _Checked:
    """What check planned, for the diff and the preview that follow it.

    Attributes:
        inputs: With those that are computed.
        planned: The VMs that state doesn't tell to be reverted.
        done: Those that it does.
        found: Of those planned, what interrupted runs have done or still do.
    """

    inputs: rq.Properties
    planned: PlannedRollback
    done: Mapping[str, MemberRollback]
    found: Mapping[str, RevertAttempt]


class RollbackResource:
    """Which checkpoint an environment was last rolled back to, and on whose request."""

    kind = ROLLBACK

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checked: dict[str, _Checked] = {}
        # What read has shown, by resource: check is not told what state holds.
        self._states: dict[str, RollbackState] = {}

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate; when a rollback is asked for, say what the VMs will be: the input `machines`."""
        old = request.old_inputs or {}
        given = without_handed_back(without_empty(request.new_inputs, "to"), old, COMPUTED)
        result = check(RollbackInputs, given)
        failures = [*result.failures, *validate_members(result.inputs, self._session.platform)]
        if failures:
            return rq.CheckResult(result.inputs, failures)
        inputs = dict(result.inputs)
        if not asks_for_rollback(old, inputs):
            return rq.CheckResult(carried_over(old, inputs))
        if any(has_unknown(inputs.get(name)) for name in NAMING):
            return rq.CheckResult({**inputs, **dict.fromkeys(COMPUTED, UNKNOWN)})
        checked = self._plan(request.urn, inputs, self._states.get(request.urn), alone=True)
        failures = checked.planned.check_failures()
        if failures:
            return rq.CheckResult(inputs, failures)
        self._checked[request.urn] = checked
        return rq.CheckResult(checked.inputs)

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Inputs against inputs; and, only when a rollback is asked for, live VMs against targets."""
        changes = compare_inputs(RollbackInputs, request.old_inputs, request.new_inputs)
        changes |= leftover_changes(request.old_state)
        targets = request.new_inputs.get("machines")
        if is_asked(request.old_inputs, request.old_state, request.new_inputs) and isinstance(
            targets, Mapping
        ):
            checked = self._checked_plan(request.urn, request.new_inputs)
            before = plain(request.old_state.get("machines") or {})
            done = _done(request.urn, request.new_inputs, request.old_state)
            for key, after in targets.items():
                path = ("machines", key)
                if key in done:
                    continue
                if key not in before:
                    changes[path] = PropertyChange(Change.ADD, input_diff=False)
                    continue
                # The old outputs are fresh only where the engine refreshes before an update.
                fresh = checked.planned.plans.get(key) if checked else None
                changes |= compare_machines(path, fresh.live.properties() if fresh else before[key], after)
        return rq.DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Roll back if a label is asked for; otherwise only watch the VMs."""
        if request.preview:
            if asks_for_rollback({}, request.inputs):
                self._announce(request.urn, request.inputs, None)
            return _watched("", preview_outputs(ROLLBACK, request.inputs), request.inputs)
        asked = asks_for_rollback({}, request.inputs)
        return self._apply(request.urn, None, request.inputs, request.timeout, asked=asked)

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Roll back, or go on with it, if that is asked for; otherwise record the inputs."""
        asked = is_asked(request.old_inputs, request.old_state, request.new_inputs)
        old = load(RollbackState, request.old_state)
        if request.preview:
            if asked:
                self._announce(request.urn, request.new_inputs, old)
                tree = preview_outputs(ROLLBACK, request.new_inputs)
            else:
                tree = {**request.old_state, **request.new_inputs}
                tree |= {LEFTOVER: []} if LEFTOVER in tree else {}
            return _watched(request.id, tree, request.new_inputs)
        return self._apply(request.urn, old, request.new_inputs, request.timeout, asked=asked)

    def delete(self, request: rq.DeleteRequest) -> None:
        """Forget. The VMs and their snapshots stay as they are."""
        state = load(RollbackState, request.state)
        forget(self._session, request.urn, list(state.vms.values()))
        kept = [
            f'"{item.safety_snapshot.path}" of {key}'
            for key, item in state.progress.items()
            if item.safety_snapshot is not None
        ]
        kept += [f'"{item.name}" of {item.member}' for item in state.leftover_safety_snapshots]
        if kept:
            text = f"Safety snapshots stay on the platform: {', '.join(kept)}."
            self._session.log(request.urn, rq.Severity.INFO, "\n".join(wrapped(text)))

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The live VMs beside what is remembered, which outlives the VMs."""
        operation = self._session.operation(request.urn, "reading the environment", request.timeout)
        if request.state is None:
            return self._import(request.urn, request.id, operation)
        old = load(RollbackState, request.state)
        machines, unread = self._observe(request.urn, old, operation)
        state = old.model_copy(
            update={
                "vms": {**old.vms, **{key: vm.identity for key, vm in machines.items()}},
                "machines": {
                    **{key: machine for key, machine in unread.items() if machine is not None},
                    **{key: vm.machine for key, vm in machines.items()},
                },
            }
        )
        self._states[request.urn] = state
        inputs = dict(request.inputs or {})
        if is_open(request.state):
            self._say_open(request.urn, old)
            inputs = fulfilled_inputs(inputs, old)
        return _watched(request.id, with_secrets(state, request.state), inputs)

    def _say_open(self, urn: str, old: RollbackState) -> None:
        done, of = (
            sum(item.reverted_to is not None for item in old.progress.values()),
            len(old.virtual_machines),
        )
        self._warn(
            urn,
            f"The last rollback that was asked for is not complete: {done} of {of} VMs are reverted. As long "
            "as the program asks for it, the next update goes on with the others.",
        )

    def _import(self, urn: str, named: str, operation: Operation) -> rq.Resource:
        """An environment by its VMs: `web-1,web-2,db-1`, or `namespace/name` for each.

        Raises:
            InvalidInput: It names no VM, or one twice.
        """
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
        watch = RollbackInputs(virtual_machines=[_member(name) for name in names])
        machines = self._find(watch, operation)
        state = watching(watch, machines, None)
        return _watched(owner_id(urn), state.properties(), watch.properties())

    def _observe(
        self, urn: str, old: RollbackState, operation: Operation
    ) -> tuple[dict[str, VirtualMachine], dict[str, Machine | None]]:
        """The VMs that are still there, and what state holds of those that can't be read.

        A VM that was made anew under the name of one that is gone is another.
        """
        known = {item.key: old.vms[item.key] for item in old.virtual_machines if item.key in old.vms}
        found = self._session.locate_all(known, operation)
        # State of a rollback that failed early may not tell which VM is meant.
        unknown = [item for item in old.virtual_machines if item.key not in known]
        if unknown:
            again = find_members(self._session, unknown, operation)
            found |= {**again.machines, **again.failures}
        machines: dict[str, VirtualMachine] = {}
        unread: dict[str, Machine | None] = {}
        for key, outcome in found.items():
            if isinstance(outcome, NotFound):
                self._warn(
                    urn,
                    f"VM {key} is no longer there: {outcome.message}. What is remembered of it stays, and "
                    "nothing is rolled back until `to` or `triggers` change.",
                )
            elif isinstance(outcome, VmsnapshotError):
                self._warn(
                    urn,
                    f"VM {key} could not be read, so the state keeps what it holds of it: {outcome.message}",
                )
                unread[key] = (old.machines or {}).get(key)
            else:
                machines[key] = outcome
                if key in known and outcome.identity.id != known[key].id:
                    self._warn(urn, new_id_text(known[key].id, outcome))
        return machines, unread

    # --- what is done, and what would be ----------------------------------------------------

    def _apply(
        self,
        urn: str,
        old: RollbackState | None,
        new_inputs: rq.Properties,
        timeout: dt.timedelta | None,
        *,
        asked: bool,
    ) -> rq.Resource:
        inputs = load(RollbackInputs, new_inputs)
        operation = self._session.operation(urn, "looking at the environment", timeout)
        if asked:
            run = RollbackExecutor(self._session, urn, old, inputs, request_of(urn, new_inputs, old))
            try:
                state = run.do(operation)
            except Unfinished as failed:
                resource = _watched(owner_id(urn), with_secrets(failed.state, new_inputs), new_inputs)
                raise rq.PartialState(resource, failed.cause) from failed
        else:
            state = watching(inputs, self._find(inputs, operation), old)
            leftovers = [] if old is None else old.leftover_safety_snapshots
            safety = SafetySnapshots(self._session, urn, SafetySpec("rollback"))
            if (not_removed := safety.clean_up(leftovers, {}, operation)) is not None:
                tree = with_secrets(with_leftovers(state, not_removed), new_inputs)
                raise rq.PartialState(_watched(owner_id(urn), tree, new_inputs), not_removed.error)
        return _watched(owner_id(urn), with_secrets(state, new_inputs), new_inputs)

    def _find(self, inputs: RollbackInputs, operation: Operation) -> dict[str, VirtualMachine]:
        environment = find_members(self._session, inputs.virtual_machines, operation)
        for failure in environment.check_failures():
            raise InvalidInput(failure.property, failure.reason)
        return dict(environment.machines)

    def _announce(self, urn: str, inputs: rq.Properties, old: RollbackState | None) -> None:
        """In a preview, say what the rollback that is asked for would do."""
        if any(has_unknown(inputs.get(name)) for name in NAMING):
            self._warn(
                urn,
                "The environment will be rolled back, to a checkpoint or with VMs that are not known before "
                "the update: what that changes can't be shown.",
            )
            return
        checked = self._checked_plan(urn, inputs) or self._plan(urn, inputs, old)
        found = checked.found
        done = [key for key, item in found.items() if item.done]
        if found:
            under_way = {key: item.running for key, item in found.items() if item.running and not item.done}
            uncertain = [key for key, task in under_way.items() if task.uncertain]
            running = [key for key in under_way if key not in uncertain]
            self._session.log(urn, rq.Severity.WARNING, found_text(done, running, uncertain))
        text = rollback_text(checked.planned.without(found), done=len(checked.done) + len(done))
        others = {} if old is None else other_vms(old.vms, checked.planned.environment.machines)
        for key, before in others.items():
            lines = another_vm_text(before, checked.planned.environment.machines[key])
            text = "\n".join([text, *lines])
        self._session.log(urn, rq.Severity.WARNING, text)
        if machines := [checked.planned.vm(key) for key in checked.planned.plans]:
            operation = self._session.operation(urn, "looking at the environment")
            say_weaker_protection(self._session, urn, machines, operation)
        self._session.notes.show_all(
            {f"{urn} {key}": fingerprint_of(checked.planned.vm(key)) for key in checked.planned.plans}
        )

    def _warn(self, urn: str, text: str) -> None:
        self._session.log(urn, rq.Severity.WARNING, "\n".join(wrapped(text)))

    def _checked_plan(self, urn: str, inputs: rq.Properties) -> _Checked | None:
        """The plan that this preview's check has just made."""
        checked = self._checked.get(urn)
        if checked is None or any(
            plain(checked.inputs[name]) != plain(inputs.get(name)) for name in COMPUTED
        ):
            return None
        return checked

    def _plan(
        self, urn: str, inputs: rq.Properties, old: RollbackState | None, *, alone: bool = False
    ) -> _Checked:
        known = {name: value for name, value in inputs.items() if not has_unknown(value)}
        asked = load(RollbackInputs, {**known, **dict.fromkeys((*COMPUTED, "triggers"))})
        # With what isn't known yet, nobody knows whether it is the same request.
        request = None if has_unknown(inputs) else request_of(urn, inputs, old)
        done = {} if request is None else reverted_before(old, request.token)
        # The engine checks one resource after another.
        operation = self._session.operation(urn, "looking at the environment", alone=alone)
        environment = find_members(self._session, asked.virtual_machines, operation)
        planned = plan_found(
            self._session,
            spec_of(asked, urn),
            environment,
            operation,
            without=done,
            begun_with=vms_of(old, request),
        )
        found: Mapping[str, RevertAttempt] = {}
        if request is not None and planned.plans:
            found = RollbackExecutor(self._session, urn, old, asked, request).foresee(planned, operation)
        # Of those that are reverted, whether their power is still to be done.
        stay = {key: item.power_pending for key, item in done.items()}
        stay |= {key: True for key, item in found.items() if item.done}
        computed: rq.Properties = {"machines": {}, "targets": {}, "seen": {}}
        for key, vm in environment.machines.items():
            if key in stay:
                after = powered(vm.machine, asked.power_policy) if stay[key] else vm.machine
                computed["machines"][key] = after.properties()
            elif key in planned.plans:
                computed["machines"][key] = planned.plans[key].after.properties()
            if key in planned.plans:
                computed["targets"][key] = planned.target(key).id
                computed["seen"][key] = fingerprint_of(vm).properties()
            elif (before := done.get(key)) is not None and before.reverted_to is not None:
                computed["targets"][key] = before.reverted_to.id
        return _Checked({**inputs, **computed}, planned, done, found)


def _done(urn: str, inputs: rq.Properties, old_state: rq.Properties) -> Mapping[str, MemberRollback]:
    """The VMs that this very rollback has already reverted, as far as state tells."""
    if has_unknown(inputs) or not is_open(old_state):
        return {}
    old = load(RollbackState, old_state)
    return reverted_before(old, request_of(urn, inputs, old).token)


def _member(named: str) -> EnvironmentMember:
    return EnvironmentMember(vm_name=named)


def _watched(identifier: str, state: rq.Properties, inputs: rq.Properties) -> rq.Resource:
    """A rollback as it is now; the live VMs are read before each preview and update."""
    return rq.Resource(identifier, state, inputs, refresh_before_update=True)
