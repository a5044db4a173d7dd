package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/vm"
)

// searchIndex searches folders only while no machine is being made there.
type searchIndex struct {
	*simulator.SearchIndex
	world *vm.World
}

// FindChild is upstream's.
func (s *searchIndex) FindChild(ctx *simulator.Context, req *types.FindChild) (found soap.HasFault) {
	s.world.Settled(func() { found = s.SearchIndex.FindChild(ctx, req) })
	return found
}
