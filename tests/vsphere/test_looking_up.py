"""A VM is found by whatever a user may write."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from devkit.waiting import until
from tests.support.client import other_client
from tests.support.simulator import Simulator
from tests.support.vsphere import find, operation, take
from vmsnapshot.backends.vsphere import VsphereBackend, _reader
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._networks import Networks
from vmsnapshot.backends.vsphere._observe import machine
from vmsnapshot.backends.vsphere._table import Table
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, NotFound
from vmsnapshot.lifecycle.port import VMReference, values
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Machine, VirtualMachine

UUID = "50112233-4455-6677-8899-aabbccddeeff"
BIOS = "42011223-4455-6677-8899-aabbccddeeff"
SHARED = "42aaaaaa-4455-6677-8899-aabbccddeeff"
TABLE = Table(
    {
        "vm-1": "web-1",
        "vm-2": "web-2",
        "vm-3": "web-2",
        "vm-4": "100%25 a%2fb",
        "vm-5": "Z\u00fcrich",
        "vm-6": "vm-1",
    },
    {"vm-1": (UUID, BIOS), "vm-2": (None, SHARED), "vm-3": (None, SHARED)},
)

LOOK_UPS = [
    ("web-1", ["vm-1"], "a unique name"),
    ("vm-2", ["vm-2"], "a managed object id"),
    ("vm-1", ["vm-1", "vm-6"], "a managed object id that is another VM's name"),
    (UUID, ["vm-1"], "an instance UUID"),
    (UUID.upper(), ["vm-1"], "an instance UUID in capitals"),
    ("web-2", ["vm-2", "vm-3"], "a name that two VMs have"),
    ("100%25 a%2fb", ["vm-4"], "a name as vSphere keeps it"),
    ("100% a/b", ["vm-4"], "the same name as people write it"),
    ("100%25 a%2Fb", ["vm-4"], "the same with the escape in capitals"),
    (BIOS, ["vm-1"], "a BIOS UUID"),
    (BIOS.upper(), ["vm-1"], "a BIOS UUID in capitals"),
    (SHARED, ["vm-2", "vm-3"], "a BIOS UUID that a copy shares"),
    ("Zu\u0308rich", ["vm-5"], "a name in decomposed Unicode"),
    ("WEB-1", [], "a name in capitals is another name"),
    ("VM-1", [], "an id in capitals is none"),
    ("/dc/vm/web-1", [], "a path is no name"),
    ("/", [], "no path at all"),
]


@pytest.mark.parametrize(("reference", "ids", "_why"), LOOK_UPS, ids=[case[2] for case in LOOK_UPS])
def test_the_table_finds(reference: str, ids: list[str], _why: str) -> None:
    """The table gives every VM that a reference may mean."""
    assert sorted(hit.id for hit in TABLE.find(reference)) == ids


def test_an_escaped_percent_sign_is_taken_back_last() -> None:
    """`%252f` is the name `%2f`, not a slash."""
    assert unescape("%252f") == "%2f"


def test_each_way_to_name_a_vm(backend: VsphereBackend) -> None:
    """Name, path, id and instance UUID all lead to the same VM."""
    vm = find(backend, "web-1")
    assert vm.identity.name == "web-1"
    for reference in (
        vm.identity.id,
        vm.identity.path,
        vm.identity.path and vm.identity.path[1:],
        vm.identity.instance_uuid,
    ):
        assert reference is not None
        assert find(backend, reference) == vm


@pytest.mark.parametrize("index", ["answers", "is denied", "is not there"])
def test_each_spelling_of_a_path(
    simulator: Simulator, backend: VsphereBackend, other_user: Any, index: str
) -> None:
    """Escapes in either case or none, decomposed letters, a missing slash: all are the path of the same VM.

    Whatever the server's own index makes of them: somebody who may not see the root folder is denied it.
    """
    if index != "answers":
        fault = {"is denied": "NoPermission", "is not there": "NotSupported"}[index]
        simulator.fault(fault, method="FindByInventoryPath")
        simulator.fault(fault, method="FindAllByUuid")
    folder = other_user.rootFolder.childEntity[0].vmFolder.CreateFolder("Z\u00fcrich").CreateFolder("x/y")
    moved = _vm(other_user, "web-1")
    _done(folder.MoveIntoFolder_Task([moved]))
    for path in (
        "/DC0/vm/Z\u00fcrich/x%2fy/web-1",
        "/DC0/vm/Z\u00fcrich/x%2Fy/web-1",
        "/DC0/vm/Zu\u0308rich/x%2fy/web-1",
        "DC0/vm/Z\u00fcrich/x%2fy/web-1/",
        moved.config.instanceUuid.upper(),
        moved.config.uuid.upper(),
    ):
        vm = find(backend, path)
        assert (vm.identity.id, vm.identity.path) == (moved._moId, "/DC0/vm/Z\u00fcrich/x%2fy/web-1")
    for path in (
        "/DC0/vm/web-1",
        "vm/web-1",
        "/DC0/vm/z\u00fcrich/x%2fy/web-1",
        "/DC0/vm/Z\u00fcrich/x%2fy/web-2",
    ):
        with pytest.raises(NotFound):
            find(backend, path)


def test_a_path_whose_vm_was_replaced_leads_to_the_other_one(
    backend: VsphereBackend, other_user: Any
) -> None:
    """What the server's index told before is asked for again when the VM there has moved away."""
    first = find(backend, "/DC0/vm/web-1").identity.id
    folder = other_user.rootFolder.childEntity[0].vmFolder.CreateFolder("later")
    _done(folder.MoveIntoFolder_Task([_vm(other_user, "web-1")]))
    with pytest.raises(NotFound):
        find(backend, "/DC0/vm/web-1")
    _done(_vm(other_user, "web-2").Rename_Task("web-1"))
    assert find(backend, "/DC0/vm/web-1").identity.id != first
    assert find(backend, "/DC0/vm/later/web-1").identity.id == first


