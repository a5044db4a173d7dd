"""Snapshots on the VM Operator's API: made, followed, described, removed, and seen as a tree."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import pytest

from devkit.kubernetes import VirtualMachineSnapshot
from devkit.waiting import until
from tests.support.vsphere import Doing, operation, run_out
from tests.vmoperator.harness import URN, Harness, Listener, owner
from tests.vmoperator.reverting import on_write
from vmsnapshot.backends.vmoperator import _snapshots
from vmsnapshot.backends.vmoperator._informer import Informer
from vmsnapshot.lifecycle.errors import Cancelled, Gone, NotFound, Refused, TimedOut, Unsupported
from vmsnapshot.lifecycle.operation import Cancellation
from vmsnapshot.lifecycle.port import SnapshotRequest, VMReference, values


def reasons(harness: Harness, name: str) -> set[str | None]:
    """The reasons of a snapshot's conditions."""
    return {one.reason for one in harness.snapshot(name).conditions}


def test_a_snapshots_life(harness: Harness) -> None:
    """Made, complete, seen with everything that the API tells, described anew, removed; two requests."""
    vm = harness.vm()
    assert (vm.identity.id, vm.snapshots, vm.current_snapshot_id) == (f"{harness.namespace}/web-1", (), None)
    taken = harness.take("base", memory=True, quiesce=timedelta(minutes=10))
    assert (taken.id, taken.name, taken.description) == ("base", "base", "about base")
    assert taken.unique_id == harness.other_user.snapshot("web-1", "base").snapshot._moId
    assert (taken.ready, taken.managed, taken.power_state) == (True, True, "PoweredOn")
    assert [(one.type.removeprefix("VirtualMachineSnapshot"), one.status) for one in taken.conditions] == [
        ("CSISynced", "True"),
        ("Created", "True"),
        ("Ready", "True"),
    ]
    assert (taken.mark, taken.mark_proof) == (str(owner("base").mark), "exact")
    assert taken.create_time is not None
    assert taken.storage is not None
    assert taken.storage.used
    assert harness.vm().current_snapshot_id == "base"
    assert [(one.verb, one.resource) for one in harness.requests()] == [("create", "virtualmachinesnapshots")]

    again = owner("another")
    harness.backend.change_snapshot(harness.vm(), taken, "base", "changed", again, operation())
    changed = harness.snapshot("base")
    assert (changed.description, changed.mark) == ("changed", str(again.mark))
    assert changed.mark_proof == "exact"
    assert harness.object("base").spec["memory"] is True

    harness.remove("base")
    assert harness.vm().snapshots == ()
    assert harness.other_user.names("web-1") == []
    assert [one.verb for one in harness.requests()] == ["create", "patch", "delete"]


def test_what_the_object_says_of_us(harness: Harness) -> None:
    """Labels for people, annotations for us; the quiesce time as a Go duration; our own field manager."""
    harness.create("base", quiesce=timedelta(seconds=600))
    found = harness.object("base")
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
    managers = [one.manager for one in found.metadata.managedFields]
    assert "vmsnapshot" in managers


def test_the_same_request_makes_one(harness: Harness) -> None:
    """A request that is repeated finds what it made; one by another resource is told whose it is."""
    harness.take("base")
    assert harness.create("base") == "base"
    assert harness.creates() == ["base"]
    with pytest.raises(Refused, match=rf"made by the Pulumi resource {URN}.*Choose another name$"):
        harness.create("base", owner=owner("other", urn="urn:pulumi:prod::shop::x::other"))
    with pytest.raises(Refused, match=rf"made by the Pulumi resource {URN}.*pulumi import .*/base$"):
        harness.create("base", owner=owner("without its state"))
    harness.make("theirs")
    until(lambda: harness.vm().snapshot("theirs"))
    with pytest.raises(Refused, match="made by kubectl-create"):
        harness.create("theirs")


def test_two_at_once_make_one(harness: Harness) -> None:
    """Two resources that want the same name at the same time: one gets it, the other is told."""
    meet = threading.Barrier(2)

    def make(urn: str) -> str:
        meet.wait()
        return harness.create("base", owner=owner(urn=urn))

    racing = [Doing(partial(make, f"urn:pulumi:dev::shop::x::{name}")) for name in "ab"]
    refused = 0
    for one in racing:
        try:
            one.result()
        except Refused:
            refused += 1
    assert refused == 1


