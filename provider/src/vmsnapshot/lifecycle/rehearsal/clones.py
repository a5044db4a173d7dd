"""Finds the clones that a rehearsal has made, also those of interrupted runs, and deletes them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

from vmsnapshot.lifecycle.clone.note import made_by, note_of, request_note
from vmsnapshot.lifecycle.clone.removal import delete_clone, standing_on
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.late import wait_for_late
from vmsnapshot.lifecycle.common.members import find_members
from vmsnapshot.lifecycle.common.parallel import parallel_map, partition
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Gone, NotFound, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome, ReadMask, VMReference
from vmsnapshot.lifecycle.rehearsal.plan import clone_uuid
from vmsnapshot.lifecycle.rehearsal.state import sources_of
from vmsnapshot.lifecycle.rehearsal.text import not_ours_text
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.rehearsal import RehearsalClone, RehearsalState


class OwnClones:
    """The clones of one rehearsal.

    Args:
        session: The backend and the logger.
        urn: The resource.
    """

    def __init__(self, session: Session, urn: str) -> None:
        self._session = session
        self._urn = urn

    def sources(
        self, members: Sequence[EnvironmentMember], operation: Operation
    ) -> list[VirtualMachineIdentity]:
        """Returns which VMs these are, as far as they are found."""
        found = find_members(self._session, members, operation, ReadMask.NOTHING)
        return [vm.identity for vm in found.machines.values()]

    def find(
        self,
        old: RehearsalState | None,
        sources: Iterable[VirtualMachineIdentity],
        operation: Operation,
        *,
        wait: bool = True,
    ) -> dict[str, VirtualMachine]:
        """Find all that are there: those of state, and those that no state holds.

        Args:
            old: What state holds.
            sources: The VMs that may have been cloned beside those of state.
            operation: Whose time counts.
            wait: Whether to wait for the tasks of these VMs, which may be making one.

        Returns:
            The clones by their instance UUIDs.

        Raises:
            Refused: One of them isn't certain to be this resource's.
        """
        known = {} if old is None else dict(old.clones)
        self._session.require_servers(sources_of(old), operation)
        cloned = {item.instance_uuid: item for item in (*sources_of(old), *sources) if item.instance_uuid}
        if wait:
            self._wait_for_tasks(cloned, operation)
        found = self._known(known, operation)
        sought = [clone_uuid(self._urn, uuid) for uuid in cloned]
        sought = [uuid for uuid in sought if uuid not in found]
        if wait and self._is_late(sought, operation):
            self._wait_for_tasks(cloned, operation)
        references = [VMReference(uuid) for uuid in sought]
        outcomes = self._session.backend.find_all(references, operation) if sought else []
        for uuid, outcome in zip(sought, outcomes, strict=True):
            if isinstance(outcome, NotFound):
                continue
            if isinstance(outcome, VmsnapshotError):
                raise outcome
            if (outcome.identity.instance_uuid or "").lower() != uuid:  # its BIOS UUID
                continue
            if made_by(outcome, self._urn, self._session.state) is None:
                raise Refused(not_ours_text(outcome), subject=operation.what)
            found[uuid] = outcome
        return found

    def still_there(
        self, known: Mapping[str, RehearsalClone], operation: Operation
    ) -> dict[str, RehearsalClone]:
        """Returns those of state that aren't definitely gone, as they are now."""
        located = self._session.locate_all({uuid: item.vm for uuid, item in known.items()}, operation)
        return {
            uuid: RehearsalClone(vm=outcome.identity, ownership=known[uuid].ownership)
            if isinstance(outcome, VirtualMachine)
            else known[uuid]
            for uuid, outcome in located.items()
            if not isinstance(outcome, Gone)
        }

    def delete(
        self, clones: Mapping[str, VirtualMachine], operation: Operation
    ) -> dict[str, VmsnapshotError]:
        """Delete them with their files; why that failed, by the instance UUID."""
        standing = standing_on(self._session, list(clones.values()), operation)

        def delete(_uuid: str, vm: VirtualMachine, part: Operation) -> None:
            try:
                vm = wait_until_idle(self._session, vm, part)
            except Gone:
                return
            delete_clone(self._session, vm, standing[vm.identity.id], part)

        outcomes = parallel_map(
            clones, delete, operation, "deleting clones", lambda uuid: f"deleting {format_vm(clones[uuid])}"
        )
        return partition(outcomes)[1]

    def _known(self, known: Mapping[str, RehearsalClone], operation: Operation) -> dict[str, VirtualMachine]:
        """Those of state that are there."""
        located = self._session.locate_all({uuid: item.vm for uuid, item in known.items()}, operation)
        found: dict[str, VirtualMachine] = {}
        for uuid, outcome in located.items():
            if isinstance(outcome, Gone):
                continue
            if isinstance(outcome, VmsnapshotError):
                raise outcome
            note = note_of(outcome)
            # An interrupted run may have made another in its place, under the same UUID and another mark.
            ours = note is not None and str(note.mark) == known[uuid].ownership
            if not ours and made_by(outcome, self._urn, self._session.state) is None:
                raise Refused(not_ours_text(outcome), subject=operation.what)
            found[uuid] = outcome
        return found

    def _is_late(self, uuids: Iterable[str], operation: Operation) -> bool:
        """Wait for what an interrupted run on this machine has asked for a moment ago; whether it came."""

        def look(uuid: str) -> VirtualMachine | None:
            try:
                return self._session.backend.find(VMReference(uuid), operation)
            except NotFound:
                return None

        late = [
            wait_for_late(self._session, request_note(uuid), functools.partial(look, uuid), operation)
            for uuid in uuids
        ]
        return any(late)

    def _wait_for_tasks(self, sources: Mapping[str, VirtualMachineIdentity], operation: Operation) -> None:
        """Wait for the tasks of VMs that were, or may have been, cloned by a run that was interrupted."""
        located: Mapping[str, Outcome[VirtualMachine]] = self._session.locate_all(
            sources, operation, ReadMask.TASKS
        )
        for outcome in located.values():
            if isinstance(outcome, Gone):
                continue
            if isinstance(outcome, VmsnapshotError):
                raise outcome
            try:
                wait_until_idle(self._session, outcome, operation)
            except Gone:
                continue
