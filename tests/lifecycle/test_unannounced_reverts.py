"""Reverts before which no event says that they begin: the login may not log one, or somebody else did it.

By then the server doesn't list the task with the VM any more, nor among those of the last two hours.
"""

from __future__ import annotations

import datetime as dt

import pytest

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.simulator import Marks, Simulator
from vmsnapshot.lifecycle.common.notes import NoNotes

ROLLBACK = "vmsnapshot:EnvironmentRollback"
OTHER = "Another request has reverted"
LATER = dt.timedelta(hours=3)


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> OneRevert:
    """A VM that is watched; a login that may not log events is about to revert it."""
    made = OneRevert(vsphere, client, "web-1", NoNotes())
    made.write()
    made.stack.up().check()
    vsphere.set_clock(dt.timedelta(minutes=1))
    made.write(snapshot="base")
    vsphere.deny("Global.LogEvent")
    return made


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
@pytest.mark.parametrize("granted", [False, True], ids=["as before", "granted since"])
def test_one_with_a_mark_is_found(life: OneRevert, client: Client, *, granted: bool) -> None:
    """VCenter's own event of the revert tells that it is worth it to look through the VM's tasks."""
    life.die("revert", lambda doing: doing.result())
    client.take("web-1", "days of work")
    life.vsphere.set_clock(LATER)
    if granted:
        life.vsphere.deny()
    assert "was already reverted" in life.stack.preview().check().words
    assert "was already reverted" in life.stack.up().check().words
    assert life.reverts == 1
    assert client.names("web-1") == ["base", "days of work"]


def test_one_of_another_client_is_named(life: OneRevert, client: Client, marks: Marks) -> None:
    """Without a mark nothing tells whose it was: preview and update say that it was done, and when."""
    del marks
    client.revert("web-1", "base")
    client.take("web-1", "days of work")
    for after in (dt.timedelta(minutes=2), LATER):
        life.vsphere.set_clock(after)
        told = life.stack.preview().check().words
        assert "will be reverted" in told
        assert OTHER in told
        assert "after all that this resource's state knows of" in told
    assert OTHER in life.stack.up().check().words


def test_one_to_another_snapshot_is_not(life: OneRevert, client: Client) -> None:
    """Nor is one that state knows of."""
    client.take("web-1", "other")
    client.revert("web-1", "other")
    assert OTHER not in life.stack.preview().check().words
    life.vsphere.deny()
    life.stack.up().check()
    life.vsphere.set_clock(LATER)
    life.write(snapshot="base", triggers={"again": 1})
    assert OTHER not in life.stack.preview().check().words


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
def test_what_was_announced_is_not_looked_for_again(life: OneRevert) -> None:
    """A past revert of ours of which an event tells that it began costs no look through the VM's tasks."""
    life.vsphere.deny()
    life.stack.up().check()
    life.vsphere.set_clock(LATER)
    life.write(snapshot="base", triggers={"again": 1})
    life.vsphere.reset_calls()
    life.stack.preview().check()
    assert life.vsphere.calls()["CreateCollectorForTasks"] == 1


@pytest.mark.parametrize("marks", ["none"], indirect=True)
def test_a_rollback_names_them_too(vsphere: Simulator, client: Client) -> None:
    """Killed, with a login that may not log events: the next one says that the VM was reverted since."""
    vms = [{"vmName": "web-1"}]
    taken = {
        "type": "vmsnapshot:EnvironmentCheckpoint",
        "properties": {"virtualMachines": vms, "label": "r1"},
    }
    back = {"virtualMachines": vms, "to": "r1"}
    stack = mini_stack(vsphere.settings)
    for number in (1, 2):
        vsphere.set_clock(dt.timedelta(minutes=number))
        stack.write(all=taken, **({"back": {"type": ROLLBACK, "properties": back}} if number == 2 else {}))
        stack.up().check()
    vsphere.deny("Global.LogEvent")
    stack.write(all=taken, back={"type": ROLLBACK, "properties": {**back, "triggers": {"again": "1"}}})
    assert OTHER not in stack.preview().check().words
    vsphere.set_clock(dt.timedelta(minutes=3))
    client.revert("web-1", "r1")
    vsphere.set_clock(LATER)
    for command in (stack.preview, stack.up):
        assert "web-1 to this checkpoint already (the last one ended" in command().check().words


@pytest.mark.parametrize("marks", ["none"], indirect=True)
def test_a_safety_snapshot_that_the_vm_has_left_tells_it(life: OneRevert, client: Client) -> None:
    """Killed after the revert: nothing else tells of it, so it is refused; what the message advises works."""
    asked = {"snapshot": "base", "safetySnapshot": {"name": "safe"}}
    life.write(**asked)
    life.die("create_snapshot", lambda doing: doing.result())
    assert "will be reverted" in life.stack.preview().check().words  # it stands on it
    life.die("revert", lambda doing: doing.result())
    client.take("web-1", "days of work")
    for command in (life.stack.preview, life.stack.up):
        told = command().failed().words
        assert "was reverted after an earlier run of this request had taken" in told
        assert '"base/safe"' in told
        assert "whether that was this request is not known, so nothing was done now" in told
    assert life.reverts == 1
    life.write()
    assert life.stack.up().check().ops == {}
    life.write(**asked, triggers={"again": 1})
    life.stack.up().check()
    assert life.reverts == 2


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
def test_where_the_server_would_tell_somebody_else_has_left_it(life: OneRevert, client: Client) -> None:
    """Its tasks carry marks, and none carries this one: the VM is reverted."""
    life.stack.up().check()  # a task with a mark
    life.write(snapshot="base", safetySnapshot={"name": "safe"}, triggers={"again": 1})
    life.die("create_snapshot", lambda doing: doing.result())
    client.revert("web-1", "base")
    assert "will be reverted" in life.stack.preview().check().words
    life.stack.up().check()