def test_two_processes_at_once_make_one(harness: Harness) -> None:
    """Another pipeline makes one of that name just before the request arrives: it stays that one's."""
    late, made = harness.connect(), list[str]()
    harness.vm(late)
    on_write(late, 1, "before", lambda: made.append(harness.create("base")))
    asked = SnapshotRequest(
        name="base",
        description="about base",
        owner=owner("late", urn="urn:pulumi:prod::shop::x::late"),
        memory=False,
        quiesce=None,
    )
    with pytest.raises(Refused, match=rf"made by the Pulumi resource {URN}"):
        late.create_snapshot(harness.vm(late), asked, operation())
    assert harness.object("base").metadata.annotations["vmsnapshot/mark"] == str(owner("base").mark)


def test_a_lost_answer_of_a_create(harness: Harness) -> None:
    """The request is sent again, finds what it made, and that is one snapshot."""
    harness.vm()
    lost: list[str] = []

    def lose() -> None:
        if not lost:
            lost.append("the answer")
            raise httpx2.ReadError("broken")

    on_write(harness.backend, 1, "after", lose)
    harness.take("base")
    assert (lost, harness.creates()) == (["the answer"], ["base"])


@pytest.mark.parametrize("again", [True, False])
def test_a_change_of_what_was_just_deleted(harness: Harness, again: bool) -> None:
    """Nothing is changed of one that was made again under the name, and nothing is made where none is."""
    known = harness.take("base")

    def replaced() -> None:
        harness.delete("base")
        until(lambda: not harness.objects())
        if again:
            harness.make("base", description="hands off")

    on_write(harness.backend, 1, "before", replaced)
    with pytest.raises(Gone):
        harness.backend.change_snapshot(harness.vm(), known, "base", "changed", owner("another"), operation())
    assert [one.spec["description"] for one in harness.objects()] == (["hands off"] if again else [])


def test_a_failed_creation_is_waited_for(harness: Harness) -> None:
    """The VM Operator tries again, so we go on waiting; the failure shows as progress."""
    listener = Listener()
    harness.stand_in.steering.fail("create", "the datastore is full", times=2)
    harness.create("base")
    harness.backend.wait_until_complete(harness.vm(), "base", listener.doing("taking it"))
    assert listener.heard("VirtualMachineSnapshotCreationFailed): failed to create snapshot for VM")
    assert listener.heard("the VM Operator tries again")
    assert listener.said[-1] == "VirtualMachineSnapshotReady is True"
    assert harness.snapshot("base").ready


