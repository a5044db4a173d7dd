"""The verbs of VirtualMachineSnapshot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.comparison import compare_inputs
from vmsnapshot.lifecycle.common.naming import automatic_name
from vmsnapshot.lifecycle.common.observed import kind_of, preview_outputs, with_secrets
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.ownership import Owner, new_owner, parse_mark
from vmsnapshot.lifecycle.common.platform_check import validate_snapshot
from vmsnapshot.lifecycle.common.platforms import VSPHERE
from vmsnapshot.lifecycle.common.preflight import raise_for_errors, snapshot_findings
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.validation import check, load, without_empty
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound, Refused, VmsnapshotError
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.lifecycle.snapshot.executor import Taking
from vmsnapshot.lifecycle.snapshot.state import (
    children_text,
    gone_text,
    live_inputs,
    replacement_text,
    snapshot_state,
    unread_state,
    updated_inputs,
)
from vmsnapshot.model.catalogue import SNAPSHOT
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import Quiesce, SnapshotFilter, SnapshotInputs, SnapshotState
from vmsnapshot.model.values import has_unknown

# Properties whose change means a call to the platform; the others only stand in state.
_ON_PLATFORM: Final = frozenset({"name", "description"})

# How long to look at what was made once waiting for it has failed; its own time may be over.
READING_AFTER_FAILURE: Final = timedelta(seconds=10)


class SnapshotResource:
    """One snapshot of one VM, managed for its whole life."""

    kind = SNAPSHOT

    def __init__(self, session: Session) -> None:
        self._session = session
        # The resources whose name this run made up.
        self._automatic: set[str] = set()

    # --- without the platform ---------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate, and give a name where there is none."""
        if request.old_inputs is not None:
            self._session.known_state.exists(request.urn)
        result = check(SnapshotInputs, without_empty(request.new_inputs, "description"))
        failures = [*result.failures, *validate_snapshot(result.inputs, self._session.platform)]
        inputs = dict(result.inputs)
        if inputs.get("name") is None:
            name = automatic_name(request, self._session.platform)
            if isinstance(name, rq.CheckFailure):
                failures.append(name)
            else:
                self._automatic.add(request.urn)
                inputs["name"] = name
        return rq.CheckResult(inputs, failures)

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Compare the inputs; a snapshot's own drift shows in its inputs after a refresh."""
        self._remember(request.urn, request.id, request.old_state)
        changes = compare_inputs(SnapshotInputs, request.old_inputs, request.new_inputs)
        if self._session.platform.can_rename:
            return rq.DiffResult(changes)
        if ("name",) in changes:
            changes["name",] = rq.PropertyChange(rq.Change.UPDATE_REPLACE)
        # Where names are unique, a new snapshot of the same name needs the old one gone.
        same_name = ("name",) not in changes
        return rq.DiffResult(changes, delete_before_replace=same_name)

    # --- create -----------------------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Take the snapshot, or take over the one that an interrupted run of this resource took."""
        if request.preview and has_unknown(request.inputs.get("vmName")):
            return rq.Resource("", preview_outputs(SNAPSHOT, request.inputs), request.inputs)
        if request.preview:
            return self._preview_create(request)
        inputs = load(SnapshotInputs, request.inputs)
        what = f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        taking = self._taking(request.urn, inputs)
        vm = taking.settled(taking.find(operation), operation)
        left = taking.left_behind(vm)
        if left is not None:
            owner = taking.take_over(vm, left, operation)
            snapshot_id = left.id
        else:
            raise_for_errors(snapshot_findings(vm, inputs), what)
            owner = new_owner(request.urn)
            snapshot_id = taking.take(vm, owner, operation)
        return self._finish(request, vm, snapshot_id, owner, operation)

    def _taking(self, urn: str, inputs: SnapshotInputs) -> Taking:
        return Taking(self._session, urn, inputs, automatic=urn in self._automatic)

    def _preview_create(self, request: rq.CreateRequest) -> rq.Resource:
        """Say what a careful person wants to know first; what can't work fails the preview."""
        known = {name: value for name, value in request.inputs.items() if not has_unknown(value)}
        inputs = load(SnapshotInputs, known)
        what = f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        taking = self._taking(request.urn, inputs)
        vm = taking.find(operation)
        left = taking.left_behind(vm)
        if left is not None:
            self._session.log(
                request.urn,
                rq.Severity.INFO,
                f"No new snapshot will be taken: {format_snapshot(vm, left)} is this resource's own, "
                "left by a run that was interrupted, and will be taken over.",
            )
        else:
            self._say_replacement(request.urn, vm)
            findings = snapshot_findings(vm, inputs)
            for item in findings:
                if item.severity != "error":
                    self._session.log(request.urn, rq.Severity.WARNING, item.message)
            raise_for_errors(findings, what)
        return rq.Resource("", preview_outputs(SNAPSHOT, request.inputs), request.inputs)

    def _say_replacement(self, urn: str, vm: VirtualMachine) -> None:
        """In words: the new one captures today's VM, and the restore point of then is lost."""
        for state in self._session.known_state.states(urn):
            old = vm.snapshot_on_vsphere(state.unique_id)
            children = [] if old is None else vm.children(old.id)
            self._session.log(urn, rq.Severity.WARNING, replacement_text(state, children))

    def _finish(
        self,
        request: rq.CreateRequest,
        vm: VirtualMachine,
        snapshot_id: str,
        owner: Owner,
        operation: Operation,
    ) -> rq.Resource:
        """The state of a snapshot just taken; partial if it isn't complete or can't be read."""
        inputs = load(SnapshotInputs, request.inputs)
        backend = self._session.backend
        identifier = backend.identifier(vm, snapshot_id)
        try:
            backend.settle_snapshot(vm, snapshot_id, operation)
            after = backend.observe(vm.identity.id, operation, hardware=False)
        except Gone:
            raise
        except VmsnapshotError as error:
            partial = self._unsettled(inputs, vm, snapshot_id, owner, error)
            tree = with_secrets(partial, request.inputs)
            raise rq.PartialState(rq.Resource(identifier, tree, request.inputs), error) from error
        snapshot = after.snapshot(snapshot_id)
        if snapshot is None:
            message = f"snapshot {snapshot_id} of {format_vm(vm)} was removed right after it was taken"
            raise Gone(message)
        state = snapshot_state(inputs, after, snapshot, str(owner.mark))
        self._session.known_state.holds(request.urn, snapshot_id, state)
        return rq.Resource(identifier, with_secrets(state, request.inputs), request.inputs)

    def _unsettled(
        self,
        inputs: SnapshotInputs,
        vm: VirtualMachine,
        snapshot_id: str,
        owner: Owner,
        error: VmsnapshotError,
    ) -> SnapshotState:
        """What is known of a snapshot that was made, and isn't complete or could not be read."""
        looking = self._session.operation(owner.urn, "reading what was made", READING_AFTER_FAILURE)
        try:
            vm = self._session.backend.observe(vm.identity.id, looking, hardware=False)
        except VmsnapshotError:
            found = None
        else:
            found = vm.snapshot(snapshot_id)
        if found is None:
            unique_id = snapshot_id if self._session.platform is VSPHERE else None
            return unread_state(inputs, vm, unique_id, str(owner.mark), error)
        return snapshot_state(inputs, vm, found, str(owner.mark))

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The snapshot as it is now; None when it has definitely been removed."""
        if request.state is None:
            return self._import(request)
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.id, request.state)
        what = f'reading snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        try:
            vm = self._observe(request.id, state, operation)
        except Gone as gone:
            self._say_gone(request.urn, state, gone.message)
            return None
        snapshot = vm.snapshot(self._snapshot_id(request.id))
        if snapshot is None:
            self._say_gone(request.urn, state, f"it is no longer among the snapshots of {format_vm(vm)}")
            return None
        old_inputs = dict(request.inputs or {})
        inputs = load(SnapshotInputs, old_inputs or state.properties())
        live = live_inputs(inputs, snapshot)
        fresh = snapshot_state(live, vm, snapshot, snapshot.mark or state.ownership)
        if state.child_policy != "keep":
            # The engine asks nothing more before a delete, not even in a preview.
            for text in children_text(vm.children(snapshot.id), state.child_policy):
                told = f"{format_snapshot(vm, snapshot)}, should it be deleted: {text}"
                self._session.log(request.urn, rq.Severity.INFO, told)
        return rq.Resource(
            request.id,
            with_secrets(fresh, request.state),
            updated_inputs(old_inputs, live),
        )

    def _import(self, request: rq.ReadRequest) -> rq.Resource | None:
        """Bind to a snapshot that is there, with inputs that show no change afterwards."""
        operation = self._session.operation(request.urn, f"importing {request.id}", request.timeout)
        backend = self._session.backend
        vm, snapshot = backend.find_snapshot(request.id, operation)
        by_name = VMReference(vm.identity.name)
        try:
            unique = backend.find(by_name, operation).identity.id == vm.identity.id
        except (NotFound, Ambiguous):
            unique = False
        namespaced = self._session.platform.has_namespaces
        inputs = SnapshotInputs(
            vm_name=vm.identity.name if unique or namespaced else (vm.identity.path or vm.identity.id),
            namespace=None if unique or not namespaced else vm.identity.namespace,
            name=snapshot.name,
            description=snapshot.description or None,
            memory=snapshot.power_state == "PoweredOn",
            quiesce=Quiesce() if snapshot.quiesced else None,
        )
        state = snapshot_state(inputs, vm, snapshot, snapshot.mark)
        identifier = backend.identifier(vm, snapshot.id)
        return rq.Resource(identifier, state.properties(), inputs.properties())

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
                    yield rq.Listed(self._session.backend.identifier(vm, item.id), item.name)

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
                self._session.plan_path(vm_id, known["path"], self._snapshot_id(request.id))
            tree = preview_outputs(SNAPSHOT, request.new_inputs, known)
            return rq.Resource(request.id, tree, request.new_inputs)
        self._remember(request.urn, request.id, request.old_state)
        inputs = load(SnapshotInputs, request.new_inputs)
        what = f'updating snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        changes = compare_inputs(SnapshotInputs, request.old_inputs, request.new_inputs)
        if changes and _ON_PLATFORM.isdisjoint(path[0] for path in changes) and state.create_time is not None:
            fresh = state.model_copy(
                update={"child_policy": inputs.child_policy, "consolidate": inputs.consolidate}
            )
            tree = with_secrets(fresh, {**request.old_state, **request.new_inputs})
            return rq.Resource(request.id, tree, request.new_inputs)
        backend = self._session.backend
        vm = backend.observe(_vm_id(request.id, state), operation, hardware=False)
        snapshot = self._still_there(vm, request.id, state)
        mark = parse_mark(snapshot.mark or state.ownership)
        owner = new_owner(request.urn) if mark is None else Owner(request.urn, mark)
        asked = (
            inputs.name or snapshot.name if self._session.platform.can_rename else snapshot.name,
            inputs.description or "",
            str(owner.mark),
        )
        if asked != (snapshot.name, snapshot.description, snapshot.mark):
            backend.change_snapshot(vm, snapshot, asked[0], asked[1], owner, operation)
            vm = backend.observe(vm.identity.id, operation, hardware=False)
            snapshot = self._still_there(vm, request.id, state)
        fresh = snapshot_state(inputs, vm, snapshot, str(owner.mark))
        if not snapshot.ready:
            # An earlier run stopped waiting for it.
            try:
                backend.settle_snapshot(vm, snapshot.id, operation)
            except Gone:
                raise
            except VmsnapshotError as error:
                partial = self._unsettled(inputs, vm, snapshot.id, owner, error)
                kept = rq.Resource(request.id, with_secrets(partial, request.new_inputs), request.new_inputs)
                raise rq.PartialState(kept, error) from error
            vm = backend.observe(vm.identity.id, operation, hardware=False)
            fresh = snapshot_state(inputs, vm, self._still_there(vm, request.id, state), str(owner.mark))
        tree = with_secrets(fresh, request.new_inputs)
        return rq.Resource(request.id, tree, request.new_inputs)

    def delete(self, request: rq.DeleteRequest) -> None:
        """Remove the snapshot as its childPolicy says; one that is gone is removed already.

        Raises:
            Refused: It has children and the policy is `refuse`.
        """
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.id, request.state)
        what = f'removing snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        try:
            vm = self._observe(request.id, state, operation)
        except Gone:
            return
        snapshot = vm.snapshot(self._snapshot_id(request.id))
        if snapshot is None:
            return
        if snapshot.mark is not None and state.ownership not in (None, snapshot.mark):
            self._session.log(
                request.urn,
                rq.Severity.WARNING,
                f"{format_snapshot(vm, snapshot)} has been taken over by a newer resource and is kept.",
            )
            return
        children = vm.children(snapshot.id)
        if children and state.child_policy == "refuse":
            names = ", ".join(f'"{item.name}"' for item in children)
            message = (
                f"{format_snapshot(vm, snapshot)} is not removed: it has children ({names}) and "
                "childPolicy is `refuse`. Remove them first, or set childPolicy to `keep` (they "
                "move up) or `remove`, and run the update before the delete."
            )
            raise Refused(message)
        for text in children_text(children, state.child_policy):
            self._session.log(request.urn, rq.Severity.INFO, text)
        self._session.backend.remove_snapshot(
            vm,
            snapshot,
            remove_children=state.child_policy == "remove",
            consolidate=state.consolidate,
            operation=operation,
        )

    # --- small things -----------------------------------------------------------------------

    def _snapshot_id(self, identifier: str) -> str:
        return self._session.platform.snapshot_id(identifier)

    def _remember(self, urn: str, identifier: str, state: rq.Properties) -> None:
        """What state holds is known from now on."""
        if identifier and isinstance(state.get("name"), str):
            self._session.known_state.holds(urn, self._snapshot_id(identifier), load(SnapshotState, state))

    def _observe(self, identifier: str, state: SnapshotState, operation: Operation) -> VirtualMachine:
        """The VM with its snapshots; or what is left of it, where snapshots outlive their VM.

        Raises:
            Gone: Neither the VM nor the snapshot is there.
        """
        try:
            return self._session.backend.observe(_vm_id(identifier, state), operation, hardware=False)
        except Gone as gone:
            if not self._session.platform.snapshots_outlive_vm:
                raise
            try:
                return self._session.backend.find_snapshot(identifier, operation)[0]
            except NotFound:
                raise gone from None

    def _still_there(self, vm: VirtualMachine, identifier: str, state: SnapshotState) -> Snapshot:
        snapshot = vm.snapshot(self._snapshot_id(identifier))
        if snapshot is None:
            message = (
                f'snapshot "{state.path or state.name}" ({identifier}) of {format_vm(vm)} was '
                "removed by somebody else. Run `pulumi refresh` to drop it from the stack's "
                "state; the next update then takes a new one of the VM as it is by then"
            )
            raise Gone(message)
        return snapshot

    def _say_gone(self, urn: str, state: SnapshotState, why: str) -> None:
        self._session.log(urn, rq.Severity.WARNING, gone_text(state, why))


def _vm_id(identifier: str, state: SnapshotState) -> str:
    return state.vm.id if state.vm is not None else identifier.partition("@")[0]
