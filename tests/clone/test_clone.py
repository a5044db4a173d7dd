"""VirtualMachineClone on the simulator: made, changed in place, read, imported, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyVmomi import vim

from tests.clone.conftest import CLONE, clone, effects, names, snapshot
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running


def chain(client: Client, vm: str) -> list[str]:
    """The files of a VM's first disk, the one that it writes to first."""
    devices = client.vm(vm).config.hardware.device
    disks: list[Any] = [item for item in devices if isinstance(item, vim.vm.device.VirtualDisk)]
    files, backing = [], disks[0].backing
    while backing is not None:
        files.append(backing.fileName)
        backing = getattr(backing, "parent", None)
    return files


def test_a_life(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A clone is announced, made once, unchanged, changed in place, and deleted with its VM."""
    stack.write(copy=clone(name="copy"))
    announced = stack.preview().check()
    assert 'A linked clone "copy" of VM "web-1"' in announced.words
    assert "Room on datastore LocalDS_0, which has" in announced.words
    assert names(client) == ["db-1", "web-1"]

    stack.up().check()
    assert effects(vsphere, "web-1") == [("web-1", "create"), ("web-1", "clone")]
    made = client.vm("copy")
    outputs = stack.resource("copy").outputs
    assert outputs["vm"]["instanceUUID"] == made.config.instanceUuid == stack.resource("copy").id
    assert outputs["powerState"] == "PoweredOff"
    assert outputs["sourceSnapshot"]["name"] == "base"
    assert chain(client, "copy") == ["[LocalDS_0] copy/copy-000001.vmdk", "[LocalDS_0] web-1/web-1.vmdk"]
    for again in (stack.preview(), stack.up(), stack.refresh()):
        assert again.check().ops == {}

    stack.write(copy=clone(name="second", powerOn=True, numCPUs=4, memoryMB=4096))
    assert stack.preview().check().ops == {"copy": "update"}
    stack.up().check()
    changed = client.vm("second")
    assert changed.config.instanceUuid == made.config.instanceUuid
    assert (changed.config.hardware.numCPU, changed.config.hardware.memoryMB) == (4, 4096)
    assert str(changed.runtime.powerState) == "poweredOn"
    assert stack.preview().check().ops == {}

    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]
    assert effects(vsphere, "second") == [("second", "destroy")]


def test_a_deletion_that_lacks_a_file_has_deleted_nothing(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """NotFound may be said of a file: a clone that is still there stays in state."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    vsphere.fault("NotFound", method="Destroy_Task", vm="copy", where="task")
    assert "But the VM is still there" in stack.destroy().failed().words
    assert names(client) == ["copy", "db-1", "web-1"]
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


def test_a_full_clone_stands_alone(stack: MiniStack, client: Client) -> None:
    """With `linked: false` the clone has whole disks of its own, and the preview says how much that is."""
    stack.write(copy=clone(name="copy", linked=False))
    assert "whole copies of disks: 4.0 GiB now, and up to 16.0 GiB" in stack.preview().check().words
    stack.up().check()
    assert chain(client, "copy") == ["[LocalDS_0] copy/copy.vmdk"]
    client.remove("web-1", "base")
    assert stack.refresh().check().ops == {}


def test_its_hardware_is_the_snapshots(stack: MiniStack, client: Client) -> None:
    """The clone is what the VM was at the snapshot, with what the program says of CPUs and memory."""
    client.power("web-1", on=False)
    client.reconfigure("web-1", numCPUs=8, memoryMB=8192)
    stack.write(copy=clone(name="copy", memoryMB=1024))
    stack.up().check()
    hardware = client.vm("copy").config.hardware
    assert (hardware.numCPU, hardware.memoryMB) == (2, 1024)


def test_isolated_and_on_another_network(stack: MiniStack, client: Client) -> None:
    """`isolated` disconnects all adapters, in place too; `networks` puts one on another network."""

    def card() -> Any:
        (found,) = client.adapters("copy")
        return found

    source = [item.macAddress for item in client.adapters("web-1")]
    stack.write(copy=clone(name="copy", isolated=True, powerOn=True))
    stack.up().check()
    assert not card().connectable.startConnected
    assert not card().connectable.connected
    assert [card().macAddress] != source
    stack.write(copy=clone(name="copy", powerOn=True, networks={"Network adapter 1": "VM Network"}))
    assert stack.up().check().ops == {"copy": "update"}
    assert card().connectable.startConnected
    assert card().connectable.connected
    assert card().backing.deviceName == "VM Network"
    assert stack.refresh().check().ops == {}
    assert stack.preview().check().ops == {}


def test_an_adapter_that_was_connected_is_disconnected_again(stack: MiniStack, client: Client) -> None:
    """Also one that stays disconnected at power-on, as the vSphere Client's box `Connected` makes it."""
    stack.write(copy=clone(name="copy", isolated=True, powerOn=True))
    stack.up().check()
    (card,) = client.adapters("copy")
    card.connectable.connected = True
    client.reconfigure("copy", deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)])
    stack.refresh().check()
    assert stack.preview().check().step("copy").changes.keys() == {"isolated"}
    stack.up().check()
    (card,) = client.adapters("copy")
    assert (card.connectable.connected, card.connectable.startConnected) == (False, False)
    assert stack.refresh().check().ops == {}


