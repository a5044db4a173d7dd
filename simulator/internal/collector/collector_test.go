package collector_test

import (
	"testing"
	"time"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// waiter is a property collector of one's own with a filter.
type waiter struct {
	*simtest.Env
	pc      *property.Collector
	version string
}

func watch(e *simtest.Env, spec types.PropertyFilterSpec) *waiter {
	e.Helper()
	pc, err := property.DefaultCollector(e.Client.Client).Create(e.Ctx)
	if err != nil {
		e.Fatal(err)
	}
	if _, err := pc.CreateFilter(e.Ctx, types.CreateFilter{Spec: spec}); err != nil {
		e.Fatal(err)
	}
	w := &waiter{Env: e, pc: pc}
	w.next(0)
	return w
}

// next returns the next updates, or nil after so many seconds.
func (w *waiter) next(seconds int32) *types.UpdateSet {
	w.Helper()
	res, err := methods.WaitForUpdatesEx(w.Ctx, w.Client, &types.WaitForUpdatesEx{
		This: w.pc.Reference(), Version: w.version, Options: &types.WaitOptions{MaxWaitSeconds: &seconds},
	})
	if err != nil {
		w.Fatal(err)
	}
	if res.Returnval != nil {
		w.version = res.Returnval.Version
	}
	return res.Returnval
}

// changed waits until a property of ref is reported, and returns its value.
func (w *waiter) changed(ref types.ManagedObjectReference, name string) any {
	w.Helper()
	for {
		set := w.next(5)
		if set == nil {
			w.Fatalf("%s of %s: nothing reported", name, ref)
		}
		for _, f := range set.FilterSet {
			for _, o := range f.ObjectSet {
				for _, c := range o.ChangeSet {
					if o.Obj == ref && c.Name == name {
						return c.Val
					}
				}
			}
		}
	}
}

func of(ref types.ManagedObjectReference, paths ...string) types.PropertyFilterSpec {
	return types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: ref}},
		PropSet:   []types.PropertySpec{{Type: ref.Type, PathSet: paths}},
	}
}

// Every snapshot is reported, not only the first; and so is having none.
func TestSnapshotChanges(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	for _, path := range []string{"snapshot", "snapshot.currentSnapshot"} {
		w := watch(e, of(vm.Reference(), path))
		for range 3 {
			e.Create(vm, "a", false, false)
			if w.changed(vm.Reference(), path) == nil {
				t.Fatal(path)
			}
		}
		e.Done(vm.RemoveAllSnapshot(e.Ctx, nil))
		for w.changed(vm.Reference(), path) != nil {
			// Each removal may be seen on its own.
		}
	}
}

// Configuration, power state and tasks are reported as they change.
func TestOtherChanges(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	ref := vm.Reference()
	w := watch(e, of(ref, "config.hardware.numCPU", "runtime.powerState", "recentTask"))
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{NumCPUs: 8}))
	if got := w.changed(ref, "config.hardware.numCPU"); got != int32(8) {
		t.Error(got)
	}
	e.Done(vm.PowerOff(e.Ctx))
	if got := w.changed(ref, "runtime.powerState"); got != types.VirtualMachinePowerStatePoweredOff {
		t.Error(got)
	}
	e.Create(vm, "a", false, false)
	if tasks, ok := w.changed(ref, "recentTask").(types.ArrayOfManagedObjectReference); !ok || len(tasks.ManagedObjectReference) == 0 {
		t.Error(tasks)
	}
}

// A filter that goes through a list view follows what is added to the list.
func TestListView(t *testing.T) {
	e := simtest.New(t)
	list, err := view.NewManager(e.Client.Client).CreateListView(e.Ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := watch(e, types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{
			Obj: list.Reference(), Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ListView", Path: "view"}},
		}},
		PropSet: []types.PropertySpec{{Type: "Task", PathSet: []string{"info.state", "info.progress"}}},
	})
	for _, name := range []string{"web-1", "web-2", "db-1"} {
		task, err := e.VM(name).CreateSnapshot(e.Ctx, "a", "", false, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := list.Add(e.Ctx, []types.ManagedObjectReference{task.Reference()}); err != nil {
			t.Fatal(err)
		}
		for w.changed(task.Reference(), "info.state") != types.TaskInfoStateSuccess {
			// Running comes first.
		}
		if _, err := list.Remove(e.Ctx, []types.ManagedObjectReference{task.Reference()}); err != nil {
			t.Fatal(err)
		}
		if set := w.next(5); set == nil || set.FilterSet[0].ObjectSet[0].Kind != types.ObjectUpdateKindLeave {
			t.Fatalf("%+v", set)
		}
	}
}

