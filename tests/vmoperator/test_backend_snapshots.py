"""Snapshots on the VM Operator's API: made, followed, described, removed, and seen as a tree."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

import pytest

from tests.support.kubernetes import VirtualMachineSnapshot
from tests.support.vsphere import Doing, operation, run_out
from tests.support.waiting import until
from tests.vmoperator.place import URN, Listener, Place, owner
from vmsnapshot.lifecycle.common.operation import Cancellation
from vmsnapshot.lifecycle.errors import Cancelled, Gone, NotFound, Refused, TimedOut, Unsupported
from vmsnapshot.lifecycle.port import VMReference


def reasons(place: Place, name: str) -> set[str | None]:
    """The reasons of a snapshot's conditions."""
    return {one.reason for one in place.snapshot(name).conditions}


def test_a_snapshots_life(place: Place) -> None:
    """Made, complete, seen with everything that the API tells, described anew, removed; two requests."""
    vm = place.vm()
    assert (vm.identity.id, vm.snapshots, vm.current_snapshot_id) == (f"{place.namespace}/web-1", (), None)
    taken = place.take("base", memory=True, quiesce=timedelta(minutes=10))
    assert (taken.id, taken.name, taken.description) == ("base", "base", "about base")
    assert taken.unique_id == place.stranger.snapshot("web-1", "base").snapshot._moId
    assert (taken.ready, taken.managed, taken.power_state) == (True, True, "PoweredOn")
    assert [(one.type.removeprefix("VirtualMachineSnapshot"), one.status) for one in taken.conditions] == [
        ("CSISynced", "True"),
        ("Created", "True"),
        ("Ready", "True"),
    ]
    assert taken.mark == str(owner("base").mark)
    assert taken.create_time is not None
    assert taken.storage is not None
    assert taken.storage.used
    assert place.vm().current_snapshot_id == "base"
    assert [(one.verb, one.resource) for one in place.requests()] == [("patch", "virtualmachinesnapshots")]

    again = owner("another")
    place.backend.change_snapshot(place.vm(), taken, "base", "changed", again, operation())
    changed = place.snapshot("base")
    assert (changed.description, changed.mark) == ("changed", str(again.mark))
    assert place.object("base").spec["memory"] is True

    place.remove("base")
    assert place.vm().snapshots == ()
    assert place.stranger.names("web-1") == []
    assert [one.verb for one in place.requests()] == ["patch", "patch", "delete"]


def test_what_the_object_says_of_us(place: Place) -> None:
    """Labels for people, annotations for us; the quiesce time as a Go duration; our own field manager."""
    place.create("base", quiesce=timedelta(seconds=600))
    found = place.object("base")
    assert found.spec == {
        "vmName": "web-1",
        "description": "about base",
        "quiesce": {"timeout": "10m0s"},
    }
    labels = {name: value for name, value in found.metadata.labels.items() if "vmoperator" not in name}
    assert labels == {
        "app.kubernetes.io/managed-by": "pulumi",
        "vmsnapshot/project": "shop",
        "vmsnapshot/resource": "before-release",
        "vmsnapshot/stack": "dev",
    }
    assert found.metadata.annotations["vmsnapshot/urn"] == URN
    managers = [(one.manager, one.operation) for one in found.metadata.managedFields]
    assert ("vmsnapshot", "Apply") in managers


def test_the_same_request_makes_one(place: Place) -> None:
    """A request that is repeated finds what it made; one by another resource is told whose it is."""
    place.take("base")
    assert place.create("base") == "base"
    assert place.creates() == ["base"]
    with pytest.raises(Refused, match=rf"made by the Pulumi resource {URN}.*pulumi import .*/base$"):
        place.create("base", owner=owner("other", urn="urn:pulumi:prod::shop::x::other"))
    place.make("theirs")
    until(lambda: place.vm().snapshot("theirs"))
    with pytest.raises(Refused, match="made by kubectl-create"):
        place.create("theirs")


