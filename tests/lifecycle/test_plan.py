"""The plan of a revert, from made-up observations."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest

from tests.lifecycle.trees import NOW, chain, machine, snapshot
from vmsnapshot.lifecycle.common.preflight import snapshot_findings
from vmsnapshot.lifecycle.common.tree import WIDTH, columns
from vmsnapshot.lifecycle.revert.plan import plan_revert
from vmsnapshot.model._base import replace
from vmsnapshot.model.devices import Disk
from vmsnapshot.model.machine import Machine, PowerState, VirtualMachine
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.revert import RevertInputs, SafetySnapshot
from vmsnapshot.model.snapshot import SnapshotInputs
from vmsnapshot.model.task import RunningTask

# A running VM with a disk that keeps nothing and of which snapshots hold nothing.
NONPERSISTENT = Machine(
    power_state="PoweredOn",
    disks={
        "2000": Disk(label="system", gib=1, mode="persistent"),
        "2001": Disk(label="scratch", gib=1, mode="independent_nonpersistent"),
        "2002": Disk(label="data", gib=1, mode="independent_persistent"),
    },
)


def plan(vm: VirtualMachine, target: str, then: Machine | None = None, **asked: Any) -> RevertPlan:
    """The plan of reverting to the snapshot of that name."""
    found = vm.snapshot(f"id:{target}")
    assert found is not None
    inputs = RevertInputs(vm_name="web-1", snapshot=target, **asked)
    return plan_revert(vm, found, then or vm.machine, inputs, NOW)


def test_a_running_vm_and_a_snapshot_without_memory_says_will_be_powered_off() -> None:
    """The plan says that the VM will be off, in data and in words."""
    result = plan(machine(snapshot("base")), "base")
    assert (result.power_state.before, result.power_state.after) == ("PoweredOn", "PoweredOff")
    assert "powered on now; will be powered off" in result.text
    assert result.after.power_state == "PoweredOff"


def test_going_back_to_the_newest_snapshot_still_loses_what_was_written_since() -> None:
    """Same hardware, newest snapshot: memory and disk writes since then are lost, and said so."""
    result = plan(machine(snapshot("base", power_state="PoweredOn")), "base")
    assert result.changes == []
    assert 'Lost for good: everything written to memory and disks since "base"' in result.text


@pytest.mark.parametrize(
    ("power", "memory", "held", "lost"),
    [
        ("PoweredOn", False, "disks", True),
        ("PoweredOn", True, "memory and disks", False),
        ("PoweredOff", False, "disks", False),
    ],
)
def test_what_a_safety_snapshot_holds_is_not_lost_for_good(
    power: PowerState, memory: bool, held: str, lost: bool
) -> None:
    """The disks, and the memory only if it holds that; what was written since is named all the same."""
    vm = machine(snapshot("base"))
    vm = replace(vm, machine=replace(vm.machine, power_state=power))
    text = " ".join(plan(vm, "base", safety_snapshot=SafetySnapshot(memory=memory)).text.split())
    assert f'The safety snapshot holds everything written to {held} since "base"' in text
    assert ("Lost for good: what is in memory." in text) == lost
    assert "Lost for good: everything" not in text


def test_power_policy_has_the_last_word() -> None:
    """A powerPolicy of `on` leaves the VM on whatever the snapshot holds."""
    result = plan(machine(snapshot("base")), "base", power_policy="on")
    assert result.after.power_state == "PoweredOn"
    assert "(powerPolicy: on)" in result.text


def test_snapshots_that_leave_the_current_branch_are_named() -> None:
    """What lies between the target and the current snapshot stays, on another branch."""
    result = plan(chain(4), "s2")
    assert [item.name for item in result.leaves_branch] == ["s3", "s4"]
    assert '"s1/s2/s3/s4"' in result.text


def test_hardware_is_compared_down_to_single_disks() -> None:
    """The paths at which the VM will differ are named."""
    then = Machine(power_state="PoweredOff", num_cpus=1, disks={"2001": Disk(label="Hard disk 2", gib=5)})
    result = plan(machine(snapshot("base")), "base", then)
    assert result.changes == ['disks["2000"]', 'disks["2001"]', "numCPUs", "powerState"]


@pytest.mark.parametrize(
    ("vm", "code", "severity"),
    [
        pytest.param({"template": True}, "template", "error", id="template"),
        pytest.param({"fault_tolerance": True}, "faultTolerance", "error", id="fault tolerance"),
        pytest.param({"shared_bus": True}, "sharedBus", "error", id="shared bus"),
        pytest.param({"snapshots_supported": False}, "snapshotsUnsupported", "error", id="unsupported"),
        pytest.param({"snapshots_disabled": True}, "snapshotsDisabled", "error", id="switched off"),
        pytest.param(
            {"disabled_operations": ("RevertToCurrentSnapshot_Task",)},
            "operationDisabled",
            "error",
            id="disabled",
        ),
        pytest.param({"vks_node": True}, "vksNode", "error", id="VKS node"),
        pytest.param({"paused": True}, "paused", "error", id="paused"),
        pytest.param({"revert_requested": "base"}, "revertUnderWay", "error", id="a revert under way"),
        pytest.param({"revert_left_behind": True}, "revertLeftBehind", "error", id="a revert's leftover"),
        pytest.param({"csi_volumes": ("data",)}, "volumeSnapshotsUnknown", "unknown", id="CSI volumes"),
        pytest.param(
            {"running_tasks": (RunningTask(id="task-1", operation="x"),)}, "taskRunning", "warning", id="task"
        ),
        pytest.param({"consolidation_needed": True}, "consolidationNeeded", "warning", id="consolidation"),
        pytest.param({"vm_service": True}, "vmService", "warning", id="VM Service"),
        pytest.param(
            {"power_off_behavior": "revert"}, "snapshotPowerOffBehavior", "warning", id="power-off behavior"
        ),
        pytest.param(
            {"first_class_disks": ("Hard disk 2",)}, "diskSnapshotsUnknown", "unknown", id="first-class disk"
        ),
        pytest.param({"raw_disks": ("Hard disk 3",)}, "rawDisks", "warning", id="raw device mapping"),
        pytest.param({"discarded_bytes": None}, "discardedUnknown", "unknown", id="size unknown"),
        pytest.param({"snapshots_supported": None}, "capabilityUnknown", "unknown", id="capability unknown"),
        pytest.param({"machine": Machine(num_cpus=1)}, "powerStateUnknown", "unknown", id="power unknown"),
        pytest.param(
            {"machine": Machine(disks={"1": Disk(label="data", gib=1, mode="independent_persistent")})},
            "independentDisks",
            "warning",
            id="independent disk",
        ),
        pytest.param({"machine": NONPERSISTENT}, "nonpersistentDisks", "warning", id="nonpersistent disk"),
        pytest.param(
            {"nvdimms": ("NVDIMM 1",), "nvdimm_mode": "independent_eraseonrevert"},
            "nvdimmsErased",
            "warning",
            id="NVDIMM that is erased",
        ),
        pytest.param(
            {"nvdimms": ("NVDIMM 1",), "nvdimm_mode": "independent_persistent"},
            "nvdimms",
            "warning",
            id="NVDIMM that is kept",
        ),
        pytest.param({"nvdimms": ("NVDIMM 1",)}, "nvdimmsUnknown", "unknown", id="NVDIMM without a mode"),
    ],
)
def test_each_finding_has_its_gravity(vm: dict[str, Any], code: str, severity: str) -> None:
    """What the checks find is an error, a warning or unknown, and only errors forbid."""
    result = plan(machine(snapshot("base"), **vm), "base")
    assert (code, severity) in [(item.code, item.severity) for item in result.findings]
    assert result.possible == (severity != "error")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        pytest.param({"unique_id": None}, "targetUnmanaged", id="unmanaged, and nobody can revert to it"),
        pytest.param({"managed": True, "ready": False}, "targetNotReady", id="not ready"),
    ],
)
def test_a_target_that_cannot_be_reverted_to_is_refused(target: dict[str, Any], code: str) -> None:
    """What keeps the VM Operator from reverting to this very snapshot is an error."""
    found = replace(snapshot("base"), **target)
    result = plan(machine(found), "base")
    assert [(item.code, item.severity) for item in result.findings] == [(code, "error")]


@pytest.mark.parametrize(
    ("vm", "asked", "code", "severity"),
    [
        pytest.param(
            {"tools_running": False}, {"quiesce": {}}, "quiesceWithoutTools", "error", id="no Tools"
        ),
        pytest.param({"tools_running": None}, {"quiesce": {}}, "toolsUnknown", "unknown", id="Tools unknown"),
        pytest.param({"snapshots_locked": True}, {}, "snapshotsLocked", "error", id="locked"),
        pytest.param({"shared_disks": ("Hard disk 2",)}, {}, "sharedDisk", "error", id="multi-writer"),
        pytest.param(
            {"nvdimms": ("NVDIMM 1",)}, {}, "nvdimmsWithoutMode", "error", id="NVDIMM without a mode"
        ),
        pytest.param({"vks_node": True}, {}, "vksNode", "error", id="VKS node"),
        pytest.param({"vm_service": True}, {}, "vmService", "warning", id="VM Service"),
        pytest.param(
            {"machine": Machine(power_state="Suspended")},
            {},
            "suspendedWithMemory",
            "warning",
            id="suspended",
        ),
        pytest.param(
            {"power_off_behavior": "take"}, {}, "snapshotPowerOffBehavior", "warning", id="power-off behavior"
        ),
        pytest.param(
            {"consolidation_needed": True}, {}, "consolidationNeeded", "warning", id="consolidation"
        ),
    ],
)
def test_each_finding_before_a_snapshot_has_its_gravity(
    vm: dict[str, Any], asked: dict[str, Any], code: str, severity: str
) -> None:
    """Likewise what keeps a snapshot from being taken, or makes it worth a thought."""
    inputs = SnapshotInputs.model_validate({"vmName": "web-1", "name": "n", **asked})
    found = snapshot_findings(machine(snapshot("base"), **vm), inputs)
    assert [(item.code, item.severity) for item in found] == [(code, severity)]


@pytest.mark.parametrize(("depth", "severity"), [(29, None), (30, "warning"), (31, "warning"), (32, "error")])
def test_a_safety_snapshot_must_fit_into_the_chain(depth: int, severity: str | None) -> None:
    """The 31st and 32nd snapshot of a chain warn, the 33rd is refused before anything is done."""
    result = plan(chain(depth), "s1", safety_snapshot={"memory": False})
    found = [item.severity for item in result.findings if item.code.startswith("chain")]
    assert found == ([severity] if severity else [])


def test_a_safety_snapshot_needs_an_unlocked_tree() -> None:
    """A locked snapshot tree forbids the safety snapshot, and not the revert alone."""
    locked = machine(snapshot("base"), snapshots_locked=True)
    assert plan(locked, "base").possible
    assert not plan(locked, "base", safety_snapshot={"memory": False}).possible


def test_a_safety_snapshot_holds_no_disk_that_others_write_to() -> None:
    """A disk with many writers forbids the safety snapshot, and not the revert alone."""
    shared = machine(snapshot("base"), shared_disks=("Hard disk 2",))
    assert plan(shared, "base").possible
    assert not plan(shared, "base", safety_snapshot={"memory": False}).possible


def test_what_a_nonpersistent_disk_holds_is_lost_and_in_no_safety_snapshot() -> None:
    """A revert discards it, as power-off does; only the disk that keeps its content counts as left alone."""
    vm = machine(snapshot("base"), machine=NONPERSISTENT)
    result = plan(vm, "base", safety_snapshot={"memory": False})
    text = " ".join(result.text.split())
    assert "Lost for good: what was written to independent nonpersistent disks (scratch)" in text
    assert "It doesn't hold what is on scratch, which the revert discards." in text
    assert "What was written to independent disks (data) is not taken back." in text
    assert result.untouched_disks == ["data"]


def test_of_a_vm_that_is_off_a_revert_discards_nothing_more() -> None:
    """Power-off has discarded what was on the nonpersistent disk: the revert leaves the disk alone."""
    off = replace(NONPERSISTENT, power_state="PoweredOff")
    result = plan(machine(snapshot("base"), machine=off), "base", safety_snapshot={"memory": False})
    assert "nonpersistent" not in result.text
    assert result.untouched_disks == ["scratch", "data"]


def test_nvdimms_that_a_revert_erases_are_in_no_safety_snapshot() -> None:
    """The preview names them: what is on them is lost, whether or not one is taken."""
    vm = machine(snapshot("base"), nvdimms=("NVDIMM 1",), nvdimm_mode="independent_eraseonrevert")
    result = plan(vm, "base", safety_snapshot={"memory": False})
    assert result.possible
    text = " ".join(result.text.split())
    assert "Lost for good: what is on the VM's NVDIMMs (NVDIMM 1)." in text
    assert "It doesn't hold what is on NVDIMM 1, which the revert discards." in text


def test_whether_an_older_name_comes_back_is_not_known() -> None:
    """No source says what a revert does to the VM's name: the preview says so only where it was another."""
    live = Machine(power_state="PoweredOff").with_configuration(lambda: {"name": "web-1"})
    vm = machine(snapshot("base"), machine=live)
    for name, codes in (("old-web", ["nameUnknown"]), ("web-1", [])):
        then = live.with_configuration(partial(dict, name=name))
        result = plan(vm, "base", then)
        assert [item.code for item in result.findings if item.code == "nameUnknown"] == codes
        assert (f'was called "{name}"' in " ".join(result.text.split())) == bool(codes)
        assert result.possible
        assert result.changes == []


