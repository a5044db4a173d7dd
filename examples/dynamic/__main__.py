"""A restore point of one VM, and checkpoints of all: nothing but Python packages are needed."""

import pulumi

from vmsnapshot import dynamic as vmsnapshot

config = pulumi.Config()
names = config.require("virtualMachines").split(",")
members = [{"vm_name": name} for name in names]

before = vmsnapshot.VirtualMachineSnapshot(
    "before-release",
    vm_name=names[0],
    description=f"Before release {config.require('release')}.",
)
machine = vmsnapshot.VirtualMachineRevert(
    "machine",
    vm_name=names[0],
    snapshot=config.get("revertTo") or None,  # without one, the VM is only watched
    safety_snapshot={"keep_updates": 3, "delete_policy": "remove"},
)
releases = vmsnapshot.EnvironmentCheckpoint(
    "releases",
    virtual_machines=members,
    label=config.require("release"),
    keep_last=2,
)
environment = vmsnapshot.EnvironmentRollback(
    "environment",
    virtual_machines=members,
    to=config.get("rollBackTo") or None,
    opts=pulumi.ResourceOptions(depends_on=[releases, machine]),
)

pulumi.export("restore point", before.path)
pulumi.export("CPUs", machine.machine["numCPUs"])
pulumi.export("latest release", releases.latest)
