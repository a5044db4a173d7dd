"""Ctrl-C while something is under way: the engine then asks its plugins to cancel."""

from __future__ import annotations

from collections.abc import Callable

from devkit.waiting import until
from tests.e2e.conftest import login, mini_stack, revert, snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing

Write = Callable[..., None]

# Seconds; the tasks are held for as long as nobody lets them go.
SOON = 60


def test_ctrl_c_cancels_the_snapshot_task(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """The command ends, vSphere's task is cancelled, and the next update takes exactly one."""
    vsphere.hold("web-1")
    write(before=snapshot(name="ours"))
    running = stack.start("up", "--yes", "--skip-preview")
    until(vsphere.tasks)
    running.interrupt()
    told = running.wait(SOON).failed().text
    assert 'taking snapshot "ours" of VM "web-1"' in told
    assert "cancelled" in told
    until(lambda: not vsphere.tasks())
    vsphere.release("web-1")
    assert vsphere.history() == []
    stack.up().check()
    assert client.ids("web-1") == [stack.resource("before")["outputs"]["uniqueID"]]
    assert [item["op"] for item in vsphere.history()] == ["create"]


def test_a_revert_that_cannot_be_cancelled_is_left(vsphere: Simulator, client: Client) -> None:
    """Cancelled, the update ends and says that the task goes on; the next doesn't revert a second time."""
    client.take("web-1", "base")
    mini = mini_stack(vsphere)
    mini.write(web=revert(snapshot="base"))
    vsphere.hold("web-1")
    with plugin(login(vsphere)) as running:
        update = Doing(mini.served_by(running).up)
        # The first wait has brought what the task is like; the second is for its end.
        update.until(lambda: vsphere.calls().get("WaitForUpdatesEx", 0) > 1)
        running.cancel()
        told = update.result(SOON).failed().text
    assert 'reverting VM "web-1"' in told
    assert "can't be cancelled and still runs on vSphere" in told
    assert vsphere.tasks()
    vsphere.release("web-1")
    until(lambda: not vsphere.tasks())
    mini.up().check()
    assert mini.resource("web").outputs["revertedTo"]["name"] == "base"
    assert [item["op"] for item in vsphere.history()] == ["create", "revert"]


def test_the_wait_for_another_clients_task_ends(vsphere: Simulator, client: Client) -> None:
    """Somebody else's task on the VM is left alone; the update that waits for it ends when cancelled."""
    vsphere.hold("web-1")
    theirs = client.vm("web-1").CreateSnapshot_Task(name="theirs", memory=False, quiesce=False)
    until(vsphere.tasks)
    mini = mini_stack(vsphere)
    mini.write(before=snapshot(name="ours"))
    with plugin(login(vsphere)) as running:
        update = Doing(mini.served_by(running).up)
        update.until(lambda: vsphere.calls().get("CreatePropertyCollector"))
        running.cancel()
        assert "cancelled" in update.result(SOON).failed().text
    vsphere.release("web-1")
    client.wait(theirs)
    assert client.names("web-1") == ["theirs"]
