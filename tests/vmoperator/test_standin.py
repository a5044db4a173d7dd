"""The stand-in for the VM Operator's controllers does what theirs are known to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from lightkube.types import CascadeType, PatchType

from devkit.kubernetes import ApiServer, VirtualMachine, VirtualMachineSnapshot
from devkit.places import ROOT
from devkit.vmoperator import StandIn, snapshots_switched_off
from devkit.vmoperator.objects import annotations_of
from devkit.waiting import until
from tests.support.client import Client, other_client
from tests.support.simulator import Simulator, running
from tests.vmoperator.harness import give_back

FINALIZER = "vmoperator.vmware.com/virtualmachinesnapshot"
VM_NAME_LABEL = "snapshot.vmoperator.vmware.com/vm-name"
PAUSED = "vmoperator.vmware.com/paused"
IN_PROGRESS = "vmoperator.vmware.com/snapshot-revert-in-progress"
CSI_SYNC = "csi.vsphere.volume.sync"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A vCenter with the VMs web-1 and web-2."""
    with running("--names", "web-1,web-2", "--task-duration", "10ms") as started:
        yield started


@pytest.fixture(scope="module")
def other_user(simulator: Simulator) -> Iterator[Client]:
    """Somebody who works on vSphere directly."""
    with other_client(simulator) as client:
        yield client


@pytest.fixture(scope="module")
def shared(api_server: ApiServer, simulator: Simulator) -> Iterator[StandIn]:
    """One stand-in for all tests."""
    with StandIn(api_server.kubeconfigs["controller"], simulator) as started:
        yield started


class Desk:
    """A namespace with the VM web-1, and its user."""

    def __init__(self, server: ApiServer, stand_in: StandIn, namespace: str) -> None:
        self.server, self.stand_in, self.namespace = server, stand_in, namespace

    def take(self, name: str, **spec: Any) -> None:
        """Ask for a snapshot."""
        kind: Any = VirtualMachineSnapshot
        metadata = {"name": name, "namespace": self.namespace}
        self.server.client.create(kind({"metadata": metadata, "spec": {"vmName": "web-1", **spec}}))

    def taken(self, name: str, **spec: Any) -> None:
        """Ask for a snapshot, and wait until it is ready."""
        self.take(name, **spec)
        until(lambda: self.condition(name, "Ready") == ("True", "True", ""))

    def snapshot(self, name: str) -> Any:
        """A snapshot's object."""
        return self.server.client.get(VirtualMachineSnapshot, name, namespace=self.namespace)

    def condition(self, name: str, kind: str) -> tuple[str, str, str] | None:
        """Status, reason and message of a snapshot's condition, without what all names begin with."""
        return _condition(self.snapshot(name), f"VirtualMachineSnapshot{kind}")

    def delete(self, name: str) -> None:
        """Delete a snapshot's object."""
        self.server.client.delete(VirtualMachineSnapshot, name, namespace=self.namespace)

    def gone(self, name: str) -> bool:
        """Whether a snapshot's object is no more."""
        found = self.server.client.list(VirtualMachineSnapshot, namespace=self.namespace)
        return name not in {one.metadata.name for one in found if one.metadata}

    def machine(self) -> Any:
        """The VM's object."""
        return self.server.client.get(VirtualMachine, "web-1", namespace=self.namespace)

    def change(self, *, manager: str = "somebody", **members: Any) -> Any:
        """Change the VM's object."""
        return self.server.client.patch(
            VirtualMachine,
            "web-1",
            members,
            namespace=self.namespace,
            patch_type=PatchType.MERGE,
            field_manager=manager,
        )

    def revert(self, name: str | None) -> None:
        """Ask for a revert, or take the request back."""
        self.change(spec={"currentSnapshotName": name}, manager="asker")

    def revert_condition(self) -> tuple[str, str, str] | None:
        """The revert's condition."""
        return _condition(self.machine(), "VirtualMachineSnapshotRevertSucceeded")

    def told_of(self, name: str) -> bool:
        """Whether the revert's condition speaks of a snapshot."""
        found = self.revert_condition()
        return found is not None and name in found[2]

    def reverted(self, name: str) -> bool:
        """Whether the VM is reverted, and the object tells so."""
        machine = self.machine()
        current = (machine.status or {}).get("currentSnapshot")
        return "currentSnapshotName" not in machine.spec and current == {"type": "Managed", "name": name}

    def done(self, operation: Any) -> list[str]:
        """The snapshots of which the stand-in did something in this namespace."""
        events = self.stand_in.history.events(operation=operation, namespace=self.namespace)
        return [one.snapshot for one in events]


