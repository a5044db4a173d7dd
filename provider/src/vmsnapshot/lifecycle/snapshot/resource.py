"""The verbs of VirtualMachineSnapshot."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.comparison import compare_inputs
from vmsnapshot.lifecycle.common.identity import (
    Sameness,
)
from vmsnapshot.lifecycle.common.naming import automatic_name
from vmsnapshot.lifecycle.common.observed import preview_outputs, with_secrets
from vmsnapshot.lifecycle.common.platform_check import validate_snapshot
from vmsnapshot.lifecycle.common.platforms import VSPHERE
from vmsnapshot.lifecycle.common.preflight import raise_for_errors, snapshot_findings
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.validation import check, load, without_empty
from vmsnapshot.lifecycle.errors import Gone, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner, new_owner, parse_mark
from vmsnapshot.lifecycle.snapshot.executor import Taking
from vmsnapshot.lifecycle.snapshot.lookup import SnapshotLookup, vm_of
from vmsnapshot.lifecycle.snapshot.state import (
    ambiguous_text,
    children_text,
    gone_text,
    known_text,
    live_inputs,
    replacement_text,
    snapshot_state,
    unread_state,
    updated_inputs,
)
from vmsnapshot.model.catalogue import SNAPSHOT
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.snapshot import SnapshotInputs, SnapshotState
from vmsnapshot.model.values import has_unknown, plain

# Properties whose change means a call to the platform; the others only stand in state.
_ON_PLATFORM: Final = frozenset({"name", "description"})

# How long to look at what was made once waiting for it has failed; its own time may be over.
READING_AFTER_FAILURE: Final = timedelta(seconds=10)


class SnapshotResource:
    """One snapshot of one VM, managed for its whole life."""

    kind = SNAPSHOT

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lookup = SnapshotLookup(session)
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
        old, name = load(SnapshotState, request.old_state), plain(request.new_inputs.get("vmName"))
        if ("vmName",) in changes and self._session.means(old.vm, name, request.urn):
            changes["vmName",] = rq.PropertyChange(rq.Change.UPDATE)
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
            return self.lookup.import_(request)
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.id, request.state)
        what = f'reading snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        try:
            vm = self.lookup.observe(request.id, state, operation)
        except Gone as gone:
            self._say_gone(request.urn, state, gone.message)
            return None
        sameness, snapshot = self.lookup.find(vm, request.id, state)
        if sameness is Sameness.UNKNOWN:
            raise Refused(f"{what}: {ambiguous_text(vm, state)}")
        if sameness not in (Sameness.SAME, Sameness.ELSEWHERE) or snapshot is None:
            why = f"it is no longer among the snapshots of {format_vm(vm)}"
            if snapshot is not None:
                why = f"{format_snapshot(vm, snapshot)} has its id now, and is left alone"
            self._say_gone(request.urn, state, why)
            return None
        self.lookup.say_moved(request.urn, state, vm, snapshot)
        old_inputs = dict(request.inputs or {})
        inputs = load(SnapshotInputs, old_inputs or state.properties())
        live = live_inputs(inputs, snapshot)
        # What state says is its own stays so, whatever somebody wrote into the description since.
        fresh = snapshot_state(live, vm, snapshot, state.ownership or snapshot.mark)
        if state.child_policy != "keep":
            # The engine asks nothing more before a delete, not even in a preview.
            for text in children_text(vm.children(snapshot.id), state.child_policy):
                told = f"{format_snapshot(vm, snapshot)}, should it be deleted: {text}"
                self._session.log(request.urn, rq.Severity.INFO, told)
        identifier = self._session.backend.identifier(vm, snapshot.id)
        return rq.Resource(identifier, with_secrets(fresh, request.state), updated_inputs(old_inputs, live))

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
                vm_id = vm_of(request.id, state).id
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
                update={
                    "vm_name": inputs.vm_name,
                    "child_policy": inputs.child_policy,
                    "consolidate": inputs.consolidate,
                }
            )
            tree = with_secrets(fresh, {**request.old_state, **request.new_inputs})
            return rq.Resource(request.id, tree, request.new_inputs)
        backend = self._session.backend
        vm = self._session.locate(vm_of(request.id, state), operation, hardware=False)
        snapshot = self.lookup.still_there(vm, request.id, state)
        mark = parse_mark(state.ownership or snapshot.mark)
        owner = new_owner(request.urn) if mark is None else Owner(request.urn, mark)
        asked = (
            inputs.name or snapshot.name if self._session.platform.can_rename else snapshot.name,
            inputs.description or "",
            str(owner.mark),
        )
        if asked != (snapshot.name, snapshot.description, snapshot.mark):
            backend.change_snapshot(vm, snapshot, asked[0], asked[1], owner, operation)
            vm = backend.observe(vm.identity.id, operation, hardware=False)
            snapshot = self.lookup.still_there(vm, request.id, state)
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
            snapshot = self.lookup.still_there(vm, request.id, state)
            fresh = snapshot_state(inputs, vm, snapshot, str(owner.mark))
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
            vm = self.lookup.observe(request.id, state, operation)
        except Gone:
            return
        sameness, snapshot = self.lookup.find(vm, request.id, state)
        if sameness is Sameness.UNKNOWN:
            raise Refused(f"{what}: {ambiguous_text(vm, state)}")
        if snapshot is None:
            return
        if sameness is Sameness.ANOTHER:
            kept = f"is not the one that state means ({known_text(state)}), and is kept."
            text = f"{format_snapshot(vm, snapshot)} {kept}"
            self._session.log(request.urn, rq.Severity.WARNING, text)
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

    def _say_gone(self, urn: str, state: SnapshotState, why: str) -> None:
        self._session.log(urn, rq.Severity.WARNING, gone_text(state, why))
