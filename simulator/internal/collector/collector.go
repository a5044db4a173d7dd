// Package collector is a property collector that compares what a filter selects now
// with what it last reported. Upstream's forwards the changes that methods announce,
// and loses those that are announced under another path, to another waiter or while
// nobody waits.
package collector

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/wire"
)

const (
	// maxObjects is how many objects one answer holds at most, as on a vCenter.
	maxObjects = 100
	// readAtOnce is how many changed objects are read before it is seen whether the
	// answer is full.
	readAtOnce = 20
	// gather is how long updates are collected before they are reported.
	gather = 5 * time.Millisecond
)

// Hub tells property collectors which objects changed.
type Hub struct {
	Calls *wire.Calls
	Rules *fault.Rules
	// NameOf returns the name of the VM that an object is or belongs to.
	NameOf func(types.ManagedObjectReference) string

	mu         sync.Mutex
	collectors map[*PropertyCollector]bool
}

// NewHub returns a hub that listens to registry.
func NewHub(
	registry *simulator.Registry, calls *wire.Calls, rules *fault.Rules,
	nameOf func(types.ManagedObjectReference) string,
) *Hub {
	h := &Hub{Calls: calls, Rules: rules, NameOf: nameOf, collectors: map[*PropertyCollector]bool{}}
	registry.AddHandler(h)
	return h
}

// Reference names the hub among the registry's listeners.
func (*Hub) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "CollectorHub", Value: "collector-hub"}
}

// PutObject hears of a new object.
func (h *Hub) PutObject(_ *simulator.Context, o mo.Reference) { h.mark(o.Reference()) }

// UpdateObject hears of a change.
func (h *Hub) UpdateObject(_ *simulator.Context, o mo.Reference, _ []types.PropertyChange) {
	h.mark(o.Reference())
}

// RemoveObject hears of a removal.
func (h *Hub) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) { h.mark(ref) }

func (h *Hub) mark(ref types.ManagedObjectReference) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pc := range h.collectors {
		pc.mark(ref)
	}
}

func (h *Hub) attach(pc *PropertyCollector) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.collectors[pc] = true
}

func (h *Hub) detach(pc *PropertyCollector) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.collectors, pc)
}

// End stops the collectors of a session, or all with "": what waits on them raises
// NotAuthenticated.
func (h *Hub) End(session string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pc := range h.collectors {
		if session == "" || pc.session == session {
			pc.end()
			delete(h.collectors, pc)
		}
	}
}

// New returns the property collector of a session under ref.
func (h *Hub) New(ref types.ManagedObjectReference, session string) *PropertyCollector {
	pc := &PropertyCollector{
		hub:     h,
		session: session,
		dirty:   map[types.ManagedObjectReference]bool{},
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	pc.Self = ref
	return pc
}

// PropertyCollector belongs to one session.
type PropertyCollector struct {
	mo.PropertyCollector
	unlocked

	// once reads properties; that part of upstream's is as it should be.
	once simulator.PropertyCollector
	// pages holds what each page that is still to be read is a page of, by its token.
	pages   sync.Map
	hub     *Hub
	session string
	wake    chan struct{}
	ended   chan struct{}

	// dirtyMu guards what listeners write while they hold other objects' locks.
	dirtyMu sync.Mutex
	dirty   map[types.ManagedObjectReference]bool
	over    bool

	// mu guards the rest; it is never held while waiting.
	mu      sync.Mutex
	filters []*PropertyFilter
	version int
	last    *types.UpdateSet
	waiter  chan struct{}
}

// unlocked opts out of the registry's lock of an object, which would be held while
// waiting for updates.
type unlocked struct{}

func (*unlocked) Lock() {}

func (*unlocked) Unlock() {}

func (pc *PropertyCollector) mark(ref types.ManagedObjectReference) {
	pc.dirtyMu.Lock()
	pc.dirty[ref] = true
	pc.dirtyMu.Unlock()
	pc.poke()
}

func (pc *PropertyCollector) poke() {
	select {
	case pc.wake <- struct{}{}:
	default:
	}
}

func (pc *PropertyCollector) end() {
	pc.dirtyMu.Lock()
	defer pc.dirtyMu.Unlock()
	if !pc.over {
		pc.over = true
		close(pc.ended)
	}
}

func (pc *PropertyCollector) takeDirty() map[types.ManagedObjectReference]bool {
	pc.dirtyMu.Lock()
	defer pc.dirtyMu.Unlock()
	dirty := pc.dirty
	pc.dirty = map[types.ManagedObjectReference]bool{}
	return dirty
}

func refuse(f types.BaseMethodFault) *soap.Fault { return simulator.Fault(fault.Words(f), f) }

func reference(ctx *simulator.Context, kind string) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: kind, Value: "session[" + ctx.Session.Key + "]" + uuid.NewString()}
}

