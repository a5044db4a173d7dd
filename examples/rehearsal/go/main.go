// Tries with clones whether all VMs of an environment would come up from a checkpoint.
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
	wait := settings.Get("wait")
	if wait == "" {
		wait = "10m"
	}

	rehearsal, err := vmsnapshot.NewEnvironmentRehearsal(ctx, "rehearsal", &vmsnapshot.EnvironmentRehearsalArgs{
		VirtualMachines: vmsnapshot.EnvironmentMemberArray{ // the waves of a rollback: the highest order first
			vmsnapshot.EnvironmentMemberArgs{VmName: pulumi.String("db-1"), Order: pulumi.Int(1)},
			vmsnapshot.EnvironmentMemberArgs{VmName: pulumi.String("web-1")},
		},
		To:           pulumi.String(settings.Require("label")),
		Triggers:     pulumi.Map{"night": pulumi.String(settings.Get("night"))},
		WaitForTools: pulumi.String(wait),
		// So that the check can reach the clones:
		// Networks: pulumi.StringMap{"production": pulumi.String("rehearsal")},
		Check: vmsnapshot.RehearsalCheckArgs{ // a command of yours, which runs here
			Command: pulumi.StringArray{pulumi.String("sh"), pulumi.String("../check.sh")},
		},
	})
	if err != nil {
		return err
	}

	ctx.Export("passed", rehearsal.Passed)
	ctx.Export("seconds", rehearsal.Seconds)
	ctx.Export("results", rehearsal.Results)
	return nil
}
