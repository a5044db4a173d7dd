"""VM snapshots, reverts, clones, checkpoints and rollbacks for Python programs that can't install a plugin.

    from vmsnapshot import dynamic as vmsnapshot

    before = vmsnapshot.VirtualMachineSnapshot("before-release", vm_name="web-1")

The arguments are those of the generated SDK; docs/dynamic.md says what differs.
"""

from vmsnapshot.frontends.dynamic._provider import Failed, Provider
from vmsnapshot.frontends.dynamic._resources import (
    EnvironmentCheckpoint,
    EnvironmentRollback,
    VirtualMachineClone,
    VirtualMachineRevert,
    VirtualMachineSnapshot,
)

__all__ = [
    "EnvironmentCheckpoint",
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
