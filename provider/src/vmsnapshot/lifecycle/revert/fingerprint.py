"""Whether a VM is still as a preview showed it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from vmsnapshot.lifecycle.common.identity import snapshot_key
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import Fingerprint


def planned_fingerprint(session: Session, vm: VirtualMachine) -> Fingerprint:
    """The fingerprint of a VM without the snapshots that the preview says this update takes or removes.

    A preview makes it before that, and the update after it: both make the same, as a saved plan has it.
    """
    return fingerprint_of(_without(vm, {*_taken(session, vm), *session.removals.going(vm)}))


def fingerprint_of(vm: VirtualMachine) -> Fingerprint:
    """The fingerprint of a VM as it is now. Renames of snapshots don't count."""
    shape = {
        "machine": vm.machine.properties(),
        "current": vm.current_snapshot_id,
        "tree": sorted((snapshot_key(item), item.parent_id or "") for item in vm.snapshots),
    }
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()
    return Fingerprint(
        power_state=vm.machine.power_state,
        current_snapshot=vm.current_snapshot_id,
        fingerprint=digest[:12],
    )


def changed_since(
    shown: Fingerprint | None, vm: VirtualMachine, session: Session, also: Collection[str] = ()
) -> str | None:
    """What is different from what a preview showed, in words; None: nothing, as far as is known.

    What this update has taken, removes or has removed, as the preview said, doesn't count.

    Args:
        shown: What it showed; None: it isn't known.
        vm: The VM now.
        session: What this update does.
        also: The ids of other snapshots that it has taken.
    """
    ours, going = {*_taken(session, vm), *also}, session.removals.going(vm)
    each = dict.fromkeys(frozenset(item) for item in ((), ours, going, ours | going))
    if shown is None or any(shown == fingerprint_of(_without(vm, left_out)) for left_out in each):
        return None
    if shown.current_snapshot not in ours:
        vm = _without(vm, ours)
    now = fingerprint_of(vm)
    found = []
    if shown.current_snapshot != now.current_snapshot:
        was, is_now = (_name(vm, item) for item in (shown.current_snapshot, now.current_snapshot))
        found.append(f"it ran on snapshot {was} and now runs on {is_now}{_taken_by(vm.current_snapshot)}")
    if shown.power_state != now.power_state:
        found.append(f"it was {shown.power_state} and now is {now.power_state}")
    if not found:
        found.append("its hardware, settings or snapshots are others than before")
    return ", ".join(found)


def _taken(session: Session, vm: VirtualMachine) -> set[str]:
    """The ids of a VM's snapshots that this update has taken."""
    return {item.id for item in vm.snapshots if (vm.identity.id, item.id) in session.taken}


def _without(vm: VirtualMachine, left_out: Collection[str]) -> VirtualMachine:
    """The VM as it would be without these snapshots."""

    def kept(snapshot_id: str | None) -> str | None:
        while snapshot_id in left_out and (found := vm.snapshot(snapshot_id)) is not None:
            snapshot_id = found.parent_id
        return snapshot_id

    if not left_out:
        return vm
    snapshots = tuple(
        replace(item, parent_id=kept(item.parent_id)) for item in vm.snapshots if item.id not in left_out
    )
    return replace(vm, snapshots=snapshots, current_snapshot_id=kept(vm.current_snapshot_id))


def _name(vm: VirtualMachine, snapshot_id: str | None) -> str:
    snapshot = vm.snapshot(snapshot_id)
    if snapshot is not None:
        return f'"{snapshot.name}" ({snapshot.id})'
    return "none" if snapshot_id is None else snapshot_id


def _taken_by(snapshot: Snapshot | None) -> str:
    """Who took a snapshot: it is often the program itself, in the same update."""
    if snapshot is None or (maker := snapshot.made_by) is None:
        return ""
    return f', which resource "{maker.resource}" of stack {maker.stack} took'
