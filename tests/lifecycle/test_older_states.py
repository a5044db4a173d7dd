"""A state that is older than what was done with it: a backup that was restored, `pulumi stack import`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.port import Backend

BEFORE, AFTER = "0b9f7c06-6f7e-4c56-a7c6-1d6a3f0c5a11", "f2d2b3a0-0d53-4a3b-9a53-5c8b0a1d9e22"
EQUAL = "An equal request of a resource of this name has reverted"
OTHER = "Another request has reverted"


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> OneRevert:
    """A VM that is watched, with the snapshots `base` and `other`."""
    made = OneRevert(vsphere, client, "web-1", NoNotes())
    client.take("web-1", "other")
    made.write()
    made.stack.up().check()
    return made


@pytest.mark.parametrize("hours", [0, 3, 26])
def test_a_revert_that_was_done_is_not_done_again(life: OneRevert, client: Client, hours: int) -> None:
    """However long ago that was, and whatever was done to the VM since: the preview says when."""
    older = dict(life.stack.entries)
    life.write(snapshot="base")
    life.stack.up().check()
    client.take("web-1", "days of work")
    life.vsphere.set_clock(dt.timedelta(hours=hours))
    life.stack.entries = older
    shown = life.stack.preview().check()
    assert 'was already reverted to snapshot "base" by a run of this request' in shown.words
    assert "or the state is older, as one from a backup" in shown.words
    assert "will be reverted" not in shown.words
    assert "was already reverted" in life.stack.up().check().words
    assert life.reverts == 1
    assert life.stack.preview().check().ops == {}
    life.write(snapshot="base", triggers={"again": 1})
    assert "will be reverted" in life.stack.preview().check().words
    life.stack.up().check()
    assert life.reverts == 2


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
def test_a_state_of_several_requests_ago(life: OneRevert, client: Client) -> None:
    """Which request that was can't be told any more: preview and update say that this was done before."""
    older = dict(life.stack.entries)
    for seconds, snapshot in ((10, "other"), (20, "base")):
        # The server's events tell to which snapshot each went, by their times.
        life.vsphere.set_clock(dt.timedelta(seconds=seconds))
        life.write(snapshot=snapshot)
        told = life.stack.preview().check().words
        assert OTHER not in told
        assert EQUAL not in told
        life.stack.up().check()
    client.take("web-1", "days of work")
    life.stack.entries = older
    for command in (life.stack.preview, life.stack.up):
        told = command().check().words
        assert "will be reverted" in told
        assert OTHER in told
        assert "after all that this resource's state knows of" in told


@pytest.mark.parametrize("hours", [3, 26])
def test_a_first_revert_of_long_ago_is_named(life: OneRevert, client: Client, hours: int) -> None:
    """A state from before there was the resource: nothing tells its request from an equal earlier one."""
    fresh = mini_stack(life.vsphere.settings, stack="fresh")
    older = dict(fresh.entries)
    properties = {"vmName": "web-1", "snapshot": "base"}
    fresh.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": properties})
    fresh.up().check()
    client.take("web-1", "days of work")
    life.vsphere.set_clock(dt.timedelta(hours=hours))
    fresh.entries = older
    told = fresh.preview().check().words
    assert "will be reverted" in told
    assert EQUAL in told
    assert "that is more than an hour ago" in told


def killed(vsphere: Simulator, stack: MiniStack, method: str) -> None:
    """Update by a provider of the same state, and be killed when a call has had its effect."""

    def around(backend: Backend) -> Any:
        return CrashingBackend(backend, method, Doing.result)

    dying = mini_stack(vsphere.settings, around=around, provider_id=BEFORE)
    dying.entries, dying._program = dict(stack.entries), stack._program
    with pytest.raises(Crash):
        dying.up()


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
@pytest.mark.parametrize("watched", [True, False], ids=["update", "create"])
@pytest.mark.parametrize("method", ["revert", "create_snapshot"])
def test_a_safety_snapshot_of_before_an_upgrade(
    vsphere: Simulator, client: Client, method: str, *, watched: bool
) -> None:
    """The provider has another id in the state then: an update's own is recorded, a create's is named."""
    client.take("web-1", "base")
    stack = mini_stack(vsphere.settings, provider_id=BEFORE)
    upgraded = mini_stack(vsphere.settings, provider_id=AFTER)
    kind = "vmsnapshot:VirtualMachineRevert"
    if watched:
        stack.write(web={"type": kind, "properties": {"vmName": "web-1"}})
        stack.up().check()
    properties = {"vmName": "web-1", "snapshot": "base", "safetySnapshot": {"keepUpdates": 1}}
    stack.write(web={"type": kind, "properties": properties})
    killed(vsphere, stack, method)
    upgraded.entries, upgraded._program = dict(stack.entries), stack._program
    (left,) = [name for name in client.names("web-1") if name.startswith("before-revert")]
    words = upgraded.preview().check().words + upgraded.up().check().words
    told = f'"base/{left}"' in words and "State doesn't hold it, and no update removes it" in words
    assert told is not watched
    recorded = upgraded.resource("web").outputs["safetySnapshots"]
    there = [name for name in client.names("web-1") if name.startswith("before-revert")]
    # A create's second one stands beside it; an update's replaces it.
    assert len(recorded) == (1 if watched or method == "create_snapshot" else 0)
    assert len(there) == (2 if method == "create_snapshot" and not watched else 1)
    assert sum(item["op"] == "revert" for item in vsphere.history("web-1")) == 1


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
@pytest.mark.parametrize("watched", [True, False], ids=["update", "create"])
def test_a_rollbacks_safety_snapshot_of_before_an_upgrade(
    vsphere: Simulator, client: Client, *, watched: bool
) -> None:
    """Likewise: in `progress`, from where `onFailure: undo` takes it, or named."""
    vms = [{"vmName": "web-1"}]
    taken = {
        "type": "vmsnapshot:EnvironmentCheckpoint",
        "properties": {"virtualMachines": vms, "label": "r1"},
    }
    stack = mini_stack(vsphere.settings, provider_id=BEFORE)
    upgraded = mini_stack(vsphere.settings, provider_id=AFTER)

    def write(**asked: Any) -> None:
        rollback = {"virtualMachines": vms, **asked}
        stack.write(all=taken, back={"type": "vmsnapshot:EnvironmentRollback", "properties": rollback})

    stack.write(all=taken)
    stack.up().check()
    if watched:
        write()
        stack.up().check()
    write(to="r1", safetySnapshot=True)
    killed(vsphere, stack, "revert")
    upgraded.entries, upgraded._program = dict(stack.entries), stack._program
    words = upgraded.up().check().words
    assert "already reverted" in words
    assert ("State doesn't hold it, and no update removes it" in words) is not watched
    progress = upgraded.resource("back").outputs["progress"]["web-1"]
    assert ("safetySnapshot" in progress) is watched
    assert sum(item["op"] == "revert" for item in vsphere.history("web-1")) == 1
