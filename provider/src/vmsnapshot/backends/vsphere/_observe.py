"""From vSphere's properties to `vmsnapshot.model.machine`.

A property that the server leaves out is None ("unknown") in the model, never a failure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends.vsphere._devices import (
    adapters,
    connected_adapters,
    disks,
    has_many_writers,
    in_snapshots,
    is_raw,
    label,
    others,
    shared_bus,
)
from vmsnapshot.backends.vsphere._layout import discarded, sizes, unreachable
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import object_id, optional_id, optional_text
from vmsnapshot.backends.vsphere._properties import Properties
from vmsnapshot.backends.vsphere._settings import settings
from vmsnapshot.lifecycle import ownership
from vmsnapshot.model._base import replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import (
    Machine,
    Maker,
    PowerState,
    Snapshot,
    VirtualMachine,
)
from vmsnapshot.model.status import SnapshotStorage, quantity
from vmsnapshot.model.task import RunningTask

_POWER: Final[dict[str, PowerState]] = {
    "poweredOn": "PoweredOn",
    "poweredOff": "PoweredOff",
    "suspended": "Suspended",
}
# The configuration parameter in which VirtualMachineClone keeps what made a VM.
CLONE_NOTE: Final = "vmsnapshot.clone"
# The states of a task.
RUNNING: Final = frozenset({"queued", "running"})
ENDED: Final = frozenset({"success", "error"})
# Who manages the VMs of a Supervisor's VM Service; nodes of VKS clusters are among them, and vSphere has no
# mark of those (vm-operator, pkg/providers/vsphere/constants: ManagedByExtensionKey).
_VM_SERVICE: Final = "com.vmware.vcenter.wcp"
# Where this is true, deltas go to snapshotDirectory; else each lies beside its parent (ManageIQ
# vmware_web_service, MiqVimVm).
_REDO_NOT_WITH_PARENT: Final = "snapshot.redoNotWithParent"
_TOOLS_RUNNING: Final = frozenset({"guestToolsRunning", "guestToolsExecutingScripts"})


def power_state(state: object) -> PowerState | None:
    """VSphere's `poweredOn` in our spelling."""
    return _POWER.get(str(state))


def utc(moment: dt.datetime) -> dt.datetime:
    """The same moment in UTC; one without a zone is UTC already."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC)


class _Settings:
    """Makes the settings of a configuration out when they are first asked for, and keeps only them then."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._found: dict[str, str] = {}

    def __call__(self) -> dict[str, str]:
        if (config := self._config) is not None:
            self._found = settings(config)
            self._config = None
        return self._found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Settings) and self() == other()

    __hash__ = None  # type: ignore[assignment] # as of all that is compared by what it holds


def hardware_of(properties: Properties) -> Any:
    """The `config.hardware` of a VM, or of what a snapshot holds of it; None: it wasn't read."""
    config = properties.get("config")
    return properties.get("config.hardware") if config is None else config.hardware


def machine(properties: Properties, power: PowerState | None, networks: Mapping[str, str]) -> Machine:
    """The hardware and settings of a VM, or of what a snapshot holds of it.

    Args:
        properties: With its `config` or what is `SHOWN` of it, where that was read.
        power: The VM's, or what a revert leaves.
        networks: The names of those that the configuration names by a key, as far as known.
    """
    hardware = hardware_of(properties)
    if hardware is None:
        return Machine(power_state=power)
    config, devices = properties.get("config"), hardware.device

    def shown(name: str) -> Any:
        return properties.get(f"config.{name}") if config is None else getattr(config, name)

    found = Machine(
        power_state=power,
        num_cpus=hardware.numCPU,
        cores_per_socket=hardware.numCoresPerSocket,
        memory_mb=hardware.memoryMB,
        hardware_version=shown("version"),
        guest_id=shown("guestId"),
        annotation=shown("annotation"),
        disks=None if devices is None else dict(disks(devices)),
        network_adapters=None if devices is None else dict(adapters(devices, networks)),
        other_devices=None if devices is None else dict(others(devices)),
    )
    if config is None:
        return found
    return found.with_configuration(_Settings(config))


