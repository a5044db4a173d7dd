package sim

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// authorization is upstream's authorization manager, which knows what the interceptor refuses.
type authorization struct {
	*simulator.AuthorizationManager
	interceptor *interceptor
}

// HasPrivilegeOnEntities says which privileges a session has (API reference,
// AuthorizationManager): the caller's own here, whoever's is asked for.
func (a *authorization) HasPrivilegeOnEntities(
	ctx *simulator.Context, req *types.HasPrivilegeOnEntities,
) soap.HasFault {
	result := make([]types.EntityPrivilege, 0, len(req.Entity))
	for _, entity := range req.Entity {
		told := types.EntityPrivilege{Entity: entity}
		for _, id := range req.PrivId {
			method := "Modify" // what isn't a call's own is of something that changes
			if strings.HasPrefix(id, "System.") {
				method = "Read"
			}
			told.PrivAvailability = append(told.PrivAvailability, types.PrivilegeAvailability{
				PrivId: id, IsGranted: !a.interceptor.denies(ctx, method, id),
			})
		}
		result = append(result, told)
	}
	return &methods.HasPrivilegeOnEntitiesBody{
		Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: result},
	}
}
