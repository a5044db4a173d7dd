"""What a stack on the VM Operator is told: progress, state, and what a preview of a revert says."""

from __future__ import annotations

from functools import partial

import pytest

from devkit.kubernetes import VirtualMachine, VirtualMachineSnapshot
from devkit.vmoperator.steering import Step
from devkit.waiting import plenty, until
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.vsphere import Doing
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import REVERT, SNAPSHOT
from tests.vmoperator.harness import Harness
from tests.vmoperator.reverting import dead

REVERTING = "vmoperator.vmware.com/snapshot-revert-in-progress"


def test_a_snapshot_that_isnt_ready_in_time(desk: Desk) -> None:
    """Its reason is the error, its object and its state stay; the next update waits on for this one."""
    desk.harness.stand_in.steering.hold("csi")
    desk.write(SNAPSHOT)
    seconds = plenty(lambda: desk.stack.preview().check(), least=3)  # enough for what there is to wait for
    desk.write(SNAPSHOT, seconds=seconds)
    failed = desk.stack.up().failed()
    assert (
        "VirtualMachineSnapshotCSISynced is False (VirtualMachineSnapshotCSISyncInProgress): Sync"
        in failed.words
    )
    assert desk.harness.creates() == [desk.outputs["name"]]
    entry = desk.stack.resource("it")
    assert entry.init_errors
    assert (entry.id, desk.outputs["powerState"]) == (
        f"{desk.harness.namespace}/{desk.outputs['name']}",
        "PoweredOff",
    )
    desk.write(SNAPSHOT)
    going_on = Doing(lambda: desk.stack.up().check())
    going_on.until(lambda: desk.harness.stand_in.steering.waiting("csi"))
    desk.harness.stand_in.steering.release("csi")
    going_on.result()
    assert {one["status"] for one in desk.outputs["conditions"]} == {"True"}
    assert desk.harness.creates() == [desk.outputs["name"]]
    assert desk.stack.up().check().ops == {}


def test_each_condition_is_shown_as_it_changes(desk: Desk) -> None:
    """On the resource's line, with its reason and message, in the order in which they come."""
    steering = desk.harness.stand_in.steering
    desk.write(SNAPSHOT)
    said: list[tuple[Step, str]] = [
        ("create", "VirtualMachineSnapshotCreated is False (VirtualMachineSnapshotCreationInProgress)"),
        ("csi", "VirtualMachineSnapshotCSISynced is False (VirtualMachineSnapshotCSISyncInProgress)"),
    ]
    for step, _ in said:
        steering.hold(step)
    taking = Doing(lambda: desk.stack.up().check())
    for step, words in said:
        taking.until(partial(desk.shown, words))
        steering.release(step)
    taking.result()
    until(lambda: desk.shown("VirtualMachineSnapshotReady is True"))  # progress may arrive after the end
    texts = desk.progress()
    assert len(texts) == len(set(texts))


