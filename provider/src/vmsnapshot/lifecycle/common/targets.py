"""Finds the snapshot that a program names, also where what it names has moved since."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.identity import KnownSnapshot, Sameness, find_known_snapshot
from vmsnapshot.lifecycle.common.selection import format_snapshot, select_target
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.model.machine import Snapshot, VirtualMachine


def find_target(session: Session, vm: VirtualMachine, reference: str) -> Snapshot:
    """The snapshot that is asked for; a path of state that it no longer has is followed by its id."""
    planned = vm.snapshot(session.paths.planned(vm.identity.id, reference))
    if planned is not None:
        return planned
    told = session.paths.known(vm.identity.id, reference)
    sameness, held = _known(vm, told)
    try:
        found = select_target(vm, reference)
    except (NotFound, Ambiguous) as error:
        moved = held or _known(vm, session.paths.reached(vm.identity.id, reference))[1]
        if moved is not None and isinstance(error, NotFound):
            return moved
        raise error.blame("snapshot") from None
    if told is None or sameness is Sameness.UNKNOWN or (held is not None and held.id == found.id):
        return found
    theirs = f'"{told.name}" ({told.id}), which is gone' if held is None else format_snapshot(vm, held)
    message = (
        f"{reference!r} is {format_snapshot(vm, found)} now, but the stack's state holds that "
        f"path for {theirs}. Run `pulumi refresh`, or give the uniqueID of the one that is meant."
    )
    raise Ambiguous(message, property="snapshot")


def _known(vm: VirtualMachine, known: KnownSnapshot | None) -> tuple[Sameness, Snapshot | None]:
    """Whether a known snapshot is there; and it, wherever it is in the tree now."""
    if known is None:
        return Sameness.UNKNOWN, None
    sameness, found = find_known_snapshot(known, vm)
    return sameness, found if sameness in (Sameness.SAME, Sameness.ELSEWHERE) else None
