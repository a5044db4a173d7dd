"""Stacks of the same names in two backends: what the one has made is left alone by the other.

The engine keeps a random id for the provider in each state, and tells it when it configures the plugin
(pulumi 3.250, resource/deploy/providers/registry.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.port import Backend

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:EnvironmentRollback"
REVERT = "vmsnapshot:VirtualMachineRevert"

OURS, THEIRS = "0b9f7c06-6f7e-4c56-a7c6-1d6a3f0c5a11", "f2d2b3a0-0d53-4a3b-9a53-5c8b0a1d9e22"
TOLD = "was made by a resource of the same names in another state"
SAME_NAMES = "This mark is made of the names of project, stack and resource alone"

Make = Callable[..., MiniStack]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,web-2", "--task-duration", "5ms") as found:
        yield found


def snapshot(stack: MiniStack, **properties: Any) -> MiniStack:
    """The program: one snapshot."""
    stack.write(it={"type": SNAPSHOT, "properties": {"vmName": "web-1", "name": "ours", **properties}})
    return stack


def checkpoint(stack: MiniStack, label: str, *, rollback: str | None = None) -> MiniStack:
    """The program: a checkpoint of both VMs, and perhaps a rollback to one."""
    vms = [{"vmName": "web-1"}, {"vmName": "web-2"}]
    resources = {"all": {"type": CHECKPOINT, "properties": {"virtualMachines": vms, "label": label}}}
    if rollback is not None:
        resources["back"] = {"type": ROLLBACK, "properties": {"virtualMachines": vms, "to": rollback}}
    stack.write(**resources)
    return stack


def killed(vsphere: Simulator, method: str, provider_id: str | None) -> MiniStack:
    """A stack whose process is killed when the first call of a method has had its effect."""

    def around(backend: Backend) -> Any:
        return CrashingBackend(backend, method, Doing.result)

    return mini_stack(vsphere.settings, around=around, provider_id=provider_id)


def test_a_snapshot_is_left_alone(vsphere: Simulator, client: Client) -> None:
    """Each takes its own, and each destroy removes its own only; preview and update say so."""
    ours, theirs = (snapshot(mini_stack(vsphere.settings, provider_id=one)) for one in (OURS, THEIRS))
    theirs.up().check()
    shown = ours.preview().check().words
    assert TOLD in shown
    assert "taken over" not in shown
    assert TOLD in ours.up().check().words
    assert client.names("web-1") == ["ours", "ours"]
    one, other = (stack.resource("it").outputs["uniqueID"] for stack in (ours, theirs))
    assert one != other
    assert TOLD in ours.refresh().check().words
    ours.destroy().check()
    assert client.ids("web-1") == [other]
    theirs.destroy().check()
    assert client.ids("web-1") == []


@pytest.mark.parametrize(
    ("first", "second"),
    [(OURS, OURS), (None, None), (None, OURS), (OURS, None)],
    ids=["told", "never told", "told since", "told before"],
)
def test_an_interrupted_runs_snapshot_is_taken_over(
    vsphere: Simulator, client: Client, first: str | None, second: str | None
) -> None:
    """By the same state without a doubt; where an engine didn't tell it, with a warning, as ever."""
    with pytest.raises(Crash):
        snapshot(killed(vsphere, "create_snapshot", first)).up()
    stack = snapshot(mini_stack(vsphere.settings, provider_id=second))
    certain = first == second == OURS
    shown = stack.preview().check().words
    assert "it will be taken over" in shown
    assert (SAME_NAMES in shown) is not certain
    done = stack.up().check().words
    assert "Took over" in done
    assert ("which removes this one" in done) is not certain
    assert client.names("web-1") == ["ours"]
    assert TOLD not in shown + done
    stack.destroy().check()
    assert client.names("web-1") == []


def test_what_was_taken_before_the_provider_was_replaced_is_held(vsphere: Simulator, client: Client) -> None:
    """A new release, or another provider, has another id in the same state: what that holds stays its own."""
    before = snapshot(mini_stack(vsphere.settings, provider_id=OURS))
    before.up().check()
    after = snapshot(mini_stack(vsphere.settings, provider_id=THEIRS), description="after")
    after.entries = before.entries
    assert TOLD not in after.refresh().check().words
    assert after.up().check().ops == {"it": "update"}
    after.destroy().check()
    assert client.names("web-1") == []


def test_what_another_state_has_marked_since_is_not_changed(vsphere: Simulator, client: Client) -> None:
    """Imported into the other state, and changed there: the first one's update and delete leave it."""
    ours, theirs = (snapshot(mini_stack(vsphere.settings, provider_id=one)) for one in (OURS, THEIRS))
    ours.up().check()
    told = theirs.import_(SNAPSHOT, "it", ours.resource("it").id).check().words
    assert "whose state may still hold it" in told
    snapshot(theirs, description="theirs").up().check()
    refused = snapshot(ours, description="ours").up().failed().words
    assert "has been taken over by a resource of the same names in another state" in refused
    assert "is kept" in ours.destroy().check().words
    assert client.names("web-1") == ["ours"]


