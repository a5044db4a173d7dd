"""Makes, changes and destroys VMs: CloneVM_Task, ReconfigVM_Task, Destroy_Task.

A clone gets the instance UUID that its request names, so that it is found again whatever becomes of the
answer: cluster-api-provider-vsphere finds its clones so.  vCenter gives another to a second VM that asks for
the same (API reference, VirtualMachineConfigSpec.instanceUuid), which has no name of its own either then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._keyed_lock import KeyedLock
from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._devices import label
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._names import escape, unescape
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import CLONE_NOTE
from vmsnapshot.backends.vsphere._places import Places, SharedPlaces
from vmsnapshot.backends.vsphere._properties import ONLY_PLACE, WITHOUT_HARDWARE
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reads
from vmsnapshot.backends.vsphere._standing import Standing
from vmsnapshot.backends.vsphere._tasks import NOTHING_DONE, REPEATABLE, Tasks
from vmsnapshot.lifecycle.cloning import CloneChange, CloneRequest, Dependents, Place, Placement, Site
from vmsnapshot.lifecycle.errors import Gone, PlatformError, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# How disks are copied (API reference, VirtualMachineRelocateDiskMoveOptions): a child of the snapshot's
# files, which govc makes with `-link -snapshot`; or one whole disk, as cluster-api-provider-vsphere's full
# clones have.
_LINKED: Final = "createNewChildDiskBacking"
_WHOLE: Final = "moveAllDiskBackingsAndConsolidate"


class Clones:
    """The verbs of `lifecycle.cloning.Cloner`, on vSphere."""

    def __init__(self, connection: Connection, reads: Reads, tasks: Tasks, vm_lock: KeyedLock) -> None:
        self._connection = connection
        self._reads = reads
        self._tasks = tasks
        self._vm_lock = vm_lock
        self._standing = Standing(connection)
        self._places = SharedPlaces(connection)

    def changes(self, vm_id: str) -> None:
        """Something is about to be done to a VM here, or has been done."""
        self._standing.changes(vm_id)

    def site(
        self, vm: VirtualMachine, snapshot: Snapshot, name: str, placement: Placement, operation: Operation
    ) -> Site:
        """Find where a clone of a snapshot is to be made, and what room is needed and there."""
        self._require_vcenter(operation)
        places = self._places.read(operation)
        (reading,) = self._reads.read([(WITHOUT_HARDWARE, vm.identity.id)], operation)
        host, pool = (None, None) if placement.host is None else places.host(vm, placement.host)
        if placement.resource_pool is not None:
            pool = places.pool(vm, placement.resource_pool)
        if placement.folder is not None:
            folder = places.folder(vm, placement.folder)
        else:
            folder = self._own_folder(vm, reading.properties.get("parent"), places, operation)
        store, free, store_name = None, None, vm.datastore
        if placement.datastore is not None:
            store, free = places.datastore(vm, placement.datastore)
            store_name = unescape(store.path.rpartition("/")[2])
        elif vm.datastore is not None:
            free = vm.free_bytes.get(vm.datastore)
        return Site(
            folder=folder,
            resource_pool=pool,
            host=host,
            datastore=store,
            networks={label: places.network(vm, wanted) for label, wanted in placement.networks.items()},
            namesake=self._namesake(folder, name, operation),
            free_bytes=free,
            datastore_name=store_name,
            used_bytes=_used(reading.properties.get("layoutEx"), snapshot.id),
        )

    def networks(
        self, vm: VirtualMachine, networks: Mapping[str, str], operation: Operation
    ) -> Mapping[str, Place]:
        """Find networks for a VM's adapters, by the adapter's label."""
        if not networks:
            return {}
        places = self._places.read(operation)
        return {label: places.network(vm, wanted) for label, wanted in networks.items()}

    def clone(
        self, vm: VirtualMachine, snapshot: Snapshot, request: CloneRequest, operation: Operation
    ) -> str:
        """Make the clone, which is off, and wait for it; its id."""
        subject = Subject.of(operation.what, vm, snapshot)
        (reading,) = self._reads.read([("VirtualMachineSnapshot", snapshot.id)], operation)
        cards = _cards(reading.properties["config"].hardware.device)
        changes = self._adapter_changes(
            cards, request.site.networks, operation, isolated=request.isolated or None, running=False
        )

        def start(login: Login) -> Any:
            site = request.site
            location = vim.vm.RelocateSpec(
                diskMoveType=_LINKED if request.linked else _WHOLE,
                # Networks are changed here (API reference, VirtualMachineCloneSpec.config).
                deviceChange=changes,
                pool=None if site.resource_pool is None else login.ref("ResourcePool", site.resource_pool.id),
                host=None if site.host is None else login.ref("HostSystem", site.host.id),
                datastore=None if site.datastore is None else login.ref("Datastore", site.datastore.id),
            )
            spec = vim.vm.CloneSpec(
                location=location,
                template=False,
                powerOn=False,
                snapshot=login.ref("VirtualMachineSnapshot", snapshot.id),
                memory=False,
                config=vim.vm.ConfigSpec(
                    instanceUuid=request.instance_uuid,
                    numCPUs=request.num_cpus,
                    memoryMB=request.memory_mb,
                    extraConfig=[vim.option.OptionValue(key=CLONE_NOTE, value=request.note)],
                ),
            )
            source = login.ref("VirtualMachine", vm.identity.id)
            return source.CloneVM_Task(login.ref("Folder", site.folder.id), escape(request.name), spec)

        with self._vm_lock.hold(vm.identity.id, operation):
            result = retry(
                operation,
                NOTHING_DONE,
                lambda: self._tasks.run(operation, subject, start, request_id=request.request_id, once=True),
            ).result
        if result is None:
            raise PlatformError("vSphere says that it is done, but not which VM it made.", subject=subject)
        return object_id(result)

    def reconfigure(self, vm: VirtualMachine, change: CloneChange, operation: Operation) -> None:
        """Change a VM in place and wait for it."""
        if change.is_empty:
            return
        vm_id = vm.identity.id
        devices: list[Any] = []
        if change.networks or change.isolated is not None:
            (reading,) = self._reads.read([("VirtualMachine", vm_id)], operation)
            running = vm.machine.power_state == "PoweredOn"
            cards = _cards(reading.properties["config"].hardware.device)
            cards = [
                card
                for card in cards
                if str(card.key) not in change.left_adapters or label(card) in change.networks
            ]
            devices = self._adapter_changes(
                cards, change.networks, operation, isolated=change.isolated, running=running
            )
        note = [] if change.note is None else [vim.option.OptionValue(key=CLONE_NOTE, value=change.note)]
        spec = vim.vm.ConfigSpec(
            name=None if change.name is None else escape(change.name),
            numCPUs=change.num_cpus,
            memoryMB=change.memory_mb,
            deviceChange=devices,
            extraConfig=note,
        )
        subject = Subject.of(operation.what, vm)

        def start(login: Login) -> Any:
            return login.ref("VirtualMachine", vm_id).ReconfigVM_Task(spec)

        with self._vm_lock.hold(vm_id, operation):
            retry(operation, REPEATABLE, lambda: self._tasks.run(operation, subject, start))

    def destroy(self, vm: VirtualMachine, operation: Operation) -> None:
        """Delete a VM that is off, with its files, and wait for it."""
        subject = Subject.of(operation.what, vm)

        def start(login: Login) -> Any:
            return login.ref("VirtualMachine", vm.identity.id).Destroy_Task()

        with self._vm_lock.hold(vm.identity.id, operation):
            try:
                retry(operation, REPEATABLE, lambda: self._tasks.run(operation, subject, start))
            except Gone as error:
                # What wasn't found may be one of its files.
                (reading,) = self._reads.outcomes([(ONLY_PLACE, vm.identity.id)], operation)
                if not isinstance(reading, Gone):
                    text = f"{error.reason} But the VM is still there, as far as can be told."
                    raise PlatformError(text, subject=subject) from error

    def dependents(
        self, snapshots: Mapping[str, Sequence[str]], operation: Operation
    ) -> dict[str, Dependents | VmsnapshotError]:
        """What stands on VMs' files, by the VM's id."""
        return self._standing.of(snapshots, operation)

    def addresses(self, vm: VirtualMachine, operation: Operation) -> Sequence[str]:
        """The IP addresses that VMware Tools tell of the guest."""
        vm_id = vm.identity.id
        subject = Subject.of(operation.what, vm)

        def look(login: Login) -> list[str]:
            guest = login.ref("VirtualMachine", vm_id).guest
            told = [item for nic in getattr(guest, "net", None) or () for item in nic.ipAddress or ()]
            first = getattr(guest, "ipAddress", None)
            return list(dict.fromkeys([*([first] if first else []), *told]))

        return retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, look))

    def _require_vcenter(self, operation: Operation) -> None:
        """Go on only on a vCenter.

        Raises:
            Unsupported: It is a single host.
        """
        subject = Subject(operation.what)
        is_vcenter = retry(
            operation,
            WORTH_ANOTHER_READ,
            lambda: self._connection.call(operation, subject, lambda login: login.is_vcenter),
        )
        if not is_vcenter:
            message = (
                "a single ESXi host can't clone (CloneVM_Task isn't supported there); set vsphereServer to "
                "the vCenter that manages it"
            )
            raise Unsupported(message, subject=subject)

    def _own_folder(self, vm: VirtualMachine, parent: Any, places: Places, operation: Operation) -> Place:
        """The folder that a VM is in; of one in a vApp, that of its datacenter.

        Args:
            vm: The VM.
            parent: Its property `parent`.
            places: All that there are.
            operation: Whose time counts.
        """
        if isinstance(parent, vim.Folder):
            return Place(object_id(parent), places.path(("Folder", object_id(parent))))
        subject = Subject.of(operation.what, vm)

        def look(login: Login) -> tuple[str, str]:
            machine = login.ref("VirtualMachine", vm.identity.id)
            parent = machine.parent
            while parent is not None and not isinstance(parent, vim.Folder):
                parent = getattr(parent, "parentFolder", None) or parent.parent
            if parent is None:
                raise PlatformError("the folder of the VM can't be read; give `folder`", subject=subject)
            return "Folder", object_id(parent)

        reference = retry(
            operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, look)
        )
        return Place(reference[1], places.path(reference))

    def _namesake(self, folder: Place, name: str, operation: Operation) -> str | None:
        """The id of what has a name in a folder already (SearchIndex.FindChild)."""

        def look(login: Login) -> str | None:
            index = login.content.searchIndex
            found = index.FindChild(login.ref("Folder", folder.id), escape(name))
            return None if found is None else object_id(found)

        subject = Subject(operation.what)
        return retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, look))

    def _adapter_changes(
        self,
        cards: Iterable[Any],
        networks: Mapping[str, Place],
        operation: Operation,
        *,
        isolated: bool | None,
        running: bool,
    ) -> list[Any]:
        """The edits that connect adapters to other networks, or disconnect them all; by the device's key."""
        places = self._places.read(operation) if networks else None
        changes = []
        for card in cards:
            place = networks.get(label(card))
            if place is None and isolated is None:
                continue
            edited = type(card)(
                key=card.key,
                controllerKey=card.controllerKey,
                unitNumber=card.unitNumber,
                addressType=card.addressType,
                # One that somebody gave is kept; any other is the server's to choose.
                macAddress=card.macAddress if running or card.addressType == "manual" else None,
                wakeOnLanEnabled=card.wakeOnLanEnabled,
                backing=card.backing if place is None or places is None else places.backing(place.id),
                connectable=card.connectable,
            )
            if isolated is not None:
                guest = getattr(card.connectable, "allowGuestControl", None)
                edited.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
                    startConnected=not isolated,
                    connected=running and not isolated,
                    # It "enables guest control over whether the connectable device is connected" (API
                    # reference, VirtualDeviceConnectInfo): a guest could leave its isolation by itself.
                    allowGuestControl=bool(guest) and not isolated,
                )
            changes.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=edited))
        return changes


def _cards(devices: Iterable[Any]) -> list[Any]:
    return [device for device in devices if isinstance(device, vim.vm.device.VirtualEthernetCard)]


def _used(layout: Any, snapshot_id: str) -> int | None:
    """Bytes of all files that a snapshot's disks consist of; None: not known."""
    files = {file.key: file.size for file in getattr(layout, "file", None) or ()}
    for held in getattr(layout, "snapshot", None) or ():
        if object_id(held.key) == snapshot_id:
            keys = {
                key for disk in held.disk or () for unit in disk.chain or () for key in unit.fileKey or ()
            }
            return sum(files[key] for key in keys) if keys and keys <= files.keys() else None
    return None
