"""What state holds of a snapshot, from what was observed: pure functions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Final

from vmsnapshot.lifecycle.common.observed import reference_to, timestamp, timestamp_or_none
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.snapshot import SnapshotInputs, SnapshotState
from vmsnapshot.model.status import Condition

_CREATED: Final = "VirtualMachineSnapshotCreated"
_READY: Final = "VirtualMachineSnapshotReady"

# Properties whose change means a call to the platform; the others only stand in state.
_ON_PLATFORM: Final = frozenset({"name", "description"})


def snapshot_state(
    inputs: SnapshotInputs, vm: VirtualMachine, snapshot: Snapshot, mark: str | None
) -> SnapshotState:
    """What state holds of a snapshot that was observed."""
    created = snapshot.create_time
    return SnapshotState(
        **inputs.model_dump(exclude={"name", "description"}),
        name=snapshot.name,
        description=snapshot.description or None,
        unique_id=snapshot.unique_id,
        uid=snapshot.uid,
        power_state=snapshot.power_state,
        quiesced=snapshot.quiesced,
        create_time=timestamp_or_none(created),
        # Never nothing: a revert that is given this as its snapshot would take it for "only watch".
        path=vm.path(snapshot.id) if vm.place_known(snapshot.id) else snapshot.name,
        parent=reference_to(vm.snapshot(snapshot.parent_id)),
        children=[
            reference for item in vm.children(snapshot.id) if (reference := reference_to(item)) is not None
        ],
        current=snapshot.id == vm.current_snapshot_id,
        conditions=list(snapshot.conditions) or _complete(created),
        storage=snapshot.storage,
        vm=vm.identity,
        ownership=mark,
    )


def unread_state(
    inputs: SnapshotInputs,
    vm: VirtualMachine,
    unique_id: str | None,
    mark: str,
    *,
    error: VmsnapshotError,
    moment: dt.datetime,
) -> SnapshotState:
    """What state holds of a snapshot that was taken and could not be read afterwards, at that moment."""
    return SnapshotState(
        **inputs.model_dump(exclude={"name"}),
        name=inputs.name or "",
        unique_id=unique_id,
        vm=vm.identity,
        ownership=mark,
        conditions=[_condition(_CREATED, "True", "True", moment), _not_read(error, moment)],
    )


def _condition(kind: str, status: str, reason: str, since: dt.datetime | None) -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "last_transition_time": timestamp_or_none(since),
        }
    )


def _complete(since: dt.datetime | None) -> list[Condition]:
    """Where the platform knows no conditions, a snapshot that is there is complete."""
    return [_condition(kind, "True", "True", since) for kind in (_CREATED, _READY)]


def was_complete(state: SnapshotState) -> bool:
    """Whether the snapshot that state holds was complete; an earlier run may have stopped waiting for it."""
    return bool(state.conditions) and all(item.status == "True" for item in state.conditions)


def only_in_state(changes: Collection[PropertyPath], old: SnapshotState) -> bool:
    """Whether an update changes nothing on the platform, but what state holds for a later delete."""
    touched = {path[0] for path in changes}
    return bool(touched) and _ON_PLATFORM.isdisjoint(touched) and was_complete(old)


def _not_read(error: VmsnapshotError, moment: dt.datetime) -> Condition:
    return Condition(
        type=_READY,
        status="Unknown",
        reason="VirtualMachineSnapshotNotRead",
        message=error.message,
        last_transition_time=timestamp(moment),
    )


def inputs_of(state: SnapshotState) -> SnapshotInputs:
    """Returns the inputs that state repeats."""
    return SnapshotInputs(**state.model_dump(include=set(SnapshotInputs.model_fields)))


def asked_texts(inputs: SnapshotInputs, touched: Collection[str], snapshot: Snapshot) -> tuple[str, str]:
    """Returns the name and the description that an update asks for.

    What it doesn't change stays as somebody has made it since: no preview has shown anything else.
    """
    name = (inputs.name if "name" in touched else None) or snapshot.name
    return name, (inputs.description or "") if "description" in touched else snapshot.description


def live_inputs(inputs: SnapshotInputs, snapshot: Snapshot) -> SnapshotInputs:
    """The inputs as somebody else's rename or edit would have written them."""
    description = snapshot.description
    same = description == (inputs.description or "")
    return replace(
        inputs, name=snapshot.name, description=inputs.description if same else (description or None)
    )
