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
    metadata={"name": "lab", "namespace": namespace},
    spec={
        "className": config.require("className"),
        "imageName": config.require("image"),
        "storageClass": config.require("storageClass"),
        "powerState": "PoweredOn",
    },
)

with_the_vm = pulumi.ResourceOptions(
    depends_on=[lab],
    deleted_with=lab,  # its snapshots go with it, none is removed before
)
installed = vmsnapshot.VirtualMachineSnapshot(
    "installed",
    name="lab-installed",
    vm_name=lab.metadata["name"],
    namespace=namespace,
    description="As it was installed.",
    opts=with_the_vm,
)
vmsnapshot.VirtualMachineRevert(
    "lab",
    vm_name=lab.metadata["name"],
    namespace=namespace,
    snapshot=installed.name if run else None,  # without a run, the VM is only watched
    triggers={"run": run} if run else None,
    opts=with_the_vm,
)

pulumi.export("installed", installed.name)
