package vm_test

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// A snapshot removed without its children leaves them to its parent.
func TestRemoveMovesChildrenUp(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	b := e.Create(vm, "b", false, false)
	c := e.Create(vm, "c", false, false)
	e.Remove(b, false, nil)
	if got := e.Tree(vm); got != "a(c*)" {
		t.Fatal(got)
	}
	var parent mo.VirtualMachineSnapshot
	if err := vm.Properties(e.Ctx, a, []string{"childSnapshot", "vm"}, &parent); err != nil {
		t.Fatal(err)
	}
	if len(parent.ChildSnapshot) != 1 || parent.ChildSnapshot[0] != c || parent.Vm != vm.Reference() {
		t.Fatal(parent.ChildSnapshot, parent.Vm)
	}
}

// The current pointer moves to the parent of what is removed, and is unset where
// there is none; the next create works in each case.
func TestRemoveMovesCurrent(t *testing.T) {
	for name, c := range map[string]struct {
		remove   int
		children bool
		want     string
		then     string
	}{
		"current leaf":                {2, false, "a(b*)", "a(b(x*))"},
		"current with its ancestor":   {1, true, "a*", "a(x*)"},
		"whole tree":                  {0, true, "none", "x*"},
		"root without children of it": {0, false, "b(c*)", "b(c(x*))"},
	} {
		t.Run(name, func(t *testing.T) {
			e := simtest.New(t)
			vm := e.VM("web-1")
			var all []types.ManagedObjectReference
			for _, name := range []string{"a", "b", "c"} {
				all = append(all, e.Create(vm, name, false, false))
			}
			e.Remove(all[c.remove], c.children, nil)
			if got := e.Tree(vm); got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			e.Create(vm, "x", false, false)
			if got := e.Tree(vm); got != c.then {
				t.Fatalf("%s, want %s", got, c.then)
			}
		})
	}
}

// The current root can go while another root stays.
func TestRemoveCurrentRootBesideAnother(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	e.Create(vm, "b", false, false)
	e.Create(vm, "c", false, false)
	e.Revert(a, false)
	e.Remove(a, false, nil)
	if got := e.Tree(vm); got != "b(c)" {
		t.Fatal(got)
	}
	e.Create(vm, "d", false, false)
	if got := e.Tree(vm); got != "b(c) d*" {
		t.Fatal(got)
	}
}

// RemoveAllSnapshots leaves nothing, and does nothing where nothing is.
func TestRemoveAll(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	e.Create(vm, "b", false, false)
	for range 2 {
		e.Done(vm.RemoveAllSnapshot(e.Ctx, nil))
		if got := e.Read(vm, "snapshot", "rootSnapshot"); got.Snapshot != nil || len(got.RootSnapshot) != 0 {
			t.Fatal(got.Snapshot, got.RootSnapshot)
		}
	}
	_, err := methods.RenameSnapshot(e.Ctx, e.Client, &types.RenameSnapshot{This: a, Name: "x"})
	if _, ok := simtest.FaultOf(err).(types.ManagedObjectNotFound); !ok {
		t.Fatal(err)
	}
}

// Name and description change each for itself; an id is never given twice.
func TestRenameAndIDs(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	rename := func(name, description string) types.VirtualMachineSnapshotTree {
		req := &types.RenameSnapshot{This: a, Name: name, Description: description}
		if _, err := methods.RenameSnapshot(e.Ctx, e.Client, req); err != nil {
			t.Fatal(err)
		}
		return e.Read(vm, "snapshot").Snapshot.RootSnapshotList[0]
	}
	if n := rename("b", ""); n.Name != "b" || n.Description != "of a" {
		t.Fatal(n.Name, n.Description)
	}
	if n := rename("", "new"); n.Name != "b" || n.Description != "new" {
		t.Fatal(n.Name, n.Description)
	}
	e.Remove(a, false, nil)
	e.Create(vm, "c", false, false)
	if id := e.Read(vm, "snapshot").Snapshot.RootSnapshotList[0].Id; id != 2 {
		t.Fatal(id)
	}
}

// A removal that can't merge the disks takes the snapshot off the list, fails, and leaves
// a machine that needs consolidation; once nobody holds the file that works.
func TestRemoveWhileAFileIsHeld(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	file := "[LocalDS_0] web-1/disk1.vmdk"
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "diskLocked": file}, nil)
	res, err := methods.RemoveSnapshot_Task(e.Ctx, e.Client, &types.RemoveSnapshot_Task{This: a})
	if err != nil {
		t.Fatal(err)
	}
	info := e.Info(object.NewTask(e.Client.Client, res.Returnval))
	if info.Error == nil {
		t.Fatal("the removal succeeded")
	}
	if locked, ok := info.Error.Fault.(*types.FileLocked); !ok || locked.File != file {
		t.Fatalf("%#v", info.Error.Fault)
	}
	needed := func() bool { return e.Read(vm, "runtime").Runtime.ConsolidationNeeded }
	if got := e.Tree(vm); got != "none" || !needed() {
		t.Fatal(got, needed())
	}
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "diskLocked": ""}, nil)
	done, err := methods.ConsolidateVMDisks_Task(e.Ctx, e.Client, &types.ConsolidateVMDisks_Task{This: vm.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	e.Done(object.NewTask(e.Client.Client, done.Returnval), nil)
	if needed() {
		t.Fatal("still needed")
	}
}
