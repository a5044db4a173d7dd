"""What other people do to a VM, and what they see of it: bare pyVmomi, nothing of the provider's."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from pyVmomi import vim

from tests.fidelity.whole_config import whole_config
from tests.support.client import Client

Power: TypeAlias = Literal["on", "off", "suspended"]

# Networks that the simulator's hosts have.
_NETWORKS = ("VM Network", "DC0_DVPG0", "DC0_NSX0")


@dataclasses.dataclass(frozen=True)
class Seen:
    """One snapshot in a VM's tree."""

    id: str
    name: str
    path: str
    chain: tuple[str, ...]
    state: str


class Actor:
    """Somebody at vSphere with one VM before them.

    Attributes:
        vm: The VM as pyVmomi's object.
        id: Its managed object id.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._wait = client.wait
        self.vm: Any = client.content.searchIndex.FindByInventoryPath(f"/DC0/vm/{name}")
        self.id: str = self.vm._moId
        self._first = {device.key for device in self.vm.config.hardware.device}

    # --- what they see ------------------------------------------------------------------------

    def machine(self) -> dict[str, Any]:
        """The VM in the words of the resource's `machine`; what vSphere leaves unset is left out."""
        config, power = self.vm.config, self.power_state()
        hardware, kinds = config.hardware, vim.vm.device
        disks, cards, others = kinds.VirtualDisk, kinds.VirtualEthernetCard, kinds.VirtualController
        seen: dict[str, Any] = {
            "powerState": power[0].upper() + power[1:],
            "numCPUs": hardware.numCPU,
            "coresPerSocket": hardware.numCoresPerSocket,
            "memoryMB": hardware.memoryMB,
            "hardwareVersion": config.version,
            "guestID": config.guestId,
            "annotation": config.annotation,
            "disks": {str(item.key): _disk(item) for item in hardware.device if isinstance(item, disks)},
            "networkAdapters": {
                str(item.key): self._adapter(item) for item in hardware.device if isinstance(item, cards)
            },
            "otherDevices": {
                str(item.key): item.deviceInfo.label.strip()
                for item in hardware.device
                if not isinstance(item, (disks, cards, others))
            },
        }
        return {name: value for name, value in seen.items() if value is not None}

    def configuration(self) -> dict[str, str]:
        """What of the VM's configuration has no property of its own, as the preview spells it."""
        return whole_config(self.vm.config)

    def tree(self) -> list[Seen]:
        """All snapshots, each parent before its children."""
        info = self.vm.snapshot

        def walk(items: Any, chain: tuple[str, ...], path: str) -> Iterator[Seen]:
            for item in items or ():
                here = (*chain, item.snapshot._moId)
                where = f"{path}/{item.name}".lstrip("/")
                yield Seen(here[-1], item.name, where, here, str(item.state))
                yield from walk(item.childSnapshotList, here, where)

        return list(walk(info.rootSnapshotList if info else (), (), ""))

    def current(self) -> str | None:
        """The id of the snapshot that the VM runs on."""
        info = self.vm.snapshot
        return info.currentSnapshot._moId if info and info.currentSnapshot else None

    def power_state(self) -> str:
        """`poweredOn`, `poweredOff` or `suspended`."""
        return str(self.vm.runtime.powerState)

    def can_hold_memory(self) -> bool:
        """Whether vSphere would take a snapshot with memory: not of a running VM with independent disks."""
        disks = self._devices(vim.vm.device.VirtualDisk)
        independent = any(disk.backing.diskMode.startswith("independent") for disk in disks)
        return not (independent and self.power_state() == "poweredOn")

    # --- what they do to snapshots ------------------------------------------------------------

    def take(self, name: str, *, memory: bool) -> str:
        """Take a snapshot; its id."""
        task = self.vm.CreateSnapshot_Task(name, f"about {name}", memory and self.can_hold_memory(), False)
        taken: str = self._wait(task)._moId
        return taken

    def edit(self, snapshot: str, *, name: str | None = None, description: str | None = None) -> None:
        """Change a snapshot's name or description."""
        self._snapshot(snapshot).RenameSnapshot(name, description)

    def remove(self, snapshot: str, *, children: bool) -> None:
        """Remove a snapshot; with `children` all below it too, else they move up."""
        self._wait(self._snapshot(snapshot).RemoveSnapshot_Task(children))

    def revert(self, snapshot: str) -> None:
        """Revert the VM."""
        self._wait(self._snapshot(snapshot).RevertToSnapshot_Task())

    # --- what they do to the VM ---------------------------------------------------------------

    def power(self, to: Power) -> None:
        """Switch it on or off, or suspend it; nothing where that isn't possible now."""
        now = self.power_state()
        if to == "on" and now != "poweredOn":
            self._wait(self.vm.PowerOnVM_Task())
        elif to == "off" and now != "poweredOff":
            self._wait(self.vm.PowerOffVM_Task())
        elif to == "suspended" and now == "poweredOn":
            self._wait(self.vm.SuspendVM_Task())

    def rename(self, name: str) -> None:
        """Give the VM another name."""
        if self.vm.name != name:
            self._wait(self.vm.Rename_Task(name))

    def configure(self, **settings: Any) -> None:
        """Change settings, such as `numCPUs`, `memoryMB` or `annotation`; a suspended VM allows none."""
        if self.power_state() != "suspended":
            self._wait(self.vm.ReconfigVM_Task(vim.vm.ConfigSpec(**settings)))

    def add_disk(self, gib: int, mode: str) -> None:
        """Add a disk beside the SCSI controller's others."""
        devices = self._devices(vim.vm.device.VirtualSCSIController, vim.vm.device.VirtualDisk)
        (controller,) = (item for item in devices if isinstance(item, vim.vm.device.VirtualSCSIController))
        used = {item.unitNumber for item in devices if item.controllerKey == controller.key}
        free = set(range(16)) - {7} - used  # 7 is the controller's own
        if not free:
            return
        disk = vim.vm.device.VirtualDisk(
            key=-1,
            controllerKey=controller.key,
            unitNumber=min(free),
            capacityInKB=gib * 2**20,
            backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode=mode, fileName=""),
        )
        self._device("add", disk, fileOperation="create")

    def remove_disk(self, which: int) -> None:
        """Take a disk off the VM; its files stay, as snapshots need them."""
        disks = self._devices(vim.vm.device.VirtualDisk)
        if disks:
            self._device("remove", disks[which % len(disks)])

    def add_adapter(self, kind: str, network: int) -> None:
        """Add a network adapter."""
        card = getattr(vim.vm.device, kind)(
            key=-1, addressType="generated", backing=self._network(_NETWORKS[network % len(_NETWORKS)])
        )
        self._device("add", card)

    def move_adapter(self, which: int, network: int) -> None:
        """Connect a network adapter to another network."""
        cards = self._devices(vim.vm.device.VirtualEthernetCard)
        if cards:
            card = cards[which % len(cards)]
            card.backing = self._network(_NETWORKS[network % len(_NETWORKS)])
            self._device("edit", card)

    def remove_adapter(self, which: int) -> None:
        """Take a network adapter off the VM."""
        cards = self._devices(vim.vm.device.VirtualEthernetCard)
        if cards:
            self._device("remove", cards[which % len(cards)])

    def add_device(self, device: Any) -> None:
        """Add a device that is neither disk nor network adapter: a controller, a port, a GPU, a TPM, …."""
        device.key = -1
        self._device("add", device)

    def change_device(self, which: int, backing: Any) -> None:
        """Give a CD drive or a serial port another backing of its kind."""
        kinds = vim.vm.device
        serial = isinstance(backing, kinds.VirtualSerialPort.URIBackingInfo)
        found = self._devices(kinds.VirtualSerialPort if serial else kinds.VirtualCdrom)
        if found:
            device = found[which % len(found)]
            device.backing = backing
            self._device("edit", device)

    def remove_device(self, which: int) -> None:
        """Take one of those off the VM that were added."""
        kinds = vim.vm.device
        shown = (kinds.VirtualDisk, kinds.VirtualEthernetCard)
        devices = self._devices(kinds.VirtualDevice)
        found = [item for item in devices if not isinstance(item, shown) and item.key not in self._first]
        if found:
            self._device("remove", found[which % len(found)])

    def set_up_vapp(self, value: str, version: str) -> None:
        """Set a vApp property and the product's version."""
        config = self.vm.config.vAppConfig
        operation = "edit" if config is not None and config.property else "add"
        prop = vim.vApp.PropertyInfo(key=0, id="dns", type="string", label="DNS", value=value)
        product = vim.vApp.ProductInfo(key=0, name="shop", version=version)
        self.configure(
            vAppConfig=vim.vApp.VmConfigSpec(
                property=[vim.vApp.PropertySpec(operation=operation, info=prop)],
                product=[vim.vApp.ProductSpec(operation=operation, info=product)],
            )
        )

    def _adapter(self, card: Any) -> dict[str, Any]:
        backing = card.backing
        named = {
            getattr(item, "key", None) or getattr(item.summary, "opaqueNetworkId", None): item.name
            for item in self._networks()
        }
        key = getattr(backing, "opaqueNetworkId", None)
        if isinstance(backing, vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
            key = backing.port.portgroupKey
        return {
            "label": card.deviceInfo.label,
            "type": re.sub(r".*\.Virtual", "", type(card).__name__).lower(),
            "network": backing.deviceName if key is None else named[key],
            "macAddress": card.macAddress,
        }

    def _networks(self) -> list[Any]:
        place = self.vm
        while not isinstance(place, vim.Datacenter):
            place = place.parent
        found = place.networkFolder.childEntity
        return [item for item in found if isinstance(item, vim.Network)]

    def _network(self, name: str) -> Any:
        kinds = vim.vm.device.VirtualEthernetCard
        network = next(item for item in self._networks() if item.name == name)
        if isinstance(network, vim.OpaqueNetwork):
            opaque: Any = network.summary
            return kinds.OpaqueNetworkBackingInfo(
                opaqueNetworkId=opaque.opaqueNetworkId, opaqueNetworkType=opaque.opaqueNetworkType
            )
        if not isinstance(network, vim.dvs.DistributedVirtualPortgroup):
            return kinds.NetworkBackingInfo(deviceName=name, network=network)
        dvs: Any = network.config.distributedVirtualSwitch
        port = vim.dvs.PortConnection(portgroupKey=network.key, switchUuid=dvs.uuid)
        return kinds.DistributedVirtualPortBackingInfo(port=port)

    def _device(self, operation: str, device: Any, **more: Any) -> None:
        spec = vim.vm.device.VirtualDeviceSpec(operation=operation, device=device, **more)
        self.configure(deviceChange=[spec])

    def _devices(self, *kinds: Any) -> list[Any]:
        return [device for device in self.vm.config.hardware.device if isinstance(device, kinds)]

    def _snapshot(self, unique_id: str) -> Any:
        return vim.vm.Snapshot(unique_id, self.vm._stub)


def _disk(disk: Any) -> dict[str, Any]:
    base = disk.backing
    while base.parent is not None:
        base = base.parent
    return {
        "label": disk.deviceInfo.label,
        "GiB": disk.capacityInKB / 2**20,
        "mode": disk.backing.diskMode,
        "backing": base.fileName,
    }
