"""Looks at the plan of a revert before asking for it, and stops when too much work would be lost."""

import datetime as dt

import pulumi
import pulumi_vmsnapshot as vmsnapshot


def hours(duration: dt.timedelta) -> str:
    return f"{duration.total_seconds() / 3600:.2f}"


config = pulumi.Config()
vm = config.require("vm")
snapshot = config.require("rollBackTo")
allowed = dt.timedelta(hours=config.require_int("maxLossHours"))

plan = vmsnapshot.get_revert_plan(vm_name=vm, snapshot=snapshot)
lost_since = dt.datetime.fromisoformat(plan.lost_since)
lost = dt.datetime.now(dt.UTC) - lost_since
if lost > allowed:
    raise pulumi.RunError(
        f"Refused: going back to {snapshot} loses the work of {hours(lost)} h, "
        f"and {hours(allowed)} h are allowed.\n{plan.text}"
    )

vmsnapshot.VirtualMachineRevert(vm, vm_name=vm, snapshot=snapshot)
