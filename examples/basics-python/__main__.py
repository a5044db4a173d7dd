"""Takes a restore point of a VM, then brings the VM back to a clean snapshot for each run."""

import pulumi
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()
vm = config.require("vm")

# As it is before this program does anything to it.
found = vmsnapshot.get_virtual_machine(vm_name=vm)

before = vmsnapshot.VirtualMachineSnapshot(
    "before",
    vm_name=vm,
    description="The VM as it was before the first run.",
    child_policy=vmsnapshot.ChildPolicy.KEEP,
)

lab = vmsnapshot.VirtualMachineRevert(
    "lab",
    vm_name=vm,
    snapshot=config.require("clean"),
    triggers={"run": config.require("run")},  # another value asks for another revert
    power_policy=vmsnapshot.PowerPolicy.ON,
    safety_snapshot={"keep_updates": 1, "delete_policy": "remove"},
    opts=pulumi.ResourceOptions(depends_on=[before]),
)

pulumi.export("found", found.machine.num_cpus)
pulumi.export("restorePoint", before.path)
pulumi.export("revertedTo", lab.reverted_to.name)
pulumi.export("CPUs", lab.machine.num_cpus)
