"""Somebody else at the same vCenter: bare pyVmomi beside the provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from tests.support.simulator import Simulator


class Client:
    """Looks at VMs and changes them; every call waits until it is done."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def vm(self, name: str) -> Any:
        """A VM by its name."""
        # One call where it lies as the simulator puts it; else one for each VM that there is.
        if found := self.content.searchIndex.FindByInventoryPath(f"/DC0/vm/{name}"):
            return found
        kinds, everywhere = [vim.VirtualMachine], self.content.rootFolder
        view = self.content.viewManager.CreateContainerView(everywhere, kinds, recursive=True)
        try:
            return next(item for item in view.view if item.name == name)
        finally:
            view.Destroy()

    def wait(self, task: Any) -> Any:
        """A task's result; its fault is raised."""
        while task.info.state not in {"success", "error"}:
            pass
        if task.info.state == "error":
            raise task.info.error
        return task.info.result

    def snapshots(self, name: str) -> list[Any]:
        """A VM's snapshot tree, flat, each parent before its children."""
        found: list[Any] = []

        def walk(items: Any) -> None:
            for item in items or []:
                found.append(item)
                walk(item.childSnapshotList)

        tree = getattr(self.vm(name), "snapshot", None)  # pyVmomi has no attribute for what was left out
        walk(tree.rootSnapshotList if tree else [])
        return found

    def names(self, vm: str) -> list[str]:
        """The names of a VM's snapshots."""
        return [item.name for item in self.snapshots(vm)]

    def ids(self, vm: str) -> list[str]:
        """The uniqueIDs of a VM's snapshots."""
        return [item.snapshot._moId for item in self.snapshots(vm)]

    def snapshot(self, vm: str, name: str) -> Any:
        """The one snapshot of that name."""
        stored = name.replace("/", "%2f")  # as a server keeps it
        (found,) = (item for item in self.snapshots(vm) if item.name in {name, stored})
        return found

    def take(self, vm: str, name: str, *, description: str = "", memory: bool = False) -> str:
        """Take a snapshot; its uniqueID."""
        task = self.vm(vm).CreateSnapshot_Task(
            name=name, description=description, memory=memory, quiesce=False
        )
        taken: str = self.wait(task)._moId
        return taken

    def edit(self, vm: str, snapshot: str, **changes: str) -> None:
        """Change a snapshot's `name` or `description`."""
        self.snapshot(vm, snapshot).snapshot.RenameSnapshot(**changes)

    def remove(self, vm: str, name: str, *, children: bool = False) -> None:
        """Remove a snapshot."""
        self.wait(self.snapshot(vm, name).snapshot.RemoveSnapshot_Task(removeChildren=children))

    def revert(self, vm: str, name: str) -> None:
        """Revert to a snapshot."""
        self.wait(self.snapshot(vm, name).snapshot.RevertToSnapshot_Task())

    def reconfigure(self, vm: str, **settings: Any) -> None:
        """Change a VM's hardware or settings."""
        self.wait(self.vm(vm).ReconfigVM_Task(vim.vm.ConfigSpec(**settings)))

    def move_adapter(self, vm: str, network: str) -> None:
        """Put a VM's adapter on a standard network, which is made on its host."""
        machine = self.vm(vm)
        group = vim.host.PortGroup.Specification(
            name=network, vlanId=7, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
        )
        machine.runtime.host.configManager.networkSystem.AddPortGroup(group)
        (card,) = self.adapters(vm)
        card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
        self.reconfigure(vm, deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)])

    def adapters(self, vm: str) -> list[Any]:
        """A VM's network adapters."""
        devices = self.vm(vm).config.hardware.device
        return [item for item in devices if isinstance(item, vim.vm.device.VirtualEthernetCard)]

    def add_disk(self, vm: str, gib: int, *, mode: str = "persistent") -> None:
        """Add a disk to the controller of the first one."""
        devices = self.vm(vm).config.hardware.device
        disks = [item for item in devices if isinstance(item, vim.vm.device.VirtualDisk)]
        disk = vim.vm.device.VirtualDisk(
            key=-1,
            controllerKey=disks[0].controllerKey,
            unitNumber=max(item.unitNumber or 0 for item in disks) + 1,
            capacityInKB=gib * 1024 * 1024,
            backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode=mode, fileName=""),
        )
        change = vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=disk)
        self.reconfigure(vm, deviceChange=[change])

    def remove_disks(self, vm: str) -> None:
        """Take all disks from a VM."""
        devices = self.vm(vm).config.hardware.device
        changes = [
            vim.vm.device.VirtualDeviceSpec(operation="remove", device=device)
            for device in devices
            if isinstance(device, vim.vm.device.VirtualDisk)
        ]
        self.reconfigure(vm, deviceChange=changes)

    def move(self, vm: str, folder: str) -> None:
        """Move a VM into a new folder beside it."""
        machine = self.vm(vm)
        self.wait(machine.parent.CreateFolder(folder).MoveIntoFolder_Task([machine]))

    def power(self, vm: str, *, on: bool) -> None:
        """Switch a VM on or off."""
        found = self.vm(vm)
        self.wait(found.PowerOnVM_Task() if on else found.PowerOffVM_Task())


@contextmanager
def other_client(simulator: Simulator, user: str | None = None) -> Iterator[Client]:
    """A session of its own, ended with the block; `user` is another user of the same password."""
    host, _, port = simulator.server.partition(":")
    instance: Any = SmartConnect(
        host=host,
        port=int(port),
        user=user or simulator.user,
        pwd=simulator.password,
        disableSslCertValidation=True,  # nor reads the system's authorities, which takes 25 ms
    )
    try:
        yield Client(instance.RetrieveContent())
    finally:
        Disconnect(instance)
        instance._stub.DropConnections()  # closes them, too
