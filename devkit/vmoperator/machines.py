"""A VM's object: made from the simulator's VM, its status, its power, and its copy kept in the VM."""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256
from typing import Any

from pyVmomi import vim

from devkit.vmoperator.cluster import Cluster
from devkit.vmoperator.objects import (
    BACKUP_PAUSED,
    BACKUP_UP_TO_DATE,
    LAST_APPLIED,
    MACHINE,
    TOOLS,
    TOOLS_NOT_RUNNING,
    VERSIONS,
    ZONE_LABEL,
    Key,
    Object,
    annotations_of,
    condition,
    deleted,
    key_of,
    labels_of,
    mark,
    quantity,
)
from devkit.vmoperator.steering import History, Steering
from devkit.vmoperator.vsphere import Machine, Vsphere

CLASS = "best-effort-small"
IMAGE = "vmi-0a0044d7c690bcbea"
STORAGE_CLASS = "wcpglobal-storage-profile"
ZONE = "zone-1"
_STANDING = (
    "VirtualMachineCreated",
    "VirtualMachineClassReady",
    "VirtualMachineImageReady",
    "VirtualMachineStorageReady",
    "VirtualMachineNetworkReady",
    "VirtualMachineConditionPlacementReady",
    "VirtualMachineClassConfigurationSynced",
)
_BUSES = {
    vim.vm.device.VirtualSCSIController: "SCSI",
    vim.vm.device.VirtualSATAController: "SATA",
    vim.vm.device.VirtualNVMEController: "NVME",
    vim.vm.device.VirtualIDEController: "IDE",
}
_MODES = {
    "persistent": "Persistent",
    "nonpersistent": "NonPersistent",
    "independent_persistent": "IndependentPersistent",
    "independent_nonpersistent": "IndependentNonPersistent",
}


class Machines:
    """The VM's own part of the work."""

    def __init__(self, cluster: Cluster, vsphere: Vsphere, steering: Steering, history: History) -> None:
        self._cluster = cluster
        self._vsphere = vsphere
        self._steering = steering
        self._history = history

    def update_status(self, item: Object, machine: Machine) -> Object:
        """Write what vSphere shows into the status."""
        if not item.get("status"):
            self._steering.enter("status", item["metadata"]["name"])
            conditions: Object = {}
            for kind in _STANDING:
                mark(conditions, kind)
            item = self._cluster.set_status(item, conditions)
        if ZONE_LABEL not in labels_of(item):
            item = self._cluster.edit(item, {"labels": {ZONE_LABEL: ZONE}})
        status = _status(item, machine, self._vsphere.host(machine))
        status["rootSnapshots"] = [self._reference(item, node) for node in machine.roots]
        if not status["rootSnapshots"]:
            del status["rootSnapshots"]
        if (current := machine.current) is not None:
            known = self._cluster.snapshot(item["metadata"]["namespace"], current.name)
            before = (item.get("status") or {}).get("currentSnapshot")
            # While the current snapshot is being deleted, the status stays as it was.
            if known is None or not deleted(known) or before is None:
                status["currentSnapshot"] = self._reference(item, current)
            else:
                status["currentSnapshot"] = before
        return self._cluster.set_status(item, status)

    def update_children(self, item: Object, machine: Machine) -> None:
        """Write the children into the status of each snapshot, down to those that have no object."""
        todo = list(machine.roots)
        while todo:
            node = todo.pop()
            known = self._cluster.snapshot(item["metadata"]["namespace"], node.name)
            if known is None:
                continue
            todo += node.childSnapshotList
            status = deepcopy(known.get("status") or {})
            children = [self._reference(item, child) for child in node.childSnapshotList]
            if children != status.get("children", []):
                status["children"] = children
                self._cluster.set_status(known, status)

    def keep(self, item: Object, machine: Machine) -> None:
        """Keep the object in the VM, where the next snapshot finds it.

        Not after the VM was restored in vSphere (pkg/providers/vsphere/virtualmachine/backup.go): a test says
        so by the condition.
        """
        backup = condition(item, BACKUP_UP_TO_DATE)
        if backup is not None and backup["reason"] == BACKUP_PAUSED:
            return
        kept = {name: value for name, value in annotations_of(item).items() if name != LAST_APPLIED}
        metadata = {"name": item["metadata"]["name"], "namespace": item["metadata"]["namespace"]}
        if kept:
            metadata["annotations"] = kept
        if labels_of(item):
            metadata["labels"] = labels_of(item)
        copy = {
            "apiVersion": self._cluster.api_version,
            "kind": MACHINE,
            "metadata": metadata,
            "spec": item.get("spec", {}),
        }
        self._vsphere.keep(machine, copy)

    def switch(self, item: Object, machine: Machine) -> bool:
        """Switch the VM as its spec says; whether that was needed."""
        wanted = item.get("spec", {}).get("powerState", "")
        if wanted in {"", machine.power}:
            return False
        key = key_of(item)
        self._steering.enter("power", key[1])
        self._vsphere.switch(machine, wanted)
        self._history.add("power", key, wanted)
        return True

    def _reference(self, item: Object, node: Any) -> Object:
        if self._cluster.snapshot(item["metadata"]["namespace"], node.name) is None:
            return {"name": "", "type": "Unmanaged"}
        return {"name": node.name, "type": "Managed"}


