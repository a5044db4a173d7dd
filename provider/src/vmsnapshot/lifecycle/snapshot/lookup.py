"""Finds the snapshot that state means, wherever it is now, and the one that an import names."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from vmsnapshot.lifecycle.common.dependents import clones_on
from vmsnapshot.lifecycle.common.holders import kept_for
from vmsnapshot.lifecycle.common.identity import KnownSnapshot, Sameness, compare_vm
from vmsnapshot.lifecycle.common.marks import has_mark_of, is_of_another_state
from vmsnapshot.lifecycle.common.observed import kind_of
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.verbs import Answer, ImportRequest
from vmsnapshot.lifecycle.errors import Ambiguous, Denied, Gone, NotFound, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import is_same_state, parse_mark
from vmsnapshot.lifecycle.port import Outcome, ReadMask, VMReference
from vmsnapshot.lifecycle.requests import Listed, Severity
from vmsnapshot.lifecycle.snapshot.state import live_inputs, snapshot_state
from vmsnapshot.lifecycle.snapshot.text import (
    REVERTS_TO_IT,
    ambiguous_text,
    imported_text,
    known_text,
    replacement_text,
    unheld_text,
)
from vmsnapshot.model._base import replace
from vmsnapshot.model.formatting import format_count
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import Quiesce, SnapshotFilter, SnapshotInputs, SnapshotState


class SnapshotLookup:
    """Looks snapshots up by what state knows of them.

    Args:
        session: The backend and the logger.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def observe(
        self,
        identifier: str,
        state: SnapshotState,
        operation: Operation,
        read: ReadMask = ReadMask.SIZES,
    ) -> VirtualMachine:
        """The VM with its snapshots; or what is left of it, where snapshots outlive their VM.

        Raises:
            Gone: Neither the VM nor the snapshot is there.
        """
        try:
            return self._session.locate(vm_of(identifier, state), operation, read)
        except Gone as gone:
            if not self._session.platform.snapshots_outlive_vm:
                raise
            try:
                return self._session.backend.find_snapshot(identifier, operation)[0]
            except NotFound:
                raise gone from None

    def still_there(
        self, vm: VirtualMachine, identifier: str, state: SnapshotState, operation: Operation
    ) -> Snapshot:
        """Find the snapshot that state means.

        Raises:
            Gone: It is not there; another may have its id.
            Refused: Several could be it.
        """
        sameness, snapshot = self.find(vm, identifier, state, operation)
        if sameness is Sameness.UNKNOWN:
            raise Refused(ambiguous_text(vm, state))
        if snapshot is None or sameness is Sameness.ANOTHER:
            taken = (
                ""
                if snapshot is None
                else f" {format_snapshot(vm, snapshot)} has its id now: it is left alone."
            )
            message = (
                f'snapshot "{state.path or state.name}" ({identifier}) of {format_vm(vm)} was '
                f"removed by somebody else.{taken} Run `pulumi refresh` to drop it from the stack's "
                f"state; the next update then takes a new snapshot of the VM's current state. {REVERTS_TO_IT}"
            )
            raise Gone(message)
        return snapshot

    def find(
        self, vm: VirtualMachine, identifier: str, state: SnapshotState, operation: Operation
    ) -> tuple[Sameness, Snapshot | None]:
        """Find the snapshot that state means; an id alone may be another's by now."""
        return self._session.find_snapshot(self._known(identifier, state), vm, operation)

    def tell_path(self, identifier: str, state: SnapshotState, *, written: bool = False) -> None:
        """Tell resources that refer to the snapshot by its path which one that is.

        Args:
            identifier: The resource's id.
            state: What state holds.
            written: Whether that was written just now; else the snapshot may have another path by now.
        """
        if state.path:
            paths = self._session.paths
            tell = paths.write if written else paths.hold
            tell(vm_of(identifier, state).id, state.path, self._known(identifier, state))

    def _known(self, identifier: str, state: SnapshotState) -> KnownSnapshot:
        # State follows a VM to its new ids at once, the resource's own id only with a refresh.
        namespaced = self._session.platform.has_namespaces
        found_id = self._session.platform.snapshot_id(identifier) if namespaced else state.unique_id
        return KnownSnapshot.of_state(found_id or self._session.platform.snapshot_id(identifier), state)

    def live_inputs(
        self, urn: str, inputs: SnapshotInputs, vm: VirtualMachine, snapshot: Snapshot, operation: Operation
    ) -> SnapshotInputs:
        """The inputs as the platform has them now.

        Where `vmName` leads to another living VM by now, it says which VM the snapshot is of: the next update
        then shows that it is replaced.
        """
        live = live_inputs(inputs, snapshot)
        other = self._named_now(inputs.vm_name, vm, operation)
        if other is None:
            return live
        own = vm.identity.path or vm.identity.id
        text = (
            f'vmName "{inputs.vm_name}" means another VM by now, {format_vm(other)}. '
            f"{format_snapshot(vm, snapshot)} stays until the next update, which replaces it by one of "
            f'that VM. To keep it, name its VM: vmName "{own}".'
        )
        self._session.log(urn, Severity.WARNING, text)
        return replace(live, vm_name=own)

    def _named_now(self, name: str, vm: VirtualMachine, operation: Operation) -> VirtualMachine | None:
        """The other VM that is named so now; None: the same one is, or none surely."""
        known = vm.identity
        if self._session.platform.has_namespaces or name in (known.name, known.path, known.id):
            return None
        (found,) = self._session.backend.find_all([VMReference(name)], operation, ReadMask.NOTHING)
        if isinstance(found, VirtualMachine) and compare_vm(known, found.identity) is Sameness.ANOTHER:
            return found
        return None

    def say_moved(self, urn: str, state: SnapshotState, vm: VirtualMachine, snapshot: Snapshot) -> None:
        """Say under which ids the same VM and snapshot are found now."""
        if state.vm is None or (state.vm.id, state.unique_id) == (vm.identity.id, snapshot.unique_id):
            return
        text = (
            f"{format_snapshot(vm, snapshot)} is the same snapshot of the same VM as before "
            f"({state.unique_id} of {state.vm.id}), under new ids. State follows; nothing else is done."
        )
        self._session.log(urn, Severity.INFO, text)

    def say_replacement(
        self, urn: str, states: Sequence[SnapshotState], vm: VirtualMachine, operation: Operation
    ) -> None:
        """In words: the new one captures today's VM, and the restore point of then is lost."""
        ids = [item.id for item in vm.snapshots if states]
        standing = clones_on(self._session, {vm.identity.id: ids}, operation)
        for state in states:
            old = vm.snapshot_on_vsphere(state.unique_id)
            children = [] if old is None else vm.children(old.id)
            clones = () if old is None else standing.get(old.id, ())
            below = old is not None and old in vm.ancestry(vm.current_snapshot_id)
            text = replacement_text(state, vm, children, clones, stays_below=below)
            self._session.log(urn, Severity.WARNING, text)

    def say_unheld(self, urn: str, vm: VirtualMachine, held: Container[str]) -> None:
        """Name the snapshots that this resource has made and state doesn't hold.

        They are of runs that were killed, and of calls that the platform has begun to work on only then.
        """
        for item in vm.snapshots:
            if item.id not in held and item.mark_proof == "exact" and has_mark_of(item, urn):
                elsewhere = is_of_another_state(item, self._session.state)
                text = unheld_text(format_snapshot(vm, item), elsewhere=elsewhere)
                self._session.log(urn, Severity.WARNING, text)

    def import_(self, request: ImportRequest) -> Answer[SnapshotInputs, SnapshotState]:
        """Bind to a snapshot that is there, with inputs that show no change afterwards."""
        operation = self._session.operation(request.urn, f"importing {request.id}", request.timeout)
        backend = self._session.backend
        vm, snapshot = backend.find_snapshot(request.id, operation)
        by_name = VMReference(vm.identity.name)
        try:
            unique = backend.find(by_name, operation).identity.id == vm.identity.id
        except (NotFound, Ambiguous, Denied):  # perhaps nothing may be read in the default namespace
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
        ours = has_mark_of(snapshot, request.urn) and not is_of_another_state(snapshot, self._session.state)
        if snapshot.mark is not None and not ours:
            text = imported_text(format_snapshot(vm, snapshot), snapshot.made_by)
            self._session.log(request.urn, Severity.WARNING, text)
        state = snapshot_state(inputs, vm, snapshot, snapshot.mark)
        identifier = backend.identifier(vm, snapshot.id)
        return Answer(identifier, state, inputs)

    def list(self, wanted: SnapshotFilter) -> Iterator[Listed]:
        """Every such snapshot that is visible to this user, as an id that can be imported.

        How many VMs could not be read is told: their snapshots are missing from the list.
        """
        operation = self._session.operation("", "listing snapshots")
        if wanted.vm_name is not None:
            reference = VMReference(wanted.vm_name, wanted.namespace)
            machines = [self._session.backend.find(reference, operation)]
        else:
            outcomes = self._session.backend.list_machines(operation, ReadMask.NOTHING)
            machines = [outcome for outcome in outcomes if isinstance(outcome, VirtualMachine)]
            self._say_unread(outcomes)
        for vm in machines:
            for item in vm.snapshots:
                if wanted.type in (None, kind_of(item)):
                    yield Listed(self._session.backend.identifier(vm, item.id), item.name)

    def _say_unread(self, outcomes: Sequence[Outcome[VirtualMachine]]) -> None:
        # One that has been removed meanwhile has no snapshots.
        unread = [
            item for item in outcomes if isinstance(item, VmsnapshotError) and not isinstance(item, Gone)
        ]
        if unread:
            text = (
                f"{format_count(len(unread), 'VM')} of {len(outcomes)} could not be read, and their "
                f"snapshots are missing from the list. The first: {unread[0].message}"
            )
            self._session.log("", Severity.WARNING, text)


