package sim_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/simtest"
)

// clients is how many calls are under way at once, as from one plugin process.
const clients = 32

// fleet is a simulator with many machines and one list view of running tasks, as the
// provider watches them.
type fleet struct {
	*simtest.Env
	machines []types.ManagedObjectReference
	tasks    *view.ListView
	own      *property.Collector
}

func newFleet(t testing.TB, n int) *fleet {
	t.Helper()
	e := simtest.New(t, func(c *sim.Config) {
		c.VMs, c.Names, c.TaskDuration = n, nil, 50*time.Millisecond
	})
	e.Client.DefaultTransport().MaxIdleConnsPerHost = clients
	f := &fleet{Env: e}
	manager := view.NewManager(e.Client.Client)
	v, err := manager.CreateContainerView(e.Ctx, e.Client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if f.machines, err = v.Find(e.Ctx, []string{"VirtualMachine"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Destroy(e.Ctx); err != nil {
		t.Fatal(err)
	}
	if f.tasks, err = manager.CreateListView(e.Ctx, nil); err != nil {
		t.Fatal(err)
	}
	if f.own, err = property.DefaultCollector(e.Client.Client).Create(e.Ctx); err != nil {
		t.Fatal(err)
	}
	_, err = f.own.CreateFilter(e.Ctx, types.CreateFilter{Spec: types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{
			Obj: f.tasks.Reference(), Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ListView", Path: "view"}},
		}},
		PropSet: []types.PropertySpec{{
			Type: "Task", PathSet: []string{"info.state", "info.result", "info.error", "info.cancelable"},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// round starts a task on every machine and returns their results, when the last has ended.
func (f *fleet) round(start func(i int) (types.ManagedObjectReference, error)) []types.AnyType {
	f.Helper()
	var mu sync.Mutex
	number := map[types.ManagedObjectReference]int{}
	todo := make(chan int, len(f.machines))
	for i := range f.machines {
		todo <- i
	}
	close(todo)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for i := range todo {
				task, err := start(i)
				if err != nil {
					f.Error(err)
					return
				}
				mu.Lock()
				number[task] = i
				mu.Unlock()
				if _, err := f.tasks.Add(f.Ctx, []types.ManagedObjectReference{task}); err != nil {
					f.Error(err)
				}
			}
		})
	}

	results := make([]types.AnyType, len(f.machines))
	version := ""
	for ended := map[types.ManagedObjectReference]bool{}; len(ended) < len(f.machines) && !f.Failed(); {
		res, err := methods.WaitForUpdatesEx(f.Ctx, f.Client, &types.WaitForUpdatesEx{
			This: f.own.Reference(), Version: version, Options: &types.WaitOptions{MaxWaitSeconds: types.NewInt32(1)},
		})
		if err != nil {
			f.Fatal(err)
		}
		if res.Returnval == nil {
			continue
		}
		version = res.Returnval.Version
		for _, set := range res.Returnval.FilterSet {
			for _, object := range set.ObjectSet {
				for _, change := range object.ChangeSet {
					switch change.Val {
					case types.TaskInfoStateSuccess:
						ended[object.Obj] = true
					case types.TaskInfoStateError:
						f.Errorf("%s failed", object.Obj)
					}
					if change.Name == "info.result" {
						mu.Lock()
						i, ok := number[object.Obj]
						mu.Unlock()
						if ok {
							results[i] = change.Val
						}
					}
				}
			}
		}
	}
	group.Wait()
	if _, err := f.tasks.Reset(f.Ctx, nil); err != nil {
		f.Fatal(err)
	}
	return results
}

// BenchmarkFleet tells how long an environment takes of a simulator whose tasks take
// 50 ms: start-up, a snapshot and a revert of every machine watched through one list
// view, and one read of all.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{200, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			took := map[string]time.Duration{}
			timed := func(what string, do func()) {
				begin := time.Now()
				do()
				took[what] += time.Since(begin)
			}
			for range b.N {
				var f *fleet
				timed("start", func() { f = newFleet(b, n) })
				var snapshots []types.AnyType
				timed("create", func() { snapshots = f.round(f.create) })
				timed("revert", func() {
					f.round(func(i int) (types.ManagedObjectReference, error) { return f.revert(snapshots[i]) })
				})
				timed("read", func() { f.read() })
			}
			for what, total := range took {
				b.ReportMetric(float64(total.Milliseconds())/float64(b.N), what+"-ms/op")
			}
		})
	}
}

// What a machine has doesn't depend on how many others there are: a controller lists
// devices of its own machine, once.
func TestControllersOfMany(t *testing.T) {
	f := newFleet(t, 20)
	for _, object := range f.read() {
		for _, p := range object.PropSet {
			devices, ok := p.Val.(types.ArrayOfVirtualDevice)
			if !ok {
				continue
			}
			for _, device := range devices.VirtualDevice {
				c, ok := device.(types.BaseVirtualController)
				if !ok {
					continue
				}
				keys := c.GetVirtualController().Device
				if sorted := slices.Sorted(slices.Values(keys)); len(slices.Compact(sorted)) != len(keys) {
					t.Errorf("%s, %T: %v", object.Obj, device, keys)
				}
			}
		}
	}
}

