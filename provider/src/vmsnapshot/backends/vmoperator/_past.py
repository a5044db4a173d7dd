"""What a VM was when its snapshot was taken, by the copy that is kept with the snapshots that we take."""

from __future__ import annotations

from vmsnapshot.backends.vmoperator._objects import (
    MACHINE,
    Object,
    annotations_of,
    machine_id,
    name_of,
    parsed,
)
from vmsnapshot.backends.vmoperator._observe import machine, unknown_machine
from vmsnapshot.backends.vmoperator._tree import proof_of
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine


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
    kept = kept_of(item)
    # Newer releases tell it of the VM, and not of others' snapshots, nor of those that an older one copied.
    cores = ["coresPerSocket"] if vm.machine.cores_per_socket is not None else []
    if not kept:
        unknown = unknown_machine(snapshot.power_state)
        return replace(unknown, not_known=[*(unknown.not_known or ()), *cores])
    found = replace(machine({"metadata": {}, **kept}), power_state=snapshot.power_state)
    names = {*(found.not_known or ()), *(["powerState"] if snapshot.power_state is None else [])}
    if snapshot.power_state is not None:
        names.discard("powerState")
    if found.cores_per_socket is None:
        names.update(cores)
    return replace(found, not_known=sorted(names) or None)
