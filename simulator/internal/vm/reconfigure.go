package vm

import (
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ReconfigVMTask is upstream's, but not while another task runs on the machine, and it
// changes what upstream leaves alone, too.
func (m *Machine) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	body := &methods.ReconfigVM_TaskBody{}
	ref, fault := m.alone(ctx,
		func() soap.HasFault {
			if !m.Config.Template {
				reconfigure(m.Config, &req.Spec)
			}
			return m.VirtualMachine.ReconfigVMTask(ctx, req)
		},
		func(res soap.HasFault) types.ManagedObjectReference {
			return res.(*methods.ReconfigVM_TaskBody).Res.Returnval
		}, "VirtualMachine.reconfigure")
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.ReconfigVM_TaskResponse{Returnval: ref}
	return body
}

// upstreams are the properties that upstream checks, or keeps elsewhere, too.
var upstreams = map[string]bool{
	"ChangeVersion": true, "Name": true, "Version": true, "CreateDate": true, "Uuid": true, "InstanceUuid": true,
	"GuestId": true, "Files": true, "ExtraConfig": true, "VAppConfig": true, "DynamicData": true, "ManagedBy": true,
}

// reconfigure sets what a specification says: each of its properties that is set is, in
// the configuration, what it is there (API reference, VirtualMachineConfigSpec and
// VirtualMachineConfigInfo, whose properties have the same names).
func reconfigure(config *types.VirtualMachineConfigInfo, spec *types.VirtualMachineConfigSpec) {
	from, to := reflect.ValueOf(*spec), reflect.ValueOf(config).Elem()
	for i := range from.NumField() {
		name, value := from.Type().Field(i).Name, from.Field(i)
		field := to.FieldByName(name)
		if upstreams[name] || value.IsZero() || !field.IsValid() || field.Type() != value.Type() {
			continue
		}
		field.Set(value)
	}
	if spec.PowerOpInfo != nil {
		config.DefaultPowerOps = *spec.PowerOpInfo
	}
	setHardware(&config.Hardware, spec)
	setNuma(config, spec.VirtualNuma)
	for _, change := range spec.CpuFeatureMask {
		config.CpuFeatureMask = masked(config.CpuFeatureMask, change)
	}
}

// setHardware sets what the configuration has below its hardware (API reference,
// VirtualHardware: motherboardLayout, simultaneousThreads, virtualICH7MPresent,
// virtualSMCPresent).
func setHardware(hardware *types.VirtualHardware, spec *types.VirtualMachineConfigSpec) {
	if spec.MotherboardLayout != "" {
		hardware.MotherboardLayout = spec.MotherboardLayout
	}
	if spec.SimultaneousThreads != 0 {
		hardware.SimultaneousThreads = spec.SimultaneousThreads
	}
	if spec.VirtualICH7MPresent != nil {
		hardware.VirtualICH7MPresent = spec.VirtualICH7MPresent
	}
	if spec.VirtualSMCPresent != nil {
		hardware.VirtualSMCPresent = spec.VirtualSMCPresent
	}
}

// setNuma sets the virtual NUMA topology, which the configuration has under other names
// (API reference, VirtualMachineVirtualNuma and VirtualMachineVirtualNumaInfo).
func setNuma(config *types.VirtualMachineConfigInfo, spec *types.VirtualMachineVirtualNuma) {
	if spec == nil {
		return
	}
	numa := types.VirtualMachineVirtualNumaInfo{}
	if config.NumaInfo != nil {
		numa = *config.NumaInfo
	}
	if spec.CoresPerNumaNode != nil {
		numa.CoresPerNumaNode = spec.CoresPerNumaNode
		numa.AutoCoresPerNumaNode = types.NewBool(*spec.CoresPerNumaNode == 0)
	}
	if spec.ExposeVnumaOnCpuHotadd != nil {
		numa.VnumaOnCpuHotaddExposed = spec.ExposeVnumaOnCpuHotadd
	}
	config.NumaInfo = &numa
}

// masked returns the masks of the CPU's features after one of them was added, edited or
// removed; there is one for each level and vendor (API reference, HostCpuIdInfo).
func masked(masks []types.HostCpuIdInfo, change types.VirtualMachineCpuIdInfoSpec) []types.HostCpuIdInfo {
	if change.Info == nil {
		return masks
	}
	var kept []types.HostCpuIdInfo
	for _, mask := range masks {
		if mask.Level != change.Info.Level || mask.Vendor != change.Info.Vendor {
			kept = append(kept, mask)
		}
	}
	if change.Operation == types.ArrayUpdateOperationRemove {
		return kept
	}
	return append(kept, *change.Info)
}
