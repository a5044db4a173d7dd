package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/task"
)

// clock is upstream's service instance with the time that tasks and snapshots are
// dated by.
type clock struct {
	*simulator.ServiceInstance
	tasks *task.Runner
}

// CurrentTime tells the server's time (API reference, ServiceInstance).
func (c *clock) CurrentTime(*types.CurrentTime) soap.HasFault {
	return &methods.CurrentTimeBody{Res: &types.CurrentTimeResponse{Returnval: c.tasks.Now()}}
}