def _condition(item: Any, kind: str) -> tuple[str, str, str] | None:
    for one in (item.status or {}).get("conditions", []):
        if one["type"] == kind:
            return one["status"], one["reason"].removeprefix("VirtualMachineSnapshot"), one["message"]
    return None


@pytest.fixture
def desk(api_server: ApiServer, shared: StandIn, other_user: Client, namespace: str) -> Iterator[Desk]:
    """The VM web-1 without snapshots, switched on, in a namespace of its own."""
    shared.add_machine(namespace, "web-1")
    yield Desk(api_server, shared, namespace)
    give_back(api_server, shared, other_user, namespace)


def test_a_snapshot_becomes_ready_step_by_step(desk: Desk, other_user: Client) -> None:
    """Each step shows in the conditions, in order; then the status says what vSphere has."""
    seen: list[tuple[str, str]] = []
    changes: Any = desk.server.client.watch(
        VirtualMachineSnapshot,
        namespace=desk.namespace,
        resource_version=desk.machine().metadata.resourceVersion,
    )
    desk.take("first", description="before", memory=True)
    for _, item in changes:
        for kind in ("Created", "CSISynced", "Ready"):
            found = _condition(item, f"VirtualMachineSnapshot{kind}")
            if found and (kind, found[1]) not in seen:
                seen.append((kind, found[1]))
        if seen[-1:] == [("Ready", "True")]:
            break
    assert seen == [
        ("Ready", "WaitingForCreation"),
        ("Created", "CreationInProgress"),
        ("Created", "True"),
        ("CSISynced", "CSISyncInProgress"),
        ("Ready", "WaitingForCSISync"),
        ("CSISynced", "True"),
        ("Ready", "True"),
    ]
    metadata = item.metadata
    assert metadata.finalizers == [FINALIZER]
    assert metadata.labels == {VM_NAME_LABEL: "web-1"}
    assert metadata.annotations == {CSI_SYNC: "completed"}
    assert [owner.uid for owner in metadata.ownerReferences] == [desk.machine().metadata.uid]
    in_vsphere = other_user.snapshot("web-1", "first")
    assert in_vsphere.description == "before"
    assert item.status["uniqueID"] == in_vsphere.snapshot._moId
    assert item.status["powerState"] == "PoweredOn"
    assert item.status["quiesced"] is False
    # Release 1.10 adds up its 2048M as 2048 * 10^6 bytes.
    disk_and_memory = {"storageClass": "wcpglobal-storage-profile", "total": "18777216Ki"}
    assert item.status["storage"]["requested"] == [disk_and_memory]
    assert int(item.status["storage"]["used"]) > 0


def test_the_oldest_is_taken_first_and_blocks_the_others(desk: Desk) -> None:
    """One that fails is tried again and again; those after it wait for it, one after another."""
    desk.stand_in.steering.fail("create", "the datastore is full", snapshot="first", times=0)
    for name in ("first", "second", "third"):
        desk.take(name)
    words = "failed to create snapshot for VM: failed to create snapshot: the datastore is full"
    until(lambda: desk.condition("first", "Created") == ("False", "CreationFailed", words))
    until(lambda: len(desk.done("fail")) > 2)
    assert desk.condition("second", "Created") is None
    desk.stand_in.steering.clear()
    until(lambda: desk.condition("third", "Ready") == ("True", "True", ""))
    assert desk.done("create") == ["first", "second", "third"]
    until(lambda: desk.machine().status.get("currentSnapshot") == {"type": "Managed", "name": "third"})
    assert desk.machine().status["rootSnapshots"] == [{"type": "Managed", "name": "first"}]
    assert desk.snapshot("first").status["children"] == [{"type": "Managed", "name": "second"}]