def test_two_at_once_make_one(place: Place) -> None:
    """Two resources that want the same name at the same time: one gets it, the other is told."""
    meet = threading.Barrier(2)

    def make(urn: str) -> str:
        meet.wait()
        return place.create("base", owner=owner(urn=urn))

    racing = [Doing(partial(make, f"urn:pulumi:dev::shop::x::{name}")) for name in "ab"]
    refused = 0
    for one in racing:
        try:
            one.result()
        except Refused:
            refused += 1
    assert refused == 1


def test_a_failed_creation_is_waited_for(place: Place) -> None:
    """The VM Operator tries again, so we go on waiting; the failure shows as progress."""
    listener = Listener()
    place.stand_in.steering.fail("create", "the datastore is full", times=2)
    place.create("base")
    place.backend.settle_snapshot(place.vm(), "base", listener.doing("taking it"))
    assert listener.heard("VirtualMachineSnapshotCreationFailed): failed to create snapshot for VM")
    assert listener.heard("the VM Operator tries again")
    assert listener.said[-1] == "VirtualMachineSnapshotReady is True"
    assert place.snapshot("base").ready


def test_time_is_over_while_it_isnt_ready(place: Place) -> None:
    """The object stays, and the error holds the condition's type, reason and message."""
    steering = place.stand_in.steering
    steering.fail("create", "the datastore is full", snapshot="base", times=0)
    steering.hold("retry")  # a retry is in progress for a moment, and this is about one that has failed
    place.create("base")
    until(lambda: "VirtualMachineSnapshotCreationFailed" in reasons(place, "base"))
    with pytest.raises(TimedOut) as failed:
        place.backend.settle_snapshot(place.vm(), "base", operation("taking it", seconds=0.5))
    assert (
        "VirtualMachineSnapshotCreated is False (VirtualMachineSnapshotCreationFailed): failed to create"
        in failed.value.message
    )
    assert not place.snapshot("base").ready
    place.create("second")
    with pytest.raises(TimedOut, match=r'Snapshot "base" of the same VM is in its way: .*CreationFailed'):
        place.backend.settle_snapshot(place.vm(), "second", operation("taking it", seconds=0.3))
    steering.clear()
    place.backend.settle_snapshot(place.vm(), "base", operation("taking it"))
    assert place.creates()[0] == "base"


def test_cancelling_leaves_the_object(place: Place) -> None:
    """Whoever cancels waits for nothing; what it waited for is in the message."""
    place.stand_in.steering.hold("csi")
    place.create("base")
    until(lambda: place.stand_in.steering.waiting("csi"))
    switch = Cancellation()
    listener = Listener()
    doing = Doing(
        lambda: place.backend.settle_snapshot(
            place.vm(), "base", listener.doing("taking it", cancellation=switch)
        )
    )
    until(lambda: listener.heard("CSISync"))
    switch.cancel()
    with pytest.raises(Cancelled, match="VirtualMachineSnapshotCSISyncInProgress"):
        doing.result()
    assert place.object("base")


def test_somebody_removes_it_meanwhile(place: Place) -> None:
    """A snapshot that vanishes while it is waited for is Gone."""
    place.stand_in.steering.hold("create")
    place.create("base")
    doing = Doing(lambda: place.backend.settle_snapshot(place.vm(), "base", operation("taking it")))
    until(lambda: place.stand_in.steering.waiting("create"))
    place.delete("base")
    with pytest.raises(Gone, match="somebody has removed it"):
        doing.result()


def test_a_paused_vm_is_named_as_the_reason(place: Place) -> None:
    """Nothing is done for a VM that is paused; whoever waits is told."""
    place.change(metadata={"annotations": {"vmoperator.vmware.com/paused": "true"}})
    until(lambda: place.vm().paused)
    place.create("base")
    with pytest.raises(TimedOut, match="The VM is paused"):
        place.backend.settle_snapshot(place.vm(), "base", operation("taking it", seconds=0.3))


