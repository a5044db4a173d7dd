package sim

import (
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/collector"
	"vmsnapshot/simulator/internal/vm"
)

// interceptor sees every call before govmomi looks up who handles it.
//
// Upstream's own code asserts the concrete type of virtual machines in its registry,
// so they stay there as they are. A session's registry is looked into first: that is
// where the interceptor puts the machine with our methods.
type interceptor struct {
	world    *vm.World
	hub      *collector.Hub
	pc       types.ManagedObjectReference
	readOnly string

	mu       sync.Mutex
	sessions map[*simulator.Registry]bool
}

func (g *interceptor) intercept(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session == nil {
		return nil, g.notLoggedIn(method)
	}
	g.prepareSession(ctx)
	if method.Name == "Logout" {
		g.leave(ctx.Session)
	}
	if g.denies(ctx, method.Name, privileges[method.Name]) {
		return nil, denied(method)
	}
	upstream := machineOf(ctx, method.This)
	// The list has the older of the two methods that take a snapshot, and means both.
	if upstream != nil && slices.Contains(upstream.DisabledMethod, strings.Replace(method.Name, "SnapshotEx_", "Snapshot_", 1)) {
		if upstream.Config.Template {
			return nil, &types.NotSupported{} // what the methods' own reference says of a template
		}
		return nil, &types.MethodDisabled{}
	}
	if method.This.Type == "VirtualMachine" && upstream != nil {
		g.install(ctx, upstream)
	}
	return nil, nil
}

// denies says whether the session's user lacks a privilege: nobody has one that was taken
// from everybody, and who may read only has none that changes anything.
func (g *interceptor) denies(ctx *simulator.Context, method, privilege string) bool {
	if g.readOnly != "" && ctx.Session.UserName == g.readOnly && changes(method) {
		return true
	}
	return privilege != "" && g.world.Denies(privilege)
}

// notLoggedIn refuses what upstream answers, empty, without a session: a client must be
// able to tell that its session has ended.
func (g *interceptor) notLoggedIn(method *simulator.Method) types.BaseMethodFault {
	switch req := method.Body.(type) {
	case *types.RetrieveProperties:
		return foreign(method, req.SpecSet)
	case *types.RetrievePropertiesEx:
		return foreign(method, req.SpecSet)
	}
	return nil
}

// foreign allows reading the service instance only, which needs no privilege beyond
// System.Anonymous.
func foreign(method *simulator.Method, specs []types.PropertyFilterSpec) types.BaseMethodFault {
	for _, spec := range specs {
		for _, object := range spec.ObjectSet {
			if object.Obj.Type != "ServiceInstance" {
				return notAuthenticated(method.This)
			}
		}
	}
	return nil
}

func notAuthenticated(ref types.ManagedObjectReference) *types.NotAuthenticated {
	return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &ref, PrivilegeId: "System.View"}}
}

// machineOf returns the machine that ref is or belongs to.
func machineOf(ctx *simulator.Context, ref types.ManagedObjectReference) *simulator.VirtualMachine {
	switch o := ctx.Map.Get(ref).(type) {
	case *simulator.VirtualMachine:
		return o
	case *vm.VirtualMachineSnapshot:
		return machineOf(ctx, o.Vm)
	}
	return nil
}

// prepareSession gives a new session what goes before upstream's own objects.
func (g *interceptor) prepareSession(ctx *simulator.Context) {
	session := ctx.Session
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions == nil {
		g.sessions = map[*simulator.Registry]bool{}
	}
	if !g.sessions[session.Registry] {
		g.sessions[session.Registry] = true
		session.Registry.Put(g.hub.New(g.pc, session.Key))
		session.Registry.Put(&userEvents{ctx.Map.EventManager(), g.world})
		if service, ok := ctx.Map.Get(vim25.ServiceInstance).(*simulator.ServiceInstance); ok {
			session.Registry.Put(&clock{service, g.world.Tasks})
			if index, ok := ctx.Map.Get(*service.Content.SearchIndex).(*simulator.SearchIndex); ok {
				session.Registry.Put(&searchIndex{index, g.world})
			}
			if manager, ok := ctx.Map.Get(*service.Content.AuthorizationManager).(*simulator.AuthorizationManager); ok {
				session.Registry.Put(&authorization{manager, g})
			}
		}
	}
}

