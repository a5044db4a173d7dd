"""A first revert that isn't known to have been done, though the server tells of one: the preview names it."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.simulator import Marks, Simulator
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.session import Session

OTHER = "Another request has reverted"
EQUAL = "An equal request of a resource of this name has reverted"


@pytest.fixture(params=["suffixed", "none", "nothing"])
def marks(request: pytest.FixtureRequest) -> Marks:
    """How a server keeps our marks with its tasks."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> OneRevert:
    """A VM that has gone on from `base`."""
    made = OneRevert(vsphere, client, "web-1", NoNotes())
    client.take("web-1", "later")
    made.write(snapshot="base")
    return made


def die(life: OneRevert) -> None:
    """Update, and die when the VM is reverted."""
    life.die("revert", lambda doing: doing.result())
    assert life.reverts == 1


@pytest.mark.parametrize("snapshot", ["base", "later"])
def test_one_under_another_name(life: OneRevert, snapshot: str) -> None:
    """Killed, then renamed in the program: preview and update say that this was done already."""
    die(life)
    renamed = mini_stack(life.vsphere.settings, stack="renamed")
    properties = {"vmName": "web-1", "snapshot": snapshot}
    renamed.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": properties})
    for command in (renamed.preview, renamed.up):
        told = command().check().words
        assert "will be reverted" in told
        assert (OTHER in told) is (snapshot == "base")


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
def test_one_after_which_the_vm_has_changed(life: OneRevert) -> None:
    """Killed, and somebody has worked on: what is lost by doing it once more is said."""
    die(life)
    life.client.reconfigure("web-1", numCPUs=7)
    for command in (life.stack.preview, life.stack.up):
        told = command().check().words
        assert EQUAL in told
        assert "something else has changed the VM since" in told
    assert life.reverts == 2


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
def test_one_of_more_than_an_hour_ago(life: OneRevert, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no longer taken for this one; that it was done is said."""
    die(life)
    monkeypatch.setattr(Session, "now", lambda *_arguments: now() + dt.timedelta(minutes=90))
    told = life.stack.preview().check().words
    assert "will be reverted" in told
    assert EQUAL in told
    assert "that is more than an hour ago" in told


def test_a_finished_one_of_another_resource_is_named(life: OneRevert) -> None:
    """Whose it was isn't known to the server."""
    life.stack.up().check()
    assert OTHER not in life.stack.preview().check().words
    other = mini_stack(life.vsphere.settings, stack="other")
    properties = {"vmName": "web-1", "snapshot": "base"}
    other.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": properties})
    assert OTHER in other.preview().check().words


def test_what_a_destroyed_stack_did_is_not_named(life: OneRevert) -> None:
    """`up`, `destroy`, `up`: it has ended, as the events tell."""
    life.stack.up().check()
    life.stack.destroy().check()
    told = life.stack.preview().check().words
    assert EQUAL not in told
    assert OTHER not in told


@pytest.mark.parametrize("marks", ["suffixed"], indirect=True)
def test_the_first_rollback_names_them_too(life: OneRevert) -> None:
    """Killed, then renamed in the program: preview and update say that this was done already."""
    vms = [{"vmName": "web-1"}]
    kinds = ("vmsnapshot:EnvironmentCheckpoint", "vmsnapshot:EnvironmentRollback")
    stack = mini_stack(life.vsphere.settings, stack="all")
    taken = {"type": kinds[0], "properties": {"virtualMachines": vms, "label": "r1"}}
    back = {"type": kinds[1], "properties": {"virtualMachines": vms, "to": "r1"}}
    stack.write(all=taken)
    stack.up().check()
    stack.write(all=taken, back=back)
    assert OTHER not in stack.preview().check().words
    stack.up().check()
    stack.write(all=taken, back=back, again=back)
    for command in (stack.preview, stack.up):
        told = command().check().words
        assert "web-1 to this checkpoint already (the last one ended" in told
        assert OTHER in told