def test_a_network_whose_name_begins_alike_is_another(stack: MiniStack, client: Client) -> None:
    """An adapter that somebody put on `VM Network (test)` isn't on `VM Network`; the update puts it back."""
    stack.write(copy=clone(name="copy", networks={"Network adapter 1": "VM Network"}))
    stack.up().check()
    client.move_adapter("copy", "VM Network (test)")
    stack.refresh().check()
    assert stack.preview().check().step("copy").changes.keys() == {'networks["Network adapter 1"]'}
    stack.up().check()
    (card,) = client.adapters("copy")
    assert card.backing.deviceName == "VM Network"


def test_what_others_change_shows_and_is_put_back(stack: MiniStack, client: Client) -> None:
    """Power, CPUs and a name that somebody else changed show in a refresh; the next update puts them back."""
    stack.write(copy=clone(name="copy", numCPUs=2))
    stack.up().check()
    client.reconfigure("copy", numCPUs=6, name="theirs")
    client.power("theirs", on=True)
    assert stack.refresh().check().ops == {"copy": "update"}
    planned = stack.preview().check().step("copy")
    assert planned.changes.keys() == {"name", "numCPUs", "powerOn"}
    stack.up().check()
    found = client.vm("copy")
    assert (found.config.hardware.numCPU, str(found.runtime.powerState)) == (2, "poweredOff")


def test_what_a_template_does_not_take_fails_the_preview(stack: MiniStack, client: Client) -> None:
    """Somebody has made the clone a template: it can be renamed and deleted, not switched on."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    client.vm("copy").MarkAsTemplate()
    stack.write(copy=clone(name="copy", powerOn=True))
    for command in (stack.preview, stack.up):
        refused = command().failed().words
        assert "of which only the name can change: powerOn: false => true" in refused
    stack.write(copy=clone(name="renamed"))
    stack.preview().check()
    stack.up().check()
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


def test_a_clone_whose_host_is_away_fails_the_preview(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Where something is to be changed, and only there."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    vsphere.set("copy", connectionState="disconnected")
    assert stack.preview().check().ops == {}
    stack.write(copy=clone(name="copy", numCPUs=4))
    assert "its connectionState is disconnected, so it can't be changed" in stack.preview().failed().words


def test_another_spelling_of_the_snapshot_makes_no_new_clone(stack: MiniStack, client: Client) -> None:
    """The snapshot's uniqueID instead of its name is an update; another snapshot is a replacement."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    (unique_id,) = client.ids("web-1")
    stack.write(copy=clone(name="copy", snapshot=unique_id))
    assert stack.up().check().ops == {"copy": "update"}
    client.take("web-1", "newer")
    before = client.vm("copy").config.instanceUuid
    stack.write(copy=clone(name="copy", snapshot="newer"))
    announced = stack.preview().check()
    assert announced.ops == {"copy": "replace"}
    assert "is switched off and deleted" in announced.words
    stack.up().check()
    assert names(client) == ["copy", "db-1", "web-1"]
    assert client.vm("copy").config.instanceUuid != before


