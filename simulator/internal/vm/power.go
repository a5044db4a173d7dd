package vm

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/task"
)

// connect sets which devices are connected in the given power state.
func connect(devices []types.BaseVirtualDevice, power types.VirtualMachinePowerState) {
	for _, device := range devices {
		if c := device.GetVirtualDevice().Connectable; c != nil {
			c.Connected = power == types.VirtualMachinePowerStatePoweredOn && c.StartConnected
		}
	}
}

// power returns the changes of everything that shows the power state.
func (m *Machine) power(power types.VirtualMachinePowerState) []types.PropertyChange {
	on := power == types.VirtualMachinePowerStatePoweredOn
	runtime := clone(m.Runtime)
	runtime.PowerState = power
	if runtime.FaultToleranceState == "" {
		// Both are required: pyvmomi can't decode runtime as a whole without them.
		runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
		runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
	}
	switch {
	case !on:
		runtime.BootTime = nil
	case runtime.BootTime == nil:
		now := m.world.Tasks.Now()
		runtime.BootTime = &now
	}
	guest := types.GuestInfo{}
	if m.Guest != nil {
		guest = clone(*m.Guest)
	}
	guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
	guest.ToolsStatus = types.VirtualMachineToolsStatusToolsNotRunning
	guest.ToolsVersionStatus2 = string(types.VirtualMachineToolsVersionStatusGuestToolsCurrent)
	guest.GuestState = string(types.VirtualMachineGuestStateNotRunning)
	if on {
		guest.GuestState = string(types.VirtualMachineGuestStateRunning)
	}
	switch {
	case !m.state.toolsInstalled:
		guest.ToolsStatus = types.VirtualMachineToolsStatusToolsNotInstalled
		guest.ToolsVersionStatus2 = string(types.VirtualMachineToolsVersionStatusGuestToolsNotInstalled)
	case on && m.state.tools == types.VirtualMachineToolsRunningStatusGuestToolsRunning:
		guest.ToolsRunningStatus = string(m.state.tools)
		guest.ToolsStatus = types.VirtualMachineToolsStatusToolsOk
	}
	guest.ToolsVersionStatus = guest.ToolsVersionStatus2

	changes := []types.PropertyChange{
		{Name: "runtime", Val: runtime},
		{Name: "summary.runtime", Val: runtime},
		{Name: "guest", Val: guest},
	}
	if m.Summary.Guest != nil {
		summary := clone(*m.Summary.Guest)
		summary.ToolsStatus = guest.ToolsStatus
		summary.ToolsRunningStatus = guest.ToolsRunningStatus
		summary.ToolsVersionStatus2 = guest.ToolsVersionStatus2
		summary.ToolsVersionStatus = guest.ToolsVersionStatus
		changes = append(changes, types.PropertyChange{Name: "summary.guest", Val: summary})
	}
	return changes
}

// powerOnFault is what a power-on fails with that a test lets fail; nil: it works.
func (m *Machine) powerOnFault() types.BaseMethodFault {
	if m.state.powerOnFault == "" {
		return nil
	}
	asked, err := fault.New(m.state.powerOnFault, m.Self)
	if err != nil {
		return &types.SystemErrorFault{Reason: err.Error()}
	}
	return asked
}

// turn starts a task that changes the power state from one of the allowed ones.
func (m *Machine) turn(
	ctx *simulator.Context, method, descriptionID string,
	to types.VirtualMachinePowerState, from ...types.VirtualMachinePowerState,
) (types.ManagedObjectReference, *soap.Fault) {
	if f := m.usable(); f != nil {
		return types.ManagedObjectReference{}, refuse(f)
	}
	return m.start(ctx, task.Spec{
		Method:        method,
		DescriptionID: descriptionID,
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			for _, state := range from {
				if m.Runtime.PowerState != state {
					continue
				}
				if to == on && m.powerOnFault() != nil {
					return nil, m.powerOnFault()
				}
				devices := clone(m.Config.Hardware.Device)
				connect(devices, to)
				ctx.Update(m.VirtualMachine, append(m.power(to),
					types.PropertyChange{Name: "config.hardware.device", Val: devices}))
				return nil, nil
			}
			return nil, &types.InvalidPowerState{RequestedState: to, ExistingState: m.Runtime.PowerState}
		},
	})
}

const (
	off       = types.VirtualMachinePowerStatePoweredOff
	on        = types.VirtualMachinePowerStatePoweredOn
	suspended = types.VirtualMachinePowerStateSuspended
)

// PowerOnVMTask starts or resumes the machine.
func (m *Machine) PowerOnVMTask(ctx *simulator.Context, _ *types.PowerOnVM_Task) soap.HasFault {
	ref, fault := m.turn(ctx, "PowerOnVM_Task", "VirtualMachine.powerOn", on, off, suspended)
	if fault != nil {
		return &methods.PowerOnVM_TaskBody{Fault_: fault}
	}
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: ref}}
}

// PowerOffVMTask stops the machine.
func (m *Machine) PowerOffVMTask(ctx *simulator.Context, _ *types.PowerOffVM_Task) soap.HasFault {
	ref, fault := m.turn(ctx, "PowerOffVM_Task", "VirtualMachine.powerOff", off, on, suspended)
	if fault != nil {
		return &methods.PowerOffVM_TaskBody{Fault_: fault}
	}
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: ref}}
}

// SuspendVMTask suspends the machine.
func (m *Machine) SuspendVMTask(ctx *simulator.Context, _ *types.SuspendVM_Task) soap.HasFault {
	ref, fault := m.turn(ctx, "SuspendVM_Task", "VirtualMachine.suspend", suspended, on)
	if fault != nil {
		return &methods.SuspendVM_TaskBody{Fault_: fault}
	}
	return &methods.SuspendVM_TaskBody{Res: &types.SuspendVM_TaskResponse{Returnval: ref}}
}

// ResetVMTask restarts the machine.
func (m *Machine) ResetVMTask(ctx *simulator.Context, _ *types.ResetVM_Task) soap.HasFault {
	ref, fault := m.turn(ctx, "ResetVM_Task", "VirtualMachine.reset", on, on, suspended)
	if fault != nil {
		return &methods.ResetVM_TaskBody{Fault_: fault}
	}
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: ref}}
}