def describe(key: Key, machine: Machine, api_version: str, **changes: Any) -> Object:
    """A VM's object with a spec such as a user would have written.

    Args:
        key: Namespace and name.
        machine: The VM.
        api_version: What the object says of its version.
        changes: Members of the spec; `labels` and `annotations` go to the metadata.
    """
    config = machine.seen["config"]
    nics = [one for one in config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)]
    later = _disks(config)[1:]  # the first one is the image's
    metadata = {
        "namespace": key[0],
        "name": key[1],
        "labels": changes.pop("labels", {"app": key[1].rpartition("-")[0] or key[1]}),
        "annotations": changes.pop("annotations", {}),
    }
    spec = {
        "className": CLASS,
        "imageName": IMAGE,
        "image": {"kind": "VirtualMachineImage", "name": IMAGE},
        "storageClass": STORAGE_CLASS,
        "powerState": machine.power,
        "powerOffMode": "TrySoft",
        "suspendMode": "TrySoft",
        "restartMode": "TrySoft",
        "guestID": config.guestId,
        "instanceUUID": config.instanceUuid,
        "biosUUID": config.uuid,
        "network": {
            "hostName": key[1],
            "interfaces": [
                {
                    "name": f"eth{number}",
                    "network": {
                        "apiVersion": "crd.nsx.vmware.com/v1alpha1",
                        "kind": "SubnetSet",
                        "name": "default",
                    },
                }
                for number, _ in enumerate(nics)
            ],
        },
        "hardware": {
            "scsiControllers": [{"busNumber": 0, "type": "ParaVirtual", "sharingMode": "None"}],
        },
    }
    if later:
        spec["volumes"] = [
            {"name": _volume(disk), "persistentVolumeClaim": {"claimName": f"{key[1]}-{_volume(disk)}"}}
            for disk in later
        ]
    return {"apiVersion": api_version, "kind": MACHINE, "metadata": metadata, "spec": spec | changes}


def _status(item: Object, machine: Machine, host: str) -> Object:
    config = machine.seen["config"]
    old = item.get("status") or {}
    status: Object = {
        "biosUUID": config.uuid,
        "instanceUUID": config.instanceUuid,
        "uniqueID": machine.uid,
        "nodeName": host,
        "zone": ZONE,
        "powerState": machine.power,
        "hardwareVersion": int(config.version.removeprefix("vmx-")),
        "changeBlockTracking": bool(config.changeTrackingEnabled),
        "guest": {"guestID": config.guestId, "guestFullName": config.guestFullName},
        "hardware": {
            **_compute(config, newer=item["apiVersion"].endswith(VERSIONS[0])),
            "controllers": _controllers(config),
        },
        "network": {"hostName": item["metadata"]["name"], "interfaces": _interfaces(config)},
        "volumes": _volumes(item, config),
        "storage": _storage(machine, config),
        "conditions": deepcopy(old.get("conditions", [])),
    }
    if name := item.get("spec", {}).get("className"):
        status["class"] = {"apiVersion": item["apiVersion"], "kind": "VirtualMachineClass", "name": name}
    for kind in _STANDING:
        if condition(item, kind) is None:
            mark(status, kind)
    if machine.tools == "guestToolsNotRunning":
        mark(status, TOOLS, reason=TOOLS_NOT_RUNNING, message="VMware Tools is not running")
    elif machine.tools is not None:
        mark(status, TOOLS)
    return status