def test_what_cannot_work_fails_the_preview(stack: MiniStack, client: Client) -> None:
    """A name that is taken, an adapter, network, folder or snapshot that isn't there: nothing is done."""
    for properties, said in (
        ({"name": "db-1"}, 'has a VM "db-1"'),
        ({"networks": {"Network adapter 7": "VM Network"}}, 'it has: "Network adapter 1"'),
        ({"networks": {"Network adapter 1": "VM Networt"}}, "Did you mean 'VM Network'?"),
        ({"folder": "/DC0/vm/lab"}, 'folder: there is no "/DC0/vm/lab"'),
        ({"datastore": "LocalDS_1"}, "Did you mean 'LocalDS_0'?"),
        ({"snapshot": "bas"}, "Did you mean 'base'?"),
        ({"vmName": "web-9"}, 'there is no VM "web-9"'),
    ):
        stack.write(copy=clone(**{"name": "copy", **properties}))
        for command in (stack.preview, stack.up):
            assert said in command().failed().words
    stack.write(copy=clone(isolated=True, networks={"Network adapter 1": "VM Network"}))
    assert "together with `isolated`" in stack.preview().failed().words
    stack.write(copy=clone(name="a/b"))
    assert "can't have / in it" in stack.preview().failed().words
    assert names(client) == ["db-1", "web-1"]