// A list view that gets many tasks at once tells of each of them once, in pages of 100,
// and of the end of each.
func TestListViewInPages(t *testing.T) {
	const n = 250
	f := newFleet(t, n)
	f.Admin("POST", "/hold", simtest.JSON{"vm": ""}, nil)
	var tasks []types.ManagedObjectReference
	for i := range f.machines {
		task, err := f.create(i)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	if _, err := f.tasks.Add(f.Ctx, tasks); err != nil {
		t.Fatal(err)
	}
	told := map[types.ManagedObjectReference]int{}
	version := ""
	for _, want := range []int{100, 100, 50} {
		res, err := methods.WaitForUpdatesEx(f.Ctx, f.Client, &types.WaitForUpdatesEx{This: f.own.Reference(), Version: version})
		if err != nil {
			t.Fatal(err)
		}
		page := res.Returnval.FilterSet[0].ObjectSet
		if truncated := res.Returnval.Truncated; len(page) != want || (truncated != nil && *truncated) != (want == 100) {
			t.Fatal(len(page), truncated)
		}
		for _, object := range page {
			if object.Kind == types.ObjectUpdateKindEnter {
				told[object.Obj]++
			}
		}
		version = res.Returnval.Version
	}
	for _, task := range tasks {
		if told[task] != 1 {
			t.Errorf("%s: told %d times", task, told[task])
		}
	}

	f.Admin("POST", "/release", simtest.JSON{"vm": ""}, nil)
	for ended := 0; ended < n; {
		res, err := methods.WaitForUpdatesEx(f.Ctx, f.Client, &types.WaitForUpdatesEx{This: f.own.Reference(), Version: version})
		if err != nil {
			t.Fatal(err)
		}
		version = res.Returnval.Version
		for _, object := range res.Returnval.FilterSet[0].ObjectSet {
			for _, change := range object.ChangeSet {
				if change.Val == types.TaskInfoStateSuccess {
					ended++
				}
			}
		}
	}
}

func (f *fleet) create(i int) (task types.ManagedObjectReference, err error) {
	res, err := methods.CreateSnapshot_Task(f.Ctx, f.Client, &types.CreateSnapshot_Task{This: f.machines[i], Name: "a"})
	if err == nil {
		task = res.Returnval
	}
	return task, err
}

func (f *fleet) revert(snapshot types.AnyType) (task types.ManagedObjectReference, err error) {
	this, ok := snapshot.(types.ManagedObjectReference)
	if !ok {
		return task, fmt.Errorf("not a snapshot: %v", snapshot)
	}
	res, err := methods.RevertToSnapshot_Task(f.Ctx, f.Client, &types.RevertToSnapshot_Task{This: this})
	if err == nil {
		task = res.Returnval
	}
	return task, err
}

// read is one call for what the provider wants to know of every machine.
func (f *fleet) read() []types.ObjectContent {
	f.Helper()
	var objects []types.ObjectSpec
	for _, ref := range f.machines {
		objects = append(objects, types.ObjectSpec{Obj: ref, SelectSet: []types.BaseSelectionSpec{
			&types.TraversalSpec{Type: "VirtualMachine", Path: "recentTask"},
			&types.TraversalSpec{Type: "VirtualMachine", Path: "datastore"},
		}})
	}
	res, err := methods.RetrievePropertiesEx(f.Ctx, f.Client, &types.RetrievePropertiesEx{
		This: f.Client.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			ObjectSet:                     objects,
			ReportMissingObjectsInResults: types.NewBool(true),
			PropSet: []types.PropertySpec{
				{Type: "VirtualMachine", PathSet: []string{
					"name", "parent", "parentVApp", "snapshot", "layoutEx", "recentTask", "disabledMethod", "datastore",
					"config.instanceUuid", "config.template", "config.flags.snapshotDisabled", "config.flags.snapshotLocked",
					"config.files.snapshotDirectory", "config.hardware.numCPU", "config.hardware.numCoresPerSocket",
					"config.hardware.memoryMB", "config.hardware.device", "config.version", "config.guestId",
					"config.annotation", "runtime.powerState", "runtime.faultToleranceState",
					"runtime.consolidationNeeded", "guest.toolsRunningStatus", "guest.toolsStatus",
					"capability.snapshotOperationsSupported", "capability.multipleSnapshotsSupported",
				}},
				{Type: "Task", PathSet: []string{
					"info.state", "info.descriptionId", "info.activationId", "info.queueTime", "info.completeTime",
				}},
				{Type: "Datastore", PathSet: []string{"name", "summary.freeSpace"}},
			},
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	return res.Returnval.Objects
}
