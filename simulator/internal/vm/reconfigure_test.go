package vm_test

import (
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// What upstream ignores of a specification is changed, too, and taken back by a revert.
func TestReconfigureChangesWhatUpstreamIgnores(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	e.Done(vm.PowerOff(e.Ctx))
	a := e.Create(vm, "a", false, false)
	before := e.Read(vm, "config").Config
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{
		SwapPlacement: "hostLocal", MaxMksConnections: 7, VPMCEnabled: types.NewBool(true),
		PowerOpInfo: &types.VirtualMachineDefaultPowerOpInfo{PowerOffType: "soft"},
	}))
	after := e.Read(vm, "config").Config
	if after.SwapPlacement != "hostLocal" || after.MaxMksConnections != 7 || after.VPMCEnabled == nil ||
		!*after.VPMCEnabled || after.DefaultPowerOps.PowerOffType != "soft" {
		t.Errorf("%+v", after)
	}
	e.Revert(a, false)
	again := e.Read(vm, "config").Config
	if again.SwapPlacement != before.SwapPlacement || again.MaxMksConnections != before.MaxMksConnections ||
		again.DefaultPowerOps.PowerOffType != before.DefaultPowerOps.PowerOffType {
		t.Errorf("%+v", again)
	}
}
