"""Preflight checks of the room that a snapshot needs on its datastores."""

from __future__ import annotations

from vmsnapshot.model.formatting import format_size
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.plan import Finding

# With less than this left on the datastore, a preview warns. Ours: delta disks grow in steps of MiB,
# and a busy VM writes some GiB in an hour.
LOW_SPACE = 5 * 1024**3


def space_findings(vm: VirtualMachine, *, memory: bool) -> list[Finding]:
    """Returns a warning for each datastore that is known to have little room for a snapshot.

    Memory and settings go to the VM's snapshotDirectory, each disk's delta beside its parent. Never an error:
    vSphere itself refreshes the numbers only now and then.
    """
    found = []
    needed = (vm.machine.memory_mb or 0) * 1024**2 if memory else 0
    for name in sorted({vm.datastore or "", *vm.delta_datastores} & vm.free_bytes.keys()):
        left = vm.free_bytes[name]
        where = f"datastore {name}, which has {format_size(left)} free"
        if name == vm.datastore:
            left -= needed
        if left < 0:
            text = f"The snapshot's memory ({format_size(needed)}) does not fit on {where}."
            found.append(Finding(severity="warning", code="noSpaceForMemory", message=text))
        elif name in vm.delta_datastores and left < LOW_SPACE:
            text = f"Little room is left for a snapshot's disks to grow on {where}."
            found.append(Finding(severity="warning", code="lowSpace", message=text))
    return found
