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
		"/faults": {"fault": "NoSuchFault"},
		"/drop":   {"when": "sometimes"},
		"/delays": {"ms": -1},
		"/vm":     {"vm": "web-1", "tols": "running"},
		"/hold":   {"VirtualMachine": "web-1"},
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
	if err := take(e, machine); err != nil {
		t.Fatal(err)
	}
}
