package admin_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/simtest"
	"vmsnapshot/simulator/internal/task"
	"vmsnapshot/simulator/internal/vm"
)

func take(e *simtest.Env, vm *object.VirtualMachine) error {
	started, err := vm.CreateSnapshot(e.Ctx, "a", "", false, false)
	if err != nil {
		return err
	}
	return started.Wait(e.Ctx)
}

// Calls are counted by method.
func TestCalls(t *testing.T) {
	e := simtest.New(t)
	e.Admin("POST", "/calls/reset", nil, nil)
	vm := e.VM("web-1")
	for range 3 {
		e.Create(vm, "a", false, false)
	}
	var calls struct {
		Total   int
		Methods map[string]int
	}
	e.Admin("GET", "/calls", nil, &calls)
	if calls.Methods["CreateSnapshot_Task"] != 3 || calls.Total <= 3 {
		t.Fatal(calls)
	}
}

// A fault is raised where, for which machine and how often it was asked for.
func TestFaults(t *testing.T) {
	e := simtest.New(t)
	one, two := e.VM("web-1"), e.VM("web-2")
	for _, where := range []string{"call", "task"} {
		e.Admin("POST", "/faults", simtest.JSON{
			"method": "CreateSnapshot_Task", "vm": "web-1", "fault": "GenericVmConfigFault",
			"where": where, "times": 1, "message": "as asked",
		}, nil)
		e.Create(two, "a", false, false)
		err := take(e, one)
		if err == nil || !strings.Contains(err.Error(), "as asked") {
			t.Errorf("%s: %v", where, err)
		}
		switch f := simtest.FaultOf(err).(type) {
		case types.GenericVmConfigFault, *types.GenericVmConfigFault:
		default:
			t.Errorf("%s: %T", where, f)
		}
		if err := take(e, one); err != nil {
			t.Errorf("%s, second time: %v", where, err)
		}
	}
	if got := e.Tree(one); got != "a(a*)" {
		t.Error(got)
	}
	e.Admin("POST", "/faults", simtest.JSON{"fault": "HostCommunication"}, nil)
	if err := take(e, one); err == nil {
		t.Error("no fault")
	}
	e.Admin("DELETE", "/faults", nil, nil)
	if err := take(e, one); err != nil {
		t.Error(err)
	}
}

