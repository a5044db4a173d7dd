"""Disks that a clone wasn't made with: deleting a VM deletes the files of all its disks."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from tests.clone.conftest import clone, names
from tests.support import ministack
from tests.support.client import Client
from tests.support.ministack import MiniStack


def disks(client: Client, vm: str) -> list[Any]:
    """A VM's disks."""
    devices = client.vm(vm).config.hardware.device
    return [item for item in devices if isinstance(item, vim.vm.device.VirtualDisk)]


def detach(client: Client, vm: str) -> Any:
    """Take the last disk from a VM; its file stays."""
    disk = disks(client, vm)[-1]
    client.reconfigure(vm, deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk)])
    return disk


def attach(client: Client, vm: str, disk: Any, *, controller: int | None = None) -> None:
    """Give a VM a disk that is there; `controller`: of a VM that has no other disk."""
    given = vim.vm.device.VirtualDisk(
        key=-1,
        controllerKey=controller or disks(client, vm)[0].controllerKey,
        unitNumber=5,
        capacityInKB=disk.capacityInKB,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            diskMode="persistent", fileName=disk.backing.fileName
        ),
    )
    client.reconfigure(vm, deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", device=given)])


@pytest.mark.parametrize("moved", [False, True], ids=["shared", "moved"])
def test_a_clone_with_a_disk_of_another_vm_is_not_deleted(
    stack: MiniStack, client: Client, *, moved: bool
) -> None:
    """Shared with it, or moved from it: the error names the file; once it is detached the delete works."""
    stack.write(it=clone(name="copy"))
    stack.up().check()
    client.add_disk("db-1", 1)
    disk = detach(client, "db-1") if moved else disks(client, "db-1")[-1]
    attach(client, "copy", disk)
    refused = stack.destroy().failed().words
    assert disk.backing.fileName in refused
    assert "deleting a VM deletes the files of all its disks" in refused
    assert "copy" in names(client)
    detach(client, "copy")
    stack.destroy().check()
    assert "copy" not in names(client)


@pytest.mark.parametrize("moved", [False, True], ids=["shared", "moved"])
def test_another_disk_under_the_key_of_the_clones_own(
    stack: MiniStack, client: Client, *, moved: bool
) -> None:
    """Keys "may be recycled" (API reference, VirtualDevice.key): its file tells whose it is."""
    stack.write(it=clone(name="copy"))
    stack.up().check()
    client.add_disk("db-1", 1)
    own = detach(client, "copy")
    disk = detach(client, "db-1") if moved else disks(client, "db-1")[-1]
    attach(client, "copy", disk, controller=own.controllerKey)
    assert [item.key for item in disks(client, "copy")] == [own.key]
    refused = stack.destroy().failed().words
    assert disk.backing.fileName in refused
    assert "deleting a VM deletes the files of all its disks" in refused
    detach(client, "copy")
    stack.destroy().check()
    assert "copy" not in names(client)


def test_a_disk_that_was_added_to_a_clone_goes_with_it(stack: MiniStack, client: Client) -> None:
    """Its file is in the clone's folder: it is nobody else's."""
    stack.write(it=clone(name="copy"))
    stack.up().check()
    client.add_disk("copy", 1)
    stack.destroy().check()
    assert "copy" not in names(client)


def test_a_replaced_clone_that_stays_is_never_the_next_one(
    stack: MiniStack, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `retainOnDelete`, a clone of what an earlier one was made from is a new VM, not that one."""
    monkeypatch.setattr(ministack._Run, "_remove", lambda _self, _old: None)
    client.take("web-1", "child")
    for number, snapshot in enumerate(("base", "base/child", "base")):
        stack.write(it=clone(name=f"copy-{number}", snapshot=snapshot))
        stack.up().check()
    assert {"copy-0", "copy-1", "copy-2"} <= set(names(client))
