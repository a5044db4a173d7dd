"""What the VM Operator makes of a VM's object after a revert, and what its webhooks refuse of that."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from pyVmomi import vim

from devkit.vmoperator.objects import PAUSED, annotations_of
from devkit.vmoperator.restoring import IMPORTED, admitted
from devkit.vmoperator.steering import Refused as RefusedThere
from devkit.vmoperator.vsphere import BACKUP
from devkit.waiting import until
from tests.support.ministack import Outcome
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import REVERT, SNAPSHOT
from tests.vmoperator.harness import Harness
from tests.vmoperator.reverting import noted
from tests.vmoperator.test_what_a_revert_meets import set_condition
from vmsnapshot.lifecycle.errors import Refused

MORNING, EVENING = "2026-11-30T08:00:00Z", "2026-11-30T20:00:00Z"


def has(harness: Harness, **settings: str) -> bool:
    """Whether the VM's spec says so, as the provider sees it."""
    found = harness.vm().machine.settings or {}
    return all(found.get(name) == value for name, value in settings.items())


def planned(shown: Outcome) -> Any:
    """The VM as a preview shows it after the revert."""
    after = shown.step("it").after
    assert after is not None
    return after.outputs["machine"]


def not_known(shown: Outcome) -> str:
    """What a preview says that it doesn't know."""
    return shown.words.partition("Not known, so not shown above: ")[2].partition(" Warning: ")[0]


def scsi(kind: str) -> dict[str, Any]:
    """A part of a spec: one controller."""
    return {"hardware": {"scsiControllers": [{"busNumber": 0, "type": kind}]}}


def switch(harness: Harness, state: str) -> None:
    """Ask for a power state, and wait until it is there."""
    harness.change(spec={"powerState": state})
    until(lambda: (harness.vm().machine.power_state, harness.vm().power_asked) == (state, state))


def import_snapshot(harness: Harness, name: str, *, memory: bool = False, copy: bool = False) -> None:
    """Somebody imports the VM, with a snapshot of it.

    Args:
        harness: Where the VM is.
        name: The snapshot's.
        memory: Whether it holds that.
        copy: Whether it holds a copy of the VM's object, as one that was taken after the import does.
    """
    harness.change(metadata={"annotations": {PAUSED: ""}})
    until(lambda: PAUSED in annotations_of(harness.seen_by_stand_in()))
    if not copy:
        harness.other_user.reconfigure("web-1", extraConfig=[vim.option.OptionValue(key=BACKUP, value="")])
    harness.other_user.take("web-1", name, memory=memory)
    harness.change(metadata={"annotations": {PAUSED: None}})
    harness.make(name, annotations={IMPORTED: ""})
    until(lambda: harness.ready(name))


@pytest.fixture
def imported(harness: Harness) -> Harness:
    """The VM was made from no image, and belongs to a group; it has labels and a note of somebody's."""
    spec = {"imageName": None, "image": None, "groupName": "shop", "restartMode": "Hard"}
    harness.change(spec=spec, metadata={"annotations": {"team": "blue"}})
    until(lambda: has(harness, groupName="shop", restartMode="Hard") and not harness.vm().machine.of_image)
    return harness


