package vm_test

import (
	"testing"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// A machine that is registered anew has new ids, for itself and its snapshots, and all
// else as it was; its snapshots still work.
func TestReregister(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", true, false)
	b := e.Create(vm, "b", false, false)
	before := e.Read(vm, "config.instanceUuid", "snapshot")
	e.Admin("POST", "/reregister", map[string]string{"vm": "web-1"}, nil)

	again := e.VM("web-1")
	if again.Reference() == vm.Reference() {
		t.Error("the id is the same")
	}
	after := e.Read(again, "config.instanceUuid", "snapshot", "layoutEx", "resourcePool", "runtime.host")
	if after.Config.InstanceUuid != before.Config.InstanceUuid {
		t.Error("the instance UUID is another")
	}
	root, was := after.Snapshot.RootSnapshotList[0], before.Snapshot.RootSnapshotList[0]
	if root.Name != "a" || !root.CreateTime.Equal(was.CreateTime) || root.Snapshot == a || root.Vm != again.Reference() {
		t.Errorf("%+v was %+v", root, was)
	}
	child := root.ChildSnapshotList[0]
	if child.Name != "b" || child.Snapshot == b || *after.Snapshot.CurrentSnapshot != child.Snapshot {
		t.Errorf("%+v; current %v", child, after.Snapshot.CurrentSnapshot)
	}
	if after.LayoutEx.Snapshot[0].Key != root.Snapshot || after.LayoutEx.Snapshot[0].MemoryKey < 0 {
		t.Errorf("%+v", after.LayoutEx.Snapshot)
	}
	var gone mo.VirtualMachine
	if err := vm.Properties(e.Ctx, vm.Reference(), []string{"name"}, &gone); err == nil {
		t.Error("the old id is still there")
	}
	e.Revert(root.Snapshot, false)
	if got := e.Read(again, "snapshot"); *got.Snapshot.CurrentSnapshot != root.Snapshot {
		t.Error("the revert went elsewhere")
	}
}

// After a restore each snapshot has another's id.
func TestRestore(t *testing.T) {
	e := simtest.New(t)
	one, two := e.VM("web-1"), e.VM("web-2")
	a, b := e.Create(one, "a", false, false), e.Create(two, "b", false, false)
	e.Admin("POST", "/restore", struct{}{}, nil)
	for _, c := range []struct {
		name string
		id   types.ManagedObjectReference
	}{{"web-1", b}, {"web-2", a}} {
		vm := e.VM(c.name)
		if got := e.Read(vm, "snapshot").Snapshot; got.RootSnapshotList[0].Snapshot != c.id || *got.CurrentSnapshot != c.id {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	e.Revert(a, false)
}
