"""A VM made with pulumi-vsphere, a snapshot of it as it was installed, and a way back to that."""

import pulumi
import pulumi_vmsnapshot as vmsnapshot
import pulumi_vsphere as vsphere

config = pulumi.Config()
run = config.get("run") or None

datacenter = vsphere.get_datacenter(name=config.require("datacenter")).id
pool = vsphere.get_resource_pool(name=config.require("resourcePool"), datacenter_id=datacenter)
datastore = vsphere.get_datastore(name=config.require("datastore"), datacenter_id=datacenter)
network = vsphere.get_network(name=config.require("network"), datacenter_id=datacenter)

lab = vsphere.VirtualMachine(
    "lab",
    name="lab",
    resource_pool_id=pool.id,
    datastore_id=datastore.id,
    guest_id="ubuntu64Guest",
    num_cpus=2,
    memory=4096,
    network_interfaces=[{"network_id": network.id}],
    disks=[{"label": "disk0", "size": 20}],
)

with_the_vm = pulumi.ResourceOptions(deleted_with=lab)  # its snapshots go with it, none is removed before
installed = vmsnapshot.VirtualMachineSnapshot(
    "installed",
    vm_name=lab.moid,  # not its name: a VM that is re-created gets snapshots anew
    description="As it was installed.",
    opts=with_the_vm,
)
vmsnapshot.VirtualMachineRevert(
    "lab",
    vm_name=lab.moid,
    snapshot=installed.path if run else None,  # without a run, the VM is only watched
    triggers={"run": run} if run else None,
    power_policy=vmsnapshot.PowerPolicy.ON,
    opts=with_the_vm,
)

pulumi.export("installed", installed.path)
