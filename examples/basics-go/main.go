// Takes a restore point of a VM, then brings the VM back to a clean snapshot for each run.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/vmsnapshot/pulumi-vmsnapshot/sdk/go/vmsnapshot"
)

func main() {
	pulumi.Run(program)
}

func program(ctx *pulumi.Context) error {
	settings := config.New(ctx, "")
	vm := settings.Require("vm")

	// As it is before this program does anything to it.
	found, err := vmsnapshot.GetVirtualMachine(ctx, &vmsnapshot.GetVirtualMachineArgs{VmName: vm})
	if err != nil {
		return err
	}

	before, err := vmsnapshot.NewVirtualMachineSnapshot(ctx, "before", &vmsnapshot.VirtualMachineSnapshotArgs{
		VmName:      pulumi.String(vm),
		Description: pulumi.String("The VM as it was before the first run."),
		ChildPolicy: vmsnapshot.ChildPolicyKeep,
	})
	if err != nil {
		return err
	}

	lab, err := vmsnapshot.NewVirtualMachineRevert(ctx, "lab", &vmsnapshot.VirtualMachineRevertArgs{
		VmName:   pulumi.String(vm),
		Snapshot: pulumi.String(settings.Require("clean")),
		// Another value asks for another revert.
		Triggers:    pulumi.Map{"run": pulumi.String(settings.Require("run"))},
		PowerPolicy: vmsnapshot.PowerPolicyOn,
		SafetySnapshot: vmsnapshot.SafetySnapshotArgs{
			KeepUpdates:  pulumi.Int(1),
			DeletePolicy: vmsnapshot.SafetyDeletePolicyRemove,
		},
	}, pulumi.DependsOn([]pulumi.Resource{before}))
	if err != nil {
		return err
	}

	ctx.Export("found", pulumi.IntPtrFromPtr(found.Machine.NumCPUs))
	ctx.Export("restorePoint", before.Path)
	ctx.Export("revertedTo", lab.RevertedTo.Name())
	ctx.Export("CPUs", lab.Machine.NumCPUs())
	return nil
}
