"""The verbs of VirtualMachineClone."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.clone.executor import CloneMaker, change_findings, left_adapters
from vmsnapshot.lifecycle.clone.note import CloneNote, made_by, note_of
from vmsnapshot.lifecycle.clone.plan import plan_clone, require_cloner, unsupported_text
from vmsnapshot.lifecycle.clone.removal import delete_clone, require_ours, standing_on, warn_of_refusals
from vmsnapshot.lifecycle.clone.state import (
    clone_state,
    inputs_of,
    is_isolated,
    is_made_from,
    known_vm,
    live_inputs,
    refreshed_state,
    snapshot_reference,
    unseen_changes,
    vm_ids,
)
from vmsnapshot.lifecycle.clone.text import (
    adoption_text,
    connecting_text,
    gone_text,
    imported_text,
    not_imported_text,
    plan_text,
    replacement_text,
    unseen_text,
)
from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.creation import will_be_adopted_text
from vmsnapshot.lifecycle.common.holders import kept_for
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.naming import automatic_name
from vmsnapshot.lifecycle.common.preflight import raise_for_errors
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.targets import find_target
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.model._base import replace
from vmsnapshot.model.clone import CloneInputs, CloneState, sanitize_name
from vmsnapshot.model.machine import Snapshot, VirtualMachine

CloneAnswer: TypeAlias = verbs.Answer[CloneInputs, CloneState]


@dataclasses.dataclass
class CloneMemory:
    """What this process knows of one clone resource.

    Attributes:
        named_by_us: Whether check made up its name.
        states: The states that the engine has shown, by the clone's instance UUID.
    """

    named_by_us: bool = False
    states: dict[str, CloneState] = dataclasses.field(default_factory=dict)


class CloneResource(verbs.Verbs[CloneInputs, CloneState]):
    """A new VM that is made from a snapshot of another, and deleted with the resource."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory = verbs.Memory(CloneMemory)

    # --- without the platform ---------------------------------------------------------------

    def check(self, request: verbs.CheckRequest[CloneInputs]) -> verbs.CheckAnswer[CloneInputs]:
        """Validate against the platform, and give a name where there is none."""
        platform, inputs = self._session.platform, request.inputs.model
        self._session.removals.reach(request.urn, ())
        if request.old_inputs is None:
            self._session.holders.makes(request.urn)
        failures: list[requests.CheckFailure] = []
        if platform.has_namespaces:
            failures.append(requests.CheckFailure("vmName", unsupported_text(platform.title)))
        if inputs.isolated and inputs.networks:
            reason = (
                "can't be given together with `isolated`, which disconnects all adapters; remove one of them"
            )
            failures.append(requests.CheckFailure("networks", reason))
        if inputs.wait_for_tools is not None and request.inputs.knows("power_on") and not inputs.power_on:
            reason = "needs `powerOn: true`: VMware Tools run only in a VM that runs"
            failures.append(requests.CheckFailure("waitForTools", reason))
        if inputs.name is None and request.inputs.knows("name"):
            name = automatic_name(request, platform)
            if isinstance(name, requests.CheckFailure):
                failures.append(name)
            else:
                self._memory.of(request.urn).named_by_us = True
                inputs = replace(inputs, name=sanitize_name(name))
        return verbs.CheckAnswer(inputs, failures)

    def diff(self, request: verbs.DiffRequest[CloneInputs, CloneState]) -> requests.DiffResult:
        """Compare the inputs; another spelling of the same VM or snapshot is no change of the clone."""
        self._remember(request.urn, request.old_state)
        inputs, state = request.new_inputs.model, request.old_state
        changes = self._session.without_same_vm(
            request.changes, state.source, (inputs.vm_name, None), request.urn
        )
        vm_change = changes.get(("vmName",))
        if (
            ("snapshot",) in changes
            and (vm_change is None or not vm_change.change.replaces)
            and request.new_inputs.knows("vm_name", "snapshot")
            and self._is_same_snapshot(request.urn, state, inputs)
        ):
            changes["snapshot",] = requests.PropertyChange(requests.Change.UPDATE)
        replaced = any(change.change.replaces for change in changes.values())
        self._session.holders.compares(request.urn, request.id, replaced=replaced)
        same_place = ("name",) not in changes and ("folder",) not in changes
        # Two of one name can't be in one folder; a name that we made up is another for the new clone.
        before = replaced and same_place and not self._memory.of(request.urn).named_by_us
        if before and request.new_inputs.knows("vm_name", "snapshot"):
            # The engine deletes the old one before it asks for anything else.
            operation = self._session.operation(request.urn, f'replacing VM "{state.name}"')
            self._require_server(request.urn, operation)
            source = self._session.find(inputs.vm_name, None, operation)
            snapshot = find_target(self._session, source, inputs.snapshot)
            going = vm_ids([state])
            plan = plan_clone(self._session, source, snapshot, inputs, operation, going=going)
            raise_for_errors(plan.findings, f"{operation.what}: nothing was deleted")
        return requests.DiffResult(changes, delete_before_replace=before)

    def _is_same_snapshot(self, urn: str, state: CloneState, inputs: CloneInputs) -> bool:
        known = state.source_snapshot
        if known is None:
            return False
        operation = self._session.operation(urn, f'looking up snapshot "{inputs.snapshot}"')
        try:
            vm = self._session.find(inputs.vm_name, None, operation)
            found = find_target(self._session, vm, inputs.snapshot)
        except (NotFound, Ambiguous):
            return False
        return is_made_from(known.unique_id, known.create_time, found)

    # --- create -----------------------------------------------------------------------------

    def preview_create(self, request: verbs.CreateRequest[CloneInputs]) -> verbs.Preview[CloneState]:
        """Say what will be made, where, and what room it takes; what can't work fails the preview."""
        inputs = request.inputs.model
        if not request.inputs.knows("vm_name", "snapshot"):
            self._announce_replacements(request.urn)
            text = "Of which snapshot the clone will be made is not known before the update."
            self._session.log(request.urn, requests.Severity.INFO, text)
            return verbs.Preview()
        operation = self._operation(request, inputs)
        require_cloner(self._session)
        self._require_server(request.urn, operation)
        source = self._session.find(inputs.vm_name, None, operation)
        snapshot = find_target(self._session, source, inputs.snapshot)
        orphan = self._maker(request.urn, inputs).find_orphan(source, snapshot, operation)[1]
        if orphan is not None:
            self._announce_replacements(request.urn)
            told = will_be_adopted_text(self._note(orphan).mark, self._session.state)
            text = f"No new clone will be made: {format_vm(orphan)} {told}"
            self._session.log(request.urn, requests.Severity.WARNING, text)
            return verbs.Preview()
        going = vm_ids(self._memory.of(request.urn).states.values())
        plan = plan_clone(self._session, source, snapshot, inputs, operation, going=going)
        raise_for_errors(plan.findings, operation.what)
        self._session.removals.need(request.urn, [snapshot], operation.what)
        self._announce_replacements(request.urn)
        text = plan_text(plan, inputs, self._session.planned_now())
        self._session.log(request.urn, requests.Severity.INFO, text)
        return verbs.Preview()

    def _announce_replacements(self, urn: str) -> None:
        """In a preview, say what becomes of the clones that are replaced."""
        for old in list(self._memory.of(urn).states.values()):
            self._session.log(urn, requests.Severity.WARNING, replacement_text(old))
            operation = self._session.operation(urn, f'looking at VM "{old.name}"')
            with contextlib.suppress(Gone):
                vm = self._session.locate(known_vm("", old), operation)
                warn_of_refusals(self._session, urn, [vm], operation)

    def create(self, request: verbs.CreateRequest[CloneInputs]) -> CloneAnswer:
        """Make the clone, or take over the one that an interrupted run of this resource made."""
        inputs = request.inputs.model
        operation = self._operation(request, inputs)
        require_cloner(self._session)
        self._require_server(request.urn, operation)
        maker = self._maker(request.urn, inputs)
        source = self._session.find(inputs.vm_name, None, operation)
        # A task of an interrupted run may be making it.
        source = wait_until_idle(self._session, source, operation)
        snapshot = find_target(self._session, source, inputs.snapshot)
        instance_uuid, made = maker.find_orphan(source, snapshot, operation)
        if made is None and maker.find_late(instance_uuid, operation) is not None:
            source = self._session.backend.observe(source.identity.id, operation)
            source = wait_until_idle(self._session, source, operation)
            instance_uuid, made = maker.find_orphan(source, snapshot, operation)
        if made is not None:
            self._session.log(request.urn, requests.Severity.WARNING, adoption_text(made))
            maker.adopt(made, operation)
            vm_id = made.identity.id
        else:
            plan = plan_clone(self._session, source, snapshot, inputs, operation)
            raise_for_errors(plan.findings, operation.what)
            self._session.removals.need(request.urn, [snapshot], operation.what)
            vm_id = maker.make(plan, instance_uuid, operation)
        return self._finish(request, vm_id, source, snapshot, operation)

    def _finish(
        self,
        request: verbs.CreateRequest[CloneInputs],
        vm_id: str,
        source: VirtualMachine,
        snapshot: Snapshot,
        operation: Operation,
    ) -> CloneAnswer:
        """The state of a clone just made; incomplete if it isn't as asked yet."""
        urn, inputs = request.urn, request.inputs.model
        maker = self._maker(urn, inputs)
        vm = self._session.backend.observe(vm_id, operation)
        note = self._note(vm)

        def state(seen: VirtualMachine, addresses: Sequence[str] = ()) -> CloneState:
            reference = snapshot_reference(snapshot)
            return clone_state(
                inputs,
                seen,
                note,
                source=source.identity,
                snapshot=reference,
                addresses=addresses,
            )

        identifier = vm.identity.instance_uuid or vm_id
        self._remember(urn, state(vm))
        try:
            vm = maker.bring_into_line(vm, operation)
            vm = maker.wait_for_tools(vm, operation)
            made = state(vm, self._addresses(vm, operation))
        except VmsnapshotError as error:
            raise verbs.Incomplete(verbs.Answer(identifier, state(vm)), error) from error
        return verbs.Answer(identifier, made)

    def _note(self, vm: VirtualMachine) -> CloneNote:
        note = note_of(vm)
        if note is None:
            message = (
                f"{format_vm(vm)} was made, but its configuration doesn't have what it was made with: the "
                "parameter `vmsnapshot.clone`, bound to its instance UUID. Whether it is this resource's "
                "isn't certain, so it is left alone. Delete it, if it is"
            )
            raise Refused(message)
        return note

    # --- read -------------------------------------------------------------------------------

    def import_(self, request: verbs.ImportRequest) -> CloneAnswer:
        """Bind to a VM that a VirtualMachineClone made.

        Raises:
            Refused: Nothing says that one made it.
        """
        operation = self._session.operation(request.urn, f"importing {request.id}", request.timeout)
        require_cloner(self._session)
        vm = self._session.backend.find(VMReference(request.id), operation)
        note = note_of(vm)
        if note is None:
            raise Refused(not_imported_text(vm), subject=operation.what)
        inputs = CloneInputs(
            vm_name=note.source or note.source_name,
            snapshot=note.snapshot,
            linked=note.linked,
            name=vm.identity.name,
            power_on=vm.machine.power_state == "PoweredOn",
            isolated=is_isolated(vm) is True,
        )
        if made_by(vm, request.urn, self._session.state) is None:
            self._session.log_wrapped(request.urn, requests.Severity.WARNING, imported_text(vm, note))
        state = clone_state(inputs, vm, note, source=None, snapshot=None)
        self._remember(request.urn, state)
        identifier = vm.identity.instance_uuid or vm.identity.id
        self._session.holders.imports(request.urn, identifier)
        return verbs.Answer(identifier, state, inputs)

    def read(self, request: verbs.ReadRequest[CloneInputs, CloneState]) -> CloneAnswer | None:
        """The clone as it is now; None when it has definitely been deleted."""
        state = request.state
        self._remember(request.urn, state)
        self._session.holders.reads(request.urn, request.id)  # that was another command
        operation = self._session.operation(request.urn, f'reading VM "{state.name}"', request.timeout)
        try:
            vm = self._session.locate(known_vm(request.id, state), operation)
        except Gone as gone:
            text = gone_text(state, gone.message)
            self._session.log(request.urn, requests.Severity.WARNING, text)
            return None
        inputs = inputs_of(state) if request.inputs is None else request.inputs.model
        live = live_inputs(inputs, vm)
        addresses = self._addresses(vm, operation)
        return verbs.Answer(request.id, refreshed_state(state, live, vm, addresses), live)

    # --- update and delete ------------------------------------------------------------------

    def preview_update(
        self, request: verbs.UpdateRequest[CloneInputs, CloneState]
    ) -> verbs.Preview[CloneState]:
        """Say what can't change in place; what changes, the diff shows."""
        state = request.old_state
        if not request.new_inputs.unknown:
            operation = self._session.operation(request.urn, f'updating VM "{state.name}"', request.timeout)
            vm = self._session.locate(known_vm(request.id, state), operation)
            self._say_unseen(request, vm)
            if ("isolated",) in request.changes and not request.new_inputs.model.isolated:
                text = connecting_text(vm, left_adapters(vm))
                self._session.log_wrapped(request.urn, requests.Severity.WARNING, text)
            raise_for_errors(change_findings(vm, request.new_inputs.model), operation.what)
        known = replace(state, name=request.new_inputs.model.name or state.name)
        touched = {path[0] for path in request.changes}
        return verbs.Preview(known if touched <= {"vmName", "snapshot"} else None)

    def update(self, request: verbs.UpdateRequest[CloneInputs, CloneState]) -> CloneAnswer:
        """Change the VM in place: its name, its power, its hardware, its networks."""
        state, inputs = request.old_state, request.new_inputs.model
        self._remember(request.urn, state)
        operation = self._session.operation(request.urn, f'updating VM "{state.name}"', request.timeout)
        vm = wait_until_idle(
            self._session, self._session.locate(known_vm(request.id, state), operation), operation
        )
        require_ours(state, vm, operation)
        self._say_unseen(request, vm)
        maker = self._maker(request.urn, inputs)
        try:
            if ("isolated",) in request.changes and not inputs.isolated:
                vm = maker.connect_again(vm, operation)
            vm = maker.bring_into_line(vm, operation)
            vm = maker.wait_for_tools(vm, operation)
            addresses = self._addresses(vm, operation)
        except VmsnapshotError as error:
            seen: CloneAnswer = verbs.Answer(request.id, refreshed_state(state, inputs, vm))
            raise verbs.Incomplete(seen, error) from error
        return verbs.Answer(request.id, refreshed_state(state, inputs, vm, addresses))

    def delete(self, request: verbs.DeleteRequest[CloneState]) -> None:
        """Switch the VM off and delete it with its files: only the very VM that this resource made.

        Raises:
            Refused: It isn't certain to be that one, or others stand on its files.
        """
        state = request.state
        operation = self._session.operation(request.urn, f'deleting VM "{state.name}"', request.timeout)
        require_cloner(self._session)
        try:
            vm = self._session.locate(known_vm(request.id, state), operation)
            vm = wait_until_idle(self._session, vm, operation)
        except Gone:
            return
        require_ours(state, vm, operation)
        if (holder := self._session.holders.holder(request.urn, request.id)) is None:
            standing = standing_on(self._session, [vm], operation)[vm.identity.id]
            delete_clone(self._session, vm, standing, operation)
        else:
            kept = kept_for(format_vm(vm), request.urn, holder)
            self._session.log_wrapped(request.urn, requests.Severity.WARNING, kept)

    # --- small things -----------------------------------------------------------------------

    def _say_unseen(self, request: verbs.UpdateRequest[CloneInputs, CloneState], vm: VirtualMachine) -> None:
        """Say what an update changes that its diff doesn't show."""
        touched = {str(path[0]) for path in request.changes}
        if unseen := unseen_changes(request.new_inputs.model, vm, touched):
            self._session.log(request.urn, requests.Severity.WARNING, unseen_text(vm, unseen))

    def _require_server(self, urn: str, operation: Operation) -> None:
        """Go on only on the server that has the clones which a new one is to replace."""
        states = list(self._memory.of(urn).states.values())
        self._session.require_servers([state.vm for state in states if state.vm is not None], operation)

    def _addresses(self, vm: VirtualMachine, operation: Operation) -> Sequence[str]:
        """The guest's addresses; none are told of one that doesn't run."""
        if vm.machine.power_state != "PoweredOn":
            return ()
        return require_cloner(self._session).addresses(vm, operation)

    def _operation(self, request: verbs.CreateRequest[CloneInputs], inputs: CloneInputs) -> Operation:
        what = f'cloning VM "{inputs.vm_name}" as "{inputs.name}"'
        return self._session.operation(request.urn, what, request.timeout)

    def _maker(self, urn: str, inputs: CloneInputs) -> CloneMaker:
        held = {uuid: state.create_time for uuid, state in self._memory.of(urn).states.items()}
        return CloneMaker(self._session, urn, inputs, held)

    def _remember(self, urn: str, state: CloneState) -> None:
        """What state holds is known from now on."""
        if state.vm is not None and state.vm.instance_uuid is not None:
            self._memory.of(urn).states[state.vm.instance_uuid] = state
