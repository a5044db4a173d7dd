"""What a revert on vSphere can't bring back: networks that are gone, and what backups know of changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyVmomi import vim

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.common.notes import NoNotes

VMS = ["web-1", "web-2", "web-3"]
_NAMES = iter(VMS)


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """A VM for each test."""
    with running("--names", ",".join(VMS), "--task-duration", "0s") as found:
        yield found


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> OneRevert:
    """A VM with a snapshot `base`."""
    return OneRevert(vsphere, client, next(_NAMES), NoNotes())


def test_changed_block_tracking_is_told_of(life: OneRevert) -> None:
    """Where it is on after the revert, the next backup has to be a full one; else nothing is said of it."""
    life.write(snapshot="base")
    assert "block tracking" not in life.stack.preview().check().words
    life.client.reconfigure(life.vm, changeTrackingEnabled=True)
    assert "changeTrackingEnabled" in str(life.stack.preview().check().step("web").after)
    life.client.take(life.vm, "tracked")
    life.write(snapshot="base/tracked")
    assert "Make the next backup a full one" in life.stack.preview().check().words


def test_a_network_that_is_gone_is_told_of(life: OneRevert) -> None:
    """The port group that the snapshot names was deleted: the preview says so, and what to do."""
    life.client.move_adapter(life.vm, "other")
    life.write(snapshot="base")
    assert "isn't found" not in life.stack.preview().check().words
    (group,) = [item for item in groups(life.client) if item.name == "DC0_DVPG0"]
    key = group.key
    life.client.wait(group.Destroy_Task())
    shown = life.stack.preview().check()
    assert f"Network adapter 1 on {key} (not found)" in shown.words
    assert "the adapter has no network after the revert" in shown.words
    assert f"{key} (not found)" in str(shown.step("web").after)
    life.stack.up().check()
    assert life.reverts == 1


def groups(client: Client) -> list[vim.dvs.DistributedVirtualPortgroup]:
    """All distributed port groups."""
    networks = client.content.rootFolder.childEntity[0].networkFolder.childEntity
    return [item for item in networks if isinstance(item, vim.dvs.DistributedVirtualPortgroup)]
