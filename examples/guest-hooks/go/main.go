// A snapshot before which a command freezes what runs in the guest, and after which one thaws it.
package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/vmsnapshot/pulumi-vmsnapshot/sdk/go/vmsnapshot"
)

func main() {
	pulumi.Run(program)
}

func program(ctx *pulumi.Context) error {
	settings := config.New(ctx, "")
	vm := settings.Require("virtualMachine")
	freezeCommand, thawCommand := settings.Require("freeze"), settings.Require("thaw")
	release := settings.Get("release")
	if release == "" {
		release = "1"
	}

	run := func(command string) error {
		ends, cancel := context.WithTimeout(ctx.Context(), time.Minute)
		defer cancel()
		line := exec.CommandContext(ends, "sh", "-c", command)
		line.Env = append(os.Environ(), "VM="+vm)
		return line.Run()
	}

	// A freeze that fails ends the update before anything is taken, and thaws what it may have frozen.
	freeze, err := ctx.RegisterResourceHook("freeze", func(*pulumi.ResourceHookArgs) error {
		failure := run(freezeCommand)
		if failure == nil {
			return nil
		}
		return errors.Join(failure, run(thawCommand))
	}, nil)
	if err != nil {
		return err
	}
	thaw, err := ctx.RegisterResourceHook("thaw", func(*pulumi.ResourceHookArgs) error {
		return run(thawCommand)
	}, nil)
	if err != nil {
		return err
	}
	thawAfterFailure, err := ctx.RegisterErrorHook("thaw-after-failure", func(*pulumi.ErrorHookArgs) (bool, error) {
		return false, run(thawCommand) // no second try
	})
	if err != nil {
		return err
	}

	_, err = vmsnapshot.NewVirtualMachineSnapshot(ctx, "frozen", &vmsnapshot.VirtualMachineSnapshotArgs{
		VmName:      pulumi.String(vm),
		Name:        pulumi.String("frozen"),
		Description: pulumi.String("Taken while the guest was at rest."),
		Triggers:    pulumi.Map{"release": pulumi.String(release)},
	}, pulumi.ResourceHooks(&pulumi.ResourceHookBinding{
		BeforeCreate: []*pulumi.ResourceHook{freeze},
		AfterCreate:  []*pulumi.ResourceHook{thaw},
		OnError:      []*pulumi.ErrorHook{thawAfterFailure},
	}))
	return err
}
