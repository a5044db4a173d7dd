"""Removes snapshots of checkpoints: only those that carry the mark of the checkpoint they belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.checkpoint.state import VMKey, known_part, located_vms, vm_key
from vmsnapshot.lifecycle.common.consolidation import say_unmerged
from vmsnapshot.lifecycle.common.dependents import clones_on, format_clones, remove_snapshot
from vmsnapshot.lifecycle.common.identity import Sameness
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.marks import marked_as_recorded
from vmsnapshot.lifecycle.common.parallel import parallel_map, partition
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import format_names
from vmsnapshot.lifecycle.errors import Cancelled, Gone, TimedOut, Unreachable, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome, ReadMask
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import Checkpoint, CheckpointSnapshot
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What became of checkpoints that were to be removed.

    Attributes:
        checkpoints: What is left: of those to be removed only what could not be.
        failures: Why, by the VM.
    """

    checkpoints: dict[str, Checkpoint]
    failures: dict[str, VmsnapshotError]


@dataclasses.dataclass(frozen=True)
class _Removal:
    """One VM's part of one checkpoint."""

    label: str
    key: str
    part: CheckpointSnapshot
    checkpoint: Checkpoint


def prune(
    session: Session,
    urn: str,
    checkpoints: Mapping[str, Checkpoint],
    labels: Collection[str],
    operation: Operation,
) -> Pruned:
    """Remove these labels' snapshots, all VMs at once, each VM's one after another.

    One that is gone already counts as removed; one that no longer carries the checkpoint's mark
    isn't ours any more, is left alone, and the user is told.
    """
    due = {label: checkpoints[label] for label in labels}
    removals: dict[VMKey, list[_Removal]] = {}
    for label, checkpoint in due.items():
        for key, part in checkpoint.snapshots.items():
            removals.setdefault(vm_key(part), []).append(_Removal(label, key, part, checkpoint))
    quoted = format_names(f'"{label}"' for label in labels)
    doing = f"removing checkpoint {quoted}" if len(labels) == 1 else f"removing checkpoints {quoted}"
    done: list[_Removal] = []
    failed: dict[str, VmsnapshotError] = {}
    machines: dict[str, VirtualMachine] = {}
    by_vm: dict[str, list[_Removal]] = {}
    for vm, outcome in _locate(session, due.values(), operation).items():
        if isinstance(outcome, Gone):
            done += removals[vm]
        elif isinstance(outcome, VmsnapshotError):
            failed[_named(removals[vm], vm[0])] = outcome
        else:
            machines[outcome.identity.id] = outcome
            by_vm.setdefault(outcome.identity.id, []).extend(removals[vm])

    def remove(_name: str, vm: VirtualMachine, part: Operation) -> None:
        _remove_parts(session, urn, by_vm[vm.identity.id], vm, done, part)

    named = {_named(by_vm[vm_id], vm_id): vm for vm_id, vm in machines.items()}
    failed |= partition(parallel_map(named, remove, operation, doing, lambda name: f"{doing} of {name}"))[1]
    gone = {(item.label, item.key) for item in done}
    left = {label: _without(label, item, gone) for label, item in checkpoints.items()}
    return Pruned(
        {label: item for label, item in left.items() if item.snapshots or label not in labels},
        failed,
    )


def _remove_parts(  # noqa: PLR0917 - what one VM's part of the work is made of
    session: Session,
    urn: str,
    removals: Iterable[_Removal],
    vm: VirtualMachine,
    done: list[_Removal],
    operation: Operation,
) -> None:
    """Remove one VM's snapshots, each added to `done` then; one that stays doesn't keep the others."""
    failure: VmsnapshotError | None = None
    for removal in sorted(removals, key=lambda one: _is_held(vm.snapshot(one.part.id))):
        try:
            snapshot = _ours(session, urn, removal, vm, operation)
            if snapshot is not None:
                remove_snapshot(session, vm, snapshot, operation)
        except (Cancelled, TimedOut, Unreachable):
            raise
        except VmsnapshotError as error:
            if failure is None:
                failure = error
            else:
                failure.add(error.message)
        else:
            done.append(removal)
    if failure is not None:
        raise failure


