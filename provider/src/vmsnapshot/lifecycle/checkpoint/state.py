"""What state holds of an environment's checkpoints, from what was observed: pure functions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from vmsnapshot.lifecycle.checkpoint import retention
from vmsnapshot.lifecycle.common.held_checkpoints import HeldSnapshot
from vmsnapshot.lifecycle.common.identity import KnownSnapshot, Sameness
from vmsnapshot.lifecycle.common.observed import parse_timestamp, timestamp, timestamp_or_none
from vmsnapshot.lifecycle.errors import Gone, VmsnapshotError
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.model._base import replace
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.environment import (
    Checkpoint,
    CheckpointInputs,
    CheckpointSnapshot,
    CheckpointState,
    UnfinishedCheckpoint,
)
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.status import Condition

# A VM's id where it was last seen, and what tells it from others: its UID and its instance UUID.
VMKey: TypeAlias = tuple[str, str | None, str | None]

FindSnapshot: TypeAlias = Callable[[KnownSnapshot, VirtualMachine], tuple[Sameness, Snapshot | None]]

READY: Final = "EnvironmentCheckpointReady"


def asks_for_checkpoint(old: CheckpointState | None, label: str) -> bool:
    """Whether a checkpoint is to be taken: the label isn't the one that was taken last."""
    return old is None or label != old.label or label in old.unfinished


def taken_checkpoint(
    ids: Mapping[str, str], vms: Mapping[str, VirtualMachine], ownership: str, moment: dt.datetime
) -> Checkpoint:
    """Returns the state of a checkpoint that has just been taken.

    Args:
        ids: Each VM's snapshot id, by the member's key.
        vms: The VMs, observed afterwards; one that could not be is as before.
        ownership: The mark of its snapshots.
        moment: The time of those whose own time isn't known.
    """
    found = {key: vms[key].snapshot(snapshot_id) for key, snapshot_id in ids.items()}
    first, skew = _times(found.values(), moment)
    return Checkpoint(
        taken_at=first,
        skew_seconds=skew,
        snapshots={key: _part(vms[key], ids[key], snapshot) for key, snapshot in found.items()},
        ownership=ownership,
        server=next(iter({vms[key].identity.server for key in ids}), None),
    )


def unfinished_checkpoint(mark: str, vms: Mapping[str, VirtualMachineIdentity]) -> UnfinishedCheckpoint:
    """A checkpoint that could not be taken, nor all of it be taken back, of these VMs."""
    ids = {key: vm.id for key, vm in vms.items()}
    return UnfinishedCheckpoint(ownership=mark, vms=ids, identities=dict(vms))


def known_vms(state: CheckpointState | None) -> list[VirtualMachineIdentity]:
    """Returns every VM that state knows."""
    if state is None:
        return []
    vms = list(located_vms(state.checkpoints.values()).values())
    return [*vms, *(vm for item in state.unfinished.values() for vm in item.known_vms.values())]


def refreshed(
    checkpoint: Checkpoint, observed: Mapping[VMKey, Outcome[VirtualMachine]], find: FindSnapshot
) -> Checkpoint:
    """Returns a checkpoint as its snapshots are now.

    Only what is definitely gone is dropped; what could not be read stays as it was. Where another snapshot
    has the id of a VM's, that is recorded first and dropped when it is found so again: from then on only a
    refresh that somebody asks for reads it (see `is_watched`).

    Args:
        checkpoint: As state holds it.
        observed: Its VMs as they were located, by `vm_key`.
        find: Finds a known snapshot among those of its VM.
    """
    parts: dict[str, CheckpointSnapshot] = {}
    found: list[Snapshot] = []
    missing, displaced = list(checkpoint.missing), list[str]()
    for key, part in checkpoint.snapshots.items():
        outcome = observed[vm_key(part)]
        if isinstance(outcome, Gone):
            missing.append(key)
            continue
        if isinstance(outcome, VmsnapshotError):
            parts[key] = part
            displaced += [key] if key in checkpoint.displaced else []
            continue
        sameness, snapshot = find(known_part(checkpoint, part), outcome)
        if sameness is Sameness.GONE or (sameness is Sameness.ANOTHER and key in checkpoint.displaced):
            missing.append(key)
        elif sameness is Sameness.ANOTHER:
            parts[key] = part
            displaced.append(key)
        elif snapshot is None:
            parts[key] = part
        else:
            parts[key] = _part(outcome, snapshot.id, snapshot)
            found.append(snapshot)
    fresh = replace(checkpoint, snapshots=parts, missing=missing, displaced=displaced)
    dated = all(part.create_time is not None for part in checkpoint.snapshots.values())
    servers = {
        outcome.identity.server for outcome in observed.values() if isinstance(outcome, VirtualMachine)
    }
    if len(servers) == 1:
        fresh = replace(fresh, server=servers.pop())
    if not missing and len(found) == len(parts):
        first, skew = _times(found, taken_at(checkpoint))
        fresh = replace(fresh, taken_at=checkpoint.taken_at if dated else first, skew_seconds=skew)
    return fresh


def vm_key(part: CheckpointSnapshot) -> VMKey:
    """Returns what tells the VM of a part from others."""
    return part.vm, part.vm_uid, part.instance_uuid


def located_vms(checkpoints: Iterable[Checkpoint]) -> dict[VMKey, VirtualMachineIdentity]:
    """Returns what state knows of the VMs of checkpoints."""
    return {
        vm_key(part): VirtualMachineIdentity(
            id=part.vm,
            name=key,
            instance_uuid=part.instance_uuid,
            uid=part.vm_uid,
            namespace_uid=part.namespace_uid,
            server=checkpoint.server,
        )
        for checkpoint in checkpoints
        for key, part in checkpoint.snapshots.items()
    }