def test_a_folder_that_was_renamed_is_read_again(backend: VsphereBackend, other_user: Any) -> None:
    """A path through a folder's new name is found, although the folder was met under its old one."""
    folder = other_user.rootFolder.childEntity[0].vmFolder.CreateFolder("before")
    _done(folder.MoveIntoFolder_Task([_vm(other_user, "web-1")]))
    assert find(backend, "/DC0/vm/before/web-1").identity.name == "web-1"
    _done(folder.Rename_Task("after"))
    assert find(backend, "/DC0/vm/after/web-1").identity.path == "/DC0/vm/after/web-1"
    with pytest.raises(NotFound):
        find(backend, "/DC0/vm/before/web-1")


def test_an_unknown_name_suggests_close_ones(backend: VsphereBackend) -> None:
    """A mistyped name gets suggestions; it isn't guessed."""
    with pytest.raises(NotFound, match="web-1") as raised:
        find(backend, "wbe-1")
    assert not isinstance(raised.value, Gone)


def test_an_ambiguous_name_lists_its_candidates(backend: VsphereBackend, other_user: Any) -> None:
    """Two VMs of one name: the error lists each one's path and id, and a path still works."""
    folder = other_user.rootFolder.childEntity[0].vmFolder.CreateFolder("other")
    moved = _vm(other_user, "web-2")
    _done(folder.MoveIntoFolder_Task([moved]))
    _done(moved.Rename_Task("web-1"))
    with pytest.raises(Ambiguous) as raised:
        find(backend, "web-1")
    paths = [
        vm.identity.path for vm in values(backend.list_machines(operation())) if vm.identity.name == "web-1"
    ]
    assert len(paths) == 2
    for path in paths:
        assert path is not None
        assert path in raised.value.message
        assert find(backend, path).identity.path == path
    assert moved._moId in raised.value.message


def test_a_vm_made_later_is_found(backend: VsphereBackend, other_user: Any) -> None:
    """A miss reads the inventory again."""
    find(backend, "web-1")
    _done(_vm(other_user, "web-2").Rename_Task("new-1"))
    assert find(backend, "new-1").identity.name == "new-1"


