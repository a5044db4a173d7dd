"""Lists the snapshots of a VM that no stack manages, and takes those into this stack that are named."""

import pulumi
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()
vm = config.require("vm")
chosen = [path.strip() for path in (config.get("adopt") or "").split(",") if path.strip()]

found = vmsnapshot.get_virtual_machine_snapshots(vm_name=vm)
by_path = {snapshot.path: snapshot for snapshot in found.snapshots}

for path in chosen:
    if path not in by_path:
        raise pulumi.RunError(f"{vm} has no snapshot {path!r}; it has:\n{found.tree}")
    snapshot = by_path[path]
    vmsnapshot.VirtualMachineSnapshot(
        path,
        # As it is: an import changes nothing.
        vm_name=vm,
        name=snapshot.name,
        description=snapshot.description,
        memory=snapshot.power_state == vmsnapshot.PowerState.POWERED_ON,
        opts=pulumi.ResourceOptions(
            import_=f"{vm}@{snapshot.unique_id}",  # a name need not be unique, this is
            retain_on_delete=True,  # out of the list means out of the stack, not off the VM
        ),
    )

unmanaged = [path for path, it in by_path.items() if it.type == vmsnapshot.SnapshotType.UNMANAGED]
pulumi.export("unmanaged", [path for path in unmanaged if path not in chosen])
pulumi.export("tree", found.tree)