def _compute(config: Any, *, newer: bool) -> Object:
    """CPU and memory as release 1.10 writes them, or as main does where it stores v1alpha6."""
    hardware = config.hardware
    if not newer:
        total = quantity(hardware.memoryMB * 10**6)
        return {"cpu": {"total": hardware.numCPU}, "memory": {"total": total}}
    cpu = {
        "total": hardware.numCPU,
        "coresPerSocket": hardware.numCoresPerSocket,
        "hotAddEnabled": bool(config.cpuHotAddEnabled),
    }
    memory = {"total": quantity(hardware.memoryMB << 20), "hotAddEnabled": bool(config.memoryHotAddEnabled)}
    return {"cpu": cpu, "memory": memory}


def _disks(config: Any) -> list[Any]:
    return [one for one in config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]


def _volume(disk: Any) -> str:
    return str(disk.deviceInfo.label).lower().replace(" ", "-")


def _controller(config: Any, key: int) -> tuple[str, int]:
    for device in config.hardware.device:
        if device.key == key:
            bus = next((name for kind, name in _BUSES.items() if isinstance(device, kind)), "SCSI")
            return bus, device.busNumber
    return "SCSI", 0


def _controllers(config: Any) -> list[Object]:
    found = []
    for device in config.hardware.device:
        bus = next((name for kind, name in _BUSES.items() if isinstance(device, kind)), None)
        if bus is None:
            continue
        inside = [one for one in config.hardware.device if one.controllerKey == device.key]
        drives = [one for one in inside if isinstance(one, vim.vm.device.VirtualCdrom)]
        disks = [one for one in inside if isinstance(one, vim.vm.device.VirtualDisk)]
        # By unit: the simulator puts a drive and a disk on the same one, which the API doesn't take.
        units = {one.unitNumber or 0: "CDROM" for one in drives} | {
            one.unitNumber or 0: "Disk" for one in disks
        }
        devices = [{"type": kind, "unitNumber": unit} for unit, kind in sorted(units.items())]
        controller: Object = {"busNumber": device.busNumber, "deviceKey": device.key, "type": bus}
        found.append(controller | ({"devices": devices} if devices else {}))
    return found


def _interfaces(config: Any) -> list[Object]:
    nics = [one for one in config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)]
    return [
        {"name": f"eth{number}", "deviceKey": nic.key, "ip": {"macAddr": nic.macAddress}}
        for number, nic in enumerate(nics)
    ]


def _volumes(item: Object, config: Any) -> list[Object]:
    claimed = {one["name"] for one in item.get("spec", {}).get("volumes") or []}
    found = []
    for disk in _disks(config):
        base = disk.backing
        while getattr(base, "parent", None) is not None:
            base = base.parent
        size = quantity(disk.capacityInBytes)
        bus, number = _controller(config, disk.controllerKey)
        managed = _volume(disk) in claimed
        found.append(
            {
                # A disk that no claim stands for is named after its UUID (there by another hash).
                "name": _volume(disk) if managed else f"disk-{sha256(base.uuid.encode()).hexdigest()[:8]}",
                "type": "Managed" if managed else "Classic",
                "attached": True,
                "diskUUID": base.uuid,
                "diskMode": _MODES[disk.backing.diskMode],
                "controllerType": bus,
                "controllerBusNumber": number,
                "unitNumber": disk.unitNumber or 0,
                "limit": size,
                "requested": size,
            }
        )
    return sorted(found, key=lambda one: (str(one["name"]), str(one["type"])))


def _storage(machine: Machine, config: Any) -> Object:
    disks = sum(disk.capacityInBytes for disk in _disks(config))
    used = sum(file.size for file in machine.seen["layoutEx"].file)
    snapshots = sum(machine.size(node) for node in machine.nodes())
    usage: Object = {"other": quantity(used - snapshots)}
    if snapshots:
        usage["snapshots"] = {"vm": quantity(snapshots)}
    return {"requested": {"disks": quantity(disks)}, "total": quantity(used), "usage": usage}