def test_a_middle_snapshot_is_deleted_without_its_children(desk: Desk, other_user: Client) -> None:
    """And one that is gone in vSphere counts as deleted."""
    for name in ("first", "second", "third"):
        desk.taken(name)
    desk.delete("second")
    until(partial(desk.gone, "second"))
    assert other_user.names("web-1") == ["first", "third"]
    until(lambda: desk.snapshot("first").status["children"] == [{"type": "Managed", "name": "third"}])
    other_user.remove("web-1", "third")
    desk.delete("third")
    until(partial(desk.gone, "third"))
    assert desk.done("delete") == ["second"]


def test_a_snapshot_of_that_name_is_adopted(desk: Desk, other_user: Client) -> None:
    """What was made directly shows as Unmanaged, until an object of its name comes."""
    unique_id = other_user.take("web-1", "mine")
    unmanaged = {"name": "", "type": "Unmanaged"}
    until(lambda: desk.machine().status.get("currentSnapshot") == unmanaged)
    assert desk.machine().status["rootSnapshots"] == [unmanaged]
    desk.taken("mine")
    assert desk.snapshot("mine").status["uniqueID"] == unique_id
    assert (desk.done("create"), desk.done("adopt")) == ([], ["mine"])
    until(lambda: desk.machine().status["currentSnapshot"] == {"name": "mine", "type": "Managed"})


def test_waiting_for_disks_and_for_the_volumes_sync(desk: Desk) -> None:
    """Both waits show in the conditions for as long as they last; a paused VM's snapshots wait, too."""
    steering = desk.stand_in.steering
    desk.change(metadata={"annotations": {PAUSED: ""}})
    desk.take("first")
    until(lambda: (desk.condition("first", "Ready") or ())[1:2] == ("WaitingForCreation",))
    steering.hold("register")
    desk.change(metadata={"annotations": {PAUSED: None}})
    until(lambda: (desk.condition("first", "Ready") or ())[1:2] == ("WaitingForDiskRegistration",))
    assert (desk.condition("first", "Created") or ())[1:2] == ("WaitingForDiskRegistration",)
    assert desk.done("create") == []
    steering.hold("csi", snapshot="first")
    steering.release("register")
    until(lambda: (desk.condition("first", "Ready") or ())[1:2] == ("WaitingForCSISync",))
    assert desk.snapshot("first").metadata.annotations == {CSI_SYNC: "requested"}
    steering.release("csi", snapshot="first")
    until(lambda: desk.condition("first", "Ready") == ("True", "True", ""))


def test_a_revert_replaces_the_vm_object(desk: Desk, other_user: Client) -> None:
    """Spec, labels and annotations are as with the snapshot, the status is empty for a moment.

    Without memory the VM is off. The one who asked manages no field any more.
    """
    desk.change(metadata={"annotations": {"owner": "old"}})
    desk.taken("first")
    desk.taken("second", memory=True)
    steering = desk.stand_in.steering
    desk.change(metadata={"labels": {"tier": "web"}, "annotations": {"owner": "new"}})
    desk.change(spec={"className": "best-effort-large"})
    steering.hold("restore")
    desk.revert("first")
    until(lambda: steering.waiting("restore"))
    # Nothing says that it runs; clearing the request doesn't stop it.
    assert desk.machine().metadata.annotations == {"owner": "new"}
    assert desk.revert_condition() is None
    desk.revert(None)
    steering.hold("status")
    steering.release("restore")
    until(lambda: steering.waiting("status"))
    machine = desk.machine()
    assert not machine.status
    assert machine.metadata.annotations == {"owner": "old"}
    assert machine.metadata.labels == {"app": "web"}  # without the zone's, which comes back later
    assert (machine.spec["className"], machine.spec["powerState"]) == ("best-effort-small", "PoweredOff")
    assert "asker" not in {entry.manager for entry in machine.metadata.managedFields}
    steering.release("status")
    until(partial(desk.reverted, "first"))
    assert desk.revert_condition() is None
    assert other_user.vm("web-1").runtime.powerState == "poweredOff"
    desk.revert("second")
    until(partial(desk.reverted, "second"))
    until(lambda: desk.machine().status["powerState"] == "PoweredOn")
    assert desk.done("revert") == desk.done("restore") == ["first", "second"]


