package vm

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Post puts an event into the server's log, dated by its clock. The caller holds no lock:
// alarms may change what the event is about.
func (w *World) Post(ctx *simulator.Context, event types.BaseEvent) {
	events := w.Registry.EventManager()
	ctx.WithLock(events, func() {
		events.PostEvent(ctx, &types.PostEvent{EventToPost: event})
		event.GetEvent().CreatedTime = w.Tasks.Now()
	})
}

// reverted is the event of a revert. Its type is among those that ManageIQ and others have
// recorded of vCenters; its words name the snapshot and its number: "… has been reverted to
// the state of snapshot NAME, with ID NUMBER" (guyrleech, VMware GUI).
func (m *Machine) reverted(node *types.VirtualMachineSnapshotTree) *types.EventEx {
	name, number := node.Name, fmt.Sprint(node.Id)
	event := &types.EventEx{
		EventTypeId: "com.vmware.vc.vm.VmStateRevertedToSnapshot",
		Severity:    "info",
		ObjectId:    m.Self.Value,
		ObjectType:  m.Self.Type,
		ObjectName:  m.Name,
		Arguments: []types.KeyAnyValue{
			{Key: "snapshotName", Value: name},
			{Key: "snapshotId", Value: number},
		},
	}
	event.Vm = &types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: m.Name}, Vm: m.Self}
	event.FullFormattedMessage = fmt.Sprintf(
		"The execution state of %s has been reverted to the state of snapshot %s, with ID %s", m.Name, name, number,
	)
	return event
}