// leave ends what a session that logs out has open.
func (g *interceptor) leave(session *simulator.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, session.Registry)
	g.hub.End(session.Key)
}

// forget ends all sessions' collectors.
func (g *interceptor) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions = nil
	g.hub.End("")
}

// install puts the machine with our methods into the session. Putting writes to the
// machine, so its lock is needed; a second Put by another call does no harm.
func (g *interceptor) install(ctx *simulator.Context, upstream *simulator.VirtualMachine) {
	registry := ctx.Session.Registry
	if registry.Get(upstream.Self) == nil {
		ctx.WithLock(upstream.Self, func() { registry.Put(g.world.Wrap(upstream)) })
	}
}

// Reference, PutObject and UpdateObject make the interceptor a listener of the registry.
func (*interceptor) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "Interceptor", Value: "interceptor"}
}

func (*interceptor) PutObject(*simulator.Context, mo.Reference) {}

func (*interceptor) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

// RemoveObject takes a machine that no longer exists out of the sessions too.
func (g *interceptor) RemoveObject(ctx *simulator.Context, ref types.ManagedObjectReference) {
	if ref.Type != "VirtualMachine" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for registry := range g.sessions {
		registry.Remove(ctx, ref)
	}
}

var reading = []string{
	"Retrieve", "ContinueRetrieve", "CancelRetrieve", "WaitForUpdates", "CheckForUpdates", "CancelWaitForUpdates",
	"CreateFilter", "CreatePropertyCollector", "CreateContainerView", "CreateListView", "CreateInventoryView",
	"CreateCollectorFor", "CreateCollectorWithInfoFilter", "DestroyPropertyFilter", "DestroyPropertyCollector",
	"DestroyView", "DestroyCollector", "ModifyListView", "ResetListView", "Rewind", "ResetCollector",
	"SetCollectorPageSize", "Read", "Find", "Query", "Fetch", "Login", "Logout", "SessionIsActive", "CurrentTime",
	"HasPrivilege", "HasUserPrivilege",
}

func changes(method string) bool {
	return !slices.ContainsFunc(reading, func(prefix string) bool { return strings.HasPrefix(method, prefix) })
}

// privileges are those the API reference names for the calls.
var privileges = map[string]string{
	"CreateSnapshot_Task":          "VirtualMachine.State.CreateSnapshot",
	"CreateSnapshotEx_Task":        "VirtualMachine.State.CreateSnapshot",
	"RevertToSnapshot_Task":        "VirtualMachine.State.RevertToSnapshot",
	"RevertToCurrentSnapshot_Task": "VirtualMachine.State.RevertToSnapshot",
	"RemoveSnapshot_Task":          "VirtualMachine.State.RemoveSnapshot",
	"RemoveAllSnapshots_Task":      "VirtualMachine.State.RemoveSnapshot",
	"ConsolidateVMDisks_Task":      "VirtualMachine.State.RemoveSnapshot",
	"RenameSnapshot":               "VirtualMachine.State.RenameSnapshot",
	"PowerOnVM_Task":               "VirtualMachine.Interact.PowerOn",
	"PowerOffVM_Task":              "VirtualMachine.Interact.PowerOff",
	"SuspendVM_Task":               "VirtualMachine.Interact.Suspend",
	"ResetVM_Task":                 "VirtualMachine.Interact.Reset",
	"ReconfigVM_Task":              "VirtualMachine.Config.Settings",
	"CloneVM_Task":                 "VirtualMachine.Provisioning.Clone",
	"Destroy_Task":                 "VirtualMachine.Inventory.Delete",
	"CancelTask":                   "Global.CancelTask",
	"LogUserEvent":                 "Global.LogEvent",
}

func denied(method *simulator.Method) *types.NoPermission {
	privilege := privileges[method.Name]
	if privilege == "" {
		privilege = "System.Modify"
	}
	this := method.This
	return &types.NoPermission{
		Object: &this, PrivilegeId: privilege,
		MissingPrivileges: []types.NoPermissionEntityPrivileges{{Entity: this, PrivilegeIds: []string{privilege}}},
	}
}

var _ simulator.RegisterObject = (*interceptor)(nil)
