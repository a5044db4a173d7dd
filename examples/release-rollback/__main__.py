"""Keep a restore point of each VM before a release; go back to it when asked to.

pulumi up                                  takes the snapshots
pulumi config set rollBack true
pulumi preview --diff                      shows what going back would change
pulumi up                                  goes back
"""

import json

import pulumi
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()
names = json.loads(config.require("virtualMachines"))
roll_back = config.get_bool("rollBack") or False

for name in names:
    before = vmsnapshot.VirtualMachineSnapshot(
        f"{name}-before-release",
        vm_name=name,
        name=f"{name}-before-release",  # the VM Operator wants names that differ
        description="Restore point: the VM as it was before the release.",
        memory=name.startswith("db"),  # the database comes back running, the others come back off
    )
    machine = vmsnapshot.VirtualMachineRevert(
        name,
        vm_name=name,
        snapshot=before.path if roll_back else None,  # without a snapshot, the VM is only watched
    )
    pulumi.export(f"{name} CPUs", machine.machine.num_cpus)
    pulumi.export(f"{name} power", machine.machine.power_state)
    pulumi.export(f"{name} restore point", before.path)
