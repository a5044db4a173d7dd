"""The API's names as the stand-in writes them, and what both kinds of object share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from lightkube.generic_resource import create_namespaced_resource

from devkit.kubernetes import GROUP, VERSION, VirtualMachine, VirtualMachineSnapshot

_KIB = 1024
Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name of a VirtualMachine: all work is done VM by VM."""

MACHINE = "VirtualMachine"
SNAPSHOT = "VirtualMachineSnapshot"
# The API versions that it speaks, the newest first: the VM Operator works with the one that is stored.
VERSIONS = ("v1alpha6", VERSION)
KINDS: dict[str, dict[str, Any]] = {
    VERSIONS[0]: {
        MACHINE: create_namespaced_resource(GROUP, VERSIONS[0], MACHINE, "virtualmachines"),
        SNAPSHOT: create_namespaced_resource(GROUP, VERSIONS[0], SNAPSHOT, "virtualmachinesnapshots"),
    },
    VERSION: {MACHINE: VirtualMachine, SNAPSHOT: VirtualMachineSnapshot},
}

FINALIZER = "vmoperator.vmware.com/virtualmachinesnapshot"
# Kubernetes' own, of what is deleted after what it owns.
FOREGROUND = "foregroundDeletion"
VM_NAME_LABEL = "snapshot.vmoperator.vmware.com/vm-name"
PAUSED = "vmoperator.vmware.com/paused"
REVERT_IN_PROGRESS = "vmoperator.vmware.com/snapshot-revert-in-progress"
CSI_SYNC = "csi.vsphere.volume.sync"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# A VM with either label is a node of a VKS cluster.
VKS_LABELS = ("capw.vmware.com/cluster.role", "capv.vmware.com/cluster.role")

# Conditions, and the reasons while they are False
READY = "VirtualMachineSnapshotReady"
CREATED = "VirtualMachineSnapshotCreated"
CSI_SYNCED = "VirtualMachineSnapshotCSISynced"
WAITING_FOR_CREATION = "VirtualMachineSnapshotWaitingForCreation"
WAITING_FOR_CSI_SYNC = "VirtualMachineSnapshotWaitingForCSISync"
WAITING_FOR_DISK_REGISTRATION = "VirtualMachineSnapshotWaitingForDiskRegistration"
CREATION_IN_PROGRESS = "VirtualMachineSnapshotCreationInProgress"
CREATION_FAILED = "VirtualMachineSnapshotCreationFailed"
CSI_SYNC_IN_PROGRESS = "VirtualMachineSnapshotCSISyncInProgress"
# Of a VM: its disks are its own; no snapshot is taken before (where it was deployed from a linked clone).
DISK_PROMOTION = "VirtualMachineDiskPromotionSynced"
# Of a VM: whether the copy of its object in the VM, which snapshots take along, is the newest.
BACKUP_UP_TO_DATE = "VirtualMachineBackupUpToDate"
BACKUP_PAUSED = "VirtualMachineBackupPaused"
TOOLS = "VirtualMachineTools"
TOOLS_NOT_RUNNING = "VirtualMachineToolsNotRunning"
REVERT_SUCCEEDED = "VirtualMachineSnapshotRevertSucceeded"
# The VM Operator adds it by itself; no snapshot brings it back.
ZONE_LABEL = "topology.kubernetes.io/zone"
REVERT_TASK_FAILED = "VirtualMachineSnapshotRevertTaskFailed"
REVERT_INVALID_MANIFEST = "VirtualMachineSnapshotRevertFailedInvalidVMManifest"
REVERT_SKIPPED = "VirtualMachineSnapshotRevertSkipped"
REVERT_FAILED = "VirtualMachineSnapshotRevertFailed"


def key_of(item: Object) -> Key:
    """The VM that an object is, or that a snapshot is of."""
    metadata = item["metadata"]
    if item["kind"] == MACHINE:
        return metadata["namespace"], metadata["name"]
    return metadata["namespace"], item.get("spec", {}).get("vmName", "")


def annotations_of(item: Object) -> dict[str, str]:
    """An object's annotations; empty without any."""
    found: dict[str, str] = item["metadata"].get("annotations") or {}
    return found


def labels_of(item: Object) -> dict[str, str]:
    """An object's labels; empty without any."""
    found: dict[str, str] = item["metadata"].get("labels") or {}
    return found


def deleted(item: Object) -> bool:
    """Whether it waits for its finalizers only."""
    return "deletionTimestamp" in item["metadata"]


def vks_node(machine: Object) -> bool:
    """Whether a VM belongs to a VKS cluster."""
    return any(label in labels_of(machine) for label in VKS_LABELS)


def condition(item: Object, kind: str) -> Object | None:
    """A condition of an object."""
    found = (item.get("status") or {}).get("conditions") or []
    return next((one for one in found if one["type"] == kind), None)


def holds(item: Object, kind: str) -> bool:
    """Whether a condition is True."""
    found = condition(item, kind)
    return found is not None and found["status"] == "True"


def mark(status: Object, kind: str, *, reason: str = "", message: str = "") -> None:
    """Set a condition: True without a reason, False with one. Its time changes with its words, too."""
    words = {
        "type": kind,
        "status": "False" if reason else "True",
        "reason": reason or "True",
        "message": message,
    }
    old: Object = next((one for one in status.get("conditions", []) if one["type"] == kind), {})
    if any(old.get(name) != value for name, value in words.items()):
        others = [one for one in status.get("conditions", []) if one is not old]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        new = words | {"lastTransitionTime": now}
        status["conditions"] = sorted([*others, new], key=lambda one: str(one["type"]))


def unmark(status: Object, kind: str) -> None:
    """Drop a condition."""
    kept = [one for one in status.get("conditions", []) if one["type"] != kind]
    if kept or "conditions" in status:
        status["conditions"] = kept


def quantity(size: int) -> str:
    """A number of bytes as the VM Operator writes it (pkg/util/kube/resources.go, BytesToResource).

    Binary units are for what is less than 1024 of one: 2 GiB is `2Gi`, and 3000 MiB is `3145728k`.
    """
    amount = size
    while amount >= _KIB and amount % _KIB == 0:
        amount //= _KIB
    return binary_quantity(size) if amount < _KIB else _in_units(size, 1000, "kMGTPE", "")


def binary_quantity(size: int) -> str:
    """A number of bytes in the largest binary unit that leaves no rest, as Kubernetes writes their sums."""
    return _in_units(size, _KIB, "KMGTPE", "i")


def _in_units(size: int, base: int, units: str, ending: str) -> str:
    unit = ""
    for larger in units:
        if not size or size % base:
            break
        size, unit = size // base, larger + ending
    return f"{size}{unit}"


def size_of(amount: str) -> int:
    """The bytes of a quantity that `quantity` wrote."""
    number = amount.rstrip("kKMGTPEi")
    unit = amount.removeprefix(number)
    power = "kMGTPE".index(unit[0].replace("K", "k")) + 1 if unit else 0
    base: int = (_KIB if unit.endswith("i") else 1000) ** power
    return int(number) * base


def minutes(duration: str) -> int:
    """A Go duration such as `1h10m`, rounded to whole minutes.

    Raises:
        ValueError: It isn't one.
    """
    part = r"(\d+(?:\.\d+)?)(h|ms|m|s)"
    if not re.fullmatch(f"({part})+", duration):
        raise ValueError(f'time: invalid duration "{duration}"')
    seconds = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return round(sum(float(number) * seconds[unit] for number, unit in re.findall(part, duration)) / 60)
