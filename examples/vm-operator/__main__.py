"""The worked case of the VM Operator's documentation: three snapshots of a VM, and a revert to the first.

pulumi up                              takes the snapshots
pulumi config set revertTo snap-1
pulumi preview --diff                  shows what going back would change
pulumi up                              goes back, once
"""

import pulumi
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()
vm = config.require("vm")

without_memory = vmsnapshot.VirtualMachineSnapshot(
    "snap-1",
    name="snap-1",
    vm_name=vm,
    description=f"Snapshot of {vm} without memory",
)
with_memory = vmsnapshot.VirtualMachineSnapshot(
    "snap-2",
    name="snap-2",
    vm_name=vm,
    description=f"Snapshot of {vm} with memory",
    memory=True,
    opts=pulumi.ResourceOptions(depends_on=[without_memory]),  # one below the other, in this order
)
quiesced = vmsnapshot.VirtualMachineSnapshot(
    "snap-3",
    name="snap-3",
    vm_name=vm,
    description=f"Snapshot of {vm} with a consistent state of the guest filesystem",
    memory=True,
    quiesce={"timeout": "10min"},  # VMware Tools must run in the guest
    opts=pulumi.ResourceOptions(depends_on=[with_memory]),
)
machine = vmsnapshot.VirtualMachineRevert(
    vm,
    vm_name=vm,
    snapshot=config.get("revertTo"),  # not set: the VM is only watched
    opts=pulumi.ResourceOptions(depends_on=[quiesced]),
)

for name, snapshot in {"snap-1": without_memory, "snap-2": with_memory, "snap-3": quiesced}.items():
    conditions = snapshot.conditions.apply(lambda found: {one.type: one.status for one in found})
    pulumi.export(f"{name} conditions", conditions)
    pulumi.export(f"{name} uniqueID", snapshot.unique_id)
pulumi.export("current snapshot", machine.current_snapshot.apply(lambda found: found and found.name))
pulumi.export("power state", machine.machine.power_state)
# VirtualMachineSnapshotRevertSucceeded, with its reason and message, only while the last revert failed.
pulumi.export("revert conditions", machine.conditions)