def held_parts(state: CheckpointState) -> list[HeldSnapshot]:
    """Returns each snapshot of each checkpoint as state knows it."""
    return [
        HeldSnapshot(label, vms[vm_key(part)], known_part(checkpoint, part))
        for label, checkpoint in state.checkpoints.items()
        for vms in [located_vms([checkpoint])]
        for part in checkpoint.snapshots.values()
    ]


def known_part(checkpoint: Checkpoint, part: CheckpointSnapshot) -> KnownSnapshot:
    """Returns a VM's part of a checkpoint as state knows it."""
    moment = part.create_time
    return KnownSnapshot(
        id=part.id,
        name=(part.path or "").rpartition("/")[2],
        create_time=None if moment is None else parse_timestamp(moment),
        mark=checkpoint.ownership,
        uid=part.uid,
        unique_id=part.unique_id,
    )


def _times(found: Iterable[Snapshot | None], moment: dt.datetime) -> tuple[str, float]:
    """When the first was taken, and how many seconds later the last."""
    times = [item.create_time for item in found if item is not None and item.create_time is not None]
    first, last = min(times, default=moment), max(times, default=moment)
    return timestamp(first), (last - first).total_seconds()


def _part(vm: VirtualMachine, snapshot_id: str, snapshot: Snapshot | None) -> CheckpointSnapshot:
    part = CheckpointSnapshot(
        id=snapshot_id,
        vm=vm.identity.id,
        instance_uuid=vm.identity.instance_uuid,
        vm_uid=vm.identity.uid,
        namespace_uid=vm.identity.namespace_uid,
    )
    if snapshot is None:
        return part
    return replace(
        part,
        unique_id=snapshot.unique_id,
        uid=snapshot.uid,
        path=vm.path(snapshot_id),
        power_state=snapshot.power_state,
        create_time=timestamp_or_none(snapshot.create_time),
    )


def taken_at(checkpoint: Checkpoint) -> dt.datetime:
    """When its first snapshot was taken."""
    return parse_timestamp(checkpoint.taken_at)


def held_labels(checkpoints: Mapping[str, Checkpoint], inputs: CheckpointInputs) -> list[retention.Held]:
    """The checkpoints as retention looks at them; the one of the inputs' label was taken last."""
    members = {member.key for member in inputs.virtual_machines}
    return [
        retention.Held(
            label,
            taken_at(checkpoint),
            _is_whole(checkpoint, members),
            last=label == inputs.label,
            number=checkpoint.sequence or 0,
            recorded_at=None if checkpoint.recorded_at is None else parse_timestamp(checkpoint.recorded_at),
        )
        for label, checkpoint in checkpoints.items()
    ]


def recorded(taken: Checkpoint, before: Mapping[str, Checkpoint], moment: dt.datetime) -> Checkpoint:
    """A checkpoint that was just taken, with its place in the order in which they are taken.

    Args:
        taken: The checkpoint.
        before: Those that there were before.
        moment: This machine's time.
    """
    number = 1 + max((item.sequence or 0 for item in before.values()), default=0)
    return replace(taken, sequence=number, recorded_at=timestamp(moment))


def _is_whole(checkpoint: Checkpoint, members: Collection[str]) -> bool:
    """Whether the environment can go back to a checkpoint: what has left it needs no snapshot any more."""
    if checkpoint.complete:
        return True
    lost = {*checkpoint.missing, *checkpoint.displaced}
    return lost.isdisjoint(members) and checkpoint.snapshots.keys() >= set(members)


def rules_of(inputs: CheckpointInputs) -> retention.Rules:
    """What the user says of how long checkpoints are kept."""
    return retention.Rules(
        keep_last=inputs.keep_last,
        max_age=None if inputs.max_age is None else parse_duration(inputs.max_age),
        pinned=frozenset(inputs.pinned or ()),
    )


def held_snapshots(state: CheckpointState | None) -> frozenset[tuple[str, str]]:
    """Every snapshot that state holds: its VM's id and its own."""
    if state is None:
        return frozenset()
    return frozenset(
        (part.vm, part.id)
        for checkpoint in state.checkpoints.values()
        for part in checkpoint.snapshots.values()
    )


def planned_labels(
    checkpoints: Mapping[str, Checkpoint], over: Iterable[str], new: str | None, keys: Iterable[str]
) -> dict[str, Any]:
    """The computed input `checkpoints`: the labels after the update, each with its VMs."""
    kept = {label: item for label, item in checkpoints.items() if label not in set(over)}
    planned = {label: {"virtualMachines": sorted(item.snapshots)} for label, item in kept.items()}
    return planned | ({} if new is None else {new: {"virtualMachines": sorted(keys)}})


def state_of(
    inputs: CheckpointInputs,
    checkpoints: Mapping[str, Checkpoint],
    unfinished: Mapping[str, UnfinishedCheckpoint] | None = None,
    conditions: Iterable[Condition] = (),
) -> CheckpointState:
    """What state holds: the inputs, and the checkpoints that there are."""
    return CheckpointState(
        **inputs.model_dump(include=set(CheckpointInputs.model_fields) - {"checkpoints"}),
        checkpoints=dict(checkpoints),
        latest=retention.newest_complete(held_labels(checkpoints, inputs)),
        unfinished=dict(unfinished or {}),
        conditions=list(conditions),
    )


def is_watched(state: CheckpointState) -> bool:
    """Whether checkpoints are read before each preview and update.

    Nothing tells that read from a refresh that somebody asks for, which alone drops what another snapshot has
    displaced. So state that knows of such isn't read before an update.
    """
    return not any(item.displaced for item in state.checkpoints.values())