def test_a_checkpoint_is_left_alone(vsphere: Simulator, client: Client) -> None:
    """Both have one of the same label; each rolls back to its own, and removes its own."""
    ours, theirs = (checkpoint(mini_stack(vsphere.settings, provider_id=one), "r1") for one in (OURS, THEIRS))
    theirs.up().check()
    assert TOLD in ours.preview().check().words
    ours.up().check()
    assert client.names("web-1") == ["r1", "r1"]
    for stack in (ours, theirs):
        checkpoint(stack, "r1", rollback="r1").up().check()
        own = stack.resource("all").outputs["checkpoints"]["r1"]["snapshots"]["web-1"]["uniqueID"]
        reverted = [item["snapshot"] for item in vsphere.history("web-1") if item["op"] == "revert"]
        assert reverted[-1] == own
    kept = {vm: client.ids(vm) for vm in ("web-1", "web-2")}
    checkpoint(ours, "r1").up().check()
    ours.destroy().check()
    for vm, ids in kept.items():
        theirs_id = theirs.resource("all").outputs["checkpoints"]["r1"]["snapshots"][vm]["uniqueID"]
        assert client.ids(vm) == [theirs_id]
        assert len(ids) == 2


def rolled_back(vsphere: Simulator) -> list[str]:
    """The snapshots to which VMs were reverted."""
    return sorted(item["snapshot"] for item in vsphere.history() if item["op"] == "revert")


def upgraded(stack: MiniStack, vsphere: Simulator) -> MiniStack:
    """The same state after an upgrade, by which the engine gives the provider another id there."""
    after = mini_stack(vsphere.settings, provider_id="upgraded")
    after.entries = dict(stack.entries)
    return after


def parts(stack: MiniStack) -> dict[str, str]:
    """The snapshots of checkpoint `r1` that state holds, by VM."""
    snapshots = stack.resource("all").outputs["checkpoints"]["r1"]["snapshots"]
    return {vm: part["uniqueID"] for vm, part in snapshots.items()}


def remove(client: Client, vm: str, snapshot_id: str) -> None:
    """Somebody removes one of several snapshots of a name."""
    (found,) = (item for item in client.snapshots(vm) if item.snapshot._moId == snapshot_id)
    client.wait(found.snapshot.RemoveSnapshot_Task(removeChildren=False))


@pytest.fixture
def both(vsphere: Simulator) -> tuple[MiniStack, MiniStack]:
    """Two stacks of the same names, each with a checkpoint `r1`."""
    ours, theirs = (checkpoint(mini_stack(vsphere.settings, provider_id=one), "r1") for one in (OURS, THEIRS))
    for stack in (theirs, ours):
        stack.up().check()
    return ours, theirs


def test_after_an_upgrade_a_rollback_goes_to_what_state_holds(
    vsphere: Simulator, both: tuple[MiniStack, MiniStack]
) -> None:
    """Neither mark tells the state's id of then: the state itself does."""
    after = checkpoint(upgraded(both[0], vsphere), "r1", rollback="r1")
    after.up().check()
    assert rolled_back(vsphere) == sorted(parts(both[0]).values())


@pytest.mark.parametrize("lost", [["web-1"], ["web-1", "web-2"]], ids=["one", "all"])
@pytest.mark.parametrize("since", [True, False], ids=["upgraded", "as it was"])
def test_the_others_checkpoint_never_stands_in_for_a_lost_one(
    vsphere: Simulator,
    client: Client,
    both: tuple[MiniStack, MiniStack],
    lost: list[str],
    *,
    since: bool,
) -> None:
    """Somebody has removed snapshots of ours: the preview refuses, and names whose the others are."""
    ours = upgraded(both[0], vsphere) if since else both[0]
    for vm in lost:
        remove(client, vm, parts(both[0])[vm])
    refused = checkpoint(ours, "r1", rollback="r1").preview().failed().words
    assert f"{len(lost)} of 2 VMs can't go back" in refused
    assert "A resource of the same names in another state, as of a stack in another backend, has" in refused
    ours.up().failed()
    assert rolled_back(vsphere) == []


def test_marks_without_a_state_are_told_apart_by_what_state_holds(vsphere: Simulator, client: Client) -> None:
    """Of stacks as old as release 0.1.0, or dynamic ones: each rolls back to its own, or not at all."""
    ours = checkpoint(mini_stack(vsphere.settings), "r1")
    ours.up().check()
    theirs = checkpoint(mini_stack(vsphere.settings, provider_id=THEIRS), "r2")
    theirs.up().check()
    checkpoint(theirs, "r1").up().check()
    kept = dict(parts(ours))
    after = checkpoint(upgraded(ours, vsphere), "r1", rollback="r1")
    after.up().check()
    assert rolled_back(vsphere) == sorted(kept.values())
    remove(client, "web-1", kept["web-1"])
    checkpoint(after, "r1").up().check()
    assert "1 of 2 VMs can't go back" in checkpoint(after, "r1", rollback="r1").preview().failed().words


