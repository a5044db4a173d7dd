package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/vm"
)

// userEvents is upstream's event manager with LogUserEvent, which upstream lacks.
type userEvents struct {
	*simulator.EventManager
	world *vm.World
}

// LogUserEvent logs a GeneralUserEvent about an entity (API reference, EventManager;
// the privilege is Global.LogEvent).
func (m *userEvents) LogUserEvent(ctx *simulator.Context, req *types.LogUserEvent) soap.HasFault {
	event := &types.GeneralUserEvent{GeneralEvent: types.GeneralEvent{Message: req.Msg}}
	if req.Entity.Type == "VirtualMachine" {
		name := types.EntityEventArgument{Name: m.world.NameOf(req.Entity)}
		event.Vm = &types.VmEventArgument{EntityEventArgument: name, Vm: req.Entity}
	}
	m.world.Post(ctx, event)
	return &methods.LogUserEventBody{Res: &types.LogUserEventResponse{}}
}
