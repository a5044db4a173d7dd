package sim_test

import (
	"context"
	"testing"

	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// The history of many machines' tasks is found by activation id, alone and together
// with an entity, in whole pages.
func TestHistoryOfMany(t *testing.T) {
	const n = 220
	f := newFleet(t, n)
	f.Admin("POST", "/marks", simtest.JSON{"marks": "exact"}, nil)
	unmarked := f.Ctx
	f.Ctx = context.WithValue(unmarked, types.ID{}, "release-41")
	snapshots := f.round(f.create)
	f.Ctx = unmarked
	f.round(func(i int) (types.ManagedObjectReference, error) { return f.revert(snapshots[i]) })

	one := &types.TaskFilterSpecByEntity{
		Entity: f.machines[7], Recursion: types.TaskFilterSpecRecursionOptionSelf,
	}
	release := []string{"another", "release-41"}
	for name, c := range map[string]struct {
		filter types.TaskFilterSpec
		// page is what is asked for as the size of latestPage, latest what it holds.
		page                      int32
		created, reverted, latest int
	}{
		"activation id":               {types.TaskFilterSpec{ActivationId: release}, 200, n, 0, 200},
		"activation id, largest page": {types.TaskFilterSpec{ActivationId: release}, 1000, n, 0, n},
		"activation id, usual page":   {types.TaskFilterSpec{ActivationId: release}, 0, n, 0, 10},
		"unknown activation id":       {types.TaskFilterSpec{ActivationId: release[:1]}, 200, 0, 0, 0},
		"activation id and entity":    {types.TaskFilterSpec{ActivationId: release, Entity: one}, 200, 1, 0, 1},
		"entity":                      {types.TaskFilterSpec{Entity: one}, 200, 1, 1, 2},
		"nothing":                     {types.TaskFilterSpec{}, 1000, n, n, 2 * n},
	} {
		t.Run(name, func(t *testing.T) {
			collector, err := task.NewManager(f.Client.Client).CreateCollectorForTasks(f.Ctx, c.filter)
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int{}
			for {
				page, err := collector.ReadNextTasks(f.Ctx, 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, info := range page {
					counts[info.DescriptionId]++
				}
				if len(page) == 0 {
					break
				}
			}
			if counts["VirtualMachine.createSnapshot"] != c.created || counts["vm.Snapshot.revert"] != c.reverted {
				t.Error("page by page:", counts)
			}
			if err := collector.SetPageSize(f.Ctx, c.page); err != nil {
				t.Fatal(err)
			}
			latest, err := collector.LatestPage(f.Ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(latest) != c.latest {
				t.Error("latest page:", len(latest))
			}
			if c.filter.ActivationId == nil && latest[0].DescriptionId != "vm.Snapshot.revert" {
				t.Error("the newest is a", latest[0].DescriptionId)
			}
			if err := collector.Destroy(f.Ctx); err != nil {
				t.Fatal(err)
			}
			_, err = collector.ReadNextTasks(f.Ctx, 1)
			if _, ok := simtest.FaultOf(err).(types.ManagedObjectNotFound); !ok {
				t.Error("a destroyed collector answers", err)
			}
		})
	}
}

// A client has 32 history collectors at most, and pages of 1000 tasks.
func TestHistoryLimits(t *testing.T) {
	e := simtest.New(t)
	manager := task.NewManager(e.Client.Client)
	var last *task.HistoryCollector
	for range 32 {
		var err error
		if last, err = manager.CreateCollectorForTasks(e.Ctx, types.TaskFilterSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := manager.CreateCollectorForTasks(e.Ctx, types.TaskFilterSpec{})
	if _, ok := simtest.FaultOf(err).(types.InvalidState); !ok {
		t.Error(err)
	}
	another := task.NewManager(e.Login("user", "pass").Client)
	if _, err := another.CreateCollectorForTasks(e.Ctx, types.TaskFilterSpec{}); err != nil {
		t.Error("another client:", err)
	}
	if _, ok := simtest.FaultOf(last.SetPageSize(e.Ctx, 1001)).(types.InvalidArgument); !ok {
		t.Error("a page of 1001 is accepted")
	}
	if err := last.Destroy(e.Ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := manager.CreateCollectorForTasks(e.Ctx, types.TaskFilterSpec{}); err != nil {
		t.Error("after one was destroyed:", err)
	}
}
