package vm

import (
	"unicode/utf8"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/task"
)

const (
	// maxLevels is vSphere's limit for the snapshots in a chain (vSphere
	// configuration maximums).
	maxLevels = 32
	// maxName is vSphere's limit for the characters of a snapshot's name.
	maxName = 80
	// noTools is what ESX says when it can't quiesce for want of Tools.
	noTools = "Cannot quiesce this virtual machine because VMware Tools is not currently available."
)

func validName(name string) bool {
	return name != "" && utf8.RuneCountInString(name) <= maxName
}

// request is what the two create methods have in common.
type request struct {
	method, descriptionID string
	name, description     string
	memory, quiesce       bool
}

// CreateSnapshotTask takes a snapshot.
func (m *Machine) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	ref, fault := m.create(ctx, request{
		"CreateSnapshot_Task", "VirtualMachine.createSnapshot",
		req.Name, req.Description, req.Memory, req.Quiesce,
	})
	if fault != nil {
		return &methods.CreateSnapshot_TaskBody{Fault_: fault}
	}
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: ref}}
}

// CreateSnapshotExTask takes a snapshot with a quiesce spec.
func (m *Machine) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	ref, fault := m.create(ctx, request{
		"CreateSnapshotEx_Task", "VirtualMachine.createSnapshotEx",
		req.Name, req.Description, req.Memory, req.QuiesceSpec != nil,
	})
	if fault != nil {
		return &methods.CreateSnapshotEx_TaskBody{Fault_: fault}
	}
	return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{Returnval: ref}}
}

func (m *Machine) create(ctx *simulator.Context, req request) (types.ManagedObjectReference, *soap.Fault) {
	if !validName(req.name) {
		return types.ManagedObjectReference{}, refuse(&types.InvalidName{Name: req.name, Entity: &m.Self})
	}
	if f := m.usable(); f != nil {
		return types.ManagedObjectReference{}, refuse(f)
	}
	return m.start(ctx, task.Spec{
		Method:        req.method,
		DescriptionID: req.descriptionID,
		Cancelable:    true,
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			return m.take(ctx, req)
		},
	})
}

// take is the effect: the tree grows, disks get a delta, files appear.
func (m *Machine) take(ctx *simulator.Context, req request) (types.AnyType, types.BaseMethodFault) {
	t := treeOf(m.Snapshot)
	quiesced, f := m.capturable(t, req)
	if f != nil {
		return nil, f
	}

	node := types.VirtualMachineSnapshotTree{
		Vm:              m.Self,
		Name:            storedName(req.name),
		Description:     req.description,
		CreateTime:      m.world.Tasks.Now(),
		State:           m.captured(req.memory),
		Quiesced:        quiesced,
		ReplaySupported: types.NewBool(false),
	}
	m.state.lastID++
	s := m.world.newSnapshot(mo.VirtualMachineSnapshot{Vm: m.Self, Config: clone(*m.Config)})
	s.Self.Value = m.snapshotID(m.state.lastID)
	node.Snapshot = m.world.Registry.Put(s).Reference()
	node.Id = m.state.lastID
	m.state.ids[node.Snapshot] = node.Id
	if node.State != types.VirtualMachinePowerStatePoweredOff {
		m.state.memory[node.Snapshot] = int64(m.Config.Hardware.MemoryMB) << 20
	}

	t.add(node)
	m.world.link(t)
	ctx.Update(m.VirtualMachine, append(t.changes(), types.PropertyChange{
		Name: "config.hardware.device",
		Val:  m.withDeltas(m.Config.Hardware.Device),
	}))
	ctx.Update(m.VirtualMachine, m.layout())
	m.world.History.add(m.Name, "create", &node)
	return node.Snapshot, nil
}

// capturable says whether vSphere could take the snapshot now, and whether it would
// be a quiesced one.
func (m *Machine) capturable(t *tree, req request) (quiesced bool, f types.BaseMethodFault) {
	if isTrue(m.Config.Flags.SnapshotDisabled) {
		return false, &types.SnapshotDisabled{}
	}
	if isTrue(m.Config.Flags.SnapshotLocked) {
		return false, &types.SnapshotLocked{}
	}
	if t.depth() >= maxLevels {
		return false, &types.TooManySnapshotLevels{}
	}
	// "If unset, taking a VM snapshot will fail when the VM is configured with NVDIMMs" (API
	// reference, VirtualMachineVirtualPMem.snapshotMode); with which fault, it doesn't say.
	if m.hasNVDIMM() && (m.Config.Pmem == nil || m.Config.Pmem.SnapshotMode == "") {
		return false, &types.SnapshotIncompatibleDeviceInVm{}
	}
	on := m.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
	if req.memory && on && m.hasIndependentDisk() {
		return false, &types.MemorySnapshotOnIndependentDisk{}
	}
	// The API reference says that quiesce is ignored where Tools aren't available,
	// and that holds for a machine that is off. For a running one ESX fails the task
	// with ApplicationQuiesceFault and the words of noTools (vmware/open-vm-tools
	// issue 297 shows them).
	if req.quiesce && on {
		if m.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
			quiesceFault := &types.ApplicationQuiesceFault{}
			quiesceFault.FaultMessage = []types.LocalizableMessage{{
				Key:     "msg.snapshot.quiesce.noTools",
				Message: noTools,
			}}
			return false, quiesceFault
		}
		return true, nil
	}
	return false, nil
}

// captured is the power state that a snapshot taken now holds: on needs memory, a
// suspended machine's memory is always kept (API reference, CreateSnapshot_Task).
func (m *Machine) captured(memory bool) types.VirtualMachinePowerState {
	switch m.Runtime.PowerState {
	case types.VirtualMachinePowerStateSuspended:
		return types.VirtualMachinePowerStateSuspended
	case types.VirtualMachinePowerStatePoweredOn:
		if memory {
			return types.VirtualMachinePowerStatePoweredOn
		}
	}
	return types.VirtualMachinePowerStatePoweredOff
}

func isTrue(b *bool) bool { return b != nil && *b }
