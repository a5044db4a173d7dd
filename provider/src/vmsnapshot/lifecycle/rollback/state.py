"""When a rollback is asked for, and what state holds of one: pure functions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Any, Final

from vmsnapshot.lifecycle.common.observed import parse_timestamp, timestamp, timestamp_or_none
from vmsnapshot.lifecycle.common.safety_records import NotRemoved
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.model._base import copy_fields, replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import PowerPolicy
from vmsnapshot.model.rollback import MemberRollback, MemberSnapshot, RollbackInputs, RollbackState
from vmsnapshot.model.status import Condition

# Inputs that check computes.
COMPUTED: Final = ("machines", "targets", "seen")

# Attributes that say which VMs and which checkpoint a rollback is about.
NAMING: Final = ("virtual_machines", "to", "checkpoint")

# What asks for a rollback when it changes.
ASKING: Final = ("to", "triggers")

SUCCEEDED: Final = "EnvironmentRollbackSucceeded"


@dataclasses.dataclass(frozen=True)
class RollbackRequest:
    """What tells one request for a rollback from all others.

    Attributes:
        token: The same for the same request run again.
        after: The token of the request before it, or what else came before; None: nothing did, as far as
            state tells.
    """

    token: str
    after: str | None


def request_of(urn: str, inputs: RollbackInputs, old: RollbackState | None) -> RollbackRequest:
    """The request that inputs make: the open one of state if they are the same, or a new one after it.

    What came before tells requests apart, whatever the URN: an alias may have changed it since an interrupted
    run. The token's end is what was asked for.
    """
    asked = _digest([inputs.to, inputs.triggers])
    if old is not None and old.conditions and old.request is not None:
        # 0.1.0 made one token of all.
        earlier = _digest([[urn, inputs.to, inputs.triggers], old.after])
        if old.request.endswith(f"-{asked}") or old.request == earlier:
            return RollbackRequest(old.request, old.after)
    after = None if old is None else old.request or old.after
    return RollbackRequest(f"{_digest([urn if after is None else None, after])}-{asked}", after)


def reverted_before(old: RollbackState | None, token: str) -> dict[str, MemberRollback]:
    """What state tells was already reverted for a request, by the member's key."""
    if old is None or old.request != token:
        return {}
    return {key: item for key, item in old.progress.items() if item.reverted_to is not None}


def known_until(state: RollbackState) -> dt.datetime | None:
    """The end of the last thing that state knows to have been done to one of the VMs; None: nothing was."""
    texts = [state.rolled_back_at, *(item.last_transition_time for item in state.conditions)]
    texts += [text for item in state.progress.values() for text in (item.reverted_at, item.undone_at)]
    return max((parse_timestamp(text) for text in texts if text is not None), default=None)


def half_done_before(old: RollbackState | None, token: str | None) -> list[str]:
    """The VMs whose revert for a request has failed, and has taken their disks back: their members' keys."""
    if old is None or old.request != token:
        return []
    return [key for key, item in old.progress.items() if item.reverted_to is None and item.request]


def vms_of(
    old: RollbackState | None, request: RollbackRequest | None
) -> Mapping[str, VirtualMachineIdentity]:
    """Returns the VMs that a request was begun with, as far as state tells, by the member's key."""
    return old.vms if old is not None and request is not None and old.request == request.token else {}


def known_members(state: RollbackState) -> dict[str, VirtualMachineIdentity]:
    """Returns which VMs the members are that state lists, as far as it tells, by their keys."""
    listed = {member.key for member in state.virtual_machines}
    return {key: vm for key, vm in state.vms.items() if key in listed}


def with_safety_snapshots(state: RollbackState) -> dict[str, VirtualMachineIdentity]:
    """Returns the VMs of which state holds a safety snapshot, also those that have left the environment."""
    kept = {key for key, item in state.progress.items() if item.safety_snapshot is not None}
    return {key: vm for key, vm in state.vms.items() if key in kept}


class Unfinished(Exception):
    """A rollback that isn't complete, and the state that says so."""

    def __init__(self, state: RollbackState, cause: VmsnapshotError) -> None:
        super().__init__(cause.message)
        self.state = state
        self.cause = cause


class Progress:
    """What was done to each VM so far; threads record it while they work.

    Args:
        before: What was done before this run, by the member's key.
    """

    def __init__(self, before: Mapping[str, MemberRollback]) -> None:
        self._lock = threading.Lock()
        self._members = dict(before)

    @property
    def members(self) -> dict[str, MemberRollback]:
        """As state holds it, by the member's key."""
        with self._lock:
            return dict(self._members)

    def of(self, key: str) -> MemberRollback:
        """Returns what was done to one VM so far."""
        with self._lock:
            return self._members.get(key, MemberRollback())

    def record(self, key: str, member: MemberRollback) -> None:
        """Record what was done to one VM by now; one thread at a time works on it."""
        with self._lock:
            self._members[key] = member


def member_snapshot(vm: VirtualMachine, snapshot: Snapshot) -> MemberSnapshot:
    """Returns a snapshot in the form that state holds."""
    return MemberSnapshot(
        id=snapshot.id,
        path=vm.path(snapshot.id),
        unique_id=snapshot.unique_id,
        create_time=timestamp_or_none(snapshot.create_time),
    )


def is_member_snapshot(known: MemberSnapshot, snapshot: Snapshot) -> bool:
    """Returns whether a snapshot of a VM is the one that state holds: by its date, where both tell one."""
    if known.create_time is not None and snapshot.create_time is not None:
        return known.create_time == timestamp(snapshot.create_time)
    return known.id == snapshot.id