def test_the_tree(place: Place) -> None:
    """Parents before children, the current one known; a middle one goes, its children stay."""
    for name in ("base", "middle", "leaf"):
        place.take(name)
    vm = place.vm()
    assert [(item.id, item.parent_id) for item in vm.snapshots] == [
        ("base", None),
        ("middle", "base"),
        ("leaf", "middle"),
    ]
    assert vm.path("leaf") == "base/middle/leaf"
    until(lambda: place.vm().current_snapshot_id == "leaf")
    place.remove("middle")
    until(lambda: [item.parent_id for item in place.vm().snapshots] == [None, "base"])
    assert place.stranger.names("web-1") == ["base", "leaf"]


def test_unmanaged_ones(place: Place) -> None:
    """A snapshot made directly in vSphere has a place, no name; nothing can be done with it."""
    place.take("base")
    place.stranger.take("web-1", "by hand")
    until(lambda: len(place.vm().snapshots) == 2)
    vm = place.vm()
    unmanaged = vm.snapshots[1]
    assert (unmanaged.id, unmanaged.parent_id, unmanaged.managed) == ("unmanaged-1", "base", False)
    assert (unmanaged.unique_id, unmanaged.create_time, unmanaged.ready) == (None, None, False)
    until(lambda: place.vm().current_snapshot_id == "unmanaged-1")
    with pytest.raises(Unsupported, match="Unmanaged"):
        place.remove("unmanaged-1")
    with pytest.raises(Unsupported, match="Unmanaged"):
        place.revert("unmanaged-1")


def test_what_cant_be_done_here(place: Place) -> None:
    """No renaming, no removing with children, no leaving disks unconsolidated."""
    taken = place.take("base")
    with pytest.raises(Unsupported, match="can't rename"):
        place.backend.change_snapshot(place.vm(), taken, "other", "", owner(), operation())
    with pytest.raises(Unsupported, match="together with its children"):
        place.remove("base", remove_children=True)
    with pytest.raises(Unsupported, match="without consolidating"):
        place.remove("base", consolidate=False)


def test_a_stuck_removal_says_what_holds_it(place: Place) -> None:
    """Time is over while the finalizer waits: the message names it; the next try waits on."""
    place.take("base")
    place.stand_in.steering.hold("delete")
    removing = operation("removing it", progress=lambda _text: run_out(removing))
    with pytest.raises(TimedOut, match=r"held by vmoperator\.vmware\.com/virtualmachinesnapshot"):
        place.remove("base", removing)
    assert not place.snapshot("base").ready
    place.stand_in.steering.release("delete")
    until(lambda: not place.vm().snapshots)


def test_only_this_very_object_is_removed(place: Place) -> None:
    """One that was removed and made anew by somebody else under its name is left alone."""
    place.take("base")
    vm, taken = place.vm(), place.snapshot("base")
    place.delete("base")
    until(lambda: not place.vm().snapshots)
    place.make("base", description="theirs")
    until(lambda: place.vm().snapshots)
    place.backend.remove_snapshot(
        vm, taken, remove_children=False, consolidate=True, operation=operation("removing it")
    )
    assert place.object("base").spec["description"] == "theirs"


def test_taking_over_what_somebody_else_made(place: Place) -> None:
    """An import's first update sets the description and the owner, whoever managed them."""
    place.make("theirs", description="by kubectl")
    vm, found = place.backend.find_snapshot(f"{place.namespace}/theirs", operation())
    assert (found.description, found.mark, found.managed) == ("by kubectl", None, True)
    assert place.backend.identifier(vm, found.id) == f"{place.namespace}/theirs"
    place.backend.change_snapshot(vm, found, "theirs", "ours now", owner(), operation())
    assert place.snapshot("theirs").description == "ours now"
    place.change(VirtualMachineSnapshot, "theirs", spec={"description": "edited"})
    until(lambda: place.snapshot("theirs").description == "edited")
    place.backend.change_snapshot(place.vm(), found, "theirs", "", owner(), operation())
    assert place.snapshot("theirs").description == ""


