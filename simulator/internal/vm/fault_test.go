package vm_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// kind is the name of the fault that a create ends with, in the call or in the task,
// or "" for success.
func kind(e *simtest.Env, vm *object.VirtualMachine, name string, memory, quiesce bool) string {
	task, err := vm.CreateSnapshot(e.Ctx, name, "", memory, quiesce)
	if err == nil {
		_, err = task.WaitForResult(e.Ctx)
	}
	if err == nil {
		return ""
	}
	v := reflect.Indirect(reflect.ValueOf(simtest.FaultOf(err)))
	return v.Type().Name()
}

// Each thing that vSphere refuses is refused with vSphere's fault.
func TestCreateFaults(t *testing.T) {
	for name, c := range map[string]struct {
		settings        simtest.JSON
		off             bool
		snapshot        string
		memory, quiesce bool
		want            string
	}{
		"empty name":                            {want: "InvalidName"},
		"name of 80 characters":                 {snapshot: strings.Repeat("ä", 80)},
		"name of 81 characters":                 {snapshot: strings.Repeat("ä", 81), want: "InvalidName"},
		"quiesce with Tools":                    {snapshot: "a", quiesce: true},
		"quiesce and memory":                    {snapshot: "a", quiesce: true, memory: true},
		"quiesce, Tools not running":            {settings: simtest.JSON{"tools": "notRunning"}, snapshot: "a", quiesce: true, want: "ApplicationQuiesceFault"},
		"quiesce, Tools not installed":          {settings: simtest.JSON{"tools": "notInstalled"}, snapshot: "a", quiesce: true, want: "ApplicationQuiesceFault"},
		"quiesce, powered off":                  {settings: simtest.JSON{"tools": "notRunning"}, off: true, snapshot: "a", quiesce: true},
		"memory, independent disk":              {settings: simtest.JSON{"independentDisk": true}, snapshot: "a", memory: true, want: "MemorySnapshotOnIndependentDisk"},
		"memory, independent disk, powered off": {settings: simtest.JSON{"independentDisk": true}, off: true, snapshot: "a", memory: true},
		"no memory, independent disk":           {settings: simtest.JSON{"independentDisk": true}, snapshot: "a"},
		"snapshots disabled":                    {settings: simtest.JSON{"snapshotDisabled": true}, snapshot: "a", want: "SnapshotDisabled"},
		"snapshots locked":                      {settings: simtest.JSON{"snapshotLocked": true}, snapshot: "a", want: "SnapshotLocked"},
		"method disabled":                       {settings: simtest.JSON{"disabledMethods": []string{"CreateSnapshot_Task"}}, snapshot: "a", want: "MethodDisabled"},
		"another method disabled":               {settings: simtest.JSON{"disabledMethods": []string{"RemoveAllSnapshots_Task"}}, snapshot: "a"},
		"template":                              {settings: simtest.JSON{"template": true}, off: true, snapshot: "a", want: "NotSupported"},
		"fault tolerance":                       {settings: simtest.JSON{"faultTolerance": true}, snapshot: "a", want: "NotSupported"},
		"placeholder":                           {settings: simtest.JSON{"placeholder": true}, off: true, snapshot: "a", want: "MethodDisabled"},
		"disconnected":                          {settings: simtest.JSON{"connected": false}, snapshot: "a", want: "MethodDisabled"},
	} {
		t.Run(name, func(t *testing.T) {
			e := simtest.New(t)
			vm := e.VM("web-1")
			if c.off {
				e.Done(vm.PowerOff(e.Ctx))
			}
			if c.settings != nil {
				c.settings["vm"] = "web-1"
				e.Admin("POST", "/vm", c.settings, nil)
			}
			if got := kind(e, vm, c.snapshot, c.memory, c.quiesce); got != c.want {
				t.Fatalf("%q, want %q", got, c.want)
			}
			if snapshot := e.Read(vm, "snapshot").Snapshot; (snapshot == nil) != (c.want != "") {
				t.Fatal("an effect, or none", snapshot)
			}
		})
	}
}

// A snapshot is quiesced only if Tools really could.
func TestQuiesced(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	e.Create(vm, "on", false, true)
	e.Done(vm.PowerOff(e.Ctx))
	e.Create(vm, "off", false, true)
	root := e.Read(vm, "snapshot").Snapshot.RootSnapshotList[0]
	if !root.Quiesced || root.ChildSnapshotList[0].Quiesced {
		t.Fatal(root.Quiesced, root.ChildSnapshotList[0].Quiesced)
	}
}

// The 33rd snapshot in a chain is refused; beside the chain there is room.
func TestTooManyLevels(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	first := e.Create(vm, "1", false, false)
	for i := 2; i <= 32; i++ {
		e.Create(vm, fmt.Sprint(i), false, false)
	}
	if got := kind(e, vm, "33", false, false); got != "TooManySnapshotLevels" {
		t.Fatal(got)
	}
	e.Revert(first, false)
	e.Create(vm, "beside", false, false)
}