@pytest.mark.parametrize(
    ("told", "reason", "left"),
    [
        ("VirtualMachineSnapshotRevertTaskFailed", "RevertTaskFailed", True),
        ("VirtualMachineSnapshotRevertFailedInvalidVMManifest", "RevertFailedInvalidVMManifest", True),
        ("VirtualMachineSnapshotRevertSkipped", "RevertSkipped", False),
        ("VirtualMachineSnapshotRevertFailed", "RevertFailed", False),
    ],
)
def test_a_revert_that_fails_leaves_the_request(desk: Desk, told: str, reason: str, *, left: bool) -> None:
    """The condition has the reason and the words; the annotation is left behind once vSphere was asked."""
    desk.taken("first")
    desk.stand_in.steering.fail("revert", "no luck", times=0, reason=told)
    desk.revert("first")
    until(lambda: (desk.revert_condition() or ())[1:2] == (reason,))
    assert "no luck" in (desk.revert_condition() or ("", "", ""))[2]
    machine = desk.machine()
    assert machine.spec["currentSnapshotName"] == "first"
    assert (IN_PROGRESS in (machine.metadata.annotations or {})) is left
    assert desk.done("revert") == (["first"] if reason == "RevertFailedInvalidVMManifest" else [])


def test_what_goes_on_after_a_revert_that_failed(desk: Desk) -> None:
    """Snapshots are taken beside a request that failed before it began; not while its annotation stands."""
    desk.taken("first")
    reason = "VirtualMachineSnapshotRevertFailed"
    desk.stand_in.steering.fail("revert", "no luck", times=0, reason=reason)
    desk.revert("first")
    until(lambda: (desk.revert_condition() or ())[1:2] == ("RevertFailed",))
    desk.taken("second")
    desk.change(metadata={"annotations": {IN_PROGRESS: ""}})
    known = desk.stand_in._cluster
    until(lambda: IN_PROGRESS in annotations_of(known.machine((desk.namespace, "web-1")) or {}))
    desk.take("third")
    until(lambda: desk.condition("third", "Ready"))
    desk.change(metadata={"annotations": {IN_PROGRESS: None}})
    until(lambda: (desk.condition("third", "Ready") or ())[:1] == ("True",))
    assert desk.done("create") == ["first", "second", "third"]


def test_a_revert_to_what_is_not_there(desk: Desk, other_user: Client, simulator: Simulator) -> None:
    """Not an object, not ready, not in vSphere, not revertible: each is told; null takes it back."""
    desk.stand_in.steering.hold("csi", snapshot="unready")
    desk.taken("first")
    desk.take("unready")
    until(lambda: (desk.condition("unready", "Ready") or ())[1:2] == ("WaitingForCSISync",))
    desk.taken("lost")
    other_user.remove("web-1", "lost")
    for name, reason in (("none", "RevertFailed"), ("unready", "RevertSkipped"), ("lost", "RevertFailed")):
        desk.revert(name)
        until(partial(desk.told_of, name))
        assert (desk.revert_condition() or ())[:2] == ("False", reason)
        desk.revert(None)
        until(lambda: desk.revert_condition() is None)
    # A fault of vSphere's: the VM Operator gives the words of two kinds only.
    simulator.fault("InvalidState", method="RevertToSnapshot_Task", where="task", message="can't")
    desk.revert("first")
    until(lambda: (desk.revert_condition() or ())[1:] == ("RevertTaskFailed", ""))
    assert desk.done("revert") == []
    # Whoever clears the request and the annotation may ask again.
    desk.change(spec={"currentSnapshotName": None}, metadata={"annotations": {IN_PROGRESS: None}})
    until(lambda: desk.revert_condition() is None)
    desk.revert("first")
    until(partial(desk.reverted, "first"))