def test_what_a_spec_that_is_made_up_lacks(imported: Harness, desk: Desk) -> None:
    """Class, networks, labels and annotations are lost: the preview names them, and shows what is done."""
    import_snapshot(imported, "old")
    shown = desk.foreseen(snapshot="old").check()
    assert "The snapshot was imported" in shown.words
    lost = (
        'lost are the class "best-effort-small", which networks the adapters are on (default), every other '
        "setting but storageClass and groupName, and all labels and annotations"
    )
    assert lost in shown.words
    assert "taken at a time that is not known" in shown.words
    plan = planned(shown)
    assert (plan["labels"], plan["annotations"]) == ({}, {})
    assert "className" not in plan
    assert "settings.network" in not_known(shown)
    assert "className" not in not_known(shown)
    desk.stack.up().check()
    assert imported.reverts() == ["old"]
    spec: Any = imported.machine().spec
    assert {"className", "image", "imageName"}.isdisjoint(spec)
    # The webhook names the kind of the namespace's networks.
    (interface,) = spec["network"]["interfaces"]
    assert interface["name"] == "eth0"
    assert (interface["network"]["kind"], interface["network"]["name"]) == ("SubnetSet", "")
    assert (spec["groupName"], spec["restartMode"], spec["powerState"]) == ("shop", "TrySoft", "PoweredOff")
    done = desk.outputs["machine"]
    assert {"className", "labels", "annotations"}.isdisjoint({name for name in done if done[name]})
    differs = {
        name
        for name in {*plan["settings"], *done["settings"]}
        if plan["settings"].get(name) != done["settings"].get(name)
    }
    unknown = ("advanced", "hardware.", "network.")
    assert {name for name in differs if not name.startswith(unknown)} == set()


def test_a_safety_snapshot_brings_back_what_was_lost(imported: Harness, desk: Desk) -> None:
    """It is taken by the VM Operator, with the object as it is."""
    import_snapshot(imported, "old")
    desk.write(REVERT, snapshot="old", safetySnapshot={})
    desk.stack.up().check()
    assert "className" not in imported.machine().spec
    imported.revert(desk.outputs["safetySnapshots"][0]["name"], "request-2")
    assert imported.machine().spec["className"] == "best-effort-small"
    assert imported.machine().metadata.annotations["team"] == "blue"


def test_one_that_holds_a_copy_all_the_same(imported: Harness, desk: Desk) -> None:
    """Its annotation is of no account then; the preview has said that."""
    import_snapshot(imported, "newer", copy=True)
    assert "If it holds a copy of the VM's object" in desk.foreseen(snapshot="newer").check().words
    desk.stack.up().check()
    assert imported.machine().spec["className"] == "best-effort-small"


def test_an_imported_one_tells_its_memory_by_its_status(imported: Harness, desk: Desk) -> None:
    """What its object asks for is of no account: vSphere has had the snapshot before."""
    import_snapshot(imported, "running", memory=True)
    assert imported.snapshot("running").power_state == "PoweredOn"
    words = desk.foreseen(snapshot="running").check().words
    assert "Power: powered on now, and again afterwards with the snapshot's memory." in words
    desk.stack.up().check()
    assert desk.outputs["machine"]["powerState"] == "PoweredOn"


def test_a_vm_made_from_an_image(harness: Harness, desk: Desk) -> None:
    """Its snapshot probably holds a copy; if not, the image can't go: what would come of that is said."""
    import_snapshot(harness, "old")
    shown = desk.foreseen(snapshot="old").check()
    assert "makes a spec up, without the image that the VM was made from" in shown.words
    assert "reverts the VM again and again" in shown.words
    assert "className" in not_known(shown)
    # As the VM Operator does then, until the request is taken back.
    harness.take("newer")
    desk.write(REVERT, snapshot="old", seconds=5)
    assert "has not brought its spec, labels and annotations back" in desk.stack.up().failed().words
    assert len(harness.reverts()) > 1
    spec: Any = harness.machine().spec
    assert spec["imageName"]
    assert "currentSnapshotName" not in spec
    until(lambda: (harness.machine().status or {}).get("uniqueID"))


def test_a_made_up_spec_that_is_refused(imported: Harness, desk: Desk) -> None:
    """It has no minHardwareVersion, which can't be lowered."""
    import_snapshot(imported, "old")
    imported.change(spec={"minHardwareVersion": 19})
    until(lambda: has(imported, minHardwareVersion="19"))
    told = "As minHardwareVersion (0 then, 19 now) can't be lowered, its own admission refuses that"
    assert told in desk.foreseen(snapshot="old").check().words