// CreatePropertyCollector makes a collector of the client's own.
func (pc *PropertyCollector) CreatePropertyCollector(ctx *simulator.Context, _ *types.CreatePropertyCollector) soap.HasFault {
	own := pc.hub.New(reference(ctx, "PropertyCollector"), ctx.Session.Key)
	ctx.Session.Registry.Put(own)
	return &methods.CreatePropertyCollectorBody{
		Res: &types.CreatePropertyCollectorResponse{Returnval: own.Self},
	}
}

// DestroyPropertyCollector ends the collector and its filters.
func (pc *PropertyCollector) DestroyPropertyCollector(ctx *simulator.Context, _ *types.DestroyPropertyCollector) soap.HasFault {
	pc.hub.detach(pc)
	pc.mu.Lock()
	filters := pc.filters
	pc.filters, pc.Filter = nil, nil
	if pc.waiter != nil {
		close(pc.waiter)
		pc.waiter = nil
	}
	pc.mu.Unlock()
	for _, f := range filters {
		ctx.Session.Remove(ctx, f.Self)
	}
	ctx.Session.Remove(ctx, pc.Self)
	return &methods.DestroyPropertyCollectorBody{Res: &types.DestroyPropertyCollectorResponse{}}
}

// CreateFilter adds a filter. An object that doesn't exist raises
// ManagedObjectNotFound unless the filter says otherwise (API reference).
func (pc *PropertyCollector) CreateFilter(ctx *simulator.Context, req *types.CreateFilter) soap.HasFault {
	body := &methods.CreateFilterBody{}
	report := req.Spec.ReportMissingObjectsInResults
	for _, o := range req.Spec.ObjectSet {
		if ctx.Session.Get(o.Obj) == nil && (report == nil || !*report) {
			body.Fault_ = refuse(&types.ManagedObjectNotFound{Obj: o.Obj})
			return body
		}
	}
	f := &PropertyFilter{pc: pc}
	f.Self = reference(ctx, "PropertyFilter")
	f.Spec, f.PartialUpdates = req.Spec, req.PartialUpdates
	f.reset()
	ctx.Session.Registry.Put(f)

	pc.mu.Lock()
	pc.filters = append(pc.filters, f)
	pc.Filter = append(slices.Clone(pc.Filter), f.Self)
	pc.mu.Unlock()
	pc.hub.attach(pc)
	pc.poke()
	body.Res = &types.CreateFilterResponse{Returnval: f.Self}
	return body
}

// CancelWaitForUpdates makes a waiting call raise RequestCanceled.
func (pc *PropertyCollector) CancelWaitForUpdates(*simulator.Context, *types.CancelWaitForUpdates) soap.HasFault {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	if pc.waiter != nil {
		close(pc.waiter)
		pc.waiter = nil
	}
	return &methods.CancelWaitForUpdatesBody{Res: &types.CancelWaitForUpdatesResponse{}}
}

// CheckForUpdates is WaitForUpdatesEx without waiting.
func (pc *PropertyCollector) CheckForUpdates(ctx *simulator.Context, req *types.CheckForUpdates) soap.HasFault {
	set, f := pc.wait(ctx, req.Version, &types.WaitOptions{MaxWaitSeconds: types.NewInt32(0)})
	if f != nil {
		return &methods.CheckForUpdatesBody{Fault_: refuse(f)}
	}
	return &methods.CheckForUpdatesBody{Res: &types.CheckForUpdatesResponse{Returnval: set}}
}