def clones_on_checkpoints(
    session: Session, checkpoints: Mapping[str, Checkpoint], labels: Iterable[str], operation: Operation
) -> dict[str, str]:
    """Returns the checkpoints of these labels that linked clones stand on, with the clones in words.

    What can't be read now is missing, and the user is told so: the removal of a snapshot looks again.
    """
    due = {label: checkpoints[label] for label in labels if label in checkpoints}
    asked: dict[str, list[str]] = {}
    for checkpoint in due.values():
        for part in checkpoint.snapshots.values():
            asked.setdefault(part.vm, []).append(part.id)
    try:
        standing = clones_on(session, asked, operation)
    except VmsnapshotError as error:
        text = f"Whether linked clones stand on what will be removed is not known now: {error.message}"
        session.log_wrapped("", requests.Severity.WARNING, text)
        return {}
    kept: dict[str, str] = {}
    for label, checkpoint in due.items():
        parts = checkpoint.snapshots.values()
        if clones := {item.id: item for part in parts for item in standing.get(part.id, ())}:
            kept[label] = format_clones(clones.values())
    return kept


def _named(removals: Sequence[_Removal], vm_id: str) -> str:
    return f'VM "{removals[-1].key}" ({vm_id})'


def _locate(
    session: Session, checkpoints: Iterable[Checkpoint], operation: Operation
) -> dict[VMKey, Outcome[VirtualMachine]]:
    """The VMs of checkpoints, wherever they are now; or why they could not be read."""
    known = located_vms(checkpoints)
    try:
        return session.locate_all(known, operation, ReadMask.NOTHING)
    except VmsnapshotError as error:
        return dict.fromkeys(known, error)


def _ours(
    session: Session, urn: str, removal: _Removal, vm: VirtualMachine, operation: Operation
) -> Snapshot | None:
    """The snapshot that state means, if it still carries the mark; None: there is none to remove.

    Raises:
        Unreachable: What was read doesn't tell which one it is.
    """
    sameness, found = session.find_snapshot(known_part(removal.checkpoint, removal.part), vm, operation)
    if sameness is Sameness.UNKNOWN:
        message = (
            f"several snapshots of {format_vm(vm)} could be the one of checkpoint "
            f'"{removal.label}" ({removal.part.id}); none was removed'
        )
        raise Unreachable(message)
    if found is None:
        say_unmerged(session, urn, vm)
    elif sameness is Sameness.ANOTHER or found.mark != removal.checkpoint.ownership:
        _say_not_ours(session, urn, vm, found, removal.label)
        return None
    return found


def remove_marked(
    session: Session,
    vms: Mapping[str, VirtualMachineIdentity],
    mark: str,
    held: Collection[tuple[str, str]],
    operation: Operation,
) -> dict[str, VmsnapshotError]:
    """Remove whatever carries a mark and state doesn't hold; why it failed, by the member's key.

    Args:
        session: The backend.
        vms: The VMs as state knows them, by the member's key.
        mark: The checkpoint's mark.
        held: The snapshots that state holds, which stay: a VM's id and the snapshot's.
        operation: Whose time counts; its words say what is being done.
    """

    def remove(key: str, vm: VirtualMachine, part: Operation) -> None:
        after = wait_until_idle(session, vm, part)  # a task that nobody waited for may still be making it
        for snapshot in sorted(marked_as_recorded(after, mark, vms[key]), key=_is_held):
            if (after.identity.id, snapshot.id) not in held:
                remove_snapshot(session, after, snapshot, part)

    if not vms:
        return {}
    try:
        outcomes = session.locate_all(vms, operation, ReadMask.NOTHING)
    except VmsnapshotError as error:
        return dict.fromkeys(vms, error)
    machines, failures = partition(outcomes)
    failed = partition(parallel_map(machines, remove, operation, operation.what))[1]
    return failed | {key: error for key, error in failures.items() if not isinstance(error, Gone)}


def _is_held(snapshot: Snapshot | None) -> bool:
    """Whether a snapshot's removal has begun and waits for somebody: it would use up the others' time."""
    return snapshot is not None and snapshot.being_deleted


def _say_not_ours(session: Session, urn: str, vm: VirtualMachine, snapshot: Snapshot, label: str) -> None:
    text = (
        f'{format_snapshot(vm, snapshot)} no longer carries the mark of checkpoint "{label}": it is left '
        "alone, and no longer part of the stack's state."
    )
    session.log_wrapped(urn, requests.Severity.WARNING, text)


def _without(label: str, checkpoint: Checkpoint, gone: Collection[tuple[str, str]]) -> Checkpoint:
    lost = [key for key in checkpoint.snapshots if (label, key) in gone]
    if not lost:
        return checkpoint
    kept = {key: part for key, part in checkpoint.snapshots.items() if key not in lost}
    return replace(checkpoint, snapshots=kept, missing=[*checkpoint.missing, *lost])