def test_a_hardware_version_that_was_raised(harness: Harness, desk: Desk) -> None:
    """The webhook refuses to lower it, and the VM is reverted again and again: it isn't begun."""
    harness.change(spec={"minHardwareVersion": 19})
    until(lambda: has(harness, minHardwareVersion="19"))
    harness.take("base")
    harness.change(spec={"minHardwareVersion": 21})
    until(lambda: has(harness, minHardwareVersion="21"))
    desk.write(REVERT, snapshot="base")
    for command in (desk.stack.preview, desk.stack.up):
        words = command().failed().words
        assert "minHardwareVersion (19 then, 21 now) can't be lowered" in words
        assert "Choose another snapshot." in words
    assert harness.reverts() == []
    harness.change(spec={"currentSnapshotName": "base"})
    until(lambda: len(harness.reverts()) > 1)
    assert harness.machine().spec["minHardwareVersion"] == 21
    harness.change(spec={"currentSnapshotName": None})
    until(lambda: (harness.machine().status or {}).get("uniqueID"))


def test_another_restart_since(harness: Harness, desk: Desk) -> None:
    """The time of the last restart can't go back to an earlier one."""
    harness.change(spec={"nextRestartTime": MORNING})
    until(lambda: has(harness, nextRestartTime=MORNING))
    harness.take("base")
    harness.change(spec={"nextRestartTime": EVENING})
    until(lambda: has(harness, nextRestartTime=EVENING))
    words = desk.foreseen(snapshot="base").failed().words
    assert f'nextRestartTime ("{MORNING}" then, "{EVENING}" now) may only be set to "now"' in words
    assert harness.reverts() == []


@pytest.mark.parametrize(("memory", "policy", "told"), [(True, "snapshot", True), (False, "off", False)])
def test_a_first_restart_since(harness: Harness, desk: Desk, memory: bool, policy: str, told: bool) -> None:
    """Its time stays, so no change of it is shown; and the VM, which forgets it, is restarted once more."""
    harness.take("base", memory=memory)
    harness.change(spec={"nextRestartTime": EVENING})
    until(lambda: has(harness, nextRestartTime=EVENING))
    shown = desk.foreseen(snapshot="base", powerPolicy=policy).check()
    assert ("once the VM is on, the VM Operator restarts it, and what" in shown.words) is told
    assert planned(shown)["settings"]["nextRestartTime"] == EVENING
    desk.stack.up().check()
    assert harness.machine().spec["nextRestartTime"] == EVENING


def test_what_can_only_change_while_the_vm_is_off(harness: Harness, desk: Desk) -> None:
    """The guest's system, and the VM is on before and after: once it is off, the revert is done."""
    harness.take("base", memory=True)
    switch(harness, "PoweredOff")
    harness.change(spec={"guestID": "rhel9_64Guest"})
    switch(harness, "PoweredOn")
    until(lambda: harness.vm().machine.guest_id == "rhel9_64Guest")
    words = desk.foreseen(snapshot="base").failed().words
    assert "guestID can't change while the VM is on" in words
    assert "Power the VM off first: then it isn't refused." in words
    switch(harness, "PoweredOff")
    until(lambda: desk.foreseen(snapshot="base").ok)
    desk.stack.up().check()
    assert harness.reverts() == ["base"]
    assert harness.machine().spec["guestID"] != "rhel9_64Guest"


def test_a_controller_of_another_type(harness: Harness, desk: Desk) -> None:
    """It can't change while the VM is on before the revert, though it is off afterwards."""
    harness.change(spec=scsi("ParaVirtual"))
    until(lambda: "ParaVirtual" in (harness.vm().machine.settings or {}).values())
    harness.take("base")
    harness.change(spec=scsi("LsiLogicSAS"))
    until(lambda: "LsiLogicSAS" in (harness.vm().machine.settings or {}).values())
    words = desk.foreseen(snapshot="base").failed().words
    assert "type of hardware.scsiControllers 0 can't change while the VM is on" in words
    assert "Power the VM off first: then it isn't refused." in words
    assert harness.reverts() == []