def test_a_disk_that_was_added_since_is_detached() -> None:
    """Its file stays on the datastore, and the text says where."""
    before = {"2000": Disk(label="Hard disk 1", gib=1, backing="[ds] web/web.vmdk")}
    added = {"2001": Disk(label="Hard disk 2", gib=5, backing="[ds] web/web_1.vmdk")}
    live = Machine(power_state="PoweredOff", disks=before | added)
    result = plan(machine(snapshot("base"), machine=live), "base", replace(live, disks=before))
    told = " ".join(result.text.split())
    assert (
        'Disk "Hard disk 2" was added since and will be detached; its file, "[ds] web/web_1.vmdk", stays on '
        "the datastore." in told
    )
    assert "Hard disk 1" not in told


@pytest.mark.parametrize(
    ("free_gib", "memory", "code"),
    [
        pytest.param(1, True, "noSpaceForMemory", id="memory does not fit"),
        pytest.param(3, True, "lowSpace", id="memory fits, little is left"),
        pytest.param(3, False, "lowSpace", id="little is left"),
        pytest.param(100, True, None, id="room enough"),
        pytest.param(None, True, None, id="not known"),
    ],
)
def test_a_snapshot_needs_room_on_its_datastore(free_gib: int | None, memory: bool, code: str | None) -> None:
    """A memory that doesn't fit and little room are warnings; an unknown size is none."""
    free = {} if free_gib is None else {"ds": free_gib * 1024**3}
    live = Machine(power_state="PoweredOn", memory_mb=2048)
    vm = machine(snapshot("base"), machine=live, datastore="ds", delta_datastores=("ds",), free_bytes=free)
    asked = SnapshotInputs(vm_name="web-1", name="n", memory=memory)
    found = [(item.code, item.severity) for item in snapshot_findings(vm, asked)]
    assert found == ([(code, "warning")] if code else [])


