"""The verbs of VirtualMachineSnapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.comparison import compare_inputs
from vmsnapshot.lifecycle.errors import (
    Ambiguous,
    Gone,
    InvalidInput,
    NotFound,
    Refused,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.naming import automatic_name
from vmsnapshot.lifecycle.observed import foreseen, kind_of, with_secrets
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.lifecycle.preflight import refuse_errors, snapshot_findings
from vmsnapshot.lifecycle.selection import described, select_snapshot, title
from vmsnapshot.lifecycle.session import Session
from vmsnapshot.lifecycle.snapshot_state import (
    live_inputs,
    replacement_text,
    snapshot_state,
    unread_state,
    updated_inputs,
)
from vmsnapshot.lifecycle.taking import Taking
from vmsnapshot.lifecycle.validation import check, load
from vmsnapshot.model.catalogue import SNAPSHOT
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import Quiesce, SnapshotFilter, SnapshotInputs, SnapshotState
from vmsnapshot.model.values import has_unknown

# Properties whose change means a call to the platform; the others only stand in state.
_ON_PLATFORM: Final = frozenset({"name", "description"})


class SnapshotResource:
    """One snapshot of one VM, managed for its whole life."""

    kind = SNAPSHOT

    def __init__(self, session: Session) -> None:
        self._session = session

    # --- without the platform ---------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate, and give a name where there is none."""
        if request.old_inputs is not None:
            self._session.recorded.exists(request.urn)
        result = check(SnapshotInputs, request.new_inputs)
        failures = list(result.failures)
        inputs = dict(result.inputs)
        if inputs.get("name") is None:
            name = automatic_name(request)
            if isinstance(name, rq.CheckFailure):
                failures.append(name)
            else:
                inputs["name"] = name
        return rq.CheckResult(inputs, failures)

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Compare the inputs; a snapshot's own drift shows in its inputs after a refresh."""
        self._remember(request.urn, request.old_state)
        return rq.DiffResult(compare_inputs(SnapshotInputs, request.old_inputs, request.new_inputs))

    # --- create -----------------------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Take the snapshot, or take over the one that an interrupted run of this resource took."""
        if request.preview and has_unknown(request.inputs.get("vmName")):
            return rq.Resource("", foreseen(SNAPSHOT, request.inputs), request.inputs)
        if request.preview:
            return self._preview_create(request)
        inputs = load(SnapshotInputs, request.inputs)
        what = f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        taking = Taking(self._session, request.urn, inputs)
        vm = taking.settled(taking.find(operation), operation)
        left = taking.left_behind(vm)
        if left is not None:
            mark = taking.take_over(vm, left, operation)
            unique_id = left.unique_id
        else:
            refuse_errors(snapshot_findings(vm, inputs), what)
            mark = ownership.new_mark(request.urn)
            unique_id = taking.take(vm, mark, operation)
        return self._finish(request, vm, unique_id, mark, operation)

    def _preview_create(self, request: rq.CreateRequest) -> rq.Resource:
        """Say what a careful person wants to know first; what can't work fails the preview."""
        known = {name: value for name, value in request.inputs.items() if not has_unknown(value)}
        inputs = load(SnapshotInputs, known)
        what = f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        taking = Taking(self._session, request.urn, inputs)
        vm = taking.find(operation)
        left = taking.left_behind(vm)
        if left is not None:
            self._session.say(
                request.urn,
                rq.Severity.INFO,
                f"No new snapshot will be taken: {described(vm, left)} is this resource's own, "
                "left by a run that was interrupted, and will be taken over.",
            )
        else:
            self._say_replacement(request.urn, vm)
            findings = snapshot_findings(vm, inputs)
            for item in findings:
                if item.severity != "error":
                    self._session.say(request.urn, rq.Severity.WARNING, item.message)
            refuse_errors(findings, what)
        return rq.Resource("", foreseen(SNAPSHOT, request.inputs), request.inputs)

    def _say_replacement(self, urn: str, vm: VirtualMachine) -> None:
        """In words: the new one captures today's VM, and the restore point of then is lost."""
        for state in self._session.recorded.states(urn):
            old = vm.snapshot(state.unique_id)
            children = [] if old is None else vm.children(old.unique_id)
            self._session.say(urn, rq.Severity.WARNING, replacement_text(state, children))

    def _finish(
        self,
        request: rq.CreateRequest,
        vm: VirtualMachine,
        unique_id: str,
        mark: ownership.Mark,
        operation: Operation,
    ) -> rq.Resource:
        """The state of a snapshot just taken; partial if it can't be read."""
        inputs = load(SnapshotInputs, request.inputs)
        identifier = _identifier(vm, unique_id)
        try:
            after = self._session.backend.observe(vm.identity.id, operation, hardware=False)
        except Gone:
            raise
        except VmsnapshotError as error:
            partial = unread_state(inputs, vm, unique_id, str(mark), error)
            tree = with_secrets(partial, request.inputs)
            raise rq.PartialState(rq.Resource(identifier, tree, request.inputs), error) from error
        snapshot = after.snapshot(unique_id)
        if snapshot is None:
            message = f"snapshot {unique_id} of {title(vm)} was removed right after it was taken"
            raise Gone(message)
        state = snapshot_state(inputs, after, snapshot, str(mark))
        self._session.recorded.holds(request.urn, state)
        return rq.Resource(identifier, with_secrets(state, request.inputs), request.inputs)

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The snapshot as it is now; None when it has definitely been removed."""
        if request.state is None:
            return self._import(request)
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.state)
        what = f'reading snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        try:
            vm = self._session.backend.observe(_vm_id(request.id, state), operation, hardware=False)
        except Gone as gone:
            self._say_gone(request.urn, state, gone.message)
            return None
        snapshot = vm.snapshot(state.unique_id)
        if snapshot is None:
            self._say_gone(request.urn, state, f"it is no longer among the snapshots of {title(vm)}")
            return None
        old_inputs = dict(request.inputs or {})
        inputs = load(SnapshotInputs, old_inputs or state.properties())
        live = live_inputs(inputs, snapshot)
        mark = ownership.split(snapshot.description)[1]
        fresh = snapshot_state(live, vm, snapshot, str(mark) if mark else state.ownership)
        return rq.Resource(
            request.id,
            with_secrets(fresh, request.state),
            updated_inputs(old_inputs, live),
        )

    def _import(self, request: rq.ReadRequest) -> rq.Resource | None:
        """Bind to a snapshot by `<vm>@<snapshot>`, with inputs that show no change afterwards."""
        what = f"importing {request.id}"
        operation = self._session.operation(request.urn, what, request.timeout)
        vm, snapshot = self._find_imported(request.id, operation)
        by_name = VMReference(vm.identity.name)
        try:
            unique = self._session.backend.find(by_name, operation).identity.id == vm.identity.id
        except (NotFound, Ambiguous):
            unique = False
        description, mark = ownership.split(snapshot.description)
        inputs = SnapshotInputs(
            vm_name=vm.identity.name if unique else (vm.identity.path or vm.identity.id),
            name=snapshot.name,
            description=description or None,
            memory=snapshot.power_state == "PoweredOn",
            quiesce=Quiesce() if snapshot.quiesced else None,
        )
        state = snapshot_state(inputs, vm, snapshot, str(mark) if mark else None)
        identifier = _identifier(vm, snapshot.unique_id)
        return rq.Resource(identifier, state.properties(), inputs.properties())

    def _find_imported(self, identifier: str, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        """VM names and snapshot names may hold an `@` themselves: each split is tried."""
        splits = [index for index, letter in enumerate(identifier) if letter == "@"]
        if not splits:
            message = (
                f"{identifier!r} names no snapshot; write <vm>@<snapshot>, such as "
                "web-1@base/release-41 or vm-42@snapshot-226"
            )
            raise InvalidInput("id", message)
        failure: VmsnapshotError | None = None
        for index in splits:
            try:
                vm = self._session.backend.find(VMReference(identifier[:index]), operation)
                return vm, select_snapshot(vm, identifier[index + 1 :])
            except NotFound as error:
                failure = failure or error
        assert failure is not None  # noqa: S101 - there was at least one split, and it failed
        raise failure

    def list(self, wanted: SnapshotFilter) -> Iterator[rq.Listed]:
        """Every such snapshot that the login may see, as an id that can be imported."""
        operation = self._session.operation("", "listing snapshots")
        if wanted.vm_name is not None:
            reference = VMReference(wanted.vm_name, wanted.namespace)
            machines = [self._session.backend.find(reference, operation)]
        else:
            machines = list(self._session.backend.list_machines(operation))
        for vm in machines:
            for item in vm.snapshots:
                if wanted.type in (None, kind_of(item)):
                    yield rq.Listed(_identifier(vm, item.unique_id), item.name)

    # --- update and delete ------------------------------------------------------------------

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Rename or describe in place; what only concerns a later delete needs no call."""
        state = load(SnapshotState, request.old_state)
        if request.preview:
            known = {**request.old_state, **request.new_inputs}
            if not has_unknown(request.new_inputs.get("name")):
                head, _, _ = (state.path or "").rpartition("/")
                name = load(SnapshotInputs, request.new_inputs).name or state.name
                known["path"] = f"{head}/{name}" if head else name
                vm_id = _vm_id(request.id, state)
                self._session.foresee_name(vm_id, known["path"], state.unique_id)
            tree = foreseen(SNAPSHOT, request.new_inputs, known)
            return rq.Resource(request.id, tree, request.new_inputs)
        self._remember(request.urn, request.old_state)
        inputs = load(SnapshotInputs, request.new_inputs)
        what = f'updating snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        changes = compare_inputs(SnapshotInputs, request.old_inputs, request.new_inputs)
        if changes and _ON_PLATFORM.isdisjoint(changes) and state.create_time is not None:
            fresh = state.model_copy(
                update={"child_policy": inputs.child_policy, "consolidate": inputs.consolidate}
            )
            tree = with_secrets(fresh, {**request.old_state, **request.new_inputs})
            return rq.Resource(request.id, tree, request.new_inputs)
        backend = self._session.backend
        vm = backend.observe(_vm_id(request.id, state), operation, hardware=False)
        snapshot = self._still_there(vm, state)
        mark = (
            ownership.split(snapshot.description)[1]
            or ownership.parse_mark(state.ownership)
            or ownership.new_mark(request.urn)
        )
        name = inputs.name or snapshot.name
        stored = ownership.describe(inputs.description, request.urn, mark)
        if (name, stored) != (snapshot.name, snapshot.description):
            backend.rename_snapshot(vm, snapshot, name, stored, operation)
            vm = backend.observe(vm.identity.id, operation, hardware=False)
            snapshot = self._still_there(vm, state)
        fresh = snapshot_state(inputs, vm, snapshot, str(mark))
        tree = with_secrets(fresh, request.new_inputs)
        return rq.Resource(request.id, tree, request.new_inputs)

    def delete(self, request: rq.DeleteRequest) -> None:
        """Remove the snapshot as its childPolicy says; one that is gone is removed already.

        Raises:
            Refused: It has children and the policy is `refuse`.
        """
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.state)
        what = f'removing snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        backend = self._session.backend
        try:
            vm = backend.observe(_vm_id(request.id, state), operation, hardware=False)
        except Gone:
            return
        snapshot = vm.snapshot(state.unique_id)
        if snapshot is None:
            return
        mark = ownership.split(snapshot.description)[1]
        if mark is not None and state.ownership not in (None, str(mark)):
            self._session.say(
                request.urn,
                rq.Severity.WARNING,
                f"{described(vm, snapshot)} has been taken over by a newer resource and is kept.",
            )
            return
        children = ", ".join(f'"{item.name}"' for item in vm.children(snapshot.unique_id))
        if children and state.child_policy == "refuse":
            message = (
                f"{described(vm, snapshot)} is not removed: it has children ({children}) and "
                "childPolicy is `refuse`. Remove them first, or set childPolicy to `keep` (they "
                "move up) or `remove`, and run the update before the delete."
            )
            raise Refused(message)
        if children:
            fate = "are removed with it" if state.child_policy == "remove" else "stay and move up"
            text = f"The snapshots below it ({children}) {fate}."
            self._session.say(request.urn, rq.Severity.INFO, text)
        backend.remove_snapshot(
            vm,
            snapshot,
            remove_children=state.child_policy == "remove",
            consolidate=state.consolidate,
            operation=operation,
        )

    # --- small things -----------------------------------------------------------------------

    def _remember(self, urn: str, state: rq.Properties) -> None:
        """What state holds is known from now on."""
        if isinstance(state.get("uniqueID"), str):
            self._session.recorded.holds(urn, load(SnapshotState, state))

    def _still_there(self, vm: VirtualMachine, state: SnapshotState) -> Snapshot:
        snapshot = vm.snapshot(state.unique_id)
        if snapshot is None:
            message = (
                f'snapshot "{state.path or state.name}" ({state.unique_id}) of {title(vm)} was '
                "removed by somebody else. Run `pulumi refresh` to drop it from the stack's "
                "state; the next update then takes a new one of the VM as it is by then"
            )
            raise Gone(message)
        return snapshot

    def _say_gone(self, urn: str, state: SnapshotState, why: str) -> None:
        self._session.say(
            urn,
            rq.Severity.WARNING,
            f'Snapshot "{state.path or state.name}" ({state.unique_id}) of VM "{state.vm_name}", '
            f"taken {state.create_time}, is gone: {why}. That restore point can't be brought "
            "back; the next update takes a new snapshot of the VM as it is by then.",
        )


def _identifier(vm: VirtualMachine, unique_id: str) -> str:
    return f"{vm.identity.id}@{unique_id}"


def _vm_id(identifier: str, state: SnapshotState) -> str:
    return state.vm.id if state.vm is not None else identifier.partition("@")[0]