def test_checkpoints_that_an_upgrade_made_alike_are_refused(
    vsphere: Simulator, client: Client, both: tuple[MiniStack, MiniStack]
) -> None:
    """Without the checkpoint's own state neither is known as its own; what the refusal advises works."""
    ours, theirs = both
    after = mini_stack(vsphere.settings, provider_id="upgraded")
    vms = [{"vmName": "web-1"}, {"vmName": "web-2"}]
    after.write(back={"type": ROLLBACK, "properties": {"virtualMachines": vms, "to": "r1"}})
    refused = after.preview().failed().words
    assert "Resources of the same names in several states have taken them" in refused
    assert "Name the one that is meant" not in refused
    remove(client, "web-1", parts(theirs)["web-1"])
    assert (
        "1 of 2 VMs can't go back" in after.preview().failed().words
    )  # which of the two is whole says nothing
    theirs.destroy().check()
    after.up().check()
    assert rolled_back(vsphere) == sorted(parts(ours).values())


def test_a_checkpoint_that_fails_takes_back_its_own(vsphere: Simulator, client: Client) -> None:
    """What is removed again is never what the other state has taken under the same label."""
    ours, theirs = (checkpoint(mini_stack(vsphere.settings, provider_id=one), "r1") for one in (OURS, THEIRS))
    theirs.up().check()
    before = {vm: client.ids(vm) for vm in ("web-1", "web-2")}
    vsphere.fault("FileLocked", method="CreateSnapshotEx_Task", vm="web-2", where="task")
    assert "Nothing is left of it" in ours.up().failed().words
    assert {vm: client.ids(vm) for vm in before} == before


@pytest.mark.parametrize("told", [True, False])
def test_an_interrupted_checkpoint_is_completed(vsphere: Simulator, client: Client, *, told: bool) -> None:
    """Each VM's snapshot is taken once, and all of them are removed with the resource."""
    provider_id = OURS if told else None
    with pytest.raises(Crash):
        checkpoint(killed(vsphere, "create_snapshot", provider_id), "r1").up()
    stack = checkpoint(mini_stack(vsphere.settings, provider_id=provider_id), "r1")
    shown = stack.preview().check().words
    assert "A run that was interrupted began checkpoint" in shown
    assert (SAME_NAMES in shown) is not told
    stack.up().check()
    assert [client.names(vm) for vm in ("web-1", "web-2")] == [["r1"], ["r1"]]
    stack.destroy().check()
    assert [client.names(vm) for vm in ("web-1", "web-2")] == [[], []]


def test_a_safety_snapshot_is_left_alone(vsphere: Simulator, client: Client) -> None:
    """An equal request for a revert finds the revert done, and doesn't hold the other's way back."""
    client.take("web-1", "base")
    safety = {"deletePolicy": "remove"}
    ours, theirs = (mini_stack(vsphere.settings, provider_id=one) for one in (OURS, THEIRS))
    for stack in (ours, theirs):
        properties = {"vmName": "web-1", "snapshot": "base", "safetySnapshot": safety}
        stack.write(web={"type": REVERT, "properties": properties})
    theirs.up().check()
    (kept,) = (item for item in client.names("web-1") if item != "base")
    ours.up().check()
    assert ours.resource("web").outputs["safetySnapshots"] == []
    ours.destroy().check()
    assert sorted(client.names("web-1")) == sorted(["base", kept])
    theirs.destroy().check()
    assert client.names("web-1") == ["base"]


def test_the_line_tells_the_state(vsphere: Simulator, client: Client) -> None:
    """The mark has a part for it, and is the one that state holds."""
    stack = snapshot(mini_stack(vsphere.settings, provider_id=OURS))
    stack.up().check()
    mark = stack.resource("it").outputs["ownership"]
    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]{8}-[0-9a-f]{8}", mark)
    assert f", mark {mark}-" in client.snapshot("web-1", "ours").description


def test_an_unfinished_checkpoint_is_completed_by_a_later_provider(
    vsphere: Simulator, client: Client
) -> None:
    """State knows the mark that it was begun with: what could not be taken back is a part of it."""
    before = checkpoint(mini_stack(vsphere.settings, provider_id=OURS), "r0")
    before.up().check()
    checkpoint(before, "r1")
    vsphere.fault("FileLocked", method="CreateSnapshotEx_Task", vm="web-2", where="task")
    vsphere.fault("FileLocked", method="RemoveSnapshot_Task", vm="web-1", where="task")
    before.up().failed()
    assert client.names("web-1") == ["r0", "r1"]
    after = checkpoint(mini_stack(vsphere.settings, provider_id=THEIRS), "r1")
    after.entries = before.entries
    after.up().check()
    assert [client.names(vm) for vm in ("web-1", "web-2")] == [["r0", "r1"], ["r0", "r1"]]
    after.destroy().check()
    assert [client.names(vm) for vm in ("web-1", "web-2")] == [[], []]
