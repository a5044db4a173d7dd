"""Takes a snapshot exactly once: finds what an interrupted run of the same resource has taken."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common.creation import ADOPT_WITHIN, create_once, other_state_text
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.late import wait_for_late
from vmsnapshot.lifecycle.common.marks import has_mark_of, is_of_another_state
from vmsnapshot.lifecycle.common.preflight_vm_operator import outside_count
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Cancelled, Refused, TimedOut, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner, is_same_state, new_owner, parse_mark
from vmsnapshot.lifecycle.port import ReadMask, SnapshotRequest
from vmsnapshot.lifecycle.snapshot.memory import SnapshotMemory
from vmsnapshot.lifecycle.snapshot.text import adopted_text, other_state_name_text
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import Quiesce, SnapshotInputs

# What deleting the object of a snapshot that was never taken may last, beyond the resource's own time.
WITHDRAW_WITHIN: Final = dt.timedelta(seconds=20)

# What is asked of quiescing when the user names no time of its own (the VM Operator's examples).
QUIESCE_TIMEOUT: Final = dt.timedelta(minutes=10)


class SnapshotCreator:
    """The steps of taking a snapshot for one resource.

    Args:
        session: The backend and the logger.
        urn: The resource.
        inputs: The snapshot that is asked for.
        memory: What is known of the resource; without it, that no state holds a snapshot of it.
    """

    def __init__(
        self, session: Session, urn: str, inputs: SnapshotInputs, memory: SnapshotMemory | None = None
    ) -> None:
        self._session = session
        self._urn = urn
        self._inputs = inputs
        self._memory = memory or SnapshotMemory()
        # The old ones that were told of.
        self._told: set[str] = set()
        # Where the name was made up by us, another one will do as well.
        self._any_name = self._memory.named_by_us or session.platform.can_rename

    def find(self, operation: Operation, read: ReadMask = ReadMask.ALL) -> VirtualMachine:
        """The VM that the inputs name.

        Raises:
            Refused: What it is to replace is on another server.
        """
        states = list(self._memory.states.values())
        self._session.require_servers([state.vm for state in states if state.vm is not None], operation)
        return self._session.find(self._inputs.vm_name, self._inputs.namespace, operation, read)

    def wait_until_idle(self, vm: VirtualMachine, operation: Operation) -> VirtualMachine:
        """The VM once no task runs on it: an interrupted run's task may still be making ours."""
        return wait_until_idle(self._session, vm, operation)

    def find_orphan(self, vm: VirtualMachine) -> Snapshot | None:
        """The snapshot that an interrupted run of this resource took and no state holds.

        Raises:
            Refused: Several could be it; the message lists them. Or another state's has the only name that
                it may have.
        """
        held = self._memory.held_ids
        if held is None:
            return None
        found = [
            item
            for item in vm.snapshots
            if item.id not in held
            and not item.being_deleted
            and item.mark_proof == "exact"
            and has_mark_of(item, self._urn)
            and self._memory.is_newer(item)
            and _as_asked(item, self._inputs)
            and (self._any_name or item.name == self._inputs.name)
        ]
        ours = self._without_others(vm, found)
        recent = [item for item in ours if is_recent(item, self._session.now())]
        if len(recent) > 1:
            names = "; ".join(format_snapshot(vm, item) for item in recent)
            message = (
                f"{format_vm(vm)} has {len(recent)} snapshots that this resource made and the stack's "
                f"state doesn't hold: {names}. Import the one to keep, or remove them; nothing "
                "was done."
            )
            raise Refused(message)
        for item in ours:
            if item not in recent and item.id not in self._told:
                self._told.add(item.id)
                self._session.log(
                    self._urn,
                    requests.Severity.WARNING,
                    f"{format_snapshot(vm, item)} was made by this resource too, but the stack's state "
                    "doesn't hold it, and it is too old to stand for today's VM. It is left alone.",
                )
        return recent[0] if recent else None

    def _without_others(self, vm: VirtualMachine, found: Sequence[Snapshot]) -> list[Snapshot]:
        """Those that weren't made in another state; who reads this learns of the others."""
        others = [item for item in found if is_of_another_state(item, self._session.state)]
        for item in others:
            text = other_state_text(format_snapshot(vm, item), "snapshot")
            if self._session.platform.has_namespaces and item.name == self._inputs.name:
                raise Refused(other_state_name_text(format_snapshot(vm, item)))
            if item.id not in self._told:
                self._told.add(item.id)
                self._session.log(self._urn, requests.Severity.WARNING, text)
        return [item for item in found if item not in others]

    def find_late(self, vm: VirtualMachine, operation: Operation) -> tuple[VirtualMachine, Snapshot | None]:
        """The VM, and the snapshot for which an interrupted run has asked a moment ago, once it shows."""

        def look() -> Snapshot | None:
            nonlocal vm
            vm = self.wait_until_idle(self._session.backend.observe(vm.identity.id, operation), operation)
            return self.find_orphan(vm)

        found = wait_for_late(self._session, self._note, look, operation)
        return vm, found

    def take_anew(self, vm: VirtualMachine, owner: Owner, operation: Operation) -> str:
        """The same as `take`, under a mark that another run of the same request doesn't know."""
        request = self._request(owner)
        snapshot_id = create_once(self._session, vm, request, operation, note=self._note, looks=True)
        self._session.taken.add((vm.identity.id, snapshot_id))
        return snapshot_id

    def take(self, vm: VirtualMachine, owner: Owner, operation: Operation) -> str:
        """Take it, or have it taken; its id."""
        snapshot_id = create_once(self._session, vm, self._request(owner), operation)
        self._session.taken.add((vm.identity.id, snapshot_id))
        return snapshot_id

    @property
    def _note(self) -> str:
        return f"snapshot of {self._urn}"

    def _request(self, owner: Owner) -> SnapshotRequest:
        return SnapshotRequest(
            name=self._inputs.name or "",
            description=self._inputs.description or "",
            owner=owner,
            memory=self._inputs.memory,
            quiesce=quiesce_timeout(self._inputs.quiesce),
            windows=None if self._inputs.quiesce is None else self._inputs.quiesce.windows,
        )

    def withdraw(self, vm: VirtualMachine, snapshot_id: str, error: VmsnapshotError) -> bool:
        """Take back what was never taken, once nobody waits for it any more; whether it is gone.

        What became of it is added to the error's message.
        """
        if not self._inputs.cleanup_on_fail or not isinstance(error, (TimedOut, Cancelled)):
            return False
        # Not with the session's cancellation: that may be why it ends.
        within = Operation(f'deleting "{snapshot_id}" again', timeout=WITHDRAW_WITHIN)
        backend = self._session.backend
        try:
            if not backend.withdraw_snapshot(vm, snapshot_id, within):
                return False
            text = "No snapshot had been taken, so its object was deleted again (cleanupOnFail)."
            after = backend.observe(vm.identity.id, within, ReadMask.SIZES)
            if outside_count(after) > outside_count(vm):
                text = (
                    "Its object was deleted again (cleanupOnFail). vSphere seems to have taken a snapshot at "
                    "that very moment: the VM has one more that the VM Operator doesn't manage. Remove it in "
                    "vSphere if nobody needs it."
                )
        except VmsnapshotError as failure:
            error.add(f"It could not be deleted again (cleanupOnFail): {failure.message}")
            return False
        error.add(text)
        return True

    def adopt(self, vm: VirtualMachine, orphan: Snapshot, operation: Operation) -> Owner:
        """Make an interrupted run's snapshot this one, under a new mark.

        The new mark keeps the delete of a replaced resource, whose state carries the old mark,
        from removing what has become this one.
        """
        certain = is_same_state(parse_mark(orphan.mark), self._session.state) is True
        text = adopted_text(format_snapshot(vm, orphan), certain=certain)
        self._session.log(self._urn, requests.Severity.WARNING, text)
        owner = new_owner(self._urn, self._session.state)
        name = (self._session.platform.can_rename and self._inputs.name) or orphan.name
        self._session.backend.change_snapshot(
            vm, orphan, name, self._inputs.description or "", owner, operation
        )
        return owner


def is_recent(snapshot: Snapshot, moment: dt.datetime) -> bool:
    """Whether a snapshot that an interrupted run took still stands for today's VM."""
    taken = snapshot.create_time or snapshot.requested
    return taken is not None and moment - taken < ADOPT_WITHIN


def quiesce_timeout(asked: Quiesce | None) -> dt.timedelta | None:
    """How long quiescing may take; None: it isn't asked for."""
    if asked is None:
        return None
    return QUIESCE_TIMEOUT if asked.timeout is None else parse_duration(asked.timeout)


def _as_asked(snapshot: Snapshot, inputs: SnapshotInputs) -> bool:
    """Whether a snapshot can be the one that these inputs ask for.

    A VM that is off has no memory to include: only what contradicts the inputs counts.
    """
    with_memory = snapshot.power_state == "PoweredOn"
    return (inputs.memory or not with_memory) and (inputs.quiesce is not None or not snapshot.quiesced)
