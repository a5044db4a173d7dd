"""Snapshots that linked clones stand on stay: their removal, pruning and replacement name the clones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clone.conftest import clone, effects, names, snapshot
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator

CHECKPOINT = "vmsnapshot:index:EnvironmentCheckpoint"


def removed(vsphere: Simulator) -> list[str]:
    """The names of the snapshots that were removed."""
    return [item["name"] for item in vsphere.history("web-1") if item["op"] == "remove"]


def cloned(vsphere: Simulator, of: str, name: str = "copy") -> MiniStack:
    """Another stack's linked clone of a snapshot of web-1."""
    other = mini_stack(vsphere.settings, stack="other")
    other.write(copy=clone(name=name, snapshot=of))
    other.up().check()
    return other


def checkpoint(label: str, **properties: Any) -> dict[str, Any]:
    """A checkpoint of web-1."""
    return {
        "type": CHECKPOINT,
        "properties": {"virtualMachines": [{"vmName": "web-1"}], "label": label, **properties},
    }


def test_a_delete_is_refused_while_a_clone_stands_on_it(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The error names the clone, nothing is done, and after the clone's delete the snapshot's works."""
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    other = cloned(vsphere, "base/ours")
    refused = stack.destroy().failed().words
    assert 'VM "copy"' in refused
    assert "stands on it (a linked clone)" in refused
    assert removed(vsphere) == []
    other.destroy().check()
    stack.destroy().check()
    assert removed(vsphere) == ["ours"]


def test_what_a_clone_stands_on_further_up_is_kept_too(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The snapshot above is refused as well; the one below, whose files the clone lacks, is removed."""
    stack.write(above=snapshot(name="above"))
    stack.up().check()
    stack.write(above=snapshot(name="above"), middle=snapshot(name="middle"))
    stack.up().check()
    stack.write(above=snapshot(name="above"), middle=snapshot(name="middle"), below=snapshot(name="below"))
    stack.up().check()
    cloned(vsphere, "base/above/middle")
    stack.write(above=snapshot(name="above"), middle=snapshot(name="middle"))
    stack.up().check()
    assert removed(vsphere) == ["below"]
    stack.write(middle=snapshot(name="middle"))
    assert 'VM "copy"' in stack.up().failed().words
    assert removed(vsphere) == ["below"]


def test_children_that_are_removed_along_are_looked_at(stack: MiniStack, vsphere: Simulator) -> None:
    """With `childPolicy: remove`, a clone of a snapshot below keeps all of them."""
    stack.write(ours=snapshot(name="ours", childPolicy="remove"))
    stack.up().check()
    other = mini_stack(vsphere.settings, stack="third")
    other.write(child=snapshot(name="child"))
    other.up().check()
    cloned(vsphere, "base/ours/child")
    assert 'VM "copy"' in stack.destroy().failed().words
    assert removed(vsphere) == []


def test_a_full_clone_protects_nothing(stack: MiniStack, vsphere: Simulator) -> None:
    """The snapshot of a full clone, and one of another VM, are removed as ever."""
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    other = mini_stack(vsphere.settings, stack="other")
    other.write(copy=clone(name="copy", snapshot="base/ours", linked=False))
    other.up().check()
    stack.destroy().check()
    assert removed(vsphere) == ["ours"]


def test_a_replacement_is_warned_of_in_the_preview(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The preview of a replaced snapshot names the clone; the update keeps the old one until that is gone."""
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    other = cloned(vsphere, "base/ours")
    stack.write(ours=snapshot(name="ours", memory=True))
    announced = stack.preview().check().words
    assert 'VM "copy"' in announced
    assert "Its delete is refused as long as" in announced
    assert 'VM "copy"' in stack.up().failed().words
    assert removed(vsphere) == []
    other.destroy().check()
    stack.up().check()
    assert removed(vsphere) == ["ours"]


def test_a_snapshot_and_its_clone_are_replaced_and_deleted_together(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """In one program the clone goes before the snapshot that it stands on."""
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    stack.write(ours=snapshot(name="ours"), zcopy=clone(name="copy", snapshot="base/ours"))
    stack.up().check()
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]
    assert removed(vsphere) == ["ours"]


def test_pruning_keeps_what_a_clone_stands_on(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A checkpoint whose time is over stays while a clone stands on it, is said to, and goes afterwards."""
    stack.write(it=checkpoint("L1", keepLast=1))
    stack.up().check()
    other = cloned(vsphere, "base/L1")
    stack.write(it=checkpoint("L2", keepLast=1))
    announced = stack.preview().check()
    assert 'Checkpoint "L1" is kept, although it has expired: VM "copy"' in announced.words
    assert "checkpoints.L1" not in announced.step("it").changes
    stack.up().check()
    assert sorted(stack.resource("it").outputs["checkpoints"]) == ["L1", "L2"]
    assert stack.preview().check().ops == {}
    assert removed(vsphere) == []
    other.destroy().check()
    assert stack.up().check().ops == {"it": "update"}
    assert removed(vsphere) == ["L1"]


def test_a_checkpoint_that_a_clone_stands_on_is_not_deleted(stack: MiniStack, vsphere: Simulator) -> None:
    """The delete of the resource names the VM and the clone; the next one, without the clone, ends it."""
    stack.write(it=checkpoint("L1"))
    stack.up().check()
    other = cloned(vsphere, "base/L1")
    assert 'VM "copy"' in stack.destroy().failed().words
    assert removed(vsphere) == []
    other.destroy().check()
    stack.destroy().check()
    assert removed(vsphere) == ["L1"]


def test_a_safety_snapshot_that_a_clone_stands_on_is_kept(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Its time being over, it stays with a warning that names the clone."""

    def revert(**properties: Any) -> dict[str, Any]:
        safety = {"name": "lost", "keepUpdates": 1}
        return {
            "type": "vmsnapshot:index:VirtualMachineRevert",
            "properties": {"vmName": "web-1", "snapshot": "base", "safetySnapshot": safety, **properties},
        }

    stack.write(it=revert())
    stack.up().check()
    cloned(vsphere, "base/lost")
    stack.write(it=revert(powerPolicy="on"))
    stack.up().check()
    stack.write(it=revert(powerPolicy="off"))
    assert 'is kept, although it has expired: VM "copy"' in stack.up().check().words
    assert removed(vsphere) == []


def clone_and_clone_of_it(stack: MiniStack, vsphere: Simulator, client: Client) -> MiniStack:
    """A clone `copy` in a stack, and another stack, with a clone `second` that stands on a snapshot of it."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    client.take("copy", "of the copy")
    other = mini_stack(vsphere.settings, stack="other")
    other.write(second=clone(name="second", vmName="copy", snapshot="of the copy"))
    other.up().check()
    return other


def test_a_clone_that_others_stand_on_is_not_deleted(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """A clone of a clone's snapshot keeps the first clone; both go in their order."""
    other = clone_and_clone_of_it(stack, vsphere, client)
    refused = stack.destroy().failed().words
    assert '"second"' in refused
    assert names(client) == ["copy", "db-1", "second", "web-1"]
    assert effects(vsphere, "copy") == [("copy", "create"), ("copy", "clone")]
    other.destroy().check()
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


def test_a_replaced_clone_that_others_stand_on_is_warned_of(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The preview says that the old clone can't go yet, and names who stands on it."""
    other = clone_and_clone_of_it(stack, vsphere, client)
    stack.write(copy=clone(name="copy", linked=False))
    for refused in (stack.preview().check().words, stack.up().failed().words):
        assert 'disks of "second"' in refused
    assert "copy" in names(client)
    other.destroy().check()
    assert "is not deleted" not in stack.preview().check().words
    stack.up().check()


@pytest.mark.parametrize("untold", ["layoutEx.disk", "layoutEx.file"])
def test_a_vm_whose_disks_are_not_told_is_warned_of(
    stack: MiniStack, vsphere: Simulator, client: Client, untold: str
) -> None:
    """What isn't known of a VM on the same datastore is said, in the preview as in the update; once each."""
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    cloned(vsphere, "base/ours")
    vsphere.withhold("copy", untold, "NoPermission")
    stack.write(ours=snapshot(name="ours", memory=True))
    for told in (stack.preview().check().words, stack.up().check().words):
        assert told.count('VM "copy"') == 1
        assert "linked clones that stand on what is removed is not known" in told


def test_a_snapshot_whose_files_are_not_told_is_not_removed(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Whether a clone stands on it can't be known then: nothing is removed, and the next run does it."""
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    vsphere.withhold("web-1", "config.hardware.device", "SystemError")
    refused = stack.destroy().failed().words
    assert "it isn't known whether linked clones stand on them" in refused
    assert removed(vsphere) == []
    vsphere.clear()
    stack.destroy().check()
    assert removed(vsphere) == ["ours"]


def test_a_vm_without_disks_is_no_unknown_clone(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A VM that has no disks has no chain of files, either: nothing is warned of."""
    client.remove_disks("db-1")
    stack.write(ours=snapshot(name="ours"))
    stack.up().check()
    assert "is not known" not in stack.destroy().check().words
    assert removed(vsphere) == ["ours"]
