"""What a VM was when its snapshot was taken, by the copy that is kept with the snapshots that we take."""

from __future__ import annotations

from typing import Final

from vmsnapshot.backends.vmoperator._objects import (
    MACHINE,
    Object,
    annotations_of,
    machine_id,
    name_of,
    parsed,
)
from vmsnapshot.backends.vmoperator._observe import machine, unknown_machine, with_unknown
from vmsnapshot.backends.vmoperator._tree import proof_of
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Machine, PowerState, Snapshot, VirtualMachine

# What a spec that the VM Operator makes up for an imported snapshot has of the one that is there
# (pkg/providers/vsphere/vmprovider_vmsnapshot.go, synthesizeVMSpecForSnapshot), ...
_STAYS: Final = ("groupName", "storageClass")
# ... of the snapshot's hardware, or of what the VM Operator writes back by itself afterwards: not known, so
# without a change, ...
_TRACKING: Final = "advanced.changeBlockTracking"
_READ_AGAIN: Final = (_TRACKING, "biosUUID", "hardware", "instanceUUID", "network")
_NETWORK_READ_AGAIN: Final = (".name", ".network.apiVersion", ".network.kind")
# ... and by the API's defaults.
_DEFAULTS: Final = {
    "powerOffMode": "TrySoft",
    "promoteDisksMode": "Online",
    "restartMode": "TrySoft",
    "suspendMode": "TrySoft",
}


def kept_of(item: Object | None) -> Object:
    """What was kept of the VM with this very object: not with one from whose YAML it was made."""
    kept = parsed(annotations_of(item).get(MACHINE)) if item is not None else {}
    if item is None or not kept:
        return {}
    if "with" not in kept:  # of an older release: the mark tells
        return kept if proof_of(item) is not None else {}
    own = machine_id(item["metadata"].get("namespace", ""), name_of(item))
    return kept if kept["with"] == own else {}


def machine_of(vm: VirtualMachine, snapshot: Snapshot, item: Object | None) -> Machine:
    """The VM as it was; the power is what a revert leaves.

    Args:
        vm: The VM as it is now.
        snapshot: The snapshot.
        item: Its object; None: it has none.
    """
    # What was kept is of the time when the object was made: a snapshot that was adopted holds another.
    kept = kept_of(item) if snapshot.adoption is None else {}
    # Newer releases tell it of the VM, and not of others' snapshots, nor of those that an older one copied.
    cores = ["coresPerSocket"] if vm.machine.cores_per_socket is not None else []
    if not kept:
        made_up = snapshot.adoption == "imported" and not vm.machine.of_image
        unknown = _made_up(vm, snapshot.power_state) if made_up else unknown_machine(snapshot.power_state)
        return replace(unknown, not_known=[*(unknown.not_known or ()), *cores])
    found = replace(machine({"metadata": {}, **kept}), power_state=snapshot.power_state)
    names = {*(found.not_known or ()), *(["powerState"] if snapshot.power_state is None else [])}
    if snapshot.power_state is not None:
        names.discard("powerState")
    if found.cores_per_socket is None:
        names.update(cores)
    return replace(found, not_known=sorted(names) or None)


def _made_up(vm: VirtualMachine, power: PowerState | None) -> Machine:
    """The VM as the VM Operator makes it up where a snapshot that was imported holds no copy of its object.

    Of a VM that was made from an image, it takes the copy that the snapshot then probably holds.
    """
    now = vm.machine.settings or {}
    settings = {name: _DEFAULTS.get(name, value) for name, value in now.items() if _is_left(name)}
    found = with_unknown(Machine(power_state=power, settings=settings, labels={}, annotations={}))
    # A spec that is made up always says of change tracking what the snapshot does, if that says anything.
    read = [name for name in _READ_AGAIN if name == _TRACKING or any(_within(one, name) for one in now)]
    groups = [f"settings.{name}" for name in read]
    unknown = [*(name for name in found.not_known or () if name != "className"), "guestID", *groups]
    return replace(found, not_known=unknown)


def _is_left(name: str) -> bool:
    """Whether a setting is there after its object was made up, as far as is known."""
    if _within(name, "network"):
        return name == "network.hostName" or (
            name.startswith("network.interfaces[") and name.partition("]")[2] in _NETWORK_READ_AGAIN
        )
    if _within(name, "hardware.cdrom"):
        return False
    return name in _DEFAULTS or any(_within(name, one) for one in (*_STAYS, *_READ_AGAIN))


def _within(name: str, group: str) -> bool:
    return name == group or name.startswith((f"{group}.", f"{group}["))