def virtual_machine(
    vm_id: str,
    properties: Properties,
    tasks: Mapping[str, Properties],
    datastores: Mapping[str, Properties],
    path: str | None,
    *,
    networks: Mapping[str, str],
) -> VirtualMachine:
    """Returns one VM from its properties.

    Args:
        vm_id: Its managed object id.
        properties: Those of `PROPERTIES["VirtualMachine"]` that the server gave.
        tasks: Properties of recent tasks by task id.
        datastores: Properties of the VM's datastores by id.
        path: The VM's inventory path, as far as known.
        networks: The names of networks by their keys, as far as known.
    """
    tree = properties.get("snapshot")
    roots = getattr(tree, "rootSnapshotList", None) or ()
    current = optional_id(getattr(tree, "currentSnapshot", None))
    layout = properties.get("layoutEx")
    state = properties.get("runtime.powerState")
    tools = properties.get("guest.toolsRunningStatus")
    tolerance = properties.get("runtime.faultToleranceState")
    datastore = _datastore_of(properties.get("config.files.snapshotDirectory"))
    timestamp = getattr(layout, "timestamp", None)
    away = unreachable(layout)
    return VirtualMachine(
        identity=VirtualMachineIdentity(
            id=vm_id,
            name=properties.get("name") or vm_id,
            path=path,
            instance_uuid=properties.get("config.instanceUuid"),
        ),
        machine=machine(properties, power_state(state), networks),
        snapshots=tuple(
            replace(item, unreachable_files=away.get(item.id, ()))
            for item in _snapshots(roots, None, sizes(layout), properties.get("config.instanceUuid"))
        ),
        current_snapshot_id=current,
        tools_running=None if tools is None else str(tools) in _TOOLS_RUNNING,
        tools_status=optional_text(properties.get("guest.toolsStatus")),
        connection=optional_text(properties.get("runtime.connectionState")),
        question=optional_text(getattr(properties.get("runtime.question"), "text", None)),
        configuration_missing=properties.get("config.template") is None,
        template=bool(properties.get("config.template")),
        snapshots_supported=_snapshots_supported(properties),
        snapshots_disabled=properties.get("config.flags.snapshotDisabled"),
        snapshots_locked=properties.get("config.flags.snapshotLocked"),
        fault_tolerance=tolerance is not None and str(tolerance) != "notConfigured",
        consolidation_needed=bool(properties.get("runtime.consolidationNeeded")),
        disabled_operations=tuple(_operation(method) for method in properties.get("disabledMethod") or ()),
        running_tasks=tuple(
            RunningTask(id=task_id, operation=optional_text(tasks[task_id].get("info.descriptionId")) or "")
            for task_id in recent_tasks(properties)
            if task_id in tasks and str(tasks[task_id].get("info.state")) in RUNNING
        ),
        discarded_bytes=discarded(layout, current),
        datastore=datastore,
        free_bytes=_free_space(datastores),
        sizes_as_of=None if timestamp is None else utc(timestamp),
        vm_service=properties.get("config.managedBy.extensionKey") == _VM_SERVICE,
        **from_configuration(properties.get("config"), datastore),
    )


# What `from_configuration` tells of a VM.
BESIDE_HARDWARE: Final = (
    "shared_bus",
    "delta_datastores",
    "first_class_disks",
    "raw_disks",
    "shared_disks",
    "nvdimms",
    "nvdimm_mode",
    "power_off_behavior",
    "connected_adapters",
    "clone_note",
)


