package vm

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/task"
)

// RemoveSnapshotTask removes the snapshot, with or without those under it.
func (s *VirtualMachineSnapshot) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	body := &methods.RemoveSnapshot_TaskBody{}
	m, ok := s.machine(ctx)
	if !ok {
		body.Fault_ = refuse(&types.ManagedObjectNotFound{Obj: req.This})
		return body
	}
	ref, fault := m.change(ctx, task.Spec{
		Method:        "RemoveSnapshot_Task",
		DescriptionID: "vm.Snapshot.remove",
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			node := treeOf(m.Snapshot).find(s.Self)
			if node == nil {
				return nil, &types.ManagedObjectNotFound{Obj: s.Self}
			}
			f := m.drop(ctx, []types.ManagedObjectReference{s.Self}, req.RemoveChildren, req.Consolidate)
			if treeOf(m.Snapshot).find(s.Self) == nil {
				m.world.History.add(m.Name, "remove", node)
			}
			return nil, f
		},
	})
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.RemoveSnapshot_TaskResponse{Returnval: ref}
	return body
}

// RemoveAllSnapshotsTask removes every snapshot; without any it does nothing.
func (m *Machine) RemoveAllSnapshotsTask(ctx *simulator.Context, req *types.RemoveAllSnapshots_Task) soap.HasFault {
	body := &methods.RemoveAllSnapshots_TaskBody{}
	ref, fault := m.change(ctx, task.Spec{
		Method:        "RemoveAllSnapshots_Task",
		DescriptionID: "VirtualMachine.removeAllSnapshots",
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			if m.Snapshot == nil {
				return nil, nil
			}
			var roots []types.ManagedObjectReference
			for _, root := range m.Snapshot.RootSnapshotList {
				roots = append(roots, root.Snapshot)
			}
			f := m.drop(ctx, roots, true, req.Consolidate)
			if m.Snapshot == nil {
				m.world.History.add(m.Name, "removeAll", nil)
			}
			return nil, f
		},
	})
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.RemoveAllSnapshots_TaskResponse{Returnval: ref}
	return body
}

// ConsolidateVMDisksTask merges the disks that earlier removals left.
func (m *Machine) ConsolidateVMDisksTask(ctx *simulator.Context, _ *types.ConsolidateVMDisks_Task) soap.HasFault {
	body := &methods.ConsolidateVMDisks_TaskBody{}
	ref, fault := m.change(ctx, task.Spec{
		Method:        "ConsolidateVMDisks_Task",
		DescriptionID: "VirtualMachine.consolidateDisks",
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			if f := m.locked(); f != nil {
				return nil, f
			}
			m.consolidate(ctx)
			ctx.Update(m.VirtualMachine, append(m.layout(),
				types.PropertyChange{Name: "runtime.consolidationNeeded", Val: false},
				types.PropertyChange{Name: "summary.runtime.consolidationNeeded", Val: false},
			))
			return nil, nil
		},
	})
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.ConsolidateVMDisks_TaskResponse{Returnval: ref}
	return body
}

// change starts a task that changes existing snapshots.
func (m *Machine) change(ctx *simulator.Context, spec task.Spec) (ref types.ManagedObjectReference, fault *soap.Fault) {
	ctx.WithLock(m.Self, func() {
		if f := m.usable(); f != nil {
			fault = refuse(f)
			return
		}
		ref, fault = m.start(ctx, spec)
	})
	return ref, fault
}

// drop removes snapshots from the tree and shortens the disk chains, or notes that
// they need it (API reference, RemoveSnapshot_Task, consolidate defaults to true).
func (m *Machine) drop(
	ctx *simulator.Context, gone []types.ManagedObjectReference, children bool, consolidate *bool,
) types.BaseMethodFault {
	if isTrue(m.Config.Flags.SnapshotLocked) {
		return &types.SnapshotLocked{}
	}
	t := treeOf(m.Snapshot)
	var removed []types.ManagedObjectReference
	for _, ref := range gone {
		removed = append(removed, t.remove(ref, children)...)
	}
	ctx.Update(m.VirtualMachine, t.changes())
	for _, ref := range removed {
		ctx.Map.Remove(ctx, ref)
		delete(m.state.memory, ref)
		delete(m.state.ids, ref)
	}
	m.world.link(t)

	var f types.BaseMethodFault
	if consolidate == nil || *consolidate {
		f = m.locked()
	}
	if f == nil && (consolidate == nil || *consolidate) {
		m.consolidate(ctx)
	} else {
		ctx.Update(m.VirtualMachine, []types.PropertyChange{
			{Name: "runtime.consolidationNeeded", Val: true},
			{Name: "summary.runtime.consolidationNeeded", Val: true},
		})
	}
	ctx.Update(m.VirtualMachine, m.layout())
	return f
}

// locked is what a consolidation ends with while somebody holds a file of the disks, such
// as a backup. A removal that can't merge the disks has taken the snapshot off the list
// all the same, and the machine then needs consolidation (vSphere Virtual Machine
// Administration, "Consolidate Snapshots"; see the README).
func (m *Machine) locked() types.BaseMethodFault {
	if m.state.diskLocked == "" {
		return nil
	}
	f := &types.FileLocked{}
	f.File = m.state.diskLocked
	return f
}

// consolidate shortens the chains of the machine and of its snapshots.
func (m *Machine) consolidate(ctx *simulator.Context) {
	c := &consolidation{
		sizes:  m.state.sizes,
		lists:  [][]types.BaseVirtualDevice{clone(m.Config.Hardware.Device)},
		shared: m.world.stoodOn(m.Self),
	}
	var kept []*VirtualMachineSnapshot
	if m.Snapshot != nil {
		for _, ref := range refs(m.Snapshot.RootSnapshotList) {
			if s, ok := m.world.snapshot(ref); ok {
				kept = append(kept, s)
				c.lists = append(c.lists, clone(s.Config.Hardware.Device))
			}
		}
	}
	if !c.run() {
		return
	}
	ctx.Update(m.VirtualMachine, []types.PropertyChange{{Name: "config.hardware.device", Val: c.lists[0]}})
	for i, s := range kept {
		s.replace(func(content *mo.VirtualMachineSnapshot) {
			content.Config.Hardware.Device = slices.Clone(c.lists[i+1])
		})
	}
}
