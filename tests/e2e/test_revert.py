"""VirtualMachineRevert on the simulator: what the real engine adds, and what the table has no place for."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest

from devkit.waiting import until
from tests.e2e.conftest import login, revert, snapshot
from tests.environment.resource import after_check
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator

Write = Callable[..., None]

BOTH = [{"vmName": "web-1"}, {"vmName": "web-2"}]
CHECKPOINT = {
    "type": "vmsnapshot:EnvironmentCheckpoint",
    "properties": {"virtualMachines": BOTH, "label": "release-41"},
}


def reverts(vsphere: Simulator, vm: str = "web-1") -> int:
    """How often a VM really was reverted."""
    return sum(item["op"] == "revert" for item in vsphere.history(vm))


def test_the_preview_shows_the_live_vm_against_the_snapshot(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """CPUs, a disk and the power state are shown as true diffs, and become true; once and for all."""
    client.power("web-1", on=False)
    client.take("web-1", "release-41")
    write(web=revert())
    stack.up().check()
    assert "revertedTo" not in stack.resource("web")["outputs"]
    client.reconfigure("web-1", numCPUs=8)
    client.add_disk("web-1", 100)
    client.power("web-1", on=True)
    client.take("web-1", "release-42")
    write(web=revert(snapshot="release-41"))
    text = stack.preview().check().text
    shown = [" ".join(line.split()) for line in text.splitlines()]
    for expected in ("~ numCPUs : 8 => 2", '~ powerState: "PoweredOn" => "PoweredOff"', "- GiB : 100"):
        assert expected in shown
    assert 'will be reverted to snapshot "release-41"' in " ".join(shown)
    assert "release-41 (Unmanaged, less than a minute old) <== target" in text
    assert "└─ release-42 (Unmanaged, less than a minute old) <== you are here" in text
    assert "powered on now; will be powered off (the snapshot holds no memory)" in text
    assert "Leaves the current branch, but stays and can be reverted to:" in text
    assert reverts(vsphere) == 0
    stack.up().check()
    live = client.vm("web-1")
    assert (live.config.hardware.numCPU, str(live.runtime.powerState)) == (2, "poweredOff")
    state = stack.resource("web")
    assert state["outputs"]["machine"] == state["inputs"]["machine"]
    assert state["outputs"]["revertedTo"]["name"] == "release-41"
    client.power("web-1", on=True)
    client.take("web-1", "newer")
    for again in (stack.preview(), stack.refresh(), stack.up()):
        assert "to update" not in again.check().text
        assert "updated" not in again.text
    current = stack.resource("web")["outputs"]["currentSnapshot"]
    assert current == {"name": "newer", "type": "Unmanaged"}
    assert reverts(vsphere) == 1


def test_back_to_the_current_snapshot(stack: Stack, vsphere: Simulator, client: Client, write: Write) -> None:
    """A dot discards what was written since; the preview names the snapshot and shows the true diff."""
    client.power("web-1", on=False)
    client.take("web-1", "release-41")
    client.take("web-1", "release-42")
    client.reconfigure("web-1", numCPUs=8)
    write(web=revert(snapshot="."))
    text = stack.preview().check().text
    assert 'will be reverted to snapshot "release-41/release-42"' in " ".join(text.split())
    assert "release-42 (Unmanaged, less than a minute old) <== target <== you are here" in text
    stack.up().check()
    outputs = stack.resource("web")["outputs"]
    assert (outputs["snapshot"], outputs["revertedTo"]["name"]) == (".", "release-42")
    assert client.vm("web-1").config.hardware.numCPU == 2
    stack.preview("--expect-no-changes").check()
    assert reverts(vsphere) == 1


def test_a_safety_snapshot_undoes_the_revert(mini: MiniStack, vsphere: Simulator, client: Client) -> None:
    """The state that a revert loses is kept first, can be reverted to, and goes when its time is over."""
    client.take("web-1", "base")
    mini.write(web=revert(snapshot="base", safetySnapshot={"keepUpdates": 2, "memory": True}))
    mini.up().check()
    (safety,) = mini.resource("web").outputs["safetySnapshots"]
    assert client.names("web-1") == ["base", safety["name"]]
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "revert"]
    client.revert("web-1", safety["name"])
    assert str(client.vm("web-1").runtime.powerState) == "poweredOn"
    for policy in ("off", "on"):
        mini.write(web=revert(snapshot="base", powerPolicy=policy, safetySnapshot={"keepUpdates": 2}))
        assert mini.up().check().ops == {"web": "update"}
        # Its time is over with the second, but the VM runs on it.
        assert client.names("web-1") == ["base", safety["name"]]
    client.revert("web-1", "base")
    mini.write(web=revert(snapshot="base", powerPolicy="snapshot", safetySnapshot={"keepUpdates": 2}))
    assert f'Safety snapshot "{safety["name"]}" of VM "web-1" will be removed' in mini.preview().check().words
    mini.up().check()
    assert client.names("web-1") == ["base"]
    assert mini.resource("web").outputs["safetySnapshots"] == []
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


def test_a_revert_that_cannot_work_fails_the_preview(
    quick: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The preview fails with the property's name or the reason, so nobody agrees; up does nothing either."""
    for name in ("base", "twice", "twice"):
        client.take("web-1", name)
    client.take("web-2", "base")
    vsphere.set("web-2", template=True)
    quick.write(
        mistyped=revert(snapshot="bsae"),
        ambiguous=revert(snapshot="twice"),
        unknown=revert("wbe-1", snapshot="base"),
        template=revert("web-2", snapshot="base"),
    )
    expected = {
        "mistyped": ("snapshot", "Did you mean 'base'?"),
        "ambiguous": ("snapshot", "2 snapshots"),
        "unknown": ("vmName", "web-1"),
        "template": ("is a template",),
    }
    for outcome in (quick.preview(), quick.up()):
        assert outcome.failed().errors.keys() == expected.keys()
        for name, told in expected.items():
            for words in told:
                assert words in str(outcome.errors[name])
    assert quick.entries == {}
    assert reverts(vsphere) == reverts(vsphere, "web-2") == 0