def from_configuration(config: Any, snapshot_datastore: str | None) -> dict[str, Any]:
    """What `VirtualMachine` tells beside `machine` that only the whole configuration has.

    Args:
        config: Its VirtualMachineConfigInfo; None: it wasn't read.
        snapshot_datastore: The datastore of its snapshotDirectory, as far as known.
    """
    if config is None:
        return {}
    disks = [item for item in config.hardware.device if isinstance(item, vim.vm.device.VirtualDisk)]
    extra = {item.key: str(item.value) for item in config.extraConfig or ()}
    if extra.get(_REDO_NOT_WITH_PARENT, "").lower() == "true":
        places = {snapshot_datastore}
    else:
        places = {
            _datastore_of(getattr(disk.backing, "fileName", None)) for disk in disks if in_snapshots(disk)
        }
    return {
        "shared_bus": shared_bus(config),
        "delta_datastores": tuple(sorted(place for place in places if place is not None)),
        "first_class_disks": tuple(label(disk) for disk in disks if disk.vDiskId is not None),
        "raw_disks": tuple(label(disk) for disk in disks if is_raw(disk)),
        "shared_disks": tuple(label(disk) for disk in disks if in_snapshots(disk) and has_many_writers(disk)),
        "nvdimms": tuple(
            label(item) for item in config.hardware.device if isinstance(item, vim.vm.device.VirtualNVDIMM)
        ),
        "nvdimm_mode": optional_text(getattr(config.pmem, "snapshotMode", None)),
        "power_off_behavior": optional_text(getattr(config.flags, "snapshotPowerOffBehavior", None)),
        "connected_adapters": tuple(connected_adapters(config.hardware.device)),
        "clone_note": extra.get(CLONE_NOTE) or None,
    }


def _datastore_of(path: str | None) -> str | None:
    """The datastore of `[name] folder/file`."""
    return path[1:].partition("]")[0] if path and path.startswith("[") else None


def _free_space(datastores: Mapping[str, Properties]) -> dict[str, int]:
    free = {item.get("name"): item.get("summary.freeSpace") for item in datastores.values()}
    # vSphere never says less than nothing; some simulators do.
    return {name: size for name, size in free.items() if name is not None and size is not None and size >= 0}


def recent_tasks(properties: Properties) -> list[str]:
    """The ids of the tasks that the server remembers with the VM, the oldest first."""
    return [object_id(task) for task in properties.get("recentTask") or ()]


def _snapshots(
    nodes: Iterable[Any], parent_id: str | None, sizes: Mapping[str, int], uuid: str | None
) -> Iterable[Snapshot]:
    for node in nodes:
        unique_id = object_id(node.snapshot)
        name = unescape(node.name)
        description, line = ownership.split(node.description or "", uuid, name)
        yield Snapshot(
            id=unique_id,
            unique_id=unique_id,
            name=name,
            stored_name=node.name,
            client_name=None if unescape(name) == name else unescape(name),
            description=description,
            mark=None if line is None else str(line.mark),
            mark_proof="none" if line is None else line.proof,
            made_by=None if line is None else Maker(resource=line.resource, stack=line.stack),
            managed=line is not None,
            create_time=None if node.createTime is None else utc(node.createTime),
            power_state=power_state(node.state) or "PoweredOff",
            quiesced=bool(node.quiesced),
            parent_id=parent_id,
            storage=None if unique_id not in sizes else SnapshotStorage(used=quantity(sizes[unique_id])),
        )
        yield from _snapshots(node.childSnapshotList or (), unique_id, sizes, uuid)


def _snapshots_supported(properties: Properties) -> bool | None:
    if properties.get("capability.snapshotOperationsSupported"):
        return True
    # A server that knows what VMs can do says of every VM that several snapshots are supported,
    # whether or not snapshot operations are now; upstream's simulator fills in nothing at all.
    return False if properties.get("capability.multipleSnapshotsSupported") else None


def _operation(method: Any) -> str:
    """The API's name of a method; one that pyVmomi doesn't know is an object with nothing but its name."""
    known = getattr(method, "info", None)
    return str(getattr(known, "wsdlName", None) or getattr(method, "name", None) or method)