def test_everything_that_the_api_tells_is_in_state(desk: Desk) -> None:
    """After a refresh, with what others put below it; an import holds the same."""
    harness = desk.harness
    desk.write(SNAPSHOT, name="base", memory=True, quiesce={}, description="before 42")
    desk.stack.up().check()
    assert harness.object("base").spec["quiesce"] == {"timeout": "10m0s"}
    other_user = harness.other_user
    other_user.wait(other_user.vm("web-1").CreateSnapshot_Task("elsewhere", "", False, False))
    other_user.wait(other_user.snapshot("web-1", "base").snapshot.RevertToSnapshot_Task())
    harness.make("child")
    until(lambda: harness.ready("child"))
    harness.change(VirtualMachineSnapshot, "base", spec={"description": "changed"})

    def refreshed() -> bool:
        desk.stack.refresh().check()
        return (desk.outputs["description"], len(desk.outputs["children"])) == ("changed", 2)

    until(refreshed)
    status = harness.object("base").status
    held = desk.outputs
    same = {name: held[name] for name in ("powerState", "quiesced", "uniqueID", "storage")}
    assert same == {name: status[name] for name in same}
    assert (held["description"], held["powerState"], held["quiesced"]) == ("changed", "PoweredOn", True)
    assert {item["name"]: item["type"] for item in held["children"]} == {
        "child": "Managed",
        "unmanaged-1": "Unmanaged",
    }
    told = {
        one["type"]: (one["status"], one["reason"], one["lastTransitionTime"]) for one in held["conditions"]
    }
    assert told == {
        one["type"]: (one["status"], one["reason"], one["lastTransitionTime"]) for one in status["conditions"]
    }
    assert {*desk.plugin.list(SNAPSHOT, {"namespace": harness.namespace})} >= {
        f"{harness.namespace}/{name}" for name in ("base", "child")
    }
    imported = MiniStack(plugin).served_by(desk.plugin)
    imported.import_(SNAPSHOT, "taken-over", f"{harness.namespace}/base").check()
    found = imported.resource("taken-over")
    own = {"ownership", "current"}
    assert {name: value for name, value in found.outputs.items() if name not in own} == {
        name: value for name, value in held.items() if name not in own
    }


def test_what_a_revert_would_change(desk: Desk) -> None:
    """Spec, labels and annotations, value by value, of our snapshot; of somebody else's they are unknown."""
    harness = desk.harness
    harness.take("ours")
    harness.make("theirs")
    until(lambda: harness.ready("theirs"))
    harness.change(
        metadata={"labels": {"tier": "gold"}, "annotations": {"team": "shop"}},
        spec={"className": "best-effort-large", "network": {"hostName": "other"}},
    )
    until(lambda: harness.vm().machine.class_name == "best-effort-large")
    desk.write(REVERT)
    desk.stack.up().check()
    wanted = {
        "machine.className",
        'machine.settings["network.hostName"]',
        "machine.labels.tier",
        "machine.annotations.team",
        "machine.powerState",
    }
    until(lambda: wanted <= set(desk.foreseen(snapshot="ours").check().step("it").changes))
    unknown = desk.foreseen(snapshot="theirs").check()
    changes = unknown.step("it").changes
    assert "machine.notKnown" in changes
    assert not [path for path in changes if path.startswith(("machine.labels", "machine.settings"))]
    assert "Not known, so not shown above: what becomes of numCPUs, memoryMB" in unknown.words
    assert harness.reverts() == []


def test_why_a_revert_would_be_refused(desk: Desk) -> None:
    """Said in the preview, before anything is asked for: each reason that the objects show."""
    harness = desk.harness
    harness.take("ours")
    steering = harness.stand_in.steering

    def refused(words: str, snapshot: str = "ours") -> None:
        def told() -> bool:
            shown = desk.foreseen(snapshot=snapshot)
            return not shown.ok and words in shown.words

        until(told)  # the plugin has watches of its own

    refused("has no snapshot 'nowhere'", "nowhere")
    harness.make("others", vmName="web-2")
    until(lambda: harness.object("others").status)
    refused("has no snapshot 'others'", "others")
    steering.hold("csi")
    harness.make("pending")
    until(lambda: steering.waiting("csi"))
    refused('"pending" is not ready (VirtualMachineSnapshotCSISynced is False', "pending")
    steering.clear()
    until(lambda: harness.ready("pending"))
    harness.change(metadata={"annotations": {REVERTING: ""}})
    until(lambda: harness.vm().revert_left_behind)
    refused(REVERTING)
    harness.change(metadata={"annotations": {REVERTING: None}})
    until(lambda: not harness.vm().revert_left_behind)
    steering.hold("revert")
    harness.change(spec={"currentSnapshotName": "ours"})
    until(lambda: harness.vm().revert_requested)
    refused('to "ours" is under way already', "pending")
    harness.change(spec={"currentSnapshotName": None})
    until(lambda: not harness.vm().revert_requested)
    harness.change(metadata={"labels": {"capv.vmware.com/cluster.role": "worker"}})
    until(lambda: harness.vm().vks_node)
    refused("VKS")
    harness.change(metadata={"labels": {"capv.vmware.com/cluster.role": None}})
    steering.hold("delete")
    harness.delete("pending")
    until(lambda: harness.snapshot("pending").being_deleted)
    refused('"pending" is being deleted', "pending")
    steering.clear()
    hold = "example.com/hold"
    harness.change(metadata={"finalizers": [*(harness.machine().metadata.finalizers or ()), hold]})
    harness.server.client.delete(VirtualMachine, "web-1", namespace=harness.namespace)
    until(lambda: harness.vm().being_deleted)
    refused("is being deleted (its object has a deletionTimestamp); it can't be reverted")
    harness.change(metadata={"finalizers": None})
    assert harness.reverts() == []


