"""Which properties of vSphere's objects are read for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# A property's value by its path, as one object was read.
Properties = Mapping[str, Any]

# The configuration as a whole: a revert takes all of it back, so a preview compares all of it.
CONFIG: Final = ("config",)
# Another with each change of the VM's configuration.
VERSION: Final = "config.changeVersion"
# Where the VM's snapshots go, and how much room is there.
SPACE: Final = ("config.files.snapshotDirectory", "datastore")
# A VM read without its hardware, the decoding of which is two thirds of what reading a VM takes.
WITHOUT_HARDWARE: Final = "VirtualMachine without hardware"
# The same without the layout of its files either, the larger part of what is left.
WITHOUT_SIZES: Final = "VirtualMachine without hardware and sizes"
# What of the configuration `Machine` shows by properties of its own, two thirds of it.
SHOWN: Final = ("config.hardware", "config.version", "config.guestId", "config.annotation")
# A VM read with that of its configuration, and without the layout of its files and the room for snapshots.
WITHOUT_SETTINGS: Final = "VirtualMachine without settings and sizes"
# A VM read with its hardware, but without the layout of its files and the room for snapshots.
WITHOUT_LAYOUT: Final = "VirtualMachine without sizes"
# Without its hardware, but with the room on its datastores.
WITH_KNOWN_HARDWARE: Final = "VirtualMachine whose hardware is known"
# Nothing of a VM but the tasks that the server remembers with it.
ONLY_TASKS: Final = "VirtualMachine's tasks"
# Nothing of a VM but its name and where in the inventory it is.
ONLY_PLACE: Final = "VirtualMachine's place"
# A task with what came of it.
WITH_RESULT: Final = "Task with its result"
# What the current snapshot of a VM holds, read with the VM.
HELD: Final = "VirtualMachine's current snapshot"
# What is read of each kind of object.  Whole objects (`config`, `runtime`) are far larger than
# what is needed of them, and servers of an old API version hold parts that pyVmomi can't decode.
PROPERTIES: Final[dict[str, tuple[str, ...]]] = {
    "VirtualMachine": (
        "name",
        "parent",
        "parentVApp",
        "snapshot",
        "layoutEx",
        "recentTask",
        "disabledMethod",
        "config.instanceUuid",
        "config.template",
        "config.flags.snapshotDisabled",
        "config.managedBy.extensionKey",
        "config.flags.snapshotLocked",
        VERSION,
        *SPACE,
        *CONFIG,
        "runtime.connectionState",
        "runtime.powerState",
        "runtime.question",
        "runtime.faultToleranceState",
        "runtime.consolidationNeeded",
        "guest.toolsRunningStatus",
        "guest.toolsStatus",
        "capability.snapshotOperationsSupported",
        "capability.multipleSnapshotsSupported",
    ),
    "VirtualMachineSnapshot": CONFIG,
    "Task": (
        "info.state",
        "info.descriptionId",
        "info.activationId",
        "info.queueTime",
        "info.completeTime",
        "info.reason",
        "info.error",
    ),
    "Datastore": ("name", "summary.freeSpace"),
}

for _kind, _without in (
    (WITH_KNOWN_HARDWARE, CONFIG),
    (WITHOUT_HARDWARE, (*CONFIG, *SPACE)),
    (WITHOUT_SIZES, (*CONFIG, *SPACE, "layoutEx")),
    (WITHOUT_LAYOUT, (*SPACE, "layoutEx")),
):
    PROPERTIES[_kind] = tuple(path for path in PROPERTIES["VirtualMachine"] if path not in _without)
PROPERTIES[WITHOUT_SETTINGS] = (*PROPERTIES[WITHOUT_SIZES], *SHOWN)
PROPERTIES[WITH_RESULT] = (*PROPERTIES["Task"], "info.result")
PROPERTIES[ONLY_TASKS] = ("recentTask",)
PROPERTIES[ONLY_PLACE] = ("name", "parent", "parentVApp")
