"""A restore point of all VMs with each release, and a way back to any of them (see ../README.md)."""

import pulumi
import pulumi_vmsnapshot as vmsnapshot

# A checkpoint takes the lowest order first, a rollback reverts the highest first.
ORDER = {"db-1": 0, "app-1": 1, "web-1": 2, "web-2": 2}

config = pulumi.Config()
rollback_to = config.get("rollbackTo") or None  # without it, the VMs are only watched
virtual_machines = [vmsnapshot.EnvironmentMemberArgs(vm_name=name, order=ORDER[name]) for name in ORDER]

rollback = vmsnapshot.EnvironmentRollback(
    "shop",
    virtual_machines=virtual_machines,
    to=rollback_to,
    power_policy="on",  # the checkpoints hold no memory: start the VMs again
)
checkpoints = vmsnapshot.EnvironmentCheckpoint(
    "shop",
    virtual_machines=virtual_machines,
    label=config.require("release"),
    keep_last=5,
    opts=pulumi.ResourceOptions(
        depends_on=[rollback],  # what it goes back to isn't pruned before it is done
        ignore_changes=["label"] if rollback_to else [],  # going back is no new release
    ),
)

pulumi.export("latest", checkpoints.latest)
pulumi.export("virtualMachines", [{"vmName": name} for name in ORDER])
