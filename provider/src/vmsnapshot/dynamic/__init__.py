"""VM snapshots, reverts, clones, checkpoints, rollbacks and rehearsals for programs without a plugin.

    from vmsnapshot import dynamic as vmsnapshot

    before = vmsnapshot.VirtualMachineSnapshot("before-release", vm_name="web-1")

The arguments are those of the generated SDK; docs/dynamic.md says what differs.
"""

from vmsnapshot.frontends.dynamic._provider import Failed, Provider
from vmsnapshot.frontends.dynamic._resources import (
    EnvironmentCheckpoint,
    EnvironmentRehearsal,
    EnvironmentRollback,
    VirtualMachineClone,
    VirtualMachineRevert,
    VirtualMachineSnapshot,
)

__all__ = [
    "EnvironmentCheckpoint",
    "EnvironmentRehearsal",
    "EnvironmentRollback",
    "Failed",
    "Provider",
    "VirtualMachineClone",
    "VirtualMachineRevert",
    "VirtualMachineSnapshot",
]

# State names the provider by where it is found: here, wherever it is written.
for _name in __all__:
    globals()[_name].__module__ = __name__
