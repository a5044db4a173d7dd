"""VirtualMachineRevert through the real engine on the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import revert, snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator
from tests.support.waiting import until

Write = Callable[..., None]


def reverts(vsphere: Simulator, vm: str = "web-1") -> int:
    """How often a VM really was reverted."""
    return sum(item["op"] == "revert" for item in vsphere.history(vm))


def test_reverts_once_for_each_request(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """A revert happens when it is asked for, never again for the same inputs, again for a new trigger."""
    client.take("web-1", "base")
    write(web=revert())
    stack.up().check()
    assert "revertedTo" not in stack.resource("web")["outputs"]
    write(web=revert(snapshot="base"))
    assert "will be reverted to snapshot" in stack.preview().check().text
    assert reverts(vsphere) == 0
    stack.up().check()
    state = stack.resource("web")["outputs"]
    assert (reverts(vsphere), state["revertedTo"]["name"]) == (1, "base")
    client.power("web-1", on=True)
    client.take("web-1", "newer")
    for again in (stack.preview(), stack.up(), stack.refresh(), stack.up()):
        assert "to update" not in again.check().text
        assert "updated" not in again.text
    assert stack.resource("web")["outputs"]["currentSnapshot"] == {"name": "newer", "type": "Unmanaged"}
    assert reverts(vsphere) == 1
    write(web=revert(snapshot="base", triggers={"try": 2}))
    stack.up().check()
    assert reverts(vsphere) == 2
    write(web=revert())
    stack.up().check()
    stack.destroy().check()
    assert reverts(vsphere) == 2
    assert client.names("web-1") == ["base", "newer"]


def test_the_preview_shows_the_live_vm_against_the_snapshot(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """CPUs, a disk and the power state are shown as true diffs, and become true."""
    client.power("web-1", on=False)
    client.take("web-1", "release-41")
    write(web=revert())
    stack.up().check()
    client.reconfigure("web-1", numCPUs=8)
    client.add_disk("web-1", 100)
    client.power("web-1", on=True)
    client.take("web-1", "release-42")
    write(web=revert(snapshot="release-41"))
    text = stack.preview().check().text
    shown = [" ".join(line.split()) for line in text.splitlines()]
    for expected in ("~ numCPUs : 8 => 2", '~ powerState: "PoweredOn" => "PoweredOff"', "- GiB : 100"):
        assert expected in shown
    assert "release-41 (Unmanaged, less than a minute old) <== target" in text
    assert "└─ release-42 (Unmanaged, less than a minute old) <== you are here" in text
    assert "powered on now; will be powered off (the snapshot holds no memory)" in text
    assert "Leaves the current branch, but stays and can be reverted to:" in text
    stack.up().check()
    live = client.vm("web-1")
    assert (live.config.hardware.numCPU, str(live.runtime.powerState)) == (2, "poweredOff")
    state = stack.resource("web")
    assert state["outputs"]["machine"] == state["inputs"]["machine"]


@pytest.mark.parametrize(
    ("policy", "memory", "power"),
    [
        pytest.param("snapshot", False, "PoweredOff", id="as in the snapshot, which has no memory"),
        pytest.param("snapshot", True, "PoweredOn", id="as in the snapshot, which has memory"),
        pytest.param("on", False, "PoweredOn", id="on"),
        pytest.param("off", True, "PoweredOff", id="off"),
    ],
)
def test_power_policy(
    stack: Stack, client: Client, write: Write, *, policy: str, memory: bool, power: str
) -> None:
    """After the revert the power is what was announced."""
    client.take("web-1", "base", memory=memory)
    write(web=revert(snapshot="base", powerPolicy=policy))
    stack.up().check()
    state = stack.resource("web")
    assert state["outputs"]["machine"]["powerState"] == power
    assert state["inputs"]["machine"]["powerState"] == power


def test_a_safety_snapshot_undoes_the_revert(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """The state that a revert loses is kept first, can be reverted to, and goes when its time is over."""
    client.take("web-1", "base")
    write(web=revert(snapshot="base", safetySnapshot={"keepUpdates": 2, "memory": True}))
    stack.up().check()
    (safety,) = stack.resource("web")["outputs"]["safetySnapshots"]
    assert client.names("web-1") == ["base", safety["name"]]
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "revert"]
    client.revert("web-1", safety["name"])
    assert str(client.vm("web-1").runtime.powerState) == "poweredOn"
    for policy in ("off", "on"):
        write(web=revert(snapshot="base", powerPolicy=policy, safetySnapshot={"keepUpdates": 2}))
        stack.up().check()
        assert client.names("web-1") == [
            "base",
            safety["name"],
        ]  # its time is over with the second, but the VM runs on it
    client.revert("web-1", "base")
    write(web=revert(snapshot="base", powerPolicy="snapshot", safetySnapshot={"keepUpdates": 2}))
    stack.up().check()
    assert client.names("web-1") == ["base"]
    assert stack.resource("web")["outputs"]["safetySnapshots"] == []
    assert reverts(vsphere) == 3  # ours, and the other client's two


def test_a_renamed_snapshot_asks_for_no_revert(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """Another name for the snapshot that was asked for is no new request."""
    both = {"web": revert(snapshot="${before.path}")}
    write(before=snapshot(name="one"), **both)
    stack.up().check()
    assert reverts(vsphere) == 1
    write(before=snapshot(name="two"), **both)
    assert "will be reverted" not in stack.preview().check().text
    stack.up().check()
    assert stack.resource("web")["outputs"]["snapshot"] == "two"
    assert reverts(vsphere) == 1
    assert client.names("web-1") == ["two"]


@pytest.mark.parametrize(
    ("properties", "path", "words"),
    [
        pytest.param({"snapshot": "bsae"}, "snapshot", "Did you mean 'base'?", id="mistyped snapshot"),
        pytest.param({"snapshot": "twice"}, "snapshot", "2 snapshots", id="ambiguous snapshot"),
        pytest.param({"vmName": "wbe-1", "snapshot": "base"}, "vmName", "web-1", id="unknown VM"),
    ],
)
def test_a_revert_that_cannot_work_fails_the_preview(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, *, properties: Any, path: str, words: str
) -> None:
    """The preview fails with the property's name, so that nobody agrees; nothing is done by up either."""
    client.take("web-1", "base")
    client.take("web-1", "twice")
    client.take("web-1", "twice")
    write(web={"type": revert()["type"], "properties": {"vmName": "web-1", **properties}})
    for outcome in (stack.preview(), stack.up()):
        assert path in outcome.failed().text
        assert words in outcome.text
    assert reverts(vsphere) == 0