def test_a_stale_hit_is_not_believed(backend: VsphereBackend, other_user: Any) -> None:
    """A VM that was renamed is no longer found by its old name, and one that took the name is."""
    first = find(backend, "web-1").identity.id
    _done(_vm(other_user, "web-1").Rename_Task("old-1"))
    with pytest.raises(NotFound):
        find(backend, "web-1")
    _done(_vm(other_user, "web-2").Rename_Task("web-1"))
    assert find(backend, "web-1").identity.id != first


def test_a_removed_vm_is_not_found(backend: VsphereBackend, other_user: Any) -> None:
    """A VM that was removed is NotFound by name and Gone by id; others can still be read."""
    vm = find(backend, "web-1")
    machine = _vm(other_user, "web-1")
    _done(machine.PowerOffVM_Task())
    _done(machine.Destroy_Task())
    with pytest.raises(Gone, match=vm.identity.id):
        backend.observe(vm.identity.id, operation())
    with pytest.raises(NotFound):
        find(backend, "web-1")
    assert find(backend, "web-2").identity.name == "web-2"


def test_a_vm_that_moved_has_its_new_path(backend: VsphereBackend, other_user: Any) -> None:
    """The path is the current one, also through a folder that was made since the inventory was read."""
    vm = find(backend, "web-1")
    folder = other_user.rootFolder.childEntity[0].vmFolder.CreateFolder("later")
    _done(folder.MoveIntoFolder_Task([_vm(other_user, "web-1")]))
    path = backend.observe(vm.identity.id, operation()).identity.path
    assert path is not None
    assert path.endswith("/vm/later/web-1")


def test_the_index_is_read_once(simulator: Simulator, backend: VsphereBackend) -> None:
    """Looking the same names up again costs no more than the read of the VM itself."""
    for name in ("web-1", "web-2", "db-1"):
        find(backend, name)
    simulator.reset_calls()
    for name in ("web-1", "web-2", "db-1"):
        find(backend, name)
    assert simulator.calls() == {"RetrievePropertiesEx": 3}


def test_a_login_that_sees_everything_lists_everything(backend: VsphereBackend) -> None:
    """list_machines observes every VM."""
    assert {vm.identity.name for vm in values(backend.list_machines(operation()))} == {
        "web-1",
        "web-2",
        "db-1",
    }


def test_reference_needs_no_namespace() -> None:
    """On vSphere a reference is a name alone."""
    assert VMReference("web-1").namespace is None


def _vm(content: Any, name: str) -> Any:
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    return next(vm for vm in view.view if vm.name == name)


def _done(task: Any) -> None:
    until(lambda: str(task.info.state) in {"success", "error"})
    assert str(task.info.state) == "success", task.info.error


def test_hardware_is_known_until_the_configuration_changes(
    simulator: Simulator, backend: VsphereBackend
) -> None:
    """What others do to a VM that was read before is seen at once: its power, a setting, a disk, a revert."""
    with other_client(simulator) as client:
        client.take("web-1", "base")
        (vm,) = backend.find_all([VMReference("web-1")], operation())
        assert isinstance(vm, VirtualMachine)

        def seen() -> Machine:
            return backend.observe(vm.identity.id, operation()).machine

        assert seen() == vm.machine
        client.power("web-1", on=False)
        assert seen() == replace(vm.machine, power_state="PoweredOff")
        client.reconfigure("web-1", numCPUs=8)
        assert seen().num_cpus == 8
        client.add_disk("web-1", 1)
        assert len(seen().disks or {}) == len(vm.machine.disks or {}) + 1
        client.revert("web-1", "base")
        assert seen() == replace(vm.machine, power_state="PoweredOff")