def test_importing_a_vm_watches_it(stack: Stack, vsphere: Simulator) -> None:
    """An imported revert watches the VM, and its generated program changes nothing."""
    stack.import_("vmsnapshot:index:VirtualMachineRevert", "web", "web-1").check()
    entry = stack.resource("web")
    stack.write({"resources": {"web": {"type": revert()["type"], "properties": entry["inputs"]}}})
    text = stack.up().check().text
    assert "updated" not in text
    assert reverts(vsphere) == 0


def test_a_failed_revert_is_recorded_and_tried_again(
    mini: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """A revert that the platform fails leaves its condition in state; the next up does it."""
    client.take("web-1", "base")
    mini.write(web=revert())
    mini.up().check()
    mini.write(web=revert(snapshot="base"))
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", where="task")
    text = mini.up().failed().text
    assert "web-1" in text
    assert "base" in text
    (condition,) = mini.resource("web").outputs["conditions"]
    assert (condition["type"], condition["status"]) == ("VirtualMachineSnapshotRevertSucceeded", "False")
    assert mini.up().check().ops == {"web": "update"}
    state = mini.resource("web").outputs
    assert (state["conditions"], state["revertedTo"]["name"]) == ([], "base")
    assert reverts(vsphere) == 1


def test_a_vm_that_changed_after_the_preview_is_refused_when_that_is_required(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """Between preview and update of one command: with requireUnchanged, nothing is done."""
    client.take("web-1", "base")
    write(web=revert(snapshot="base", requireUnchanged=True))
    running = stack.start("up", "--yes")
    until(lambda: vsphere.calls().get("CreateContainerView"))  # the preview's, which has logged in
    vsphere.delay(60_000, method="Login")  # the update waits before its first look
    until(lambda: "Updating" in running.text)
    client.take("web-1", "meanwhile")
    vsphere.hurry()
    text = " ".join(running.wait().failed().text.split())
    assert "is no longer as the preview showed it: it ran on snapshot" in text
    assert '"meanwhile"' in text
    assert reverts(vsphere) == 0


def test_a_vm_that_is_as_the_preview_showed_it_is_reverted_without_a_word(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """Preview and update of one command, as most people run it: with requireUnchanged, too."""
    client.take("web-1", "base")
    write(web=revert(snapshot="base", requireUnchanged=True))
    assert "no longer as the preview" not in stack.run("up", "--yes").check().text
    write(web=revert(snapshot="base", triggers={"run": 2}))
    assert "no longer as the preview" not in stack.run("up", "--yes").check().text
    assert reverts(vsphere) == 2


def test_members_that_are_as_the_preview_showed_them_are_rolled_back_without_a_word(
    vsphere: Simulator, client: Client
) -> None:
    """Preview and update under one parent, as the plugins of one command of the engine are."""
    asked = {
        "type": "vmsnapshot:EnvironmentRollback",
        "properties": {"virtualMachines": BOTH, "to": "release-41", "requireUnchanged": True},
    }
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(shop=CHECKPOINT)
        mini.up().check()
        mini.write(shop=CHECKPOINT, back=asked)
        mini.preview().check()
        assert "no longer as the preview" not in mini.up().check().words
    assert (reverts(vsphere, "web-1"), reverts(vsphere, "web-2")) == (1, 1)


def test_a_vm_that_changed_after_the_preview_is_noticed(vsphere: Simulator, client: Client) -> None:
    """Without requireUnchanged, the update says what changed, and goes on.

    Both run under one parent, as the plugins of one command of the engine do.
    """
    client.take("web-1", "base")
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(web=revert(snapshot="base"))
        mini.preview().check()
        client.take("web-1", "meanwhile")
        words = mini.up().check().words
    assert "is no longer as the preview showed it: it ran on snapshot" in words
    assert '"meanwhile"' in words
    assert reverts(vsphere) == 1


def test_a_snapshot_that_the_same_update_takes_is_no_surprise(vsphere: Simulator, client: Client) -> None:
    """The preview has announced it: the update reverts without a word, with requireUnchanged, too."""
    client.take("web-1", "base")
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(before=snapshot(), web=revert(snapshot="base", requireUnchanged=True))
        mini.preview().check()
        assert "no longer as the preview" not in mini.up().check().words
    assert len(client.names("web-1")) == 1 + 1
    assert reverts(vsphere) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("snapshot", 'it ran on snapshot "base" (snapshot-'),
        ("hardware", "its hardware, settings or snapshots are others than before"),
    ],
)
def test_what_else_changes_beside_a_snapshot_of_the_same_update_is_noticed(
    vsphere: Simulator, client: Client, change: str, told: str
) -> None:
    """Somebody's snapshot, and hardware: both are refused where that is required."""
    client.take("web-1", "base")
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(before=snapshot(), web=revert(snapshot="base", requireUnchanged=True))
        mini.preview().check()
        if change == "snapshot":
            client.take("web-1", "meanwhile")
        else:
            client.reconfigure("web-1", numCPUs=8)
        words = mini.up().failed().words
    assert f"the VM is no longer as the preview showed it: {told}" in words
    assert ('now runs on "meanwhile"' in words) == (change == "snapshot")
    assert reverts(vsphere) == 0


def test_another_vm_or_snapshot_than_the_preview_showed_is_refused(
    vsphere: Simulator, client: Client
) -> None:
    """A name that has passed on since the preview reverts nothing; the next preview says what it means."""
    base = client.take("web-1", "base")
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(web=revert(snapshot="base"))
        mini.preview().check()
        client.remove("web-1", "base")
        taken = client.take("web-1", "base")
        told = mini.up().failed().words
        assert "the preview showed another snapshot than" in told
        assert taken in told
        mini.preview().check()
        before, after = client.vm("web-1"), client.vm("web-2")
        client.take("web-2", "base")
        client.wait(before.Rename_Task("was-web-1"))
        client.wait(after.Rename_Task("web-1"))
        try:
            told = mini.up().failed().words
            assert f'the preview showed another VM than VM "web-1" ({after._moId})' in told
            assert not [item for item in vsphere.history() if item["op"] == "revert"]
            assert f'VM "web-1" ({after._moId}) will be reverted' in mini.preview().check().words
            mini.up().check()
        finally:
            client.wait(after.Rename_Task("web-2"))
            client.wait(before.Rename_Task("web-1"))
    assert base != taken
    assert (reverts(vsphere), sum(item["op"] == "revert" for item in vsphere.history())) == (1, 1)


def test_another_member_than_the_preview_showed_is_refused(vsphere: Simulator, client: Client) -> None:
    """A rollback whose VM exchanges its name with another one after the preview reverts neither."""
    asked = {
        "type": "vmsnapshot:EnvironmentRollback",
        "properties": {"virtualMachines": BOTH[:1], "to": "release-41"},
    }
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(c=CHECKPOINT)
        mini.up().check()
        mini.write(c=CHECKPOINT, r=asked)
        mini.preview().check()
        one, other = client.vm("web-1"), client.vm("web-2")
        for vm, name in ((one, "spare"), (other, "web-1"), (one, "web-2")):
            client.wait(vm.Rename_Task(name))
        told = mini.up().failed().words
        assert f'web-1: the preview showed another VM than VM "web-1" ({other._moId})' in told
        assert not [item for item in vsphere.history() if item["op"] == "revert"]


def test_what_the_same_update_prunes_before_is_no_target(
    vsphere: Simulator, client: Client, quick: MiniStack
) -> None:
    """The preview refuses to go back to a label that keepLast removes first; pinned, it works."""
    vms = [{"vmName": "web-1"}]

    def write(label: str, to: str, **properties: object) -> None:
        taken = {"virtualMachines": vms, "label": label, "keepLast": 1, **properties}
        rollback = {"virtualMachines": vms, "to": to}
        quick.write(
            c={"type": "vmsnapshot:EnvironmentCheckpoint", "properties": taken},
            r={"type": "vmsnapshot:EnvironmentRollback", "properties": rollback},
            w=revert(snapshot=to),
        )

    write("release-41", "")
    quick.up().check()
    write("release-42", "release-41")
    failed = quick.preview().failed()
    for name in ("r", "w"):
        told = 'checkpoint "release-41" is removed by "c" earlier in the same update'
        assert told in str(failed.errors[name])
    assert client.names("web-1") == ["release-41"]
    write("release-42", "release-41", pinned=["release-41"])
    quick.preview().check()
    quick.up().check()
    assert reverts(vsphere) == 2


def test_what_the_same_update_goes_back_to_is_not_pruned(
    vsphere: Simulator, client: Client, quick: MiniStack
) -> None:
    """Resources that don't depend on each other are done at once: what one goes back to, none removes."""
    vms = [{"vmName": "web-1"}, {"vmName": "db-1"}]
    checkpoint, rollback = "vmsnapshot:EnvironmentCheckpoint", "vmsnapshot:EnvironmentRollback"

    def write(label: str, to: str, snapshot: str) -> None:
        taken = {"virtualMachines": vms, "label": label, "keepLast": 1}
        quick.write(
            r={"type": rollback, "properties": {"virtualMachines": vms, "to": to}},
            w=revert("web-2", snapshot=snapshot),
            c={"type": checkpoint, "properties": taken},
            d={"type": checkpoint, "properties": {**taken, "virtualMachines": [{"vmName": "web-2"}]}},
        )

    write("release-41", "", "")
    quick.up().check()
    write("release-42", "release-41", "release-41")
    shown = quick.preview().check().words
    for name in ("r", "w"):
        text = f'is kept, although it has expired: "{name}" needs it in this update.'
        assert f'Checkpoint "release-41" {text}' in shown
    assert "will be removed" not in shown
    quick.up().check()
    assert [client.names(vm) for vm in ("web-1", "db-1", "web-2")] == [["release-41", "release-42"]] * 3
    assert quick.up().check().ops == {"c": "update", "d": "update"}
    assert [client.names(vm) for vm in ("web-1", "db-1", "web-2")] == [["release-42"]] * 3


def test_a_snapshot_of_another_resource_is_told_as_such(vsphere: Simulator, client: Client) -> None:
    """Taken between a preview and its update: that says who took what the VM now runs on.

    A snapshot that the same update takes first is no news: the preview has shown it.
    """
    client.take("web-1", "base")
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(before=snapshot(name="mine"), web=revert(snapshot="base"))
        mini.preview().check()
        assert "now runs on" not in mini.up().check().words
    client.revert("web-1", "base")
    with plugin(login(vsphere)) as running, plugin(login(vsphere)) as another:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        other = MiniStack(lambda: contextlib.nullcontext(another))
        mini.write(web=revert(snapshot="base", triggers={"n": 2}))
        mini.preview().check()
        other.write(early=snapshot(name="theirs"))
        other.up().check()
        words = mini.up().check().words
    assert re.search(
        r'now runs on "theirs" \(.+\), which resource "early" of stack made-up/dev took\.', words
    )


def test_the_checks_run_again_before_acting(vsphere: Simulator, client: Client) -> None:
    """What makes a revert impossible only after it was agreed to fails the update, and nothing is done."""
    client.take("web-1", "base")
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(web=revert(snapshot="base", safetySnapshot={}))
        with after_check(running, lambda: vsphere.set("web-1", template=True)):
            failed = mini.up().failed()
    assert 'VM "web-1"' in failed.words
    assert "is a template; it can't be reverted. Nothing was done" in failed.words
    assert reverts(vsphere) == 0
    assert client.names("web-1") == ["base"]


def test_a_new_resource_after_destroy_reverts_again(
    mini: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """An environment that is destroyed and set up again is reverted again: that is no interrupted run."""
    client.take("web-1", "base")
    mini.write(web=revert(snapshot="base"))
    mini.up().check()
    mini.destroy().check()
    mini.up().check()
    assert reverts(vsphere) == 2


def test_a_failed_power_step_is_finished_without_another_revert(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """After an update that reverted and failed to switch the VM off, the next shows and does that alone."""
    client.take("web-1", "with-memory", memory=True)
    write(web=revert())
    stack.up().check()
    write(web=revert(snapshot="with-memory", powerPolicy="off"))
    vsphere.fault("InvalidState", method="PowerOffVM_Task", times=1)
    stack.up().failed()
    assert (reverts(vsphere), str(client.vm("web-1").runtime.powerState)) == (1, "suspended")
    for _ in range(2):  # the first one's refresh forgets that the resource isn't complete
        text = " ".join(stack.preview().check().text.split())
        assert "was reverted by an earlier update" in text
        assert '~ powerState: "Suspended" => "PoweredOff"' in text
        assert "will be reverted to" not in text
        stack.refresh().check()
    stack.up().check()
    assert (reverts(vsphere), str(client.vm("web-1").runtime.powerState)) == (1, "poweredOff")
    assert "to update" not in stack.preview().check().text
