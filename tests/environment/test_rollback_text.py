"""What is said of a rollback before it is done, from made-up observations."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from vmsnapshot.lifecycle.common.marks import checkpoint_owner
from vmsnapshot.lifecycle.common.members import Environment
from vmsnapshot.lifecycle.common.tree import WIDTH, columns
from vmsnapshot.lifecycle.revert.plan import plan_revert
from vmsnapshot.lifecycle.rollback.plan import PlannedRollback, RollbackSpec
from vmsnapshot.lifecycle.rollback.restore_points import find_restore_points
from vmsnapshot.lifecycle.rollback.text import rollback_text
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.revert import PowerPolicy, RevertInputs

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
URN = "urn:pulumi:dev::shop::vmsnapshot:index:EnvironmentCheckpoint::releases"


def made(name: str, *labels: str, renamed: str = "", **more: Any) -> VirtualMachine:
    """A running VM with a chain of snapshots that a checkpoint made under these labels, a day apart."""
    snapshots = [
        Snapshot(
            id=f"snapshot-{number}",
            unique_id=f"snapshot-{number}",
            name=renamed or label,
            description="",
            mark=str(checkpoint_owner(URN, label).mark),
            managed=True,
            create_time=NOW - dt.timedelta(days=len(labels) - number),
            power_state="PoweredOff",
            parent_id=f"snapshot-{number - 1}" if number else None,
        )
        for number, label in enumerate(labels)
    ]
    about: dict[str, Any] = {"discarded_bytes": 3 * 1024**3, "snapshots_supported": True, **more}
    return VirtualMachine(
        identity=VirtualMachineIdentity(id=f"id-{name}", name=name),
        machine=Machine(power_state="PoweredOn", num_cpus=2),
        snapshots=tuple(snapshots),
        current_snapshot_id=snapshots[-1].id if snapshots else None,
        **about,
    )


def planned(*machines: VirtualMachine, to: str = "one", policy: PowerPolicy = "snapshot") -> PlannedRollback:
    """The plan of rolling these back, each in a wave of its own."""
    members = [
        EnvironmentMember(vm_name=vm.identity.name, order=number) for number, vm in enumerate(machines)
    ]
    by_key = {vm.identity.name: vm for vm in machines}
    points = find_restore_points(by_key, to)
    asked = RevertInputs(vm_name="any", snapshot=to, power_policy=policy)
    plans = {
        key: plan_revert(by_key[key], target, by_key[key].machine, asked, NOW)
        for key, target in points.found.items()
    }
    return PlannedRollback(
        RollbackSpec(members, to, policy), Environment(members, by_key, {}), points, plans, {}, NOW
    )


def test_few_vms_are_shown_each_with_its_plan() -> None:
    """A table in the order of reverting, then each VM's own plan with its tree."""
    text = rollback_text(planned(made("db-1", "one", "two"), made("web-1", "one", "two")))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    first = rows.index("VM wave target power work lost")
    assert rows[first + 1] == "web-1 1 2 days old on -> off 1 day, 3.0 GiB"
    assert rows[first + 2].startswith("db-1 2 ")
    assert text.count("<== you are here") == 2
    assert "Leaves the current branch" in text


@pytest.mark.parametrize("count", [2, 100])
def test_what_safety_snapshots_hold_is_not_called_lost(count: int) -> None:
    """It is undone, and can be reverted to; only what is in memory is lost, which a VM's own text says."""
    shown = planned(*[made(f"web-{number}", "one", "two") for number in range(count)])
    assert "undone" not in rollback_text(shown)
    safe = dataclasses.replace(shown, spec=dataclasses.replace(shown.spec, safety=True))
    text = " ".join(rollback_text(safe).split())
    assert "Each gets a safety snapshot of its disks first." in text
    assert "power work undone" in text
    assert "lost" not in text.replace("Lost for good: what is in memory.", "")