def test_one_that_is_gone_in_vsphere(desk: Desk, other_user: Client) -> None:
    """It stays ready until somebody touches its object: then it waits for a sync, and a revert is skipped."""
    desk.taken("first")
    desk.taken("lost")
    other_user.remove("web-1", "lost")
    until(lambda: (desk.machine().status or {}).get("currentSnapshot", {}).get("name") == "first")
    assert desk.condition("lost", "Ready") == ("True", "True", "")
    kind: Any = VirtualMachineSnapshot
    note = {"metadata": {"annotations": {"touched": "yes"}}}
    desk.server.client.patch(kind, "lost", note, namespace=desk.namespace, patch_type=PatchType.MERGE)
    until(lambda: (desk.condition("lost", "Ready") or ())[1:2] == ("WaitingForCSISync",))
    assert (desk.condition("lost", "CSISynced") or ())[1:2] == ("CSISyncInProgress",)
    assert desk.condition("first", "Ready") == ("True", "True", "")
    desk.revert("lost")
    until(partial(desk.told_of, "lost"))
    assert (desk.revert_condition() or ())[1:2] == ("RevertSkipped",)


def test_spec_power_state_switches_the_vm(desk: Desk) -> None:
    """The VM in vSphere follows the object."""
    desk.change(spec={"powerState": "PoweredOff"})
    until(lambda: desk.machine().status["powerState"] == "PoweredOff")
    assert desk.done("power") == ["PoweredOff"]


def test_a_snapshot_of_a_missing_vm(desk: Desk) -> None:
    """It waits, and is deleted without ado."""
    desk.take("early", vmName="none")
    until(lambda: (desk.condition("early", "Ready") or ())[1:2] == ("WaitingForCreation",))
    assert desk.snapshot("early").metadata.finalizers == [FINALIZER]
    desk.delete("early")
    until(partial(desk.gone, "early"))


def test_snapshots_go_with_the_vm_object(desk: Desk) -> None:
    """Its owner's end is a snapshot's end."""
    desk.taken("first")
    desk.server.client.delete(VirtualMachine, "web-1", namespace=desk.namespace)
    until(partial(desk.gone, "first"))
    desk.stand_in.add_machine(desk.namespace, "web-1")


def test_a_vm_object_is_deleted_in_the_foreground(desk: Desk, other_user: Client) -> None:
    """As pulumi-kubernetes asks for it: its snapshots go first, also from vSphere, then it goes itself."""
    desk.take("base")
    until(lambda: other_user.names("web-1") == ["base"])
    desk.server.client.delete(
        VirtualMachine, "web-1", namespace=desk.namespace, cascade=CascadeType.FOREGROUND
    )
    until(lambda: not list(desk.server.client.list(VirtualMachine, namespace=desk.namespace)))
    assert not list(desk.server.client.list(VirtualMachineSnapshot, namespace=desk.namespace))
    assert other_user.names("web-1") == []
    desk.stand_in.add_machine(desk.namespace, "web-1")


def test_snapshots_switched_off(desk: Desk) -> None:
    """Then the server drops a request to revert, and says nothing."""
    with snapshots_switched_off(desk.server):
        desk.revert("any")
        assert "currentSnapshotName" not in desk.machine().spec
    desk.revert("any")
    assert desk.machine().spec["currentSnapshotName"] == "any"


def test_as_a_process(desk: Desk, simulator: Simulator) -> None:
    """It can be steered over HTTP, knows what an earlier one kept, and ends with its standard input."""
    desk.taken("first")
    desk.change(metadata={"labels": {"tier": "web"}})
    desk.stand_in.steering.hold("revert")  # that one keeps out of it
    command = [sys.executable, "-m", "devkit.vmoperator"]
    kubeconfig = str(desk.server.kubeconfigs["controller"])
    process = subprocess.Popen(
        [*command, "--kubeconfig", kubeconfig, "--simulator-url", simulator.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "VSPHERE_USER": simulator.user, "VSPHERE_PASSWORD": simulator.password},
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        ask: Callable[..., Any] = partial(_ask, ready["admin"])
        ask("/hold", {"step": "revert", "vm": "other"})
        desk.revert("first")
        until(partial(desk.reverted, "first"))
        assert "tier" not in desk.machine().metadata.labels
        operations = [one["operation"] for one in ask("/history?vm=web-1")]
        assert operations == ["revert", "restore"]
        process.stdin.close()
        assert process.wait(30) == 0


def _ask(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url + path, data=data), timeout=30) as answer:
        return json.load(answer)
