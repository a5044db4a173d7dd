"""VMs in a vApp, disks on several datastores, no CD drive, and what real vCenters list as disabled."""

from __future__ import annotations

import pytest

from tests.support.simulator import running
from tests.support.vsphere import operation
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.lifecycle.common.preflight import revert_findings, snapshot_findings
from vmsnapshot.lifecycle.ownership import owner_by
from vmsnapshot.lifecycle.port import SnapshotRequest, VMReference
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.revert import RevertInputs
from vmsnapshot.model.snapshot import SnapshotInputs


def find(backend: VsphereBackend, name: str) -> VirtualMachine:
    """A VM."""
    return backend.find(VMReference(name), operation(f'looking for VM "{name}"'))


def codes(vm: VirtualMachine) -> set[str]:
    """The errors of a snapshot, and of a revert to the first snapshot, if there is one."""
    found = snapshot_findings(vm, SnapshotInputs(vm_name=vm.identity.name))
    if vm.snapshots:
        asked = RevertInputs(vm_name=vm.identity.name, snapshot="a")
        found = [*found, *revert_findings(vm, vm.snapshots[0], asked)]
    return {item.code for item in found if item.severity == "error"}


@pytest.mark.parametrize("name", ["web-2", "/DC0/vm/app/web-2", "/DC0/vm/web-2"])
def test_a_vm_in_a_vapp(connect: Connect, name: str) -> None:
    """It has no folder but the vApp, and is found by its name, and by the path that has the vApp in it."""
    with running("--names", "web-1,web-2", "--in-vapp", "web-2") as simulator:
        backend = connect(simulator)
        if name == "/DC0/vm/web-2":
            with pytest.raises(Exception, match="no VM"):
                find(backend, name)
            return
        vm = find(backend, name)
        assert vm.identity.path == "/DC0/vm/app/web-2"
        assert find(backend, "web-1").identity.path == "/DC0/vm/web-1"


def test_a_vm_on_several_datastores_without_a_cd_drive(connect: Connect) -> None:
    """Each disk's delta grows on its own datastore, and what is free there is known of each."""
    with running("--names", "web-1", "--datastores", "2", "--cd-drive=false") as simulator:
        vm = find(connect(simulator), "web-1")
    assert vm.delta_datastores == ("LocalDS_0", "LocalDS_1")
    assert vm.free_bytes.keys() == {"LocalDS_0", "LocalDS_1"}
    assert not any("CD" in label for label in (vm.machine.other_devices or {}).values())
    assert [disk.label for disk in (vm.machine.disks or {}).values()] == ["Hard disk 1", "Hard disk 2"]


def test_templates_and_placeholders(connect: Connect) -> None:
    """A template is refused as one, whatever it lists; a placeholder by what it lists, which is said."""
    with running("--names", "web-1,web-2,db-1") as simulator:
        backend = connect(simulator)
        simulator.set("web-1", template=True)
        simulator.set("db-1", placeholder=True)
        template, placeholder = find(backend, "web-1"), find(backend, "db-1")
    assert "CreateSnapshot_Task" in template.disabled_operations
    assert codes(template) == {"template"}
    assert codes(placeholder) == {"operationDisabled"}
    (said,) = (
        item.message
        for item in snapshot_findings(placeholder, SnapshotInputs(vm_name="db-1"))
        if item.code == "operationDisabled"
    )
    assert "as a placeholder of a disaster recovery" in said


def test_a_disabled_method_that_pyvmomi_does_not_know(connect: Connect) -> None:
    """It is told by its name, as those are that it knows."""
    with running("--names", "web-1") as simulator:
        simulator.set("web-1", disabledMethods=["PowerOnVM_Task", "FoldVM_Task"])
        assert find(connect(simulator), "web-1").disabled_operations == ("PowerOnVM_Task", "FoldVM_Task")


def test_a_disk_that_was_deleted_since(connect: Connect) -> None:
    """The file below the snapshot's disk is gone: that is an error before anything is done, with its name."""
    with running("--names", "web-1") as simulator:
        backend = connect(simulator)
        vm = find(backend, "web-1")
        request = SnapshotRequest("a", "", owner_by("urn:pulumi:dev::shop::x::a", "once"), False, None)
        backend.create_snapshot(vm, request, operation())
        assert codes(find(backend, "web-1")) == set()
        simulator.set("web-1", unreachableFile="/web-1.vmdk")
        vm = find(backend, "web-1")
    assert codes(vm) == {"filesUnreachable"}
    (said,) = (
        item.message
        for item in revert_findings(vm, vm.snapshots[0], RevertInputs(vm_name="web-1", snapshot="a"))
        if item.code == "filesUnreachable"
    )
    assert "([LocalDS_0] web-1/web-1.vmdk)" in said
