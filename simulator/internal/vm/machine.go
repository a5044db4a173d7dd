package vm

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/task"
)

// Machine is upstream's virtual machine with vSphere's snapshot, power and task
// behaviour. Its methods run under the registry's lock of the machine.
type Machine struct {
	*simulator.VirtualMachine
	world *World
	state *state
}

// start starts a task on the machine, or says why vSphere would refuse.
func (m *Machine) start(ctx *simulator.Context, spec task.Spec) (types.ManagedObjectReference, *soap.Fault) {
	spec.Entity, spec.EntityName = m.Self, m.Name
	ref, busy := m.world.Tasks.Start(ctx, spec)
	if busy != nil {
		return ref, refuse(busy)
	}
	return ref, nil
}

func refuse(f types.BaseMethodFault) *soap.Fault { return simulator.Fault(fault.Words(f), f) }

// usable says whether any operation that changes the machine may start.
func (m *Machine) usable() types.BaseMethodFault {
	// A template can neither run nor be snapshotted until it is marked as a virtual
	// machine again (API reference, MarkAsTemplate), and a machine with Fault
	// Tolerance has no snapshots (vSphere Availability, limitations).
	if m.Config.Template || m.state.faultTolerance {
		return &types.NotSupported{}
	}
	if m.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
		return &types.InvalidState{}
	}
	return nil
}

// alone runs one of upstream's own tasks if none of ours is running.
func (m *Machine) alone(
	ctx *simulator.Context,
	call func() soap.HasFault,
	result func(soap.HasFault) types.ManagedObjectReference,
	descriptionID string,
) (types.ManagedObjectReference, *soap.Fault) {
	method := m.world.Calls.Of(ctx).Method
	if busy := m.world.Tasks.Busy(m.Self); busy != nil {
		return types.ManagedObjectReference{}, refuse(busy)
	}
	name := func() string { return m.Name }
	if rule, ok := m.world.Tasks.Rules.Fault(fault.InTask, method, name); ok {
		// The failing task is one of ours: upstream's would have its effect.
		asked, err := fault.New(rule.Fault, m.Self)
		if err != nil {
			asked = &types.SystemErrorFault{Reason: err.Error()}
		}
		return m.start(ctx, task.Spec{
			Method:        method,
			DescriptionID: descriptionID,
			Effect: func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, asked
			},
		})
	}
	var res soap.HasFault
	m.world.Tasks.Adopt(ctx, m.Self, func(info *types.TaskInfo) {
		info.Name, info.DescriptionId, info.EntityName = method, descriptionID, m.Name
	}, func() { res = call() })
	if f := res.Fault(); f != nil {
		return types.ManagedObjectReference{}, f
	}
	go m.world.settle(m)
	return result(res), nil
}

// settle brings labels and file layout in line once upstream's task has let go of the
// machine: upstream has its own names for devices, and lists disk chains without what
// snapshots hold.
func (w *World) settle(m *Machine) {
	ctx := w.context()
	ctx.WithLock(m.Self, func() {
		devices := clone(m.Config.Hardware.Device)
		label(devices)
		summary := clone(m.Summary.Config)
		summarize(&summary, m.Config)
		ctx.Update(m.VirtualMachine, append(m.layout(),
			types.PropertyChange{Name: "config.hardware.device", Val: devices},
			types.PropertyChange{Name: "summary.config", Val: summary},
		))
	})
}

// label names disks and network cards as vSphere does, by the lowest free number.
func label(devices []types.BaseVirtualDevice) {
	taken := map[string]bool{}
	for _, device := range devices {
		if info := device.GetVirtualDevice().DeviceInfo; info != nil {
			taken[info.GetDescription().Label] = true
		}
	}
	for _, device := range devices {
		kind := "Hard disk"
		switch device.(type) {
		case *types.VirtualDisk:
		case types.BaseVirtualEthernetCard:
			kind = "Network adapter"
		default:
			continue
		}
		info := device.GetVirtualDevice().DeviceInfo
		if info == nil || strings.HasPrefix(info.GetDescription().Label, kind) {
			continue
		}
		for n := 1; ; n++ {
			name := fmt.Sprintf("%s %d", kind, n)
			if !taken[name] {
				taken[name] = true
				info.GetDescription().Label = name
				break
			}
		}
	}
}

// RefreshStorageInfo rebuilds the file layout, which vCenter else does each quarter of
// an hour or later (see layoutAgeMinutes); upstream's forgets the files that only exist
// in the simulator.
func (m *Machine) RefreshStorageInfo(ctx *simulator.Context, _ *types.RefreshStorageInfo) soap.HasFault {
	m.state.layoutAge = 0
	ctx.Update(m.VirtualMachine, m.layout())
	return &methods.RefreshStorageInfoBody{Res: &types.RefreshStorageInfoResponse{}}
}
