"""A VM Operator VM made with pulumi-kubernetes, a snapshot of it when it is new, and a way back to that."""

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()
namespace = config.require("namespace")
run = config.get("run") or None

lab = kubernetes.apiextensions.CustomResource(
    "lab",
    api_version="vmoperator.vmware.com/v1alpha5",
    kind="VirtualMachine",
    metadata={
        "name": "lab",
        "namespace": namespace,
        # A revert writes the spec: without this, pulumi-kubernetes can't set again what it has written.
        "annotations": {"pulumi.com/patchForce": "true"},
    },
    spec={
        "className": config.require("className"),
        "imageName": config.require("image"),
        "storageClass": config.require("storageClass"),
        "powerState": "PoweredOn",
    },
)

# Its id is known once it is there; its name is known before, and the first preview would look for it.
with_the_vm = pulumi.ResourceOptions(
    depends_on=[lab],
    deleted_with=lab,  # its snapshots go with it, none is removed before
)
installed = vmsnapshot.VirtualMachineSnapshot(
    "installed",
    name="lab-installed",
    vm_name=lab.id,
    description="As it was installed.",
    opts=with_the_vm,
)
vmsnapshot.VirtualMachineRevert(
    "lab",
    vm_name=lab.id,
    snapshot=installed.name if run else None,  # without a run, the VM is only watched
    triggers={"run": run} if run else None,
    power_policy=vmsnapshot.PowerPolicy.ON,  # as the VM's spec says; the snapshot holds no memory
    opts=with_the_vm,
)

pulumi.export("installed", installed.name)