def test_networks_of_one_name_are_told_apart(backend: VsphereBackend) -> None:
    """A port group's name stands alone unless another has it, too."""
    networks = Networks(backend._connection)
    kinds: Any = vmodl
    networks.take(
        kinds.query.PropertyCollector.ObjectContent(
            obj=vim.dvs.DistributedVirtualPortgroup(key),
            propSet=[kinds.DynamicProperty(name="name", val=name)],
        )
        for key, name in (("dvportgroup-1", "prod"), ("dvportgroup-2", "test"), ("dvportgroup-3", "test"))
    )
    port = vim.dvs.PortConnection(portgroupKey="dvportgroup-1", switchUuid="50")
    backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    hardware = vim.vm.VirtualHardware(device=[vim.vm.device.VirtualVmxnet3(key=4000, backing=backing)])
    assert networks.names(hardware, operation()) == {
        "dvportgroup-1": "prod",
        "dvportgroup-2": "test (dvportgroup-2)",
        "dvportgroup-3": "test (dvportgroup-3)",
    }


def test_networks_are_shown_by_their_names(backend: VsphereBackend, other_user: Any) -> None:
    """Adapters name distributed port groups by key and opaque networks by UUID: both are looked up once.

    Of 924 recorded adapters, 827 are of these kinds (lamw/govc-recordings).
    """
    networks = {item.name: item for item in other_user.rootFolder.childEntity[0].networkFolder.childEntity}
    machine = other_user.searchIndex.FindByInventoryPath("/DC0/vm/web-1")
    kinds = vim.vm.device.VirtualEthernetCard

    def connect(backing: Any) -> str | None:
        card = next(item for item in machine.config.hardware.device if isinstance(item, kinds))
        card.backing = backing
        change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
        _done(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
        return next(iter((find(backend, "web-1").machine.network_adapters or {}).values())).network

    assert next(iter((find(backend, "web-1").machine.network_adapters or {}).values())).network == "DC0_DVPG0"
    opaque = networks["DC0_NSX0"].summary
    named = kinds.OpaqueNetworkBackingInfo(
        opaqueNetworkId=opaque.opaqueNetworkId, opaqueNetworkType=opaque.opaqueNetworkType
    )
    hardware = vim.vm.VirtualHardware(device=[vim.vm.device.VirtualVmxnet3(key=4000, backing=named)])
    assert backend._networks.names(hardware, operation())[opaque.opaqueNetworkId] == "DC0_NSX0"
    assert connect(named) == "DC0_NSXPG0"  # as a server does that has a port group for the segment
    assert connect(kinds.NetworkBackingInfo(deviceName="VM Network")) == "VM Network"


def test_a_network_that_is_gone_is_looked_for_once(simulator: Simulator, backend: VsphereBackend) -> None:
    """A port group that was removed is shown as not found: all are read once more, and then it alone."""
    port = vim.dvs.PortConnection(portgroupKey="dvportgroup-999", switchUuid="50")
    backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    card = vim.vm.device.VirtualVmxnet3(key=4000, backing=backing)
    gone = vim.vm.ConfigInfo(hardware=vim.vm.VirtualHardware(device=[card]))
    for _ in range(3):
        names = backend._networks.names(gone.hardware, operation())
        assert names["dvportgroup-999"] == "dvportgroup-999 (not found)"
    (adapter,) = (machine({"config": gone}, None, names).network_adapters or {}).values()
    assert adapter.network == "dvportgroup-999 (not found)"
    assert simulator.calls()["RetrievePropertiesEx"] == 3


def test_what_snapshots_hold_is_kept_of_some(
    simulator: Simulator, backend: VsphereBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that were asked for at once are kept until fewer are: what is kept doesn't grow by each request."""
    monkeypatch.setattr(_reader, "_KEPT_MACHINES", 1)
    vm = find(backend, "web-1")
    for name in ("first", "second", "third"):
        take(backend, vm, name)
    vm = backend.observe(vm.identity.id, operation())
    targets = [(vm, snapshot) for snapshot in vm.snapshots]
    for _ in range(2):
        assert [item.memory_mb for item in values(backend.machines_at(targets, operation()))] == [2048] * 3
        assert len(backend._machines) == 3
    values(backend.machines_at(targets[-1:], operation()))
    (kept,) = backend._machines
    simulator.reset_calls()
    values(backend.machines_at([item for item in targets if item[1].id == kept], operation()))
    assert simulator.calls() == {}