def vm_of(identifier: str, state: SnapshotState) -> VirtualMachineIdentity:
    """The VM that state means; without one in state, the one that the resource's id names."""
    if state.vm is not None:
        return state.vm
    return VirtualMachineIdentity(id=identifier.partition("@")[0], name=state.vm_name)


def taken_over(urn: str, state: SnapshotState, snapshot: Snapshot, here: str | None) -> bool:
    """Whether another resource, or this one in another state, has marked a snapshot since state was written.

    Args:
        urn: The resource.
        state: What state holds.
        snapshot: The snapshot.
        here: What tells this state from others.
    """
    known = parse_mark(state.ownership)
    elsewhere = is_of_another_state(snapshot, here) and not (
        known is not None and is_same_state(parse_mark(snapshot.mark), known.state)
    )
    theirs = snapshot.mark not in (None, state.ownership) and (elsewhere or not has_mark_of(snapshot, urn))
    return theirs and snapshot.mark_proof == "exact"


def taker_of(urn: str, snapshot: Snapshot, here: str | None) -> str:
    """Who has marked a snapshot, in words; `here` tells this state from others."""
    if has_mark_of(snapshot, urn):
        if is_of_another_state(snapshot, here):
            return "a resource of the same names in another state"
        return "a later run of this resource"
    maker = snapshot.made_by
    return "another resource" + ("" if maker is None else f' ("{maker.resource}" of stack {maker.stack})')


def why_kept(
    urn: str,
    vm: VirtualMachine,
    snapshot: Snapshot,
    sameness: Sameness,
    state: SnapshotState,
    *,
    holder: str | None,
    here: str | None,
) -> str | None:
    """Why a delete leaves a snapshot alone, in words; None: it removes it.

    Args:
        urn: The resource.
        vm: The VM.
        snapshot: What is found where state's snapshot was.
        sameness: Whether it is that one.
        state: What state holds.
        holder: The resource that keeps it (see `holders.Holders`).
        here: What tells this state from others.
    """
    name = format_snapshot(vm, snapshot)
    if sameness is Sameness.ANOTHER:
        return f"{name} is not the one that state means ({known_text(state)}), and is kept."
    ours = has_mark_of(snapshot, urn) and not is_of_another_state(snapshot, here)
    killed = state.ownership is None and ours  # in an update
    if snapshot.mark not in (None, state.ownership) and not killed:
        return f"{name} has been taken over by {taker_of(urn, snapshot, here)} and is kept."
    return None if holder is None else kept_for(name, urn, holder)
