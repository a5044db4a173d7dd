package collector

import (
	"cmp"
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
	reported map[types.ManagedObjectReference]*types.ObjectContent
	// pending are objects to look at again; whole says that the selection itself may
	// have changed.
	pending map[types.ManagedObjectReference]bool
	whole   bool
}

func (f *PropertyFilter) reset() {
	f.reported = map[types.ManagedObjectReference]*types.ObjectContent{}
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
			if o.Obj == ref || (len(o.SelectSet) != 0 && containers[ref.Type]) {
				f.whole = true
			}
		}
	}
}

// updates returns up to limit differences to what was reported; more says that there
// are further ones.
func (f *PropertyFilter) updates(ctx *simulator.Context, limit int) (_ []types.ObjectUpdate, more bool, _ types.BaseMethodFault) {
	if !f.whole && len(f.pending) == 0 {
		return nil, false, nil
	}
	now, err := f.selected(ctx)
	if err != nil {
		return nil, false, err
	}

	var looked []types.ManagedObjectReference
	if f.whole {
		for ref := range f.reported {
			looked = append(looked, ref)
		}
		for ref := range now {
			if f.reported[ref] == nil {
				looked = append(looked, ref)
			}
		}
	} else {
		for ref := range f.pending {
			looked = append(looked, ref)
		}
	}
	slices.SortFunc(looked, func(a, b types.ManagedObjectReference) int {
		return cmp.Or(cmp.Compare(len(a.Value), len(b.Value)), cmp.Compare(a.Value, b.Value))
	})

	var updates []types.ObjectUpdate
	for _, ref := range looked {
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
	f.whole = false
	return updates, false, nil
}

// selected reads the objects to look at.
func (f *PropertyFilter) selected(ctx *simulator.Context) (map[types.ManagedObjectReference]*types.ObjectContent, types.BaseMethodFault) {
	spec := f.Spec
	spec.ReportMissingObjectsInResults = types.NewBool(true)
	if !f.whole {
		spec.ObjectSet = nil
		for ref := range f.pending {
			spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: ref})
		}
	}
	res := f.pc.once.RetrievePropertiesEx(ctx, &types.RetrievePropertiesEx{SpecSet: []types.PropertyFilterSpec{spec}})
	if fault := res.Fault(); fault != nil {
		if f, ok := fault.VimFault().(types.BaseMethodFault); ok {
			return nil, f
		}
		return nil, &types.SystemErrorFault{Reason: fault.String}
	}
	now := map[types.ManagedObjectReference]*types.ObjectContent{}
	objects := res.(*methods.RetrievePropertiesExBody).Res.Returnval.Objects
	for i := range objects {
		now[objects[i].Obj] = &objects[i]
	}
	return now, nil
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
