"""What a revert meets there: claims with CSI snapshots, suspended VMs, specs that aren't in effect."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from devkit.kubernetes import ApiServer, documented_rules
from devkit.vmoperator import volume_snapshots
from devkit.vmoperator.objects import annotations_of
from devkit.waiting import until
from tests.support.simulator import Simulator
from tests.support.vsphere import operation
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import REVERT, SNAPSHOT
from tests.vmoperator.harness import Harness
from vmsnapshot.lifecycle.errors import TimedOut

CLAIM = "web-1-data"


@pytest.fixture
def claims(harness: Harness) -> Harness:
    """The VM has a disk from a claim."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}
    harness.change(spec={"volumes": [volume]})
    until(lambda: harness.vm().csi_volumes)
    return harness


@pytest.fixture(scope="module")
def csi(api_server: ApiServer) -> ApiServer:
    """The server has VolumeSnapshots."""
    volume_snapshots.install(api_server)
    return api_server


def take_volume_snapshot(harness: Harness, name: str, *, ago: float = 0, claim: str = CLAIM) -> None:
    """Somebody takes a CSI snapshot of a claim, or took it some seconds ago."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1 - ago)
    kind: Any = volume_snapshots.VolumeSnapshot
    harness.server.client.create(
        kind(
            {
                "metadata": {"name": name, "namespace": harness.namespace},
                "spec": {"source": {"persistentVolumeClaimName": claim}},
                "status": {"creationTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "readyToUse": True},
            }
        )
    )


def test_a_csi_snapshot_since_then_is_found_before_the_revert(
    csi: ApiServer, claims: Harness, desk: Desk
) -> None:
    """VSphere would refuse, and the mark of the revert would stay on the VM: the preview names it."""
    del csi
    take_volume_snapshot(claims, "before", ago=60)
    claims.take("base")
    take_volume_snapshot(claims, "since")
    take_volume_snapshot(claims, "of-another", claim="db-1-data")
    desk.write(REVERT, snapshot="base")
    for command in (desk.stack.preview, desk.stack.up):
        words = command().failed().words
        assert "CSI snapshots of the VM's volumes were taken since then (since)" in words
    assert claims.reverts() == []
    assert claims.machine().spec.get("currentSnapshotName") is None
    claims.server.client.delete(volume_snapshots.VolumeSnapshot, "since", namespace=claims.namespace)
    until(lambda: desk.stack.preview().ok)
    desk.stack.up().check()
    assert claims.reverts() == ["base"]


def test_the_stand_in_refuses_to_cross_one(csi: ApiServer, claims: Harness) -> None:
    """As vSphere does, with the VM Operator's words and its annotation left behind."""
    del csi
    claims.take("base")
    take_volume_snapshot(claims, "since")
    claims.change(spec={"currentSnapshotName": "base"})
    until(lambda: "crossing a CSI VolumeSnapshot" in str(claims.machine().status.get("conditions")))
    annotations = claims.machine().metadata.annotations
    assert "vmoperator.vmware.com/snapshot-revert-in-progress" in annotations


NO_LIST = [rule for rule in documented_rules() if "volumesnapshots" not in rule["resources"]]


@pytest.mark.parametrize("namespace", [NO_LIST], indirect=True)
def test_who_may_not_list_them_is_told_so(csi: ApiServer, claims: Harness, desk: Desk) -> None:
    """Without the permission, the preview says that it isn't known; the revert is done."""
    del csi
    claims.take("base")
    desk.write(REVERT, snapshot="base")
    assert "Whether a CSI snapshot of the VM's volumes (data) was taken since then" in (
        desk.stack.preview().check().words
    )
    desk.stack.up().check()
    assert claims.reverts() == ["base"]


def test_a_suspended_vm_is_suspended_after_its_revert(desk: Desk) -> None:
    """Its snapshot holds its memory without being asked to, and spec and status say Suspended again."""
    harness = desk.harness
    harness.change(spec={"powerState": "Suspended"})
    until(lambda: harness.vm().machine.power_state == "Suspended")
    desk.write(SNAPSHOT, name="asleep")
    assert "The VM is suspended: its snapshot holds its memory" in desk.stack.preview().check().words
    desk.stack.up().check()
    assert desk.outputs["powerState"] == "Suspended"
    harness.change(spec={"powerState": "PoweredOn"})
    until(lambda: harness.vm().machine.power_state == "PoweredOn")
    harness.revert("asleep")
    assert harness.machine().spec["powerState"] == "Suspended"
    until(lambda: (harness.machine().status or {}).get("powerState") == "Suspended")


@pytest.mark.parametrize(("policy", "state"), [("on", "PoweredOn"), ("off", "PoweredOff")])
def test_power_after_the_revert_of_a_suspended_vm(desk: Desk, policy: str, state: str) -> None:
    """PowerPolicy acts on what the revert leaves: it resumes the VM, or switches it off."""
    harness = desk.harness
    harness.change(spec={"powerState": "Suspended"})
    until(lambda: harness.vm().machine.power_state == "Suspended")
    harness.take("asleep")
    desk.write(REVERT, snapshot="asleep", powerPolicy=policy)
    desk.stack.up().check()
    assert desk.outputs["machine"]["powerState"] == state
    assert harness.reverts() == ["asleep"]


