"""The API's names, and what is read of any of its objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

# An object of the API, or a part of one, as its JSON has it.
Object: TypeAlias = dict[str, Any]

GROUP: Final = "vmoperator.vmware.com"
# The newest first: a release that serves v1alpha6 stores it, and converts what is read in an older version.
# Both have the same fields as far as they are used here.
VERSIONS: Final = ("v1alpha6", "v1alpha5")
MACHINES: Final = "virtualmachines"
SNAPSHOTS: Final = "virtualmachinesnapshots"
KINDS: Final = {MACHINES: "VirtualMachine", SNAPSHOTS: "VirtualMachineSnapshot"}

# Conditions, in the order in which they come true.
CREATED: Final = "VirtualMachineSnapshotCreated"
CSI_SYNCED: Final = "VirtualMachineSnapshotCSISynced"
READY: Final = "VirtualMachineSnapshotReady"
CREATION_IN_PROGRESS: Final = "VirtualMachineSnapshotCreationInProgress"
CREATION_FAILED: Final = "VirtualMachineSnapshotCreationFailed"
REVERT_SUCCEEDED: Final = "VirtualMachineSnapshotRevertSucceeded"
REVERT_IN_PROGRESS: Final = "VirtualMachineSnapshotRevertInProgress"
# Reverted in vSphere, and the spec could not be brought back
REVERT_INVALID_MANIFEST: Final = "VirtualMachineSnapshotRevertFailedInvalidVMManifest"
# True while VMware Tools run in the guest
TOOLS: Final = "VirtualMachineTools"
# False while something of the spec isn't in effect on the VM (the last three: v1alpha6)
NOT_APPLIED: Final = (
    "VirtualMachineClassConfigurationSynced",
    "VirtualMachineExtraConfigSynced",
    "VirtualMachineNetworkConfigSynced",
    "VirtualMachineComputeConfigSynced",
)
# False while the copy of the VM's object in the VM, which snapshots take along, may be an old one: it could
# not be written, or isn't, as the VM was restored in vSphere (pkg/providers/vsphere/virtualmachine/backup.go)
COPIED: Final = "VirtualMachineBackupUpToDate"
# While one of these isn't True, the VM Operator takes no snapshot of the VM, and its object doesn't say why
BEFORE_SNAPSHOTS: Final = (
    "VirtualMachineDiskPromotionSynced",
    "VirtualMachineUnmanagedVolumesBackfilled",
    "VirtualMachineUnmanagedVolumesRegistered",
)
# Why a revert was not begun: of these failures the VM Operator's annotation is no part.
NOT_BEGUN: Final = ("VirtualMachineSnapshotRevertFailed", "VirtualMachineSnapshotRevertSkipped")

# The VM Operator's own keys
VKS_LABELS: Final = ("capw.vmware.com/cluster.role", "capv.vmware.com/cluster.role")
PAUSED: Final = "vmoperator.vmware.com/paused"
REVERTING: Final = "vmoperator.vmware.com/snapshot-revert-in-progress"
# On a snapshot's object: it stands for one that vSphere had before, as of a VM that was imported. If that
# holds no copy of the VM's object, the VM Operator makes one up for a revert.
IMPORTED: Final = "vmoperator.vmware.com/imported-snapshot"

# Our keys
PREFIX: Final = "vmsnapshot/"
URN: Final = "vmsnapshot/urn"
MARK: Final = "vmsnapshot/mark"
# Binds the mark to the object: one that is made from a copy of it has another name or namespace.
BINDING: Final = "vmsnapshot/mark-binding"
MACHINE: Final = "vmsnapshot/machine"
# Whether the VM Operator may have adopted an older snapshot instead of taking one: how many snapshots without
# an object the VM had when it was asked, or `adopted`.
ADOPTION: Final = "vmsnapshot/adoption"
ADOPTED: Final = "adopted"
REVERT: Final = "vmsnapshot/revert-request"
# On a VM, followed by a resource's half of its marks: until when what was done for it is over, as it was
# deleted. A revert takes it off, or puts back an older one: what it has done is newer.
FORGOTTEN: Final = "vmsnapshot/forgotten-"


def name_of(item: Object) -> str:
    """Returns an object's name."""
    return str(item["metadata"]["name"])


def uid_of(item: Object) -> str:
    """What tells an object from a later one of its name."""
    return str(item["metadata"].get("uid", ""))


def is_older(item: Object, known: Object) -> bool:
    """Whether an object is older than what is known of it."""
    return uid_of(item) == uid_of(known) and _number(known) > _number(item) >= 0


def is_newer_than(item: Object, version: str) -> bool:
    """Whether an object was written after a list of that resourceVersion."""
    return version.isdigit() and _number(item) > int(version)


def _number(item: Object) -> int:
    """An object's resourceVersion as the number that it is on every server; -1 if it is none."""
    version = str(item["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdigit() else -1


def is_another(item: Object, uid: str | None) -> bool:
    """Whether an object has been re-created since its UID was read; None: that isn't known."""
    return uid is not None and uid_of(item) != uid


def anew(found: Object | None) -> str:
    """The end of a sentence which says that an object is gone: what has its name now, if anything."""
    return "" if found is None else f": the object of its name has been re-created (UID {uid_of(found)})"


def spec_of(item: Object) -> Object:
    """An object's spec; empty where there is none."""
    return item.get("spec") or {}


def status_of(item: Object) -> Object:
    """An object's status; empty where there is none."""
    return item.get("status") or {}


def labels_of(item: Object) -> dict[str, str]:
    """Returns an object's labels."""
    return item["metadata"].get("labels") or {}


def annotations_of(item: Object) -> dict[str, str]:
    """Returns an object's annotations."""
    return item["metadata"].get("annotations") or {}


def being_deleted(item: Object) -> bool:
    """Whether it is to go, and only waits for its finalizers."""
    return "deletionTimestamp" in item["metadata"]


def condition_of(item: Object, kind: str) -> Object | None:
    """A condition of an object, None without it."""
    found = status_of(item).get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), None)


def holds(item: Object, kind: str) -> bool:
    """Returns whether a condition of an object has the status True."""
    found = condition_of(item, kind)
    return found is not None and found.get("status") == "True"


def in_words(condition: Mapping[str, Any]) -> str:
    """A condition that isn't True: its type, reason and message."""
    words = f"{condition.get('type')} is {condition.get('status')}"
    reason, message = condition.get("reason"), condition.get("message")
    words += f" ({reason})" if reason else ""
    return f"{words}: {str(message).rstrip('.')}" if message else words


def maker_of(item: Object) -> str:
    """Who made an object, as far as it says."""
    urn = annotations_of(item).get(URN)
    if urn:
        return f"the Pulumi resource {urn}"
    managers: Sequence[Object] = item["metadata"].get("managedFields") or ()
    names = dict.fromkeys(
        str(one.get("manager")) for one in managers if "f:spec" in (one.get("fieldsV1") or {})
    )
    return ", ".join(names) or "somebody"


def machine_id(namespace: str, name: str) -> str:
    """Returns a VM's id, `namespace/name`."""
    return f"{namespace}/{name}"


def split_id(vm_id: str) -> tuple[str, str]:
    """The namespace and the name of a VM's id."""
    namespace, _, name = vm_id.partition("/")
    return namespace, name


def parsed(text: str | None) -> Object:
    """An annotation's JSON object; empty where there is none that can be read."""
    try:
        found = json.loads(text or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def compact(value: Any) -> str:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
