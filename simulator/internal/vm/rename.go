package vm

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RenameSnapshot changes name and description; what is left out stays, an empty
// description removes it. It is no task, but it isn't possible while one is running
// on the machine.
func (s *VirtualMachineSnapshot) RenameSnapshot(ctx *simulator.Context, req *types.RenameSnapshot) soap.HasFault {
	body := &methods.RenameSnapshotBody{}
	m, ok := s.machine(ctx)
	if !ok {
		body.Fault_ = refuse(&types.ManagedObjectNotFound{Obj: req.This})
		return body
	}
	if req.Name != "" && !validName(req.Name) {
		body.Fault_ = refuse(&types.InvalidName{Name: req.Name, Entity: &m.Self})
		return body
	}
	ctx.WithLock(m.Self, func() {
		if busy := m.world.Tasks.Busy(m.Self); busy != nil {
			body.Fault_ = refuse(busy)
			return
		}
		t := treeOf(m.Snapshot)
		node := t.find(s.Self)
		if node == nil {
			body.Fault_ = refuse(&types.ManagedObjectNotFound{Obj: req.This})
			return
		}
		if req.Name != "" {
			node.Name = storedName(req.Name)
		}
		if slices.Contains(s.world.Calls.Of(ctx).Given, "description") {
			node.Description = req.Description
		}
		ctx.Update(m.VirtualMachine, t.changes())
		m.world.History.add(m.Name, "rename", node)
		body.Res = &types.RenameSnapshotResponse{}
	})
	return body
}