def class_instance(name: str) -> dict[str, str]:
    """How a VM names an instance of its class."""
    version = "vmoperator.vmware.com/v1alpha5"
    return {"apiVersion": version, "kind": "VirtualMachineClassInstance", "name": name}


def test_a_class_of_the_newest_kind(desk: Desk) -> None:
    """An instance of a class is a setting of the VM; a revert brings back the one of then."""
    harness = desk.harness
    harness.change(spec={"class": class_instance("small-v1")})
    until(lambda: "class.name" in (harness.vm().machine.settings or {}))
    harness.take("base")
    harness.change(spec={"class": class_instance("small-v2")})
    until(lambda: (harness.vm().machine.settings or {})["class.name"] == "small-v2")
    desk.write(REVERT, snapshot="base")
    desk.stack.up().check()
    assert harness.machine().spec["class"]["name"] == "small-v1"
    assert desk.outputs["machine"]["settings"]["class.name"] == "small-v1"


def set_condition(harness: Harness, kind: str, reason: str, message: str) -> None:
    """The VM Operator says something of the VM."""
    about = {"type": kind, "status": "False", "reason": reason, "message": message}
    about["lastTransitionTime"] = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"

    def written() -> bool:
        machine = harness.machine()
        status = dict(machine.status or {})
        others = [one for one in status.get("conditions", []) if one["type"] != kind]
        status["conditions"] = sorted([*others, about], key=lambda one: str(one["type"]))
        path = f"/apis/{machine.apiVersion}/namespaces/{harness.namespace}/virtualmachines/web-1"
        item = harness.server.ask("GET", path).json() | {"status": status}
        return bool(harness.server.ask("PUT", f"{path}/status", item).is_success)

    until(written)
    until(lambda: harness.vm().unapplied or "Synced" in str(harness.machine().status))


def test_a_spec_that_is_not_in_effect_is_said(desk: Desk) -> None:
    """Changes wait for the VM to be switched off: snapshots and reverts are about spec and hardware."""
    harness = desk.harness
    harness.take("base")
    set_condition(
        harness, "VirtualMachineComputeConfigSynced", "PowerOffRequired", "VM power off required: resources"
    )
    told = "VirtualMachineComputeConfigSynced is False (PowerOffRequired): VM power off required: resources"
    assert told in desk.foreseen(snapshot="base").check().words
    desk.write(SNAPSHOT, name="ours")
    assert told in desk.stack.preview().check().words


def test_a_snapshot_that_waits_for_the_disks_says_so(desk: Desk) -> None:
    """The VM Operator takes none before the disks are promoted, and its object doesn't say why."""
    harness = desk.harness
    set_condition(harness, "VirtualMachineDiskPromotionSynced", "DiskPromotionPending", "in progress")
    desk.write(SNAPSHOT, name="ours", seconds=4)
    told = "isn't taken before these conditions are True: VirtualMachineDiskPromotionSynced is False"
    assert f"The snapshot {told}" in desk.stack.preview().check().words
    words = desk.stack.up().failed().words
    assert "takes no snapshot of the VM meanwhile: VirtualMachineDiskPromotionSynced is False" in words
    assert harness.creates() == []


@pytest.mark.parametrize(("tools", "refused"), [("running", False), ("notRunning", True)])
def test_quiescing_without_tools(desk: Desk, vcenter: Simulator, tools: str, refused: bool) -> None:
    """The VM's condition VirtualMachineTools tells it: the preview says so, and nothing is asked for."""
    harness = desk.harness
    vcenter.set("web-1", tools=tools)
    until(lambda: harness.vm().tools_running is not refused)
    desk.write(SNAPSHOT, name="quiet", quiesce={})
    shown = desk.stack.preview()
    vcenter.set("web-1", tools="running")
    assert shown.ok is not refused
    assert ("VMware Tools are not running in its guest" in shown.words) is refused
    assert harness.creates() == []


def test_the_mark_of_an_earlier_revert_keeps_snapshots_from_being_taken(desk: Desk) -> None:
    """The VM Operator does nothing for the VM while it stands: the preview refuses, and who waits is told."""
    harness = desk.harness
    mark = "vmoperator.vmware.com/snapshot-revert-in-progress"
    harness.change(metadata={"annotations": {mark: ""}})
    until(lambda: mark in annotations_of(harness.seen_by_stand_in()))
    harness.create("early")
    with pytest.raises(
        TimedOut, match=f"An earlier revert has left its annotation {mark} on the VM: no snap"
    ):
        harness.backend.wait_until_complete(harness.vm(), "early", operation(seconds=2))
    desk.write(SNAPSHOT, name="ours")
    told = desk.stack.preview().failed().words
    assert "the VM Operator takes no snapshot of the VM while it is there" in told
    harness.change(metadata={"annotations": {mark: None}})
    until(lambda: harness.ready("early"))
    desk.stack.up().check()
    assert harness.creates() == ["early", "ours"]
