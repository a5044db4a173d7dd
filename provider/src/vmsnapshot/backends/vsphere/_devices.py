"""From a VM's virtual devices to its disks, adapters and other devices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pyVmomi import vim

from vmsnapshot.backends.vsphere._objects import class_name, optional_text
from vmsnapshot.model.devices import Disk, NetworkAdapter


def disks(devices: Iterable[Any]) -> Iterable[tuple[str, Disk]]:
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualDisk):
            capacity = device.capacityInBytes
            if capacity is None:
                capacity = (device.capacityInKB or 0) * 1024
            backing: Any = device.backing
            mode = optional_text(getattr(backing, "diskMode", None))
            while getattr(backing, "parent", None) is not None:
                backing = backing.parent
            yield (
                str(device.key),
                Disk(
                    label=label(device),
                    gib=capacity / 2**30,
                    mode=mode,
                    backing=optional_text(getattr(backing, "fileName", None)),
                ),
            )


def network_keys(hardware: Any) -> set[str]:
    """The networks that a VM's hardware names by a key: distributed port groups and opaque networks."""
    devices = () if hardware is None else hardware.device
    cards = (item for item in devices if isinstance(item, vim.vm.device.VirtualEthernetCard))
    return {key for card in cards if (key := _network_key(card.backing)) is not None}


def _network_key(backing: Any) -> str | None:
    port = getattr(backing, "port", None)
    return getattr(port, "portgroupKey", None) or getattr(backing, "opaqueNetworkId", None)


def adapters(devices: Iterable[Any], networks: Mapping[str, str]) -> Iterable[tuple[str, NetworkAdapter]]:
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualEthernetCard):
            backing = device.backing
            key = _network_key(backing)
            network = getattr(backing, "deviceName", None) if key is None else networks.get(key, key)
            yield (
                str(device.key),
                NetworkAdapter(
                    label=label(device),
                    type=re.sub("^Virtual|EthernetCard$", "", class_name(device)).lower(),
                    network=optional_text(network),
                    mac_address=optional_text(device.macAddress),
                ),
            )


def connected_adapters(devices: Iterable[Any]) -> Iterable[str]:
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualEthernetCard) and getattr(
            device.connectable, "connected", False
        ):
            yield label(device)


def others(devices: Iterable[Any]) -> Iterable[tuple[str, str]]:
    kinds = vim.vm.device
    shown = (kinds.VirtualDisk, kinds.VirtualEthernetCard, kinds.VirtualController)
    for device in devices:
        if not isinstance(device, shown):
            yield str(device.key), label(device)


def is_raw(disk: Any) -> bool:
    """Whether a disk is a raw device mapping in physical mode, which no snapshot holds.

    "If you are using the RDM in physical compatibility mode, you cannot use a snapshot with the disk."
    (vSphere Storage, Considerations and Limitations of RDM.)
    """
    return str(getattr(disk.backing, "compatibilityMode", None)) == "physicalMode"


def in_snapshots(disk: Any) -> bool:
    """Whether snapshots hold a disk, so that it has deltas."""
    return not is_raw(disk) and not str(getattr(disk.backing, "diskMode", None)).startswith("independent")


def has_many_writers(disk: Any) -> bool:
    """Whether several VMs may write to a disk at once."""
    return str(getattr(disk.backing, "sharing", None)) == "sharingMultiWriter"


def shared_bus(config: Any) -> bool:
    return any(
        str(device.sharedBus) != "noSharing"
        for device in config.hardware.device
        if isinstance(device, vim.vm.device.VirtualSCSIController)
    )


def label(device: Any) -> str:
    label = getattr(device.deviceInfo, "label", None)
    return (label or "").strip() or f"{class_name(device)} {device.key}"