def test_why_it_takes_long_is_told_while_waiting(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that nothing is done about, and of one whose removal is held: not only when the time is over."""
    monkeypatch.setattr(_snapshots, "_SILENT", 0.2)
    steering, listener = harness.stand_in.steering, Listener()
    steering.fail("create", "the datastore is full", snapshot="base", times=0)
    steering.hold("retry")
    harness.create("base")
    until(lambda: "VirtualMachineSnapshotCreationFailed" in reasons(harness, "base"))
    harness.create("second")
    doing = listener.doing("taking it")
    taking = Doing(lambda: harness.backend.wait_until_complete(harness.vm(), "second", doing))
    taking.until(lambda: listener.heard('Snapshot "base" of the same VM is in its way: '))
    steering.hold("delete")
    removing = Doing(lambda: harness.remove("base", listener.doing("removing it")))
    removing.until(lambda: listener.heard("still held by vmoperator.vmware.com/virtualmachinesnapshot"))
    steering.clear()
    removing.result()
    taking.result()
    assert harness.snapshot("second").ready


def test_time_is_over_while_it_isnt_ready(harness: Harness) -> None:
    """The object stays, and the error holds the condition's type, reason and message."""
    steering = harness.stand_in.steering
    steering.fail("create", "the datastore is full", snapshot="base", times=0)
    steering.hold("retry")  # a retry is in progress for a moment, and this is about one that has failed
    harness.create("base")
    until(lambda: "VirtualMachineSnapshotCreationFailed" in reasons(harness, "base"))
    with pytest.raises(TimedOut) as failed:
        harness.backend.wait_until_complete(harness.vm(), "base", operation("taking it", seconds=0.5))
    assert (
        "VirtualMachineSnapshotCreated is False (VirtualMachineSnapshotCreationFailed): failed to create"
        in failed.value.message
    )
    assert not harness.snapshot("base").ready
    harness.create("second")
    with pytest.raises(TimedOut, match=r'Snapshot "base" of the same VM is in its way: .*CreationFailed'):
        harness.backend.wait_until_complete(harness.vm(), "second", operation("taking it", seconds=0.3))
    steering.clear()
    harness.backend.wait_until_complete(harness.vm(), "base", operation("taking it"))
    assert harness.creates()[0] == "base"


def test_cancelling_leaves_the_object(harness: Harness) -> None:
    """Whoever cancels waits for nothing; what it waited for is in the message."""
    harness.stand_in.steering.hold("csi")
    harness.create("base")
    until(lambda: harness.stand_in.steering.waiting("csi"))
    switch = Cancellation()
    listener = Listener()
    doing = Doing(
        lambda: harness.backend.wait_until_complete(
            harness.vm(), "base", listener.doing("taking it", cancellation=switch)
        )
    )
    until(lambda: listener.heard("CSISync"))
    switch.cancel()
    with pytest.raises(Cancelled, match="VirtualMachineSnapshotCSISyncInProgress"):
        doing.result()
    assert harness.object("base")


def test_somebody_removes_it_meanwhile(harness: Harness) -> None:
    """A snapshot that vanishes while it is waited for is Gone."""
    harness.stand_in.steering.hold("create")
    harness.create("base")
    doing = Doing(lambda: harness.backend.wait_until_complete(harness.vm(), "base", operation("taking it")))
    until(lambda: harness.stand_in.steering.waiting("create"))
    harness.delete("base")
    with pytest.raises(Gone, match="somebody has removed it"):
        doing.result()


def test_a_paused_vm_is_named_as_the_reason(harness: Harness) -> None:
    """Nothing is done for a VM that is paused; whoever waits is told."""
    harness.change(metadata={"annotations": {"vmoperator.vmware.com/paused": "true"}})
    until(lambda: harness.vm().paused)
    harness.create("base")
    with pytest.raises(TimedOut, match="The VM is paused"):
        harness.backend.wait_until_complete(harness.vm(), "base", operation("taking it", seconds=0.3))


def test_the_tree(harness: Harness) -> None:
    """Parents before children, the current one known; a middle one goes, its children stay."""
    for name in ("base", "middle", "leaf"):
        harness.take(name)
    vm = harness.vm()
    assert [(item.id, item.parent_id) for item in vm.snapshots] == [
        ("base", None),
        ("middle", "base"),
        ("leaf", "middle"),
    ]
    assert vm.path("leaf") == "base/middle/leaf"
    until(lambda: harness.vm().current_snapshot_id == "leaf")
    harness.remove("middle")
    until(lambda: [item.parent_id for item in harness.vm().snapshots] == [None, "base"])
    assert harness.other_user.names("web-1") == ["base", "leaf"]


def test_unmanaged_ones(harness: Harness) -> None:
    """A snapshot made directly in vSphere has a harness, no name; nothing can be done with it."""
    harness.take("base")
    harness.other_user.take("web-1", "by hand")
    until(lambda: len(harness.vm().snapshots) == 2)
    vm = harness.vm()
    unmanaged = vm.snapshots[1]
    assert (unmanaged.id, unmanaged.parent_id, unmanaged.managed) == ("unmanaged-1", "base", False)
    assert (unmanaged.unique_id, unmanaged.create_time, unmanaged.ready) == (None, None, False)
    until(lambda: harness.vm().current_snapshot_id == "unmanaged-1")
    with pytest.raises(Unsupported, match="Unmanaged"):
        harness.remove("unmanaged-1")
    with pytest.raises(Unsupported, match="Unmanaged"):
        harness.revert("unmanaged-1")


def test_what_cant_be_done_here(harness: Harness) -> None:
    """No renaming, no removing with children, no leaving disks unconsolidated."""
    taken = harness.take("base")
    with pytest.raises(Unsupported, match="can't rename"):
        harness.backend.change_snapshot(harness.vm(), taken, "other", "", owner(), operation())
    with pytest.raises(Unsupported, match="together with its children"):
        harness.remove("base", remove_children=True)
    with pytest.raises(Unsupported, match="without consolidating"):
        harness.remove("base", consolidate=False)


def test_a_stuck_removal_says_what_holds_it(harness: Harness) -> None:
    """Time is over while the finalizer waits: the message names it; the next try waits on."""
    harness.take("base")
    harness.stand_in.steering.hold("delete")
    removing = operation("removing it", progress=lambda _text: run_out(removing))
    with pytest.raises(TimedOut, match=r"held by vmoperator\.vmware\.com/virtualmachinesnapshot"):
        harness.remove("base", removing)
    assert not harness.snapshot("base").ready
    harness.stand_in.steering.release("delete")
    until(lambda: not harness.vm().snapshots)


def test_one_of_a_name_that_is_being_deleted_is_waited_for(harness: Harness) -> None:
    """It is neither refused nor taken for what was asked for: a new one is taken once it is gone."""
    steering, listener = harness.stand_in.steering, Listener()
    harness.take("base")
    steering.hold("delete")
    harness.delete("base")
    until(lambda: harness.snapshot("base").being_deleted)
    with pytest.raises(TimedOut, match=r"still held by vmoperator\.vmware\.com/virtualmachinesnapshot"):
        harness.create("base", operation(seconds=0.3))
    taking = Doing(lambda: harness.take("base", doing=listener.doing("taking it")))
    taking.until(lambda: listener.heard('waiting until an older "base" is deleted'))
    steering.release("delete")
    assert taking.result().ready
    assert harness.creates() == ["base", "base"]


def test_our_own_that_is_being_deleted_is_not_taken_for_made(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch doesn't tell of it yet, and the server answers AlreadyExists: that is waited for.

    An object with a deletionTimestamp stays until its finalizers are done (Kubernetes, "Finalizers").
    """
    steering, listener = harness.stand_in.steering, Listener()
    harness.take("base")
    steering.hold("delete")
    harness.delete("base")
    until(lambda: harness.snapshot("base").being_deleted)
    known, late = Informer.get, [True]

    def get(informer: Informer, name: str) -> Any:
        return None if name == "base" and late and late.pop() else known(informer, name)

    monkeypatch.setattr(Informer, "get", get)
    taking = Doing(lambda: harness.take("base", doing=listener.doing("taking it")))
    taking.until(lambda: listener.heard('waiting until an older "base" is deleted'))
    steering.release("delete")
    assert taking.result().ready
    assert harness.creates()[-1] == "base"


def test_only_this_very_object_is_removed(harness: Harness) -> None:
    """One that was removed and re-created by somebody else under its name is left alone."""
    harness.take("base")
    vm, taken = harness.vm(), harness.snapshot("base")
    harness.delete("base")
    until(lambda: not harness.vm().snapshots)
    harness.make("base", description="theirs")
    until(lambda: harness.vm().snapshots)
    harness.backend.remove_snapshot(
        vm, taken, remove_children=False, consolidate=True, operation=operation("removing it")
    )
    assert harness.object("base").spec["description"] == "theirs"


def test_a_copy_of_an_object_is_not_ours(harness: Harness) -> None:
    """An object that was made from the YAML of one of ours, labels and annotations with it, has no mark."""
    harness.take("base")
    annotations = harness.object("base").metadata.annotations
    harness.make("copy", description="by kubectl", annotations=annotations)
    until(lambda: any(one.name == "copy" and one.ready for one in harness.vm().snapshots))
    copy = harness.snapshot("copy")
    assert (copy.mark, copy.made_by, copy.managed) == (None, None, True)
    assert harness.snapshot("base").mark is not None


def test_taking_over_what_somebody_else_made(harness: Harness) -> None:
    """An import's first update sets the description and the owner, whoever managed them."""
    harness.make("theirs", description="by kubectl")
    vm, found = harness.backend.find_snapshot(f"{harness.namespace}/theirs", operation())
    assert (found.description, found.mark, found.managed) == ("by kubectl", None, True)
    assert harness.backend.identifier(vm, found.id) == f"{harness.namespace}/theirs"
    harness.backend.change_snapshot(vm, found, "theirs", "ours now", owner(), operation())
    assert harness.snapshot("theirs").description == "ours now"
    harness.change(VirtualMachineSnapshot, "theirs", spec={"description": "edited"})
    until(lambda: harness.snapshot("theirs").description == "edited")
    harness.backend.change_snapshot(harness.vm(), found, "theirs", "", owner(), operation())
    assert harness.snapshot("theirs").description == ""


def test_a_snapshot_outlives_its_vm(harness: Harness) -> None:
    """An object of a VM that isn't there is found by an import or a delete, and can be removed."""
    harness.make("orphan", vmName="never-there")
    vm, found = harness.backend.find_snapshot(f"{harness.namespace}/orphan", operation())
    assert vm.identity.id == f"{harness.namespace}/never-there"
    assert vm.machine.not_known
    with pytest.raises(Gone):
        harness.backend.observe(vm.identity.id, operation())
    harness.backend.remove_snapshot(
        vm, found, remove_children=False, consolidate=True, operation=operation("removing it")
    )
    with pytest.raises(NotFound, match='no VirtualMachineSnapshot "orphan"'):
        harness.backend.find_snapshot(f"{harness.namespace}/orphan", operation())


def test_names_that_arent_there(harness: Harness) -> None:
    """Close names are suggested; a namespace that isn't there is told from one without that VM.

    This user may look everywhere here; with a role in one namespace, others can't be told apart.
    """
    harness.backend = harness.connect("admin")
    with pytest.raises(NotFound, match=r'no VM "web1" in namespace ".*"; did you mean web-1\?'):
        harness.backend.find(VMReference("web1"), operation())
    with pytest.raises(NotFound, match='there is no namespace "nowhere"'):
        harness.backend.find(VMReference("web-1", "nowhere"), operation())
    found = harness.backend.find_all(
        [VMReference(f"{harness.namespace}/web-1"), VMReference("web-1", "default")], operation()
    )
    assert not isinstance(found[0], Exception)
    assert isinstance(found[1], NotFound)
    assert [vm.identity.name for vm in values(harness.backend.list_machines(operation()))] == ["web-1"]


def test_the_past_is_known_of_what_we_took(harness: Harness) -> None:
    """Hardware, settings, labels as they were; of somebody else's snapshot they are not known."""
    harness.take("base")
    harness.make("theirs")
    until(lambda: harness.vm().snapshot("theirs") is not None and harness.snapshot("theirs").ready)
    harness.change(metadata={"labels": {"tier": "gold"}}, spec={"className": "best-effort-large"})
    until(lambda: harness.vm().machine.class_name == "best-effort-large")
    vm = harness.vm()
    ours, theirs = harness.backend.machines_at(
        [(vm, harness.snapshot("base")), (vm, harness.snapshot("theirs"))], operation()
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


def test_the_past_of_a_copied_object_is_not_known(harness: Harness) -> None:
    """An object that was made from the YAML of one of ours is of another time; also once it is taken over."""
    harness.take("base")
    harness.change(spec={"className": "best-effort-large"})
    until(lambda: harness.vm().machine.class_name == "best-effort-large")
    harness.make("copy", annotations=dict(harness.object("base").metadata.annotations))
    until(lambda: harness.vm().snapshot("copy") is not None and harness.snapshot("copy").ready)
    for taken_over in (False, True):
        vm, copied = harness.vm(), harness.snapshot("copy")
        (past,) = harness.backend.machines_at([(vm, copied)], operation())
        assert not isinstance(past, Exception)
        assert past.class_name is None
        assert "className" in (past.not_known or ())
        if not taken_over:
            harness.backend.change_snapshot(vm, copied, "copy", "mine", owner("new"), operation())
            assert harness.snapshot("copy").mark is not None


def test_a_past_that_may_be_another_is_forgotten(harness: Harness) -> None:
    """A VM that changed between the request and the snapshot: which of both it holds isn't known."""
    harness.stand_in.steering.hold("create")
    harness.create("base")
    until(lambda: harness.stand_in.steering.waiting("create"))
    harness.change(spec={"className": "best-effort-large"})
    until(lambda: harness.vm().machine.class_name == "best-effort-large")
    harness.stand_in.steering.release("create")
    harness.backend.wait_until_complete(harness.vm(), "base", operation("taking it"))
    (past,) = harness.backend.machines_at([(harness.vm(), harness.snapshot("base"))], operation())
    assert not isinstance(past, Exception)
    assert past.class_name is None
    assert "className" in (past.not_known or ())


def test_power(harness: Harness) -> None:
    """The VM is switched off and on by its spec; asked for what is, nothing is sent."""
    harness.backend.set_power(harness.vm(), "on", operation("switching on"))
    assert harness.requests() == []
    harness.backend.set_power(harness.vm(), "off", operation("switching off"))
    assert harness.vm().machine.power_state == "PoweredOff"
    assert str(harness.other_user.vm("web-1").runtime.powerState) == "poweredOff"
    harness.backend.set_power(harness.vm(), "on", operation("switching on"))
    assert harness.vm().machine.power_state == "PoweredOn"
