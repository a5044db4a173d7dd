package collector

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// PropertyFilter remembers what it last reported of each object. It is guarded by
// its collector's mu.
type PropertyFilter struct {
	mo.PropertyFilter
	unlocked

	pc *PropertyCollector
	// reported are the objects as the client knows them.
	reported contents
	// pending are objects to look at again; whole says that the selection itself may
	// have changed since it was found to be selected.
	pending  map[types.ManagedObjectReference]bool
	selected contents
	whole    bool
}

func (f *PropertyFilter) reset() {
	f.reported = contents{}
	f.pending = map[types.ManagedObjectReference]bool{}
	f.whole = true
}

// DestroyPropertyFilter ends the filter.
func (f *PropertyFilter) DestroyPropertyFilter(ctx *simulator.Context, _ *types.DestroyPropertyFilter) soap.HasFault {
	pc := f.pc
	pc.mu.Lock()
	pc.filters = slices.DeleteFunc(pc.filters, func(other *PropertyFilter) bool { return other == f })
	pc.Filter = slices.DeleteFunc(slices.Clone(pc.Filter), func(r types.ManagedObjectReference) bool { return r == f.Self })
	pc.mu.Unlock()
	ctx.Session.Remove(ctx, f.Self)
	return &methods.DestroyPropertyFilterBody{Res: &types.DestroyPropertyFilterResponse{}}
}

// containers are the types whose members a traversal may follow.
var containers = map[string]bool{
	"ClusterComputeResource": true, "ComputeResource": true, "ContainerView": true, "Datacenter": true,
	"Folder": true, "HostSystem": true, "ListView": true, "ResourcePool": true, "StoragePod": true,
	"TaskManager": true, "VirtualApp": true,
}

// note remembers which of the changed objects concern the filter.
func (f *PropertyFilter) note(dirty map[types.ManagedObjectReference]bool) {
	for ref := range dirty {
		if f.reported[ref] != nil {
			f.pending[ref] = true
		}
		for _, o := range f.Spec.ObjectSet {
			if o.Obj == ref || (containers[ref.Type] && deep(o.SelectSet)) {
				f.whole = true
			}
		}
	}
}

// deep says whether a selection depends on other objects than the one it starts from.
// That of a list view's members doesn't, and is spared a look at all members whenever
// a task is added to the task manager.
func deep(selection []types.BaseSelectionSpec) bool {
	for _, s := range selection {
		if t, ok := s.(*types.TraversalSpec); !ok || len(t.SelectSet) != 0 {
			return true
		}
	}
	return false
}

// updates returns up to limit differences to what was reported; more says that there
// are further ones. The properties of an object are read when it is new or has
// changed: with a thousand members of a list view, the reading is what takes time.
func (f *PropertyFilter) updates(ctx *simulator.Context, limit int) (updates []types.ObjectUpdate, more bool, _ types.BaseMethodFault) {
	if !f.whole && len(f.pending) == 0 {
		return nil, false, nil
	}
	if f.whole {
		if err := f.reselect(ctx); err != nil {
			return nil, false, err
		}
	}
	looked := slices.SortedFunc(maps.Keys(f.pending), func(a, b types.ManagedObjectReference) int {
		return cmp.Or(cmp.Compare(len(a.Value), len(b.Value)), cmp.Compare(a.Value, b.Value))
	})
	for part := range slices.Chunk(looked, readAtOnce) {
		now, err := f.read(ctx, part)
		if err != nil {
			return nil, false, err
		}
		for _, ref := range part {
			update, changed := compare(ref, f.reported[ref], now[ref])
			if !changed {
				delete(f.pending, ref)
				continue
			}
			if len(updates) == limit {
				return updates, true, nil
			}
			updates = append(updates, update)
			delete(f.pending, ref)
			if now[ref] == nil {
				delete(f.reported, ref)
			} else {
				f.reported[ref] = now[ref]
			}
		}
	}
	return updates, false, nil
}

// reselect finds out what the filter selects now; what came or went is pending.
func (f *PropertyFilter) reselect(ctx *simulator.Context) types.BaseMethodFault {
	spec := f.Spec
	spec.PropSet = make([]types.PropertySpec, len(f.Spec.PropSet))
	for i, p := range f.Spec.PropSet {
		spec.PropSet[i].Type = p.Type
	}
	selected, err := f.retrieve(ctx, spec)
	if err != nil {
		return err
	}
	for ref := range selected {
		if f.reported[ref] == nil {
			f.pending[ref] = true
		}
	}
	for ref := range f.reported {
		if selected[ref] == nil {
			f.pending[ref] = true
		}
	}
	f.selected = selected
	f.whole = false
	return nil
}

// read reads the properties of those objects that are still selected.
func (f *PropertyFilter) read(ctx *simulator.Context, refs []types.ManagedObjectReference) (contents, types.BaseMethodFault) {
	spec := types.PropertyFilterSpec{PropSet: f.Spec.PropSet}
	for _, ref := range refs {
		if f.selected[ref] != nil {
			spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: ref})
		}
	}
	return f.retrieve(ctx, spec)
}

// contents are objects as read.
type contents map[types.ManagedObjectReference]*types.ObjectContent

func (f *PropertyFilter) retrieve(ctx *simulator.Context, spec types.PropertyFilterSpec) (contents, types.BaseMethodFault) {
	spec.ReportMissingObjectsInResults = types.NewBool(true)
	res := f.pc.read(ctx, &types.RetrievePropertiesEx{SpecSet: []types.PropertyFilterSpec{spec}})
	if fault := res.Fault(); fault != nil {
		if f, ok := fault.VimFault().(types.BaseMethodFault); ok {
			return nil, f
		}
		return nil, &types.SystemErrorFault{Reason: fault.String}
	}
	found := contents{}
	objects := res.(*methods.RetrievePropertiesExBody).Res.Returnval.Objects
	for i := range objects {
		found[objects[i].Obj] = &objects[i]
	}
	return found, nil
}

// compare returns the difference between what was reported of an object and what it
// is now; either may be nil.
func compare(ref types.ManagedObjectReference, before, now *types.ObjectContent) (types.ObjectUpdate, bool) {
	update := types.ObjectUpdate{Obj: ref}
	switch {
	case before == nil && now == nil:
		return update, false
	case now == nil:
		update.Kind = types.ObjectUpdateKindLeave
		return update, true
	case before == nil:
		update.Kind = types.ObjectUpdateKindEnter
		update.MissingSet = now.MissingSet
		before = &types.ObjectContent{}
	default:
		update.Kind = types.ObjectUpdateKindModify
	}
	old := map[string]any{}
	for _, p := range before.PropSet {
		old[p.Name] = p.Val
	}
	for _, p := range now.PropSet {
		was, known := old[p.Name]
		delete(old, p.Name)
		if !known || !reflect.DeepEqual(was, p.Val) {
			update.ChangeSet = append(update.ChangeSet,
				types.PropertyChange{Name: p.Name, Op: types.PropertyChangeOpAssign, Val: p.Val})
		}
	}
	// A property that has become unset is assigned nothing.
	for _, p := range before.PropSet {
		if _, gone := old[p.Name]; gone {
			update.ChangeSet = append(update.ChangeSet,
				types.PropertyChange{Name: p.Name, Op: types.PropertyChangeOpAssign})
		}
	}
	return update, update.Kind == types.ObjectUpdateKindEnter || len(update.ChangeSet) != 0
}