// A locked tree can't be cut down either; a revert doesn't change it.
func TestLocked(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "snapshotLocked": true}, nil)
	e.Revert(a, false)
	task, err := vm.RemoveAllSnapshot(e.Ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Info(task).Error.Fault.(*types.SnapshotLocked); !ok {
		t.Fatal(e.Info(task).Error)
	}
	if got := e.Tree(vm); got != "a*" {
		t.Fatal(got)
	}
}

// One task at a time: others are refused and told which one is in the way.
func TestTaskInProgress(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	e.Admin("POST", "/hold", simtest.JSON{"vm": "web-1"}, nil)
	running, err := vm.CreateSnapshot(e.Ctx, "b", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"create":      func() error { _, err := vm.CreateSnapshot(e.Ctx, "c", "", false, false); return err },
		"power off":   func() error { _, err := vm.PowerOff(e.Ctx); return err },
		"remove all":  func() error { _, err := vm.RemoveAllSnapshot(e.Ctx, nil); return err },
		"reconfigure": func() error { _, err := vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{NumCPUs: 1}); return err },
		"revert": func() error {
			_, err := methods.RevertToSnapshot_Task(e.Ctx, e.Client, &types.RevertToSnapshot_Task{This: a})
			return err
		},
		"rename": func() error {
			_, err := methods.RenameSnapshot(e.Ctx, e.Client, &types.RenameSnapshot{This: a, Name: "c"})
			return err
		},
	} {
		err := call()
		if busy, ok := simtest.FaultOf(err).(types.TaskInProgress); !ok || busy.Task != running.Reference() {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another machine is free.
	e.Create(e.VM("web-2"), "x", false, false)
	e.Admin("POST", "/release", simtest.JSON{"vm": "web-1"}, nil)
	e.Done(running, nil)
	if got := e.Tree(vm); got != "a(b*)" {
		t.Fatal(got)
	}
}

// A read-only user sees everything and changes nothing.
func TestReadOnly(t *testing.T) {
	e := simtest.New(t)
	a := e.Create(e.VM("web-1"), "a", false, false)
	reader := e.Login("reader", "reads")
	vm := e.VM("web-1", reader)
	if got := e.Tree(vm); got != "a*" {
		t.Fatal(got)
	}
	_, create := vm.CreateSnapshot(e.Ctx, "b", "", false, false)
	_, remove := methods.RemoveSnapshot_Task(e.Ctx, reader, &types.RemoveSnapshot_Task{This: a})
	_, off := vm.PowerOff(e.Ctx)
	for privilege, err := range map[string]error{
		"VirtualMachine.State.CreateSnapshot": create,
		"VirtualMachine.State.RemoveSnapshot": remove,
		"VirtualMachine.Interact.PowerOff":    off,
	} {
		f, ok := simtest.FaultOf(err).(types.NoPermission)
		if !ok || f.PrivilegeId != privilege || !strings.Contains(err.Error(), "Permission") {
			t.Errorf("%v: %+v", err, f)
		}
	}
}

// A template lists no revert and no removal among its disabled methods once it has a
// snapshot, as recorded; the method that new clients call is in no list.
func TestDisabledOfTemplates(t *testing.T) {
	e := simtest.New(t)
	for name, taken := range map[string]bool{"web-1": false, "web-2": true} {
		vm := e.VM(name)
		e.Done(vm.PowerOff(e.Ctx))
		if taken {
			e.Create(vm, "a", false, false)
		}
		e.Admin("POST", "/vm", simtest.JSON{"vm": name, "template": true}, nil)
		listed := e.Read(vm, "disabledMethod").DisabledMethod
		for method, want := range map[string]bool{
			"CreateSnapshot_Task": true, "CreateSnapshotEx_Task": false, "ReconfigVM_Task": true,
			"RevertToCurrentSnapshot_Task": !taken, "RemoveAllSnapshots_Task": !taken,
		} {
			if slices.Contains(listed, method) != want {
				t.Error(name, method, listed)
			}
		}
	}
}

// A machine with an NVDIMM is snapshotted once it is set what a revert does to that.
func TestCreateWithNVDIMM(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	reconfigure := func(spec types.VirtualMachineConfigSpec) { e.Done(vm.Reconfigure(e.Ctx, spec)) }
	reconfigure(types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationAdd,
			Device:    &types.VirtualNVDIMM{CapacityInMB: 1024},
		},
	}})
	if got := kind(e, vm, "a", false, false); got != "SnapshotIncompatibleDeviceInVm" {
		t.Fatalf("%q", got)
	}
	mode := string(types.VirtualMachineVirtualPMemSnapshotModeIndependent_eraseonrevert)
	reconfigure(types.VirtualMachineConfigSpec{Pmem: &types.VirtualMachineVirtualPMem{SnapshotMode: mode}})
	if got := kind(e, vm, "a", false, false); got != "" {
		t.Fatalf("%q", got)
	}
}
