"""What a VM was when its snapshot was taken, by the copy that is kept with the snapshots that we take."""

from __future__ import annotations

from vmsnapshot.backends.vmoperator._objects import MACHINE, Object, annotations_of, parsed
from vmsnapshot.backends.vmoperator._observe import machine, unknown_machine
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine


def machine_of(vm: VirtualMachine, snapshot: Snapshot, item: Object | None) -> Machine:
    """The VM as it was; the power is what a revert leaves.

    Args:
        vm: The VM as it is now.
        snapshot: The snapshot.
        item: Its object; None: it has none.
    """
    kept = parsed(annotations_of(item).get(MACHINE)) if item is not None else {}
    if not kept:
        return unknown_machine(snapshot.power_state)
    found = replace(machine({"metadata": {}, **kept}), power_state=snapshot.power_state)
    unknown = {*(found.not_known or ()), *(["powerState"] if snapshot.power_state is None else [])}
    if snapshot.power_state is not None:
        unknown.discard("powerState")
    # Newer releases tell it, and a copy may be of the time before.
    if found.cores_per_socket is None and vm.machine.cores_per_socket is not None:
        unknown.add("coresPerSocket")
    return replace(found, not_known=sorted(unknown) or None)