def test_room_is_looked_at_where_each_file_grows() -> None:
    """Memory goes to the snapshotDirectory, deltas beside their disks: each datastore has its own room."""
    gib = 1024**3
    live = Machine(power_state="PoweredOn", memory_mb=8192)
    places: dict[str, Any] = {"machine": live, "datastore": "vmfs", "delta_datastores": ("fast", "slow")}
    vm = machine(snapshot("base"), **places, free_bytes={"vmfs": 9 * gib, "fast": 2 * gib, "slow": 90 * gib})
    asked = SnapshotInputs(vm_name="web-1", name="n", memory=True)
    (found,) = snapshot_findings(vm, asked)
    assert (found.code, "datastore fast" in found.message) == ("lowSpace", True)
    vm = machine(snapshot("base"), **places, free_bytes={"vmfs": 7 * gib})
    (found,) = snapshot_findings(vm, asked)
    assert (found.code, "datastore vmfs" in found.message) == ("noSpaceForMemory", True)


def test_sizes_are_shown_with_their_time() -> None:
    """What vCenter last looked at some time ago may have grown since; a fresh size stands alone."""
    for minutes, words in ((0, "5.0 GiB on disk."), (29, "5.0 GiB on disk as of 29 minutes ago.")):
        looked = NOW - dt.timedelta(minutes=minutes)
        vm = machine(snapshot("base"), discarded_bytes=5 * 1024**3, sizes_as_of=looked)
        assert words in " ".join(plan(vm, "base").text.split())


def test_no_line_is_wider_than_the_terminal() -> None:
    """The text keeps to 100 columns also with long names in wide scripts."""
    name = "リリース前の復元ポイント" * 6
    vm = machine(snapshot(name), snapshot("x" * 80, f"id:{name}"), snapshot("y" * 80, "id:" + "x" * 80))
    text = plan(vm, name).text
    assert max(columns(line) for line in text.splitlines()) <= WIDTH