def test_a_template_fails_the_preview(stack: Stack, vsphere: Simulator, client: Client, write: Write) -> None:
    """What preflight finds impossible fails the preview with its reason."""
    client.take("web-1", "base")
    vsphere.set("web-1", template=True)
    write(web=revert(snapshot="base"))
    assert "is a template" in stack.preview().failed().text


def test_ignored_changes_of_the_snapshot_never_revert(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """With ignoreChanges on snapshot and triggers, a new one asks for nothing."""
    client.take("web-1", "base")
    client.take("web-1", "newer")
    write(web=revert(snapshot="base"))
    stack.up().check()
    ignore = {"ignoreChanges": ["snapshot", "triggers", "machine"]}
    write(web=revert(snapshot="newer", triggers={"a": 1}, options=ignore))
    assert "unchanged" in stack.up().check().text
    assert reverts(vsphere) == 1


def test_importing_a_vm_watches_it(stack: Stack, vsphere: Simulator) -> None:
    """An imported revert watches the VM, and its generated program changes nothing."""
    stack.import_("vmsnapshot:index:VirtualMachineRevert", "web", "web-1").check()
    entry = stack.resource("web")
    stack.write({"resources": {"web": {"type": revert()["type"], "properties": entry["inputs"]}}})
    text = stack.up().check().text
    assert "updated" not in text
    assert reverts(vsphere) == 0


def test_a_failed_revert_is_recorded_and_tried_again(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """A revert that the platform fails leaves its condition in state; the next up does it."""
    client.take("web-1", "base")
    write(web=revert())
    stack.up().check()
    write(web=revert(snapshot="base"))
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", where="task")
    text = stack.up().failed().text
    assert "web-1" in text
    assert "base" in text
    (condition,) = stack.resource("web")["outputs"]["conditions"]
    assert (condition["type"], condition["status"]) == ("VirtualMachineSnapshotRevertSucceeded", "False")
    stack.up().check()
    state = stack.resource("web")["outputs"]
    assert (state["conditions"], state["revertedTo"]["name"]) == ([], "base")
    assert reverts(vsphere) == 1


@pytest.mark.parametrize("required", [True, False], ids=["required", "not required"])
def test_a_vm_that_changed_after_the_preview_is_noticed(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, *, required: bool
) -> None:
    """Between preview and update of one command: the update says what changed; requireUnchanged refuses."""
    client.take("web-1", "base")
    write(web=revert(snapshot="base", requireUnchanged=required))
    running = stack.start("up", "--yes")
    until(lambda: vsphere.calls().get("Login", 0) > 1)  # this client's, and the preview's
    vsphere.delay(5000, method="Login")  # the update waits before its first look
    until(lambda: "Updating" in running.text)
    client.take("web-1", "meanwhile")
    outcome = running.wait()
    text = " ".join(outcome.text.split())
    assert "is no longer as the preview showed it: it ran on snapshot" in text
    assert '"meanwhile"' in text
    assert (outcome.ok, reverts(vsphere)) == ((False, 0) if required else (True, 1))


def test_a_new_resource_after_destroy_reverts_again(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """An environment that is destroyed and set up again is reverted again: that is no interrupted run."""
    client.take("web-1", "base")
    write(web=revert(snapshot="base"))
    stack.up().check()
    stack.destroy().check()
    stack.up().check()
    assert reverts(vsphere) == 2