def is_power_pending(old: RollbackState | None, item: MemberRollback, policy: PowerPolicy) -> bool:
    """Whether the power of a VM that was reverted is still to be done: it failed, or was asked for since."""
    return policy != "snapshot" and (item.power_pending or (old is not None and old.power_policy != policy))


def asks_for_rollback(old: RollbackInputs | None, new: Inputs[RollbackInputs]) -> bool:
    """Whether new inputs ask for a rollback that the old ones (or state) didn't."""
    asked = new.model
    if asked.to is None and new.knows("to"):
        return False
    if old is None or not new.knows(*ASKING):
        return True
    return (old.to, old.triggers) != (asked.to, asked.triggers)


def is_open(state: RollbackState) -> bool:
    """Whether the last rollback that was asked for is not complete."""
    return any(item.type == SUCCEEDED for item in state.conditions)


def is_asked(old_inputs: RollbackInputs, old_state: RollbackState, new: Inputs[RollbackInputs]) -> bool:
    """Whether an update is to roll back: it is newly asked for, or not complete.

    After a create that failed midway, the engine has the new inputs for old ones; state has not.
    """
    return asks_for_rollback(old_inputs, new) or (is_open(old_state) and asks_for_rollback(old_state, new))


def fulfilled_inputs(inputs: RollbackInputs, state: RollbackState) -> RollbackInputs:
    """The inputs without what was asked for and isn't complete, so that the next update asks for it."""
    if (inputs.to, inputs.triggers) == (state.to, state.triggers):
        return inputs
    asked = replace(inputs, to=state.to, triggers=state.triggers)
    return replace(asked, machines=None, targets=None, seen=None)


def carried_over(old: RollbackInputs | None, inputs: RollbackInputs) -> RollbackInputs:
    """The inputs without a new request: what was computed for the last one stays."""
    if inputs.to is None or old is None:
        return inputs
    return copy_fields(inputs, old, COMPUTED)


def watched_anew(
    inputs: RollbackInputs, machines: Mapping[str, VirtualMachine], moment: dt.datetime
) -> RollbackState:
    """State of a resource that only watches its VMs, from that moment on."""
    return RollbackState(**{**_asked(inputs), **_live(machines)}, after=f"made {timestamp(moment)}")


def watching(
    inputs: RollbackInputs, machines: Mapping[str, VirtualMachine], remembered: RollbackState
) -> RollbackState:
    """State without a rollback: the inputs, what is remembered, and the live VMs."""
    kept = {name: getattr(remembered, name) for name in ("rolled_back_to", "rolled_back_at", "progress")}
    # Whatever was asked for before is over: asked for again, it is another request.
    kept["after"] = remembered.request or remembered.after
    return RollbackState(**{**_asked(inputs), **kept, **_live(machines)})


def with_inputs(state: RollbackState, inputs: RollbackInputs) -> RollbackState:
    """What state holds after an update that only records the inputs; `machines` are the live VMs."""
    after = copy_fields(state, inputs, RollbackInputs.model_fields)
    return replace(after, machines=state.machines, leftover_safety_snapshots=[])


def with_leftovers(state: RollbackState, not_removed: NotRemoved) -> RollbackState:
    """State that also holds which safety snapshots could not be removed."""
    return replace(
        state,
        leftover_safety_snapshots=not_removed.leftovers,
        conditions=[*state.conditions, not_removed.condition],
    )


def completed(
    inputs: RollbackInputs,
    machines: Mapping[str, VirtualMachine],
    progress: Mapping[str, MemberRollback],
    request: RollbackRequest,
    moment: dt.datetime,
) -> RollbackState:
    """State after a rollback of every VM."""
    return RollbackState(
        **{**_asked(inputs), **_live(machines)},
        rolled_back_to=inputs.to,
        rolled_back_at=timestamp(moment),
        progress=dict(progress),
        request=request.token,
        after=request.after,
    )


def unfinished(
    inputs: RollbackInputs,
    vms: Mapping[str, VirtualMachine],
    machines: Mapping[str, VirtualMachine],
    old: RollbackState | None,
    *,
    progress: Mapping[str, MemberRollback],
    request: RollbackRequest,
    condition: Condition,
) -> RollbackState:
    """State after a rollback that isn't complete.

    `to` and `triggers` are those of the last that was, as long as no VM has been moved away from it:
    asking for that label again is then a new request. Of `vms`, only `machines` could be read afterwards.
    """
    moved = any(item.reverted_to is not None for item in progress.values())
    asked = None if moved else old
    return RollbackState(
        **{
            **_asked(inputs),
            **_live(machines),
            "vms": {key: vm.identity for key, vm in vms.items()},
            "to": None if asked is None else asked.to,
            "triggers": None if asked is None else asked.triggers,
        },
        rolled_back_to=None if old is None else old.rolled_back_to,
        rolled_back_at=None if old is None else old.rolled_back_at,
        progress=dict(progress),
        request=request.token,
        after=request.after,
        conditions=[condition],
    )


def _asked(inputs: RollbackInputs) -> dict[str, Any]:
    return {name: getattr(inputs, name) for name in RollbackInputs.model_fields}


def _live(machines: Mapping[str, VirtualMachine]) -> dict[str, Any]:
    return {
        "vms": {key: vm.identity for key, vm in machines.items()},
        "machines": {key: vm.machine for key, vm in machines.items()},
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def done_members(urn: str, given: Inputs[RollbackInputs], old: RollbackState) -> Mapping[str, MemberRollback]:
    """The VMs that this very rollback has already reverted, as far as state tells."""
    if not given.knows(*ASKING) or not is_open(old):
        return {}
    return reverted_before(old, request_of(urn, given.model, old).token)
