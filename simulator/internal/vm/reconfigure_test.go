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

// What the configuration has below its hardware, or under another name, is set there.
func TestReconfigureSetsWhatIsElsewhereInTheConfiguration(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	e.Done(vm.PowerOff(e.Ctx))
	mask := func(operation types.ArrayUpdateOperation, level int32, eax string) types.VirtualMachineCpuIdInfoSpec {
		return types.VirtualMachineCpuIdInfoSpec{
			ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: operation},
			Info:            &types.HostCpuIdInfo{Level: level, Eax: eax},
		}
	}
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{
		MotherboardLayout: "acpiHostBridges", SimultaneousThreads: 2,
		VirtualNuma: &types.VirtualMachineVirtualNuma{CoresPerNumaNode: types.NewInt32(2)},
		CpuFeatureMask: []types.VirtualMachineCpuIdInfoSpec{
			mask(types.ArrayUpdateOperationAdd, 1, "a"), mask(types.ArrayUpdateOperationAdd, 2, "b"),
			mask(types.ArrayUpdateOperationEdit, 1, "c"), mask(types.ArrayUpdateOperationRemove, 2, ""),
		},
	}))
	after := e.Read(vm, "config").Config
	if after.Hardware.MotherboardLayout != "acpiHostBridges" || after.Hardware.SimultaneousThreads != 2 {
		t.Errorf("%+v", after.Hardware)
	}
	if after.NumaInfo == nil || *after.NumaInfo.CoresPerNumaNode != 2 || *after.NumaInfo.AutoCoresPerNumaNode {
		t.Errorf("%+v", after.NumaInfo)
	}
	if len(after.CpuFeatureMask) != 1 || after.CpuFeatureMask[0].Eax != "c" {
		t.Errorf("%+v", after.CpuFeatureMask)
	}
}