// What can't be meant is refused.
func TestBadRequests(t *testing.T) {
	e := simtest.New(t)
	for path, body := range map[string]simtest.JSON{
		"/faults":  {"fault": "NoSuchFault"},
		"/faults?": {"fault": "NoPermission", "property": "name"},
		"/drop":    {"when": "sometimes"},
		"/delays":  {"ms": -1},
		"/vm":      {"vm": "web-1", "tols": "running"},
		"/hold":    {"VirtualMachine": "web-1"},
	} {
		if status := e.AdminStatus("POST", path, body, nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status := e.AdminStatus("POST", "/vm", simtest.JSON{"vm": "nobody", "tools": "running"}, nil); status != http.StatusBadRequest {
		t.Error(status)
	}
}

// A dropped connection leaves no effect before the call, and one after it.
func TestDrop(t *testing.T) {
	for when, effects := range map[string]int{"before": 0, "after": 1} {
		t.Run(when, func(t *testing.T) {
			e := simtest.New(t)
			machine := e.VM("web-1")
			e.Admin("POST", "/drop", simtest.JSON{"method": "CreateSnapshot_Task", "when": when, "times": 1}, nil)
			_, err := machine.CreateSnapshot(e.Ctx, "a", "", false, false)
			var failed *url.Error
			if !errors.As(err, &failed) || !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			var deeds []vm.Deed
			e.Admin("GET", "/history?vm=web-1", nil, &deeds)
			if len(deeds) != effects {
				t.Fatal(deeds)
			}
		})
	}
}

// onSnapshot are the calls whose target is a snapshot, not the machine.
var onSnapshot = map[string]func(*simtest.Env, types.ManagedObjectReference) (*object.Task, error){
	"RevertToSnapshot_Task": func(e *simtest.Env, this types.ManagedObjectReference) (*object.Task, error) {
		res, err := methods.RevertToSnapshot_Task(e.Ctx, e.Client, &types.RevertToSnapshot_Task{This: this})
		if err != nil {
			return nil, err
		}
		return object.NewTask(e.Client.Client, res.Returnval), nil
	},
	"RemoveSnapshot_Task": func(e *simtest.Env, this types.ManagedObjectReference) (*object.Task, error) {
		res, err := methods.RemoveSnapshot_Task(e.Ctx, e.Client, &types.RemoveSnapshot_Task{This: this})
		if err != nil {
			return nil, err
		}
		return object.NewTask(e.Client.Client, res.Returnval), nil
	},
}

// A fault for one machine meets the calls on its snapshots too, and no other machine's.
func TestFaultsOnSnapshots(t *testing.T) {
	for method, start := range onSnapshot {
		for _, where := range []string{"call", "task"} {
			t.Run(method+" "+where, func(t *testing.T) {
				e := simtest.New(t)
				a, b := e.Create(e.VM("web-1"), "a", false, false), e.Create(e.VM("web-2"), "b", false, false)
				e.Admin("POST", "/faults", simtest.JSON{
					"method": method, "vm": "web-2", "fault": "GenericVmConfigFault", "where": where, "times": 1,
				}, nil)
				attempt := func(snapshot types.ManagedObjectReference) error {
					task, err := start(e, snapshot)
					if err == nil {
						err = task.Wait(e.Ctx)
					} else if where == "task" {
						t.Error("the call failed:", err)
					}
					return err
				}
				if err := attempt(a); err != nil {
					t.Error("the other machine:", err)
				}
				switch f := simtest.FaultOf(attempt(b)).(type) {
				case types.GenericVmConfigFault, *types.GenericVmConfigFault:
				default:
					t.Errorf("%T", f)
				}
				if err := attempt(b); err != nil {
					t.Error("second time:", err)
				}
			})
		}
	}
}

// A drop for one machine meets the calls on its snapshots too.
func TestDropOnSnapshots(t *testing.T) {
	for method, start := range onSnapshot {
		for when, effects := range map[string]int{"before": 0, "after": 1} {
			t.Run(method+" "+when, func(t *testing.T) {
				e := simtest.New(t)
				e.Admin("POST", "/task-duration", simtest.JSON{"ms": 0}, nil)
				a, b := e.Create(e.VM("web-1"), "a", false, false), e.Create(e.VM("web-2"), "b", false, false)
				e.Admin("POST", "/drop", simtest.JSON{"method": method, "vm": "web-2", "when": when, "times": 1}, nil)
				e.Done(start(e, a))
				_, err := start(e, b)
				var failed *url.Error
				if !errors.As(err, &failed) || !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
				var deeds []vm.Deed
				e.Admin("GET", "/history?vm=web-2", nil, &deeds)
				if len(deeds) != 1+effects {
					t.Fatal(deeds)
				}
			})
		}
	}
}

// A read tells nothing of one machine, and all of the others: whole, for a certain
// property, or as if it were gone; as often as asked.
func TestUnreadable(t *testing.T) {
	e := simtest.New(t)
	one, two := e.VM("web-1"), e.VM("web-2")
	snapshot := e.Create(one, "a", false, false)
	read := func(properties ...string) map[types.ManagedObjectReference]types.ObjectContent {
		res, err := methods.RetrievePropertiesEx(e.Ctx, e.Client, &types.RetrievePropertiesEx{
			This: e.Client.ServiceContent.PropertyCollector,
			SpecSet: []types.PropertyFilterSpec{{
				PropSet: []types.PropertySpec{
					{Type: "VirtualMachine", PathSet: properties},
					{Type: "VirtualMachineSnapshot", PathSet: []string{"config.version"}},
				},
				ObjectSet:                     []types.ObjectSpec{{Obj: one.Reference()}, {Obj: two.Reference()}, {Obj: snapshot}},
				ReportMissingObjectsInResults: types.NewBool(true),
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		objects := map[types.ManagedObjectReference]types.ObjectContent{}
		for _, object := range res.Returnval.Objects {
			objects[object.Obj] = object
		}
		if len(objects[two.Reference()].MissingSet) != 0 || len(objects[two.Reference()].PropSet) == 0 {
			t.Error("the other machine:", objects[two.Reference()])
		}
		return objects
	}
	denied := func(object types.ObjectContent, properties int) bool {
		if len(object.PropSet) != 0 || len(object.MissingSet) != properties {
			return false
		}
		f, ok := object.MissingSet[0].Fault.Fault.(*types.NoPermission)
		return ok && f.PrivilegeId == "System.Read" && f.Object != nil && *f.Object == object.Obj
	}

	// parentVApp isn't set: that it can't be read must show all the same.
	e.Admin("POST", "/faults", simtest.JSON{"vm": "web-1", "fault": "NoPermission", "where": "read", "times": 1}, nil)
	objects := read("name", "parentVApp")
	if !denied(objects[one.Reference()], 2) || !denied(objects[snapshot], 1) {
		t.Error(objects[one.Reference()], objects[snapshot])
	}
	if again := read("name", "parentVApp")[one.Reference()]; len(again.MissingSet) != 0 {
		t.Error("second time:", again)
	}

	e.Admin("POST", "/faults", simtest.JSON{
		"vm": "web-1", "fault": "NoPermission", "where": "read", "property": "runtime.powerState",
	}, nil)
	if object := read("name")[one.Reference()]; len(object.MissingSet) != 0 {
		t.Error("another property:", object)
	}
	objects = read("name", "runtime.powerState")
	if !denied(objects[one.Reference()], 2) || len(objects[snapshot].PropSet) != 1 {
		t.Error(objects[one.Reference()], objects[snapshot])
	}
	e.Admin("DELETE", "/faults", nil, nil)

	e.Admin("POST", "/faults", simtest.JSON{"vm": "web-1", "fault": "ManagedObjectNotFound", "where": "read"}, nil)
	if objects = read("name"); len(objects) != 1 {
		t.Error(objects)
	}
	_, err := one.PowerState(e.Ctx)
	if _, ok := simtest.FaultOf(err).(types.ManagedObjectNotFound); !ok {
		t.Error(err)
	}
}

// A machine of the VM Service is told by its manager, an ordinary machine has none.
func TestVMService(t *testing.T) {
	e := simtest.New(t)
	machine := e.VM("web-1")
	read := func() []types.DynamicProperty {
		res, err := methods.RetrieveProperties(e.Ctx, e.Client, &types.RetrieveProperties{
			This: e.Client.ServiceContent.PropertyCollector,
			SpecSet: []types.PropertyFilterSpec{{
				PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"config.managedBy.extensionKey"}}},
				ObjectSet: []types.ObjectSpec{{Obj: machine.Reference()}},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return res.Returnval[0].PropSet
	}
	if got := read(); len(got) != 0 {
		t.Error(got)
	}
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "vmService": true}, nil)
	if got := read(); len(got) != 1 || got[0].Val != "com.vmware.vcenter.wcp" {
		t.Error(got)
	}
	if by := e.Read(machine, "config.managedBy").Config.ManagedBy; by == nil || by.Type != "VirtualMachine" {
		t.Error(by)
	}
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "vmService": false}, nil)
	if got := read(); len(got) != 0 {
		t.Error(got)
	}
}

// Ended sessions raise NotAuthenticated until a new login.
func TestExpireSessions(t *testing.T) {
	e := simtest.New(t)
	machine := e.VM("web-1")
	e.Admin("POST", "/expire-sessions", nil, nil)
	_, call := machine.CreateSnapshot(e.Ctx, "a", "", false, false)
	_, read := machine.ObjectName(e.Ctx)
	for _, err := range []error{call, read} {
		if _, ok := simtest.FaultOf(err).(types.NotAuthenticated); !ok {
			t.Errorf("%v", err)
		}
	}
	if err := session.NewManager(e.Client.Client).Login(e.Ctx, url.UserPassword("user", "pass")); err != nil {
		t.Fatal(err)
	}
	e.Create(machine, "a", false, false)
}

// Held tasks run until they are released.
func TestHold(t *testing.T) {
	e := simtest.New(t)
	machine := e.VM("web-1")
	e.Admin("POST", "/hold", simtest.JSON{"vm": "web-1"}, nil)
	started, err := machine.CreateSnapshot(e.Ctx, "a", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	var running []task.State
	e.Admin("GET", "/tasks", nil, &running)
	if len(running) != 1 || running[0].VM != "web-1" || running[0].Method != "CreateSnapshot_Task" ||
		running[0].Task != started.Reference().Value {
		t.Fatal(running)
	}
	e.Admin("POST", "/release", simtest.JSON{"vm": "web-1"}, nil)
	e.Done(started, nil)
}

// Delays and the duration of tasks can be set.
func TestTime(t *testing.T) {
	e := simtest.New(t)
	machine := e.VM("web-1")
	begin := time.Now()
	e.Admin("POST", "/delays", simtest.JSON{"method": "CreateSnapshot_Task", "ms": 200, "times": 1}, nil)
	e.Create(machine, "a", false, false)
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Error(took)
	}
	begin = time.Now()
	e.Admin("POST", "/task-duration", simtest.JSON{"ms": 300}, nil)
	e.Create(machine, "b", false, false)
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Error(took)
	}
}

// The history lists each effect once.
func TestHistory(t *testing.T) {
	e := simtest.New(t)
	machine := e.VM("web-1")
	a := e.Create(machine, "a", false, false)
	e.Revert(a, false)
	e.Remove(a, false, nil)
	e.Create(e.VM("web-2"), "b", false, false)
	var deeds []vm.Deed
	e.Admin("GET", "/history?vm=web-1", nil, &deeds)
	ops := ""
	for _, deed := range deeds {
		ops += deed.Op + " " + deed.Name + " " + deed.Snapshot + "; "
	}
	if v := a.Value; ops != "create a "+v+"; revert a "+v+"; remove a "+v+"; " {
		t.Fatal(ops)
	}
}

// The plain simulator is upstream's, with calls counted.
func TestPlain(t *testing.T) {
	e := simtest.New(t, func(c *sim.Config) { c.Plain = true })
	machine := e.VM("web-1")
	e.Create(machine, "a", false, false)
	var calls struct{ Methods map[string]int }
	e.Admin("GET", "/calls", nil, &calls)
	if calls.Methods["CreateSnapshot_Task"] != 1 {
		t.Fatal(calls)
	}
	if status := e.AdminStatus("POST", "/vm", simtest.JSON{"vm": "web-1"}, nil); status != http.StatusNotFound {
		t.Fatal(status)
	}
	if status := e.AdminStatus("POST", "/faults", simtest.JSON{"fault": "NoPermission", "where": "read"}, nil); status != http.StatusBadRequest {
		t.Fatal(status)
	}
	if err := take(e, machine); err != nil {
		t.Fatal(err)
	}
}
