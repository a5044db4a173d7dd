package task_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/vmware/govmomi/history"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/simtest"
)

func slow(d time.Duration) func(*sim.Config) {
	return func(c *sim.Config) { c.TaskDuration = d }
}

// A task's info says who does what to which machine, and when.
func TestInfo(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	ctx := context.WithValue(e.Ctx, types.ID{}, "create-1")
	created, err := vm.CreateSnapshot(ctx, "a", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	info := e.Info(created)
	reason, ok := info.Reason.(*types.TaskReasonUser)
	if !ok || reason.UserName != "user" || info.Name != "CreateSnapshot_Task" ||
		info.DescriptionId != "VirtualMachine.createSnapshot" || info.EntityName != "web-1" ||
		info.StartTime == nil || info.CompleteTime == nil || info.State != types.TaskInfoStateSuccess {
		t.Errorf("%+v", info)
	}
	if _, ok := info.Result.(types.ManagedObjectReference); !ok {
		t.Error(info.Result)
	}
	renamed, err := vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{Annotation: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if info := e.Info(renamed); info.Name != "ReconfigVM_Task" || info.EntityName != "web-1" {
		t.Errorf("%+v", info)
	}
	if recent := e.Read(vm, "recentTask").RecentTask; !slices.Contains(recent, created.Reference()) {
		t.Error(recent)
	}
}

// Progress goes up to 100 in several steps, and is seen through a property filter.
func TestProgress(t *testing.T) {
	e := simtest.New(t, slow(200*time.Millisecond))
	running, err := e.VM("web-1").CreateSnapshot(e.Ctx, "a", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	var seen []int32
	err = property.Wait(e.Ctx, property.DefaultCollector(e.Client.Client), running.Reference(), []string{"info"},
		func(changes []types.PropertyChange) bool {
			info := changes[0].Val.(types.TaskInfo)
			seen = append(seen, info.Progress)
			return info.State == types.TaskInfoStateSuccess
		})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 4 || !slices.IsSorted(seen) || seen[len(seen)-1] != 100 {
		t.Fatal(seen)
	}
}

// A cancelled task has no effect.
func TestCancel(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	e.Admin("POST", "/hold", simtest.JSON{"vm": ""}, nil)
	running, err := vm.CreateSnapshot(e.Ctx, "a", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Cancel(e.Ctx); err != nil {
		t.Fatal(err)
	}
	_, err = running.WaitForResult(e.Ctx)
	var failed task.Error
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if _, ok := failed.Fault().(*types.RequestCanceled); !ok {
		t.Fatal(failed.Fault())
	}
	if got := e.Tree(vm); got != "none" {
		t.Fatal(got)
	}
	if _, ok := simtest.FaultOf(running.Cancel(e.Ctx)).(types.InvalidState); !ok {
		t.Fatal("a task that is over was cancelled")
	}
	// A revert can't be stopped half way.
	e.Admin("POST", "/release", simtest.JSON{"vm": ""}, nil)
	e.Create(vm, "b", false, false)
	e.Admin("POST", "/hold", simtest.JSON{"vm": "web-1"}, nil)
	revert, err := vm.RevertToCurrentSnapshot(e.Ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := simtest.FaultOf(revert.Cancel(e.Ctx)).(types.NotSupported); !ok {
		t.Fatal("a revert was cancelled")
	}
	e.Admin("POST", "/release", simtest.JSON{"vm": "web-1"}, nil)
	e.Done(revert, nil)
}

// A client that goes away leaves a task that completes.
func TestClientGone(t *testing.T) {
	e := simtest.New(t, slow(50*time.Millisecond))
	other := e.Login("user", "pass")
	if _, err := e.VM("web-1", other).CreateSnapshot(e.Ctx, "a", "", false, false); err != nil {
		t.Fatal(err)
	}
	if err := other.Logout(e.Ctx); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for e.Tree(e.VM("web-1")) != "a*" {
		if time.Now().After(deadline) {
			t.Fatal("the snapshot never came")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A history collector finds a task by entity and by activation id, from the oldest on.
func TestHistory(t *testing.T) {
	e := simtest.New(t)
	e.Admin("POST", "/marks", simtest.JSON{"marks": "exact"}, nil)
	vm, other := e.VM("web-1"), e.VM("web-2")
	ctx := context.WithValue(e.Ctx, types.ID{}, "mine")
	marked, err := vm.CreateSnapshot(ctx, "a", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	e.Done(marked, nil)
	e.Create(vm, "b", false, false)
	e.Create(other, "c", false, false)

	read := func(filter types.TaskFilterSpec) (names []string) {
		res, err := methods.CreateCollectorForTasks(e.Ctx, e.Client, &types.CreateCollectorForTasks{
			This: *e.Client.ServiceContent.TaskManager, Filter: filter,
		})
		if err != nil {
			t.Fatal(err)
		}
		collector := history.NewCollector(e.Client.Client, res.Returnval)
		for {
			page, err := methods.ReadNextTasks(e.Ctx, e.Client, &types.ReadNextTasks{This: collector.Reference(), MaxCount: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Returnval) == 0 {
				break
			}
			names = append(names, page.Returnval[0].EntityName+" "+page.Returnval[0].DescriptionId)
		}
		if err := collector.Destroy(e.Ctx); err != nil {
			t.Fatal(err)
		}
		return names
	}
	by := &types.TaskFilterSpecByEntity{Entity: vm.Reference(), Recursion: types.TaskFilterSpecRecursionOptionSelf}
	snapshots := slices.DeleteFunc(read(types.TaskFilterSpec{Entity: by}), func(s string) bool {
		return s != "web-1 VirtualMachine.createSnapshot"
	})
	if len(snapshots) != 2 {
		t.Error(snapshots)
	}
	if got := read(types.TaskFilterSpec{ActivationId: []string{"mine"}}); len(got) != 1 {
		t.Error(got)
	}
	if got := read(types.TaskFilterSpec{Entity: by, ActivationId: []string{"other"}}); len(got) != 0 {
		t.Error(got)
	}
}