def test_many_vms_are_a_table_with_every_warning() -> None:
    """However many: at most 100 columns, a bounded table, and each warning once with all its VMs."""
    machines = [
        made(f"a-server-with-rather-a-long-name-{number:03}", "one", consolidation_needed=number < 70)
        for number in range(100)
    ]
    text = rollback_text(planned(*machines))
    assert max(map(columns, text.splitlines())) <= WIDTH
    assert "<== you are here" not in text
    assert "Leave the current branches" not in text
    assert "… and 60 more VMs: 60 of them change their power" in " ".join(text.split())
    assert text.count("The VM's disks need consolidation") == 1
    (warning,) = (part for part in text.split("  Warning: ")[1:] if "consolidation" in part)
    assert sum(f"-{number:03}" in warning for number in range(100)) == 70


def test_many_vms_leave_their_branches() -> None:
    """A snapshot that a rollback leaves behind is named once for all the VMs that have it."""
    machines = [made(f"web-{number}", "one", "two") for number in range(20)]
    text = " ".join(rollback_text(planned(*machines, made("db-1", "one", "three"))).split())
    assert '"one/two" (web-19, web-18,' in text
    assert '"one/three" (db-1)' in text
    assert "web-8 and 8 more" in text


def test_a_vm_that_keeps_no_memory_is_restarted() -> None:
    """The table says so, although the power is the same before and after."""
    machines = [made(f"web-{number}", "one") for number in range(4)]
    assert rollback_text(planned(*machines, policy="on")).count("  on, restarted  ") == 4


@pytest.mark.parametrize(
    ("machines", "words"),
    [
        pytest.param(
            [made("web-1", "one"), made("web-2", "one", "two"), made("db-1", "two", "one")],
            [
                "1 of 3 VMs",
                "web-1: it has no snapshot of a checkpoint of that label",
                'Labels that all the VMs have: "one".',
            ],
            id="one lacks it",
        ),
        pytest.param(
            [made("web-1"), made("web-2", "two")], ["no label that all the VMs have"], id="nothing in common"
        ),
        pytest.param(
            [made("web-1", "two", "two")],
            ["2 checkpoints of that label", '"two" (snapshot-0)', '"two/two" (snapshot-1)'],
            id="two of that label",
        ),
    ],
)
def test_every_vm_without_the_restore_point_is_named(
    machines: list[VirtualMachine], words: list[str]
) -> None:
    """Why each can't go back, and where all of them could."""
    points = find_restore_points({vm.identity.name: vm for vm in machines}, "two")
    for word in words:
        assert word in points.refusal()


def test_a_renamed_snapshot_is_still_the_restore_point() -> None:
    """The mark counts, not the name; and a name alone makes none."""
    points = find_restore_points({"web-1": made("web-1", "one", renamed="by hand")}, "one")
    assert points.found["web-1"].name == "by hand"
    assert not find_restore_points({"web-1": made("web-1", "one", renamed="two")}, "two").found


def test_a_checkpoint_of_which_one_time_is_missing() -> None:
    """That snapshot may be the first or the last one, so no time is told."""
    vms = {name: made(name, "one") for name in ("web-1", "web-2")}
    assert find_restore_points(vms, "one").taken_between == (NOW - dt.timedelta(days=1),) * 2
    (snapshot,) = vms["web-2"].snapshots
    vms["web-2"] = replace(vms["web-2"], snapshots=(replace(snapshot, create_time=None),))
    assert find_restore_points(vms, "one").taken_between is None
    assert "taken at a time that is not known" in rollback_text(planned(*vms.values()))


def test_no_vm_is_left() -> None:
    """An interrupted run has reverted all: that is said, without an age or a table of none."""
    found = planned(made("web-1", "one"), made("db-1", "one"))
    text = rollback_text(found.without(["web-1", "db-1"]), done=2)
    assert text == 'No VM is left to be rolled back to "one". What has been stays as it is.'
