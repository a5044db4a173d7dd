"""When a revert is asked for, and what state holds of one: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.observed import now, reference_to, timestamp
from vmsnapshot.model.machine import Machine, VirtualMachine
from vmsnapshot.model.revert import PowerPolicy, RevertInputs, RevertState
from vmsnapshot.model.status import Condition
from vmsnapshot.model.values import UNKNOWN, has_unknown, plain

# Inputs that check computes.
COMPUTED: Final = ("machine", "target", "seen")

# What says which VM and which snapshot a revert is about.
NAMING: Final = ("vmName", "namespace", "snapshot")

# Why a revert isn't as it was asked for.
REVERT_FAILED: Final = "VirtualMachineSnapshotRevertFailed"
POWER_PENDING: Final = "VirtualMachinePowerPolicyPending"

SUCCEEDED: Final = "VirtualMachineSnapshotRevertSucceeded"


def asks_for_revert(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether new inputs ask for a revert that the old ones didn't.

    They do when the triggers change, or when `snapshot` does; not when it is only spelt in another
    way, and still names the snapshot (`target`) that was asked for before.
    """
    if new.get("snapshot") is None:
        return False
    if old.get("snapshot") is None or _differ(old, new, "triggers"):
        return True
    same_target = new.get("target") is not None and not _differ(old, new, "target")
    return _differ(old, new, "snapshot") and not same_target


def _differ(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    return has_unknown(new.get(name)) or plain(old.get(name)) != plain(new.get(name))


def carried_over(old: rq.Properties, inputs: rq.Properties) -> rq.Properties:
    """The inputs without a new request: what was computed for the last one stays."""
    if inputs.get("snapshot") is None:
        return inputs
    return {**inputs, **{name: old[name] for name in COMPUTED if name in old}}


def power_asked(policy: PowerPolicy, machine: Machine) -> Literal["on", "off"] | None:
    """What is still to be done about the power after a revert."""
    if policy == "on" and machine.power_state != "PoweredOn":
        return "on"
    if policy == "off" and machine.power_state != "PoweredOff":
        return "off"
    return None


def revert_state(
    inputs: RevertInputs,
    vm: VirtualMachine,
    remembered: RevertState | None = None,
    *,
    conditions: list[Condition] | None = None,
) -> RevertState:
    """What state holds: the inputs, what is remembered, and the live VM.

    Where nothing is remembered the VM is watched from now on.
    """
    kept: dict[str, Any] = {"watched_since": timestamp(now())}
    if remembered is not None:
        kept = {
            "reverted_to": remembered.reverted_to,
            "reverted_at": remembered.reverted_at,
            "watched_since": remembered.watched_since,
            "safety_snapshots": remembered.safety_snapshots,
            "conditions": remembered.conditions if conditions is None else conditions,
        }
    asked = {name: getattr(inputs, name) for name in RevertInputs.model_fields}
    live = {
        "current_snapshot": reference_to(vm.current_snapshot),
        "machine": vm.machine,
        "vm": vm.identity,
    }
    return RevertState(**{**asked, **kept, **live})


def with_unknown(foreseen: rq.Properties) -> rq.Properties:
    """A preview's state in which what isn't known of the VM's past is unknown, and not absent."""
    machine = plain(foreseen.get("machine"))
    missing = machine.get("notKnown") if isinstance(machine, Mapping) else None
    if not missing:
        return foreseen
    unknown = dict.fromkeys([*missing, "notKnown"], UNKNOWN)
    return {**foreseen, "machine": {**machine, **unknown}}


def watched(identifier: str, state: rq.Properties, inputs: rq.Properties) -> rq.Resource:
    """A revert as it is now; the live VM is read before each preview and update."""
    return rq.Resource(identifier, state, inputs, refresh_before_update=True)