def test_a_replacement_that_cannot_work_deletes_nothing(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Also without a preview: the engine would delete the old clone, and then find out."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    before = dict(stack.entries)
    for wrong in (clone(name="copy", snapshot="bsae"), clone(name="copy", vmName="wbe-1", linked=False)):
        stack.write(copy=wrong)
        refused = stack.up().failed().words
        assert "bsae" in refused or "wbe-1" in refused
        assert names(client) == ["copy", "db-1", "web-1"]
        assert stack.entries == before
    stack.write(copy=clone(name="copy", linked=False))
    stack.up().check()
    assert effects(vsphere, "copy") == [("copy", "destroy")]
    assert names(client) == ["copy", "db-1", "web-1"]


def test_a_replacement_whose_name_another_vm_has_deletes_nothing(stack: MiniStack, client: Client) -> None:
    """The clone was renamed by hand, and another VM has its name by now: the new clone can't have it."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    client.wait(client.vm("copy").Rename_Task("kept"))
    client.wait(client.vm("db-1").Rename_Task("copy"))
    stack.write(copy=clone(name="copy", linked=False))
    for refused in (stack.preview(), stack.up()):
        assert 'has a VM "copy"' in refused.failed().words
    assert names(client) == ["copy", "kept", "web-1"]


def test_where_it_goes(stack: MiniStack, client: Client) -> None:
    """Folder, pool, host and datastore are found by name or path, and the clone is made there."""
    root = client.content.rootFolder.childEntity[0].vmFolder
    root.CreateFolder("lab")
    stack.write(
        copy=clone(
            name="copy", folder="/DC0/vm/lab", resourcePool="DC0_C0", datastore="LocalDS_0", host="DC0_C0_H0"
        )
    )
    stack.up().check()
    assert stack.resource("copy").outputs["vm"]["path"] == "/DC0/vm/lab/copy"
    assert stack.refresh().check().ops == {}
    stack.destroy().check()


def test_a_running_vm_takes_no_other_hardware(stack: MiniStack, client: Client) -> None:
    """Without hot add, the preview of other CPUs for a running clone fails and says what to do."""
    stack.write(copy=clone(name="copy", powerOn=True))
    stack.up().check()
    stack.write(copy=clone(name="copy", powerOn=True, numCPUs=8))
    for command in (stack.preview, stack.up):
        assert "its cpuHotAddEnabled isn't true" in command().failed().words
    assert client.vm("copy").config.hardware.numCPU == 2
    stack.write(copy=clone(name="copy", numCPUs=8))
    stack.up().check()
    assert client.vm("copy").config.hardware.numCPU == 8


def test_cpus_fill_their_sockets(stack: MiniStack, client: Client) -> None:
    """CPUs that are no multiple of the cores per socket fail the preview, of a new clone and of a change."""
    client.power("web-1", on=False)
    client.reconfigure("web-1", numCPUs=4, numCoresPerSocket=2)
    client.take("web-1", "sockets")
    stack.write(copy=clone(name="copy", snapshot="base/sockets", numCPUs=3))
    for command in (stack.preview, stack.up):
        refused = command().failed().words
        assert "numCPUs: 3 is not a multiple of the VM's 2 cores per socket" in refused
    assert names(client) == ["db-1", "web-1"]
    stack.write(copy=clone(name="copy", snapshot="base/sockets", numCPUs=6))
    stack.up().check()
    stack.write(copy=clone(name="copy", snapshot="base/sockets", numCPUs=5))
    assert "numCPUs: 5 is not a multiple of the VM's 2 cores per socket" in stack.preview().failed().words
    assert client.vm("copy").config.hardware.numCPU == 6


def test_import(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """What a VirtualMachineClone made is imported by its name, shows no change, and can be deleted.

    The import names the stack that made it, which would delete it, too.
    """
    other = mini_stack(vsphere.settings, stack="other")
    other.write(theirs=clone(name="copy", powerOn=True, isolated=True))
    other.up().check()
    told = stack.import_(CLONE, "mine", "copy").check().words
    assert 'by resource "theirs" of stack' in told
    assert "pulumi state delete" in told
    entry = stack.resource("mine")
    assert entry.inputs["isolated"] is True
    stack.write(mine={"type": CLONE, "properties": entry.inputs})
    assert stack.preview().check().ops == {}
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


def test_a_clone_that_another_resource_has_is_not_deleted(stack: MiniStack, client: Client) -> None:
    """Imported once more, under a new name, the VM goes with the last of its resources."""
    stack.write(first=clone(name="copy"))
    stack.up().check()
    stack.import_(CLONE, "second", "copy").check()
    stack.write(second=clone(name="copy"))
    assert 'is kept: resource "second" of this stack has it, too' in stack.up().check().words
    assert names(client) == ["copy", "db-1", "web-1"]
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


def test_what_nobody_cloned_is_not_imported(stack: MiniStack, client: Client) -> None:
    """A VM that no VirtualMachineClone made can't come into state: a delete would delete it."""
    assert "was not made by a VirtualMachineClone" in stack.import_(CLONE, "mine", "db-1").failed().words
    assert not stack.entries


def test_a_single_host_cannot_clone() -> None:
    """On an ESXi host the preview says that it takes a vCenter."""
    with running("--names", "web-1", "--host-mode", "esx") as host:
        stack = mini_stack(host.settings)
        stack.write(base=snapshot(name="base"))
        stack.up().check()
        stack.write(base=snapshot(name="base"), copy=clone(name="copy"))
        assert "a single ESXi host can't clone" in stack.preview().failed().words


@pytest.mark.parametrize("memory", [False, True])
def test_memory_is_not_cloned(stack: MiniStack, client: Client, memory: bool) -> None:
    """Of a snapshot with memory, the preview says that the clone boots; the clone is off."""
    client.take("web-1", "held", memory=memory)
    stack.write(copy=clone(name="copy", snapshot="base/held"))
    assert ("memory, which isn't cloned" in stack.preview().check().words) is memory
    stack.up().check()
    assert str(client.vm("copy").runtime.powerState) == "poweredOff"


def test_it_waits_for_tools_and_tells_addresses(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """With `waitForTools` the update ends when the guest's Tools run; a refresh tells its addresses."""
    stack.write(copy=clone(name="copy", powerOn=True, waitForTools="1m"))
    stack.up().check()
    assert stack.resource("copy").outputs["toolsRunning"] is True
    vsphere.set("copy", ipAddress="192.0.2.41")
    stack.refresh().check()
    assert stack.resource("copy").outputs["ipAddresses"] == ["192.0.2.41"]
    assert stack.preview().check().ops == {}


def test_tools_that_do_not_come(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """If they don't run in time, the update fails with the VM in state; the next one waits again."""
    vsphere.set("web-1", tools="notRunning")
    stack.write(copy=clone(name="copy", powerOn=True, waitForTools="1s"))
    failed = stack.up().failed().words
    assert 'VMware Tools don\'t run in VM "copy"' in failed
    assert names(client) == ["copy", "db-1", "web-1"]
    vsphere.set("copy", tools="running")
    stack.up().check()
    assert stack.resource("copy").outputs["toolsRunning"] is True
    assert effects(vsphere, "web-1").count(("web-1", "clone")) == 1


def test_waiting_needs_power(stack: MiniStack) -> None:
    """`waitForTools` of a clone that stays off is refused by its name."""
    stack.write(copy=clone(waitForTools="1m"))
    assert "needs `powerOn: true`" in stack.preview().failed().words


def test_an_update_says_what_it_changes_beside_its_diff(stack: MiniStack, client: Client) -> None:
    """Somebody has switched the clone on since state was read: the preview of other CPUs tells the rest."""
    stack.write(it=clone(name="copy"))
    stack.up().check()
    client.power("copy", on=True)
    stack.write(it=clone(name="copy", numCPUs=4))
    told = stack.preview().check().words
    assert "powerOn: true => false" in told
    assert "what its guest hasn't written is lost" in told
    assert "powerOn: true => false" in stack.up().check().words
    assert stack.preview().check().words == ""
    stack.write(it=clone(name="copy", numCPUs=2))
    assert "is not as state has it" not in stack.preview().check().words


@pytest.mark.parametrize("known", [True, False])
def test_what_the_snapshot_disconnects_stays_so(stack: MiniStack, client: Client, *, known: bool) -> None:
    """No longer isolated, a clone has the adapters connected that its snapshot has: a preview names them."""
    (first,) = client.adapters("web-1")
    off = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=False, connected=False, allowGuestControl=True
    )
    second = vim.vm.device.VirtualVmxnet3(
        key=-1, backing=first.backing, addressType="generated", connectable=off
    )
    add = vim.vm.device.VirtualDeviceSpec(operation="add", device=second)
    client.reconfigure("web-1", deviceChange=[add])
    client.take("web-1", "two")
    asked = {"name": "copy", "snapshot": "base/two", "powerOn": True}
    stack.write(copy=clone(**asked, isolated=True))
    stack.up().check()
    assert connected(client, "copy") == [False, False]
    if not known:  # of an earlier build
        parameters = client.vm("copy").config.extraConfig
        told = json.loads(next(item.value for item in parameters if item.key == "vmsnapshot.clone"))
        del told["disconnected"]
        changed = vim.option.OptionValue(key="vmsnapshot.clone", value=json.dumps(told))
        client.reconfigure("copy", extraConfig=[changed])
    stack.write(copy=clone(**asked))
    shown = stack.preview().check().words
    assert "will be connected: Network adapter 1" in shown
    assert ("Disconnected in the snapshot, too, so they stay so: Network adapter 2" in shown) == known
    assert ("is not known" in shown) != known
    stack.up().check()
    assert connected(client, "copy") == [True, not known]
    assert stack.preview().check().ops == {}


def connected(client: Client, vm: str) -> list[bool]:
    """Whether each adapter of a VM is connected, in the order of their keys."""
    return [item.connectable.connected for item in sorted(client.adapters(vm), key=lambda card: card.key)]
