"""When a revert is asked for, and what state holds of one: pure functions."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any, Final, Literal

from vmsnapshot.lifecycle.common.identity import is_same_key, snapshot_identity, vm_key
from vmsnapshot.lifecycle.common.observed import parse_timestamp, reference_to, timestamp, timestamp_or_none
from vmsnapshot.lifecycle.common.safety import SafetySpec
from vmsnapshot.lifecycle.common.safety_records import NotRemoved
from vmsnapshot.lifecycle.common.selection import new_id_text
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.errors import VmsnapshotError, full_stop
from vmsnapshot.model._base import copy_fields, replace
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.revert import (
    PowerPolicy,
    RevertedTo,
    RevertInputs,
    RevertState,
    SafetySnapshot,
    TakenSafetySnapshot,
)
from vmsnapshot.model.status import Condition

# Inputs that check computes.
COMPUTED: Final = ("machine", "target", "seen")

# Attributes that say which VM and which snapshot a revert is about.
NAMING: Final = ("vm_name", "namespace", "snapshot")

# What asks for a revert when it changes.
ASKING: Final = ("snapshot", "triggers")

# Why a revert isn't as it was asked for.
REVERT_FAILED: Final = "VirtualMachineSnapshotRevertFailed"
# The same, where it has taken the VM's disks back all the same; the message ends with the request's id.
HALF_DONE: Final = "VirtualMachineSnapshotRevertIncomplete"
POWER_PENDING: Final = "VirtualMachinePowerPolicyPending"

# A condition that is False while the VM is gone.
VM_FOUND: Final = "VirtualMachineFound"

SUCCEEDED: Final = "VirtualMachineSnapshotRevertSucceeded"


class Unfinished(Exception):
    """An update that isn't complete, and the state that says so.

    Attributes:
        state: What state is to hold.
        cause: Why.
        reverted: Whether what was asked for is done, so that the next update doesn't ask for it again.
    """

    def __init__(self, state: RevertState, cause: VmsnapshotError, *, reverted: bool) -> None:
        super().__init__(cause.message)
        self.state = state
        self.cause = cause
        self.reverted = reverted


def asks_for_revert(old: RevertInputs | None, new: Inputs[RevertInputs]) -> bool:
    """Whether new inputs ask for a revert that the old ones didn't.

    They do when the triggers change, or when `snapshot` does; not when it is only spelt in another
    way, and still names the snapshot (`target`) that was asked for before.
    """
    asked = new.model
    if asked.snapshot is None and new.knows("snapshot"):
        return False
    if old is None or old.snapshot is None or old.triggers != asked.triggers or not new.knows("triggers"):
        return True
    known = asked.target is not None and old.target is not None
    same_target = known and is_same_key(str(asked.target), str(old.target))
    return not same_target and (old.snapshot != asked.snapshot or not new.knows("snapshot"))


def is_asked(old_inputs: RevertInputs, old_state: RevertState, new: Inputs[RevertInputs]) -> bool:
    """Whether an update is to revert: what was done, as state says, isn't what is asked for now."""
    return asks_for_revert(fulfilled_inputs(old_inputs, old_state), new)


def fulfilled_inputs(inputs: RevertInputs, state: RevertState) -> RevertInputs:
    """The inputs with what state says was asked for and done.

    The engine keeps others with what isn't finished: after a create that failed the new ones, though nothing
    was reverted; after an update whose revert was done, and whose power step failed, the old ones.
    """
    if (state.snapshot, state.triggers) == (inputs.snapshot, inputs.triggers):
        return inputs
    done = replace(inputs, snapshot=state.snapshot, triggers=state.triggers)
    if any(item.reason in {REVERT_FAILED, HALF_DONE} for item in state.conditions):
        return replace(done, machine=None, target=None, seen=None)
    return copy_fields(done, state, COMPUTED)