// WaitForUpdates is WaitForUpdatesEx without options.
func (pc *PropertyCollector) WaitForUpdates(ctx *simulator.Context, req *types.WaitForUpdates) soap.HasFault {
	set, f := pc.wait(ctx, req.Version, nil)
	if f != nil {
		return &methods.WaitForUpdatesBody{Fault_: refuse(f)}
	}
	return &methods.WaitForUpdatesBody{Res: &types.WaitForUpdatesResponse{Returnval: *set}}
}

// WaitForUpdatesEx waits for a difference between what the filters select and what
// was reported under req.Version.
func (pc *PropertyCollector) WaitForUpdatesEx(ctx *simulator.Context, req *types.WaitForUpdatesEx) soap.HasFault {
	set, f := pc.wait(ctx, req.Version, req.Options)
	if f != nil {
		return &methods.WaitForUpdatesExBody{Fault_: refuse(f)}
	}
	return &methods.WaitForUpdatesExBody{Res: &types.WaitForUpdatesExResponse{Returnval: set}}
}

func (pc *PropertyCollector) wait(
	ctx *simulator.Context, version string, options *types.WaitOptions,
) (*types.UpdateSet, types.BaseMethodFault) {
	limit := maxObjects
	var timeout <-chan time.Time
	immediate := version == ""
	if options != nil {
		if n := int(options.MaxObjectUpdates); n > 0 {
			limit = min(limit, n)
		}
		if seconds := options.MaxWaitSeconds; seconds != nil {
			immediate = immediate || *seconds == 0
			timeout = time.After(time.Duration(*seconds) * time.Second)
		}
	}
	mine, again, f := pc.begin(version)
	if f != nil || again != nil {
		return again, f
	}
	defer pc.leave(mine)

	client := pc.hub.Calls.Of(ctx).Client
	for {
		set, f := pc.updates(ctx, version, limit)
		if f != nil {
			return nil, f
		}
		if set != nil {
			return set, nil
		}
		if immediate {
			return nil, nil
		}
		select {
		case <-pc.wake:
			time.Sleep(gather)
		case <-timeout:
			return nil, nil
		case <-mine:
			return nil, &types.RequestCanceled{}
		case <-pc.ended:
			return nil, &types.NotAuthenticated{NoPermission: types.NoPermission{
				Object: &pc.Self, PrivilegeId: "System.View",
			}}
		case <-client.Done():
			return nil, &types.RequestCanceled{}
		}
	}
}

// begin checks the version and takes the place of an earlier waiter. A client that
// lost an answer asks again under the version it has, and gets that answer again.
func (pc *PropertyCollector) begin(version string) (chan struct{}, *types.UpdateSet, types.BaseMethodFault) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	switch {
	case version == "":
		for _, f := range pc.filters {
			f.reset()
		}
	case version == strconv.Itoa(pc.version):
	case version == strconv.Itoa(pc.version-1) && pc.last != nil:
		return nil, pc.last, nil
	default:
		return nil, nil, &types.InvalidCollectorVersion{}
	}
	if pc.waiter != nil {
		close(pc.waiter)
	}
	pc.waiter = make(chan struct{})
	return pc.waiter, nil, nil
}

func (pc *PropertyCollector) leave(mine chan struct{}) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	if pc.waiter == mine {
		pc.waiter = nil
	}
}

// updates returns what there is to report, or nil. The first answer, for an empty
// version, is given even if it is empty.
func (pc *PropertyCollector) updates(
	ctx *simulator.Context, version string, limit int,
) (*types.UpdateSet, types.BaseMethodFault) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	dirty := pc.takeDirty()
	set := &types.UpdateSet{}
	for _, f := range pc.filters {
		f.note(dirty)
	}
	for _, f := range pc.filters {
		objects, more, err := f.updates(ctx, limit)
		if err != nil {
			return nil, err
		}
		limit -= len(objects)
		if len(objects) != 0 {
			set.FilterSet = append(set.FilterSet, types.PropertyFilterUpdate{Filter: f.Self, ObjectSet: objects})
		}
		if more {
			set.Truncated = types.NewBool(true)
			pc.poke()
			break
		}
	}
	if len(set.FilterSet) == 0 && version != "" {
		return nil, nil
	}
	pc.version++
	set.Version = strconv.Itoa(pc.version)
	pc.last = set
	return set, nil
}
