"""The verbs of VirtualMachineSnapshot."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeAlias

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.consolidation import say_unmerged
from vmsnapshot.lifecycle.common.creation import made_snapshot, will_be_adopted_text
from vmsnapshot.lifecycle.common.dependents import LookBeside, remove_snapshot
from vmsnapshot.lifecycle.common.identity import Sameness
from vmsnapshot.lifecycle.common.interplay import say_meetings
from vmsnapshot.lifecycle.common.marks import has_mark_of, is_of_another_state
from vmsnapshot.lifecycle.common.naming import automatic_name
from vmsnapshot.lifecycle.common.platform_check import validate_snapshot
from vmsnapshot.lifecycle.common.platforms import VSPHERE
from vmsnapshot.lifecycle.common.preflight import raise_for_errors, snapshot_findings
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.unsettled import capture_texts
from vmsnapshot.lifecycle.errors import Gone, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner, new_owner, owner_id, parse_mark
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.snapshot.executor import SnapshotCreator
from vmsnapshot.lifecycle.snapshot.lookup import SnapshotLookup, taken_over, taker_of, vm_of, why_kept
from vmsnapshot.lifecycle.snapshot.memory import SnapshotMemory
from vmsnapshot.lifecycle.snapshot.state import (
    asked_texts,
    inputs_of,
    only_in_state,
    snapshot_state,
    unread_state,
)
from vmsnapshot.lifecycle.snapshot.text import (
    adoption_text,
    ambiguous_text,
    children_text,
    gone_text,
    not_removed_text,
    taken_over_text,
)
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.snapshot import SnapshotInputs, SnapshotState

# How long to look at what was made once waiting for it has failed; its own time may be over.
READING_AFTER_FAILURE: Final = timedelta(seconds=10)


# The answer of a verb that leaves a snapshot.
SnapshotAnswer: TypeAlias = verbs.Answer[SnapshotInputs, SnapshotState]


class SnapshotResource(verbs.Verbs[SnapshotInputs, SnapshotState]):
    """One snapshot of one VM, managed for its whole life."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lookup = SnapshotLookup(session)
        self._memory = verbs.Memory(SnapshotMemory)

    # --- without the platform ---------------------------------------------------------------

    def check(self, request: verbs.CheckRequest[SnapshotInputs]) -> verbs.CheckAnswer[SnapshotInputs]:
        """Validate against the platform, and give a name where there is none."""
        memory = self._memory.of(request.urn)
        memory.in_state |= request.old_inputs is not None
        if request.old_inputs is None:
            self._session.holders.makes(request.urn)
        inputs = request.inputs.model
        failures = list(validate_snapshot(inputs, self._session.platform))
        if inputs.name is None and request.inputs.knows("name"):
            name = automatic_name(request, self._session.platform)
            if isinstance(name, requests.CheckFailure):
                failures.append(name)
            else:
                memory.named_by_us = True
                inputs = replace(inputs, name=name)
        return verbs.CheckAnswer(inputs, failures)

    def diff(self, request: verbs.DiffRequest[SnapshotInputs, SnapshotState]) -> requests.DiffResult:
        """Compare the inputs; a snapshot's own drift shows in its inputs after a refresh."""
        self._remember(request.urn, request.id, request.old_state)
        inputs = request.new_inputs.model
        named = (inputs.vm_name, inputs.namespace)
        changes = self._session.without_same_vm(request.changes, request.old_state.vm, named, request.urn)
        replaced = any(change.change.replaces for change in changes.values())
        self._session.holders.compares(request.urn, request.id, replaced=replaced)
        if self._session.platform.can_rename:
            return requests.DiffResult(changes)
        if ("name",) in changes:
            changes["name",] = requests.PropertyChange(requests.Change.UPDATE_REPLACE)
        # Where names are unique, a new snapshot of the same name needs the old one gone.
        same_name = ("name",) not in changes
        if same_name and any(change.change.replaces for change in changes.values()):
            self._require_replaceable(request)
        return requests.DiffResult(changes, delete_before_replace=same_name)

    def _require_replaceable(self, request: verbs.DiffRequest[SnapshotInputs, SnapshotState]) -> None:
        """Look whether the new snapshot can be taken: the engine deletes the old one before it asks for that.

        Raises:
            VmsnapshotError: It can't; nothing was deleted.
        """
        if request.new_inputs.knows("vm_name"):
            inputs = request.new_inputs.model
            what = f'replacing snapshot "{request.old_state.path or request.old_state.name}"'
            operation = self._session.operation(request.urn, what)
            vm = self._creator(request.urn, inputs).find(operation)
            raise_for_errors(snapshot_findings(vm, inputs), f"{what}: nothing was deleted")

    # --- create -----------------------------------------------------------------------------

    def create(self, request: verbs.CreateRequest[SnapshotInputs]) -> SnapshotAnswer:
        """Take the snapshot, or adopt the one that an interrupted run of this resource took."""
        inputs = request.inputs.model
        what = f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        creator = self._creator(request.urn, inputs)
        # Sizes and room are what a preview warns of.
        vm = creator.find(operation, ReadMask.HARDWARE | ReadMask.TASKS)
        vm = creator.wait_until_idle(vm, operation)
        orphan = creator.find_orphan(vm)
        if orphan is None:
            vm, orphan = creator.find_late(vm, operation)
        if orphan is not None:
            owner = creator.adopt(vm, orphan, operation)
            snapshot_id = orphan.id
        else:
            raise_for_errors(snapshot_findings(vm, inputs), what)
            owner = new_owner(request.urn, self._session.state)
            snapshot_id = creator.take_anew(vm, owner, operation)
        asked = creator if orphan is None else None
        return self._finish(request, vm, snapshot_id, owner, operation, asked=asked)

    def _creator(self, urn: str, inputs: SnapshotInputs) -> SnapshotCreator:
        return SnapshotCreator(self._session, urn, inputs, self._memory.of(urn))

    def preview_create(self, request: verbs.CreateRequest[SnapshotInputs]) -> verbs.Preview[SnapshotState]:
        """Say what a careful person wants to know first; what can't work fails the preview."""
        if not request.inputs.knows("vm_name"):
            return verbs.Preview()
        inputs = request.inputs.model
        what = f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        creator = self._creator(request.urn, inputs)
        vm = creator.find(operation)
        orphan = creator.find_orphan(vm)
        if orphan is not None:
            self._session.log(
                request.urn,
                requests.Severity.WARNING,
                f"No new snapshot will be taken: {format_snapshot(vm, orphan)} "
                + will_be_adopted_text(parse_mark(orphan.mark), self._session.state),
            )
        else:
            self.lookup.say_replacement(
                request.urn, list(self._memory.of(request.urn).states.values()), vm, operation
            )
            findings = snapshot_findings(vm, inputs)
            for item in findings:
                if item.severity != "error":
                    self._session.log(request.urn, requests.Severity.WARNING, item.message)
            for text in capture_texts(request.inputs.unknown):
                self._session.log_wrapped(request.urn, requests.Severity.WARNING, text)
            raise_for_errors(findings, what)
            say_meetings(self._session, request.urn, "snapshot", [vm])
        return verbs.Preview()

    def _finish(
        self,
        request: verbs.CreateRequest[SnapshotInputs],
        vm: VirtualMachine,
        snapshot_id: str,
        owner: Owner,
        operation: Operation,
        *,
        asked: SnapshotCreator | None,
    ) -> SnapshotAnswer:
        """The state of a snapshot just taken; incomplete if it isn't ready or can't be read.

        `asked`: who asked for it in this run; None: an interrupted run did.
        """
        inputs = request.inputs.model
        backend = self._session.backend
        identifier = backend.identifier(vm, snapshot_id)
        try:
            after = backend.observe_complete(vm, snapshot_id, operation)
            snapshot = made_snapshot(self._session, after, snapshot_id, operation)
        except Gone:
            raise
        except VmsnapshotError as error:
            if asked is not None and asked.withdraw(vm, snapshot_id, error):
                raise
            partial = self._incomplete(inputs, vm, snapshot_id, owner, error)
            raise verbs.Incomplete(verbs.Answer(identifier, partial), error) from error
        if (text := adoption_text(after, snapshot)) is not None:
            self._session.log(request.urn, requests.Severity.WARNING, text)
        state = snapshot_state(inputs, after, snapshot, str(owner.mark))
        self._memory.of(request.urn).states[snapshot_id] = state
        self.lookup.tell_path(identifier, state, written=True)
        return verbs.Answer(identifier, state)

    def _incomplete(
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
            vm = self._session.backend.observe(vm.identity.id, looking, ReadMask.SIZES)
        except VmsnapshotError:
            found = None
        else:
            found = vm.snapshot(snapshot_id)
        if found is None:
            unique_id = snapshot_id if self._session.platform is VSPHERE else None
            moment = self._session.planned_now()
            return unread_state(inputs, vm, unique_id, str(owner.mark), error=error, moment=moment)
        return snapshot_state(inputs, vm, found, str(owner.mark))

    # --- read -------------------------------------------------------------------------------

    def import_(self, request: verbs.ImportRequest) -> SnapshotAnswer:
        """Bind to a snapshot that is there."""
        answer = self.lookup.import_(request)
        self._session.holders.imports(request.urn, answer.id)
        return answer

    def read(self, request: verbs.ReadRequest[SnapshotInputs, SnapshotState]) -> SnapshotAnswer | None:
        """The snapshot as it is now; None when it has definitely been removed."""
        state = request.state
        self._remember(request.urn, request.id, state)
        self._session.holders.reads(request.urn, request.id)
        what = f'reading snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        try:
            vm = self.lookup.observe(request.id, state, operation)
        except Gone as gone:
            self._session.log(request.urn, requests.Severity.WARNING, gone_text(state, gone.message))
            return None
        sameness, snapshot = self.lookup.find(vm, request.id, state, operation)
        if sameness is Sameness.UNKNOWN:
            raise Refused(ambiguous_text(vm, state), subject=what)
        if sameness not in (Sameness.SAME, Sameness.ELSEWHERE) or snapshot is None:
            why = f"it is no longer among the snapshots of {format_vm(vm)}"
            if snapshot is not None:
                why = f"{format_snapshot(vm, snapshot)} has its id now, and is left alone"
            self._session.log(request.urn, requests.Severity.WARNING, gone_text(state, why))
            say_unmerged(self._session, request.urn, vm)
            return None
        self.lookup.say_moved(request.urn, state, vm, snapshot)
        self.lookup.say_unheld(request.urn, vm, {snapshot.id, *self._memory.of(request.urn).states})
        inputs = inputs_of(state) if request.inputs is None else request.inputs.model
        live = self.lookup.live_inputs(request.urn, inputs, vm, snapshot, operation)
        # What state says is its own stays so, whatever somebody wrote into the description since; and what
        # another resource has marked since is not ours.
        theirs = is_of_another_state(snapshot, self._session.state)
        ours = snapshot.mark if has_mark_of(snapshot, request.urn) and not theirs else None
        fresh = snapshot_state(live, vm, snapshot, state.ownership or ours)
        if state.child_policy != "keep":
            # The engine asks nothing more before a delete, not even in a preview.
            for text in children_text(vm.children(snapshot.id), state.child_policy):
                told = f"{format_snapshot(vm, snapshot)}, should it be deleted: {text}"
                self._session.log(request.urn, requests.Severity.INFO, told)
        identifier = self._session.backend.identifier(vm, snapshot.id)
        return verbs.Answer(identifier, fresh, live)

    # --- update and delete ------------------------------------------------------------------

    def preview_update(
        self, request: verbs.UpdateRequest[SnapshotInputs, SnapshotState]
    ) -> verbs.Preview[SnapshotState]:
        """The path after a rename: resources that depend on it refer to it by that in the same preview."""
        state = request.old_state
        if request.new_inputs.knows("name"):
            head, _, _ = (state.path or "").rpartition("/")
            name = request.new_inputs.model.name or state.name
            path = f"{head}/{name}" if head else name
            self._session.paths.plan(vm_of(request.id, state).id, path, self._snapshot_id(request.id))
            state = replace(state, path=path)
        # What is changed on the platform gets a new mark.
        return verbs.Preview(
            state, () if only_in_state(request.changes, request.old_state) else [("ownership",)]
        )

    def update(self, request: verbs.UpdateRequest[SnapshotInputs, SnapshotState]) -> SnapshotAnswer:
        """Rename or describe in place; what only concerns a later delete needs no call."""
        state = request.old_state
        self._remember(request.urn, request.id, state)
        inputs = request.new_inputs.model
        what = f'updating snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        if only_in_state(request.changes, request.old_state):
            fresh = replace(
                state,
                vm_name=inputs.vm_name,
                child_policy=inputs.child_policy,
                consolidate=inputs.consolidate,
                cleanup_on_fail=inputs.cleanup_on_fail,
            )
            return verbs.Answer(request.id, fresh)
        backend, can_rename = self._session.backend, self._session.platform.can_rename
        vm = self._session.locate(vm_of(request.id, state), operation, ReadMask.SIZES)
        snapshot = self.lookup.still_there(vm, request.id, state, operation)
        here = self._session.state
        if taken_over(request.urn, state, snapshot, here):
            name, taker = format_snapshot(vm, snapshot), taker_of(request.urn, snapshot, here)
            raise Refused(taken_over_text(name, taker, state.path or state.name), subject=what)
        touched = {str(path[0]) for path in request.changes} - set(() if can_rename else ("name",))
        asked = asked_texts(inputs, touched, snapshot)
        mark = parse_mark(state.ownership or snapshot.mark)
        ours = mark is not None and mark.owner == owner_id(request.urn)
        same = asked == (snapshot.name, snapshot.description)
        # What is changed, and what was imported from another resource, gets a new mark: the delete of whoever
        # has the old one in state (that resource, or another state of this one, such as a restored backup)
        # then keeps it.
        kept = mark if ours and same else None
        owner = new_owner(request.urn, here) if kept is None else Owner(request.urn, kept)
        if not same or str(owner.mark) != snapshot.mark:
            backend.change_snapshot(vm, snapshot, *asked, owner, operation)
            vm = backend.observe(vm.identity.id, operation, ReadMask.SIZES)
            snapshot = self.lookup.still_there(vm, request.id, state, operation)
        fresh = snapshot_state(inputs, vm, snapshot, str(owner.mark))
        if not snapshot.ready:
            # An earlier run stopped waiting for it.
            try:
                vm = backend.observe_complete(vm, snapshot.id, operation)
            except Gone:
                raise
            except VmsnapshotError as error:
                partial = self._incomplete(inputs, vm, snapshot.id, owner, error)
                raise verbs.Incomplete(verbs.Answer(request.id, partial), error) from error
            snapshot = self.lookup.still_there(vm, request.id, state, operation)
            fresh = snapshot_state(inputs, vm, snapshot, str(owner.mark))
        self.lookup.tell_path(request.id, fresh, written=True)
        return verbs.Answer(request.id, fresh)

    def delete(self, request: verbs.DeleteRequest[SnapshotState]) -> None:
        """Remove the snapshot as its childPolicy says; one that is gone is removed already.

        Raises:
            Refused: It has children and the policy is `refuse`.
        """
        state, urn = request.state, request.urn
        self._remember(urn, request.id, state)
        what = f'removing snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(urn, what, request.timeout)
        known, snapshot_id = vm_of(request.id, state), self._snapshot_id(request.id)
        look = LookBeside(self._session, known.id, snapshot_id, operation)
        try:
            vm = self.lookup.observe(request.id, state, operation, ReadMask.NOTHING)
        except Gone:
            return
        sameness, snapshot = self.lookup.find(vm, request.id, state, operation)
        if sameness is Sameness.UNKNOWN:
            raise Refused(ambiguous_text(vm, state), subject=what)
        if snapshot is None:
            say_unmerged(self._session, urn, vm)
            return
        holder = self._session.holders.holder(urn, self._session.backend.identifier(vm, snapshot.id))
        here = self._session.state
        if (kept := why_kept(urn, vm, snapshot, sameness, state, holder=holder, here=here)) is not None:
            self._session.log(urn, requests.Severity.WARNING, kept)
            return
        name = format_snapshot(vm, snapshot)
        own = [item for item in vm.descendants(snapshot.id) if has_mark_of(item, urn)]  # the new one, perhaps
        children = [item for item in vm.children(snapshot.id) if item not in own]
        if children and state.child_policy == "refuse":
            raise Refused(not_removed_text(name, children, urn), subject=what)
        below = state.child_policy == "remove" and not own
        for text in children_text(children, "remove" if below else "keep"):
            self._session.log(urn, requests.Severity.INFO, text)
        remove_snapshot(
            self._session,
            vm,
            snapshot,
            operation,
            remove_children=below,
            consolidate=state.consolidate,
            look=look,
        )

    # --- small things -----------------------------------------------------------------------

    def _snapshot_id(self, identifier: str) -> str:
        return self._session.platform.snapshot_id(identifier)

    def _remember(self, urn: str, identifier: str, state: SnapshotState) -> None:
        """What state holds is known from now on."""
        if identifier:
            self._memory.of(urn).states[self._snapshot_id(identifier)] = state
            self.lookup.tell_path(identifier, state)