def request_id(
    urn: str, vm: VirtualMachine, target: Snapshot, inputs: RevertInputs, old: RevertState | None
) -> str:
    """The same for the same request run again, wherever the VM is then, and another for any other request.

    What came before tells requests apart, whatever the URN: an alias may have changed it since an interrupted
    run.
    """
    after = (old.reverted_at or old.watched_since) if old is not None else None
    asked = {
        "urn": urn if after is None else None,
        "vm": vm_key(vm.identity),
        "target": snapshot_identity(target),
        "inputs": {"snapshot": inputs.snapshot, "triggers": inputs.triggers},
        # What came before: an equal request of another resource of this name came after something else.
        "after": after,
        "was": old.snapshot if old is not None else None,
        "wasTriggers": old.triggers if old is not None else None,
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return f"vmsnapshot-revert-{digest[:24]}"


def is_first(old: RevertState | None) -> bool:
    """Whether no state tells the request from an equal earlier one."""
    return old is None or old.vm is None


def known_until(state: RevertState) -> dt.datetime | None:
    """The end of the last thing that state knows to have been done to the VM; None: nothing was."""
    known = (state.reverted_at, state.watched_since)
    return max((parse_timestamp(text) for text in known if text is not None), default=None)


def safety_spec(inputs: RevertInputs) -> SafetySpec:
    """How a revert's safety snapshot is taken."""
    rule = inputs.safety_snapshot or SafetySnapshot()
    return SafetySpec("revert", rule.name, rule.memory)


def carried_over(old: RevertInputs | None, inputs: RevertInputs) -> RevertInputs:
    """The inputs without a new request: what was computed for the last one stays."""
    if inputs.snapshot is None or old is None:
        return inputs
    return copy_fields(inputs, old, COMPUTED)


def with_inputs(state: RevertState, inputs: RevertInputs) -> RevertState:
    """What state holds, with other inputs; `machine` is theirs, too."""
    return copy_fields(state, inputs, RevertInputs.model_fields)


def count_update(old: RevertState) -> list[TakenSafetySnapshot]:
    """The safety snapshots after one more update of the resource."""
    return [replace(item, updates=item.updates + 1) for item in old.safety_snapshots]


def takes_safety(new: Inputs[RevertInputs], old: RevertState) -> bool:
    """Whether a revert may leave other safety snapshots than state holds: some that only the update knows."""
    known = new.knows("safety_snapshot") and new.model.safety_snapshot is None
    return not known or bool(old.leftover_safety_snapshots)


def with_taken(
    kept: list[TakenSafetySnapshot], taken: list[TakenSafetySnapshot]
) -> list[TakenSafetySnapshot]:
    """The safety snapshots with all that are there of a request: earlier tries of it may have taken some."""
    again = {item.ownership for item in taken}
    return [*(item for item in kept if item.ownership not in again), *taken]


def power_asked(policy: PowerPolicy, machine: Machine) -> Literal["on", "off"] | None:
    """What is still to be done about the power after a revert."""
    if policy == "on" and machine.power_state != "PoweredOn":
        return "on"
    if policy == "off" and machine.power_state != "PoweredOff":
        return "off"
    return None


def pending_power(state: RevertState, policy: PowerPolicy) -> Literal["on", "off"] | None:
    """What is still to be done about the power because an earlier update failed with it, or None."""
    if state.machine is None or not any(item.reason == POWER_PENDING for item in state.conditions):
        return None
    return power_asked(policy, state.machine)


def without_power_pending(
    conditions: list[Condition], policy: PowerPolicy, machine: Machine
) -> list[Condition]:
    """The conditions, without the one that says that the power is still to be done where it is as asked."""
    if power_asked(policy, machine) is not None:
        return conditions
    return [item for item in conditions if item.reason != POWER_PENDING]


def revert_state(
    inputs: RevertInputs,
    vm: VirtualMachine,
    remembered: RevertState,
    *,
    conditions: list[Condition] | None = None,
) -> RevertState:
    """What state holds: the inputs, what is remembered, and the live VM."""
    return _state_of(
        inputs,
        vm,
        {
            "reverted_to": remembered.reverted_to,
            "reverted_at": remembered.reverted_at,
            "watched_since": remembered.watched_since,
            "safety_snapshots": remembered.safety_snapshots,
            "leftover_safety_snapshots": remembered.leftover_safety_snapshots,
            "conditions": remembered.conditions if conditions is None else conditions,
        },
    )


def watched_state(inputs: RevertInputs, vm: VirtualMachine, moment: dt.datetime) -> RevertState:
    """What state holds where nothing is remembered: the VM is watched from that moment on."""
    return _state_of(inputs, vm, {"watched_since": timestamp(moment)})


def reverted_state(
    inputs: RevertInputs, vm: VirtualMachine, target: Snapshot, moment: dt.datetime, old: RevertState | None
) -> RevertState:
    """What state holds of a revert that is done, before the VM is read again."""
    return RevertState(
        **inputs.model_dump(exclude={"machine"}),
        reverted_to=RevertedTo(
            name=target.name,
            unique_id=target.unique_id,
            create_time=timestamp_or_none(target.create_time),
        ),
        reverted_at=timestamp(moment),
        watched_since=old.watched_since if old is not None else None,
        vm=vm.identity,
    )


def recorded(state: RevertState, not_removed: NotRemoved | None) -> RevertState:
    """The state, unless safety snapshots of an earlier update could not be removed.

    Raises:
        Unfinished: They could not.
    """
    if not_removed is None:
        return state
    state = replace(state, conditions=[*state.conditions, not_removed.condition])
    raise Unfinished(state, not_removed.error, reverted=True)


def not_begun_state(inputs: RevertInputs, vm: VirtualMachine, moment: dt.datetime) -> RevertState:
    """What state holds of a VM that was to be reverted by a create and isn't: it is still asked for."""
    return replace(watched_state(inputs, vm, moment), snapshot=None, triggers=None)


def _state_of(inputs: RevertInputs, vm: VirtualMachine, kept: dict[str, Any]) -> RevertState:
    asked = {name: getattr(inputs, name) for name in RevertInputs.model_fields}
    live = {
        "current_snapshot": reference_to(vm.current_snapshot),
        "machine": vm.machine,
        "vm": vm.identity,
    }
    return RevertState(**{**asked, **kept, **live})


def without_vm(old: RevertState, moment: dt.datetime) -> RevertState:
    """What state holds once the VM is seen to be gone: all that is remembered, and which VM that was."""
    condition = Condition(
        type=VM_FOUND,
        status="False",
        reason="NotFound",
        last_transition_time=timestamp(moment),
    )
    conditions = old.conditions
    if not any(item.type == VM_FOUND for item in conditions):
        conditions = [*conditions, condition]
    return replace(old, machine=None, current_snapshot=None, conditions=conditions)


def without_gone(conditions: list[Condition]) -> list[Condition]:
    """The conditions of a VM that was gone and is there again."""
    return [item for item in conditions if item.type != VM_FOUND]


def gone_text(why: str) -> str:
    """What it means that the VM is gone, in words."""
    return (
        f"{full_stop(why)} What this resource remembers of it stays in state. No other VM is reverted, also "
        "none of the same name, until `snapshot` or `triggers` change."
    )


def moved_text(old: RevertState, vm: VirtualMachine) -> str | None:
    """That the VM has another id, or is no longer what `vmName` calls it; None: neither."""
    if old.vm is None:
        return None
    identity = vm.identity
    if old.vm.id != identity.id:
        return new_id_text(old.vm.id, vm)
    if (old.vm.name, old.vm.path) != (identity.name, identity.path):
        return (
            f'VM "{old.vm.path or old.vm.name}" ({identity.id}) is now "{identity.path or identity.name}". '
            "State follows; nothing else is done."
        )
    return None


def unknown_outputs(machine: Machine | None) -> list[PropertyPath]:
    """The paths of what a preview can't tell of the VM: what isn't known of its past, and is not absent."""
    if machine is None or not machine.not_known:
        return []
    names = [name for name in machine.not_known if "." not in name]
    return [("machine", name) for name in (*names, "notKnown")]