// An answer that was lost is given again; an unknown version is refused.
func TestLostAnswer(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	w := watch(e, of(vm.Reference(), "snapshot"))
	before := w.version
	e.Create(vm, "a", false, false)
	first := w.next(5)
	w.version = before
	again := w.next(5)
	if first == nil || again == nil || first.Version != again.Version || len(again.FilterSet) != 1 {
		t.Fatalf("%+v, then %+v", first, again)
	}
	_, err := methods.WaitForUpdatesEx(e.Ctx, e.Client, &types.WaitForUpdatesEx{This: w.pc.Reference(), Version: "99"})
	if _, ok := simtest.FaultOf(err).(types.InvalidCollectorVersion); !ok {
		t.Fatal(err)
	}
}

// More objects than fit into one answer come in several, none is lost.
func TestTruncated(t *testing.T) {
	e := simtest.New(t)
	ref := e.VM("web-1").Reference()
	spec := of(ref, "name")
	spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: e.VM("web-2").Reference()},
		types.ObjectSpec{Obj: e.VM("db-1").Reference()})
	pc, err := property.DefaultCollector(e.Client.Client).Create(e.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.CreateFilter(e.Ctx, types.CreateFilter{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	version, objects := "", 0
	for more := true; more; {
		res, err := methods.WaitForUpdatesEx(e.Ctx, e.Client, &types.WaitForUpdatesEx{
			This: pc.Reference(), Version: version,
			Options: &types.WaitOptions{MaxObjectUpdates: 2, MaxWaitSeconds: types.NewInt32(1)},
		})
		if err != nil {
			t.Fatal(err)
		}
		version = res.Returnval.Version
		objects += len(res.Returnval.FilterSet[0].ObjectSet)
		more = res.Returnval.Truncated != nil && *res.Returnval.Truncated
	}
	if objects != 3 {
		t.Fatal(objects)
	}
}

// A waiting call ends when it is cancelled and when its session does.
func TestWaitEnds(t *testing.T) {
	e := simtest.New(t)
	spec := of(e.VM("web-1").Reference(), "name")
	for name, end := range map[string]func(*waiter){
		"RequestCanceled": func(w *waiter) {
			if err := w.pc.CancelWaitForUpdates(e.Ctx); err != nil {
				t.Error(err)
			}
		},
		"NotAuthenticated": func(*waiter) { e.Admin("POST", "/expire-sessions", nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			e.Client = e.Login("user", "pass")
			w := watch(e, spec)
			failed := make(chan error, 1)
			go func() {
				_, err := methods.WaitForUpdatesEx(e.Ctx, e.Client, &types.WaitForUpdatesEx{
					This: w.pc.Reference(), Version: w.version,
				})
				failed <- err
			}()
			time.Sleep(50 * time.Millisecond)
			end(w)
			switch f := simtest.FaultOf(<-failed).(type) {
			case types.RequestCanceled:
				if name != "RequestCanceled" {
					t.Fatal(f)
				}
			case types.NotAuthenticated:
				if name != "NotAuthenticated" {
					t.Fatal(f)
				}
			default:
				t.Fatal(f)
			}
		})
	}
}

// A property that doesn't exist is in missingSet; an object that doesn't is a fault,
// unless its absence is to be reported.
func TestMissing(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1").Reference()
	gone := types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-gone"}
	spec := of(vm, "name", "nonsense")
	spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: gone})
	read := func() (*types.RetrievePropertiesExResponse, error) {
		return methods.RetrievePropertiesEx(e.Ctx, e.Client, &types.RetrievePropertiesEx{
			This: e.Client.ServiceContent.PropertyCollector, SpecSet: []types.PropertyFilterSpec{spec},
		})
	}
	if _, err := read(); err == nil {
		t.Error("a missing object was passed over")
	} else if _, ok := simtest.FaultOf(err).(types.ManagedObjectNotFound); !ok {
		t.Error(err)
	}
	spec.ReportMissingObjectsInResults = types.NewBool(true)
	res, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if o := res.Returnval.Objects; len(o) != 1 || len(o[0].MissingSet) != 1 || o[0].MissingSet[0].Path != "nonsense" {
		t.Errorf("%+v", o)
	}
}

// Views that upstream makes go on working.
func TestContainerView(t *testing.T) {
	e := simtest.New(t)
	v, err := view.NewManager(e.Client.Client).CreateContainerView(
		e.Ctx, e.Client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		t.Fatal(err)
	}
	var machines []mo.VirtualMachine
	if err := v.Retrieve(e.Ctx, []string{"VirtualMachine"}, []string{"name", "runtime", "summary", "config"}, &machines); err != nil {
		t.Fatal(err)
	}
	if len(machines) != 3 {
		t.Fatal(len(machines))
	}
}