def test_a_snapshot_outlives_its_vm(place: Place) -> None:
    """An object of a VM that isn't there is found by an import or a delete, and can be removed."""
    place.make("orphan", vmName="never-there")
    vm, found = place.backend.find_snapshot(f"{place.namespace}/orphan", operation())
    assert vm.identity.id == f"{place.namespace}/never-there"
    assert vm.machine.not_known
    with pytest.raises(Gone):
        place.backend.observe(vm.identity.id, operation())
    place.backend.remove_snapshot(
        vm, found, remove_children=False, consolidate=True, operation=operation("removing it")
    )
    with pytest.raises(NotFound, match='no VirtualMachineSnapshot "orphan"'):
        place.backend.find_snapshot(f"{place.namespace}/orphan", operation())


def test_names_that_arent_there(place: Place) -> None:
    """Close names are suggested; a namespace that isn't there is told from one without that VM.

    The login may look everywhere here; with a role in one namespace, others can't be told apart.
    """
    place.backend = place.connect("admin")
    with pytest.raises(NotFound, match=r'no VM "web1" in namespace ".*"; did you mean web-1\?'):
        place.backend.find(VMReference("web1"), operation())
    with pytest.raises(NotFound, match='there is no namespace "nowhere"'):
        place.backend.find(VMReference("web-1", "nowhere"), operation())
    found = place.backend.find_all(
        [VMReference(f"{place.namespace}/web-1"), VMReference("web-1", "default")], operation()
    )
    assert not isinstance(found[0], Exception)
    assert isinstance(found[1], NotFound)
    assert [vm.identity.name for vm in place.backend.list_machines(operation())] == ["web-1"]


def test_the_past_is_known_of_what_we_took(place: Place) -> None:
    """Hardware, settings, labels as they were; of somebody else's snapshot they are not known."""
    place.take("base")
    place.make("theirs")
    until(lambda: place.vm().snapshot("theirs") is not None and place.snapshot("theirs").ready)
    place.change(metadata={"labels": {"tier": "gold"}}, spec={"className": "best-effort-large"})
    until(lambda: place.vm().machine.class_name == "best-effort-large")
    vm = place.vm()
    ours, theirs = place.backend.machines_at(
        [(vm, place.snapshot("base")), (vm, place.snapshot("theirs"))], operation()
    )
    assert not isinstance(ours, Exception)
    assert not isinstance(theirs, Exception)
    assert ours.not_known is None
    assert ours.power_state == "PoweredOff"
    assert ours.class_name != vm.machine.class_name
    assert (ours.num_cpus, ours.disks, ours.settings) == (
        vm.machine.num_cpus,
        vm.machine.disks,
        vm.machine.settings,
    )
    assert (ours.labels or {}) | {"tier": "gold"} == vm.machine.labels
    assert theirs.power_state == "PoweredOff"
    assert theirs.not_known is not None
    assert {"numCPUs", "memoryMB", "disks", "className", "settings", "labels"} <= set(theirs.not_known)


def test_a_past_that_may_be_another_is_forgotten(place: Place) -> None:
    """A VM that changed between the request and the snapshot: which of both it holds isn't known."""
    place.stand_in.steering.hold("create")
    place.create("base")
    until(lambda: place.stand_in.steering.waiting("create"))
    place.change(spec={"className": "best-effort-large"})
    until(lambda: place.vm().machine.class_name == "best-effort-large")
    place.stand_in.steering.release("create")
    place.backend.settle_snapshot(place.vm(), "base", operation("taking it"))
    (past,) = place.backend.machines_at([(place.vm(), place.snapshot("base"))], operation())
    assert not isinstance(past, Exception)
    assert past.class_name is None
    assert "className" in (past.not_known or ())


def test_power(place: Place) -> None:
    """The VM is switched off and on by its spec; asked for what is, nothing is sent."""
    place.backend.set_power(place.vm(), "on", operation("switching on"))
    assert place.requests() == []
    place.backend.set_power(place.vm(), "off", operation("switching off"))
    assert place.vm().machine.power_state == "PoweredOff"
    assert str(place.stranger.vm("web-1").runtime.powerState) == "poweredOff"
    place.backend.set_power(place.vm(), "on", operation("switching on"))
    assert place.vm().machine.power_state == "PoweredOn"