def test_a_namespace_that_is_the_default_one_anyway(desk: Desk) -> None:
    """After an import the program may name it: that is no change, and the restore point stays."""
    harness = desk.harness
    harness.make("base")
    until(lambda: harness.ready("base"))
    desk.stack.import_(SNAPSHOT, "it", f"{harness.namespace}/base").check()
    desk.write(SNAPSHOT, name="base", namespace=harness.namespace)
    assert desk.stack.preview().check().ops == {}
    assert desk.stack.up().check().ops in ({}, {"it": "update"})
    assert harness.ready("base")


def test_a_finished_run_is_not_an_interrupted_one(harness: Harness) -> None:
    """`up`, `destroy` and `up` on another machine, as pipelines do: each `up` reverts."""
    harness.make("base")
    until(lambda: harness.ready("base"))
    settings = {"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace}
    for number in (1, 2, 3):
        pipeline = mini_stack(settings)  # without the notes of the machine before it
        pipeline.write(it={"type": REVERT, "properties": {"vmName": "web-1", "snapshot": "base"}})
        assert "will be reverted" in pipeline.preview().check().words
        pipeline.up().check()
        assert harness.reverts() == ["base"] * number
        if number == 1:  # unless nobody has deleted it: then it may be the work of a run that was killed
            again = mini_stack(settings)
            again.write(it={"type": REVERT, "properties": {"vmName": "web-1", "snapshot": "base"}})
            assert "already reverted" in again.preview().check().words
        pipeline.destroy().check()


def test_an_import_from_another_namespace_than_the_default_one(desk: Desk) -> None:
    """It is the snapshot of that namespace's VM, before and after a refresh, and what a destroy removes."""
    harness = desk.harness
    harness.make("base")
    until(lambda: harness.ready("base"))
    with plugin({"kubeconfig": str(harness.server.kubeconfig), "namespace": "default"}) as engine:
        stack = MiniStack(plugin).served_by(engine)
        stack.import_(SNAPSHOT, "it", f"{harness.namespace}/base").check()
        entry = stack.resource("it")
        assert entry.id == f"{harness.namespace}/base"
        assert entry.outputs["namespace"] == harness.namespace
        given = {"vmName": "web-1", "name": "base", "namespace": harness.namespace}
        stack.write(it={"type": SNAPSHOT, "properties": given})
        assert stack.preview().check().ops == {}
        stack.refresh().check()
        assert stack.up().check().ops in ({}, {"it": "update"})
        assert stack.preview().check().ops == {}
        assert harness.ready("base")
        # Without its namespace the program means the default one's VM, of which the login may read nothing.
        stack.write(it={"type": SNAPSHOT, "properties": {"vmName": "web-1", "name": "base"}})
        assert "in namespace default" in stack.preview().failed().words
        stack.up().failed()
        assert harness.ready("base")
        stack.write()
        assert stack.up().check().ops == {"it": "delete"}
    assert "base" not in [item.name for item in harness.vm().snapshots]


def test_a_snapshot_that_vsphere_has_no_more(desk: Desk) -> None:
    """The preview says so while the object is still ready, and when it isn't: nobody is told to wait."""
    harness = desk.harness
    harness.take("base")
    harness.take("lost")
    harness.other_user.remove("web-1", "lost")
    until(lambda: not harness.snapshot("lost").listed)
    until(lambda: "will probably fail" in desk.foreseen(snapshot="lost").words)
    harness.change(VirtualMachineSnapshot, "lost", metadata={"annotations": {"touched": "yes"}})
    until(lambda: not harness.ready("lost"))
    told = until(lambda: found if "is not ready" in (found := desk.foreseen(snapshot="lost").words) else "")
    assert "Wait until" not in told
    assert "removed in vSphere" in told
    desk.stack.up().failed()
    assert harness.reverts() == []


def test_a_failed_request_of_somebody_else_is_named_with_the_way_to_clear_it(desk: Desk) -> None:
    """It is tried for ever and blocks every revert: the preview says why it failed, and what to do."""
    harness = desk.harness
    harness.take("base")
    harness.stand_in.steering.fail("revert", "no luck", times=0, reason="VirtualMachineSnapshotRevertFailed")
    harness.change(spec={"currentSnapshotName": "base"})
    until(lambda: harness.vm().revert_failure)
    told = desk.foreseen(snapshot="base").failed().words
    assert "no luck" in told
    command = f"kubectl -n {harness.namespace} patch virtualmachine web-1 --type merge"
    assert command in told
    harness.change(spec={"currentSnapshotName": None})
    until(lambda: not harness.seen_by_stand_in()["spec"].get("currentSnapshotName"))
    harness.stand_in.steering.clear()
    until(lambda: not harness.vm().revert_requested)
    desk.stack.up().check()
    assert harness.reverts() == ["base"]


@pytest.mark.parametrize("destroyed", [False, True], ids=["updated", "destroyed"])
def test_a_failed_request_for_what_is_gone_is_taken_back(desk: Desk, *, destroyed: bool) -> None:
    """After a death nobody waits for it, and no revert comes that would clear it: whatever is done does."""
    harness = desk.harness
    harness.take("base")
    harness.take("lost")
    desk.write(REVERT)
    desk.stack.up().check()
    harness.other_user.remove("web-1", "lost")
    dead(harness, "an earlier request", "lost", 4, "before")
    until(lambda: harness.vm().revert_failure)
    until(lambda: desk.harness.vm(harness.connect()).revert_failure)
    desk.write(REVERT, powerPolicy="on")
    done = (desk.stack.destroy() if destroyed else desk.stack.up()).check()
    assert 'to "lost" is no longer asked for: it has failed' in done.words
    assert harness.machine().spec.get("currentSnapshotName") is None
    assert harness.reverts() == []


def test_our_failed_request_is_taken_back_after_a_death(desk: Desk) -> None:
    """The preview says that it has failed, and that the update takes it back; which it does, and reverts."""
    harness = desk.harness
    harness.take("base")
    harness.take("broken")
    reason = "VirtualMachineSnapshotRevertFailed"
    harness.stand_in.steering.fail("revert", "no luck", snapshot="broken", times=0, reason=reason)
    dead(harness, "an earlier request", "broken", 4, "before")
    until(lambda: harness.vm().revert_failure)
    told = desk.foreseen(snapshot="base").check().words
    assert "no luck" in told
    assert "The update takes it back" in told
    desk.stack.up().check()
    assert harness.reverts() == ["base"]
    assert harness.machine().spec.get("currentSnapshotName") is None


def test_a_replacement_that_cannot_work_deletes_nothing(desk: Desk) -> None:
    """Also without a preview: a name is taken until the old object is gone, so that is deleted first."""
    desk.write(SNAPSHOT, name="before")
    desk.stack.up().check()
    before = dict(desk.stack.entries)
    desk.write(SNAPSHOT, name="before", vmName="wbe-1")
    assert "wbe-1" in desk.stack.up().failed().words
    assert desk.harness.other_user.names("web-1") == ["before"]
    assert desk.stack.entries == before
