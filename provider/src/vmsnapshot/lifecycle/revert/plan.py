"""What a revert would do: a pure value, computed from what a backend observed."""

from __future__ import annotations

import datetime as dt

from vmsnapshot.lifecycle.common.comparison import compare_machines
from vmsnapshot.lifecycle.common.observed import summary, timestamp_or_none
from vmsnapshot.lifecycle.common.preflight import revert_findings
from vmsnapshot.lifecycle.revert.text import plan_text
from vmsnapshot.model.machine import Machine, PowerState, Snapshot, VirtualMachine
from vmsnapshot.model.plan import PowerChange, RevertPlan
from vmsnapshot.model.property_path import format_path
from vmsnapshot.model.revert import PowerPolicy, RevertInputs


def plan_revert(
    vm: VirtualMachine,
    target: Snapshot,
    then: Machine,
    inputs: RevertInputs,
    moment: dt.datetime,
) -> RevertPlan:
    """The plan of reverting a VM to one of its snapshots.

    Args:
        vm: The VM as it is now.
        target: The snapshot to go back to.
        then: The VM as it was when that was taken.
        inputs: What the user asks.
        moment: Now.
    """
    after = machine_after(then, target, inputs.power_policy)
    branch = {item.id for item in vm.ancestry(target.id)}
    leaving = [item for item in vm.ancestry(vm.current_snapshot_id) if item.id not in branch]
    since = (vm.current_snapshot or target).create_time
    findings = revert_findings(vm, target, inputs)
    plan = RevertPlan(
        vm=vm.identity,
        target=summary(vm, target),
        age_seconds=None
        if target.create_time is None
        else int((moment - target.create_time).total_seconds()),
        live=vm.machine,
        after=after,
        changes=sorted(
            format_path(path) for path in compare_machines((), vm.machine.properties(), after.properties())
        ),
        power_state=PowerChange(
            before=vm.machine.power_state,
            after=power_after(target, inputs.power_policy),
        ),
        lost_since=timestamp_or_none(since),
        discarded_bytes=vm.discarded_bytes,
        leaves_branch=[summary(vm, item) for item in leaving],
        untouched_disks=vm.machine.independent_disks,
        findings=findings,
        possible=all(item.severity != "error" for item in findings),
        text="",
    )
    return plan.model_copy(update={"text": plan_text(plan, vm, target, inputs.power_policy, moment)})


def machine_after(then: Machine, target: Snapshot, policy: PowerPolicy) -> Machine:
    """The VM after the revert: as it was then, with the power that the policy asks for."""
    return then.model_copy(update={"power_state": power_after(target, policy)})


def power_after(target: Snapshot, policy: PowerPolicy) -> PowerState | None:
    """The power state after a revert and its powerPolicy."""
    if policy == "snapshot":
        return target.power_state
    return "PoweredOn" if policy == "on" else "PoweredOff"