@pytest.mark.parametrize(("now", "told"), [("PoweredOn", True), ("PoweredOff", False)])
def test_the_stand_in_refuses_it_too(now: str, *, told: bool) -> None:
    """As the real webhook does, by the power before."""
    before = {"spec": {"powerState": now, **scsi("LsiLogicSAS")}, "metadata": {}}
    after = {"spec": {"powerState": "PoweredOff", **scsi("ParaVirtual")}, "metadata": {}}
    with contextlib.ExitStack() as refused:
        if told:
            refused.enter_context(pytest.raises(RefusedThere, match=r"scsiControllers\[0\].type: updates"))
        assert admitted(before, after) == after["spec"]


def test_a_vm_that_is_off_and_was_suspended(harness: Harness, desk: Desk) -> None:
    """It can't be asked to be suspended; once it is on, it can."""
    switch(harness, "Suspended")
    harness.take("asleep")
    switch(harness, "PoweredOn")
    switch(harness, "PoweredOff")
    words = desk.foreseen(snapshot="asleep").failed().words
    assert "powerState can't go from PoweredOff to Suspended" in words
    assert "Power the VM on first: then it isn't refused." in words
    switch(harness, "PoweredOn")
    until(lambda: desk.foreseen(snapshot="asleep").ok)
    desk.stack.up().check()
    assert harness.reverts() == ["asleep"]


def test_one_that_is_switched_off_after_the_preview(harness: Harness) -> None:
    """Nor is it begun where no preview has looked, as in an undo: nothing is asked for, nor noted."""
    switch(harness, "Suspended")
    harness.take("asleep")
    switch(harness, "PoweredOn")
    switch(harness, "PoweredOff")
    with pytest.raises(Refused, match=r"takes no Suspended after that.* Power the VM on first"):
        harness.revert("asleep")
    assert harness.reverts() == []
    for item in (harness.machine(), harness.object("asleep")):
        assert noted(item) == {}
    switch(harness, "PoweredOn")
    harness.revert("asleep")
    assert harness.reverts() == ["asleep"]


def test_what_was_kept_is_not_what_an_adopted_one_holds(harness: Harness, desk: Desk) -> None:
    """It is of the time of the object: the preview says that what the snapshot holds isn't known."""
    harness.other_user.take("web-1", "release", memory=True)
    until(lambda: any(not item.managed for item in harness.vm().snapshots))
    harness.change(spec={"className": "best-effort-large"})
    until(lambda: harness.vm().machine.class_name == "best-effort-large")
    taken = harness.take("release")
    assert (taken.adoption, taken.power_state, taken.quiesced) == ("adopted", "PoweredOn", None)
    assert "className" in not_known(desk.foreseen(snapshot="release").check())
    desk.stack.up().check()
    assert desk.outputs["machine"]["className"] == "best-effort-small"


def test_a_copy_that_is_not_up_to_date(harness: Harness, desk: Desk) -> None:
    """Somebody has restored the VM in vSphere: a snapshot takes the older copy along, and that is said."""
    paused = "VirtualMachineBackupPaused"
    set_condition(harness, "VirtualMachineBackupUpToDate", paused, "A restore was detected")
    until(lambda: harness.vm().copy_outdated)
    harness.change(spec={"className": "best-effort-large"})
    until(lambda: harness.vm().machine.class_name == "best-effort-large")
    told = (
        "may hold an older spec of the VM, with older labels and annotations: VirtualMachineBackupUpToDate "
        f"is False ({paused}): A restore was detected"
    )
    desk.write(SNAPSHOT, name="ours")
    assert f"The snapshot {told}" in desk.stack.preview().check().words
    harness.take("base")
    shown = desk.foreseen(snapshot="base", safetySnapshot={}).check()
    assert f"The safety snapshot {told}" in shown.words
    assert "className" in not_known(shown)
    harness.revert("base")
    assert harness.machine().spec["className"] == "best-effort-small"
