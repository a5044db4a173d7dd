package sim_test

import (
	"sync"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/simtest"
	"vmsnapshot/simulator/internal/vm"
)

// 32 clients on 200 machines lose nothing.
func TestLoad(t *testing.T) {
	const machines, clients, perMachine = 200, 32, 4
	e := simtest.New(t, func(c *sim.Config) { c.VMs, c.Names = machines, nil })

	v, err := view.NewManager(e.Client.Client).CreateContainerView(
		e.Ctx, e.Client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := v.Find(e.Ctx, []string{"VirtualMachine"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	todo := make(chan types.ManagedObjectReference, machines)
	for _, ref := range refs {
		todo <- ref
	}
	close(todo)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for ref := range todo {
				machine := object.NewVirtualMachine(e.Client.Client, ref)
				a := e.Create(machine, "a", true, false)
				b := e.Create(machine, "b", false, false)
				e.Revert(a, false)
				e.Remove(b, false, nil)
			}
		})
	}
	group.Wait()

	var all []mo.VirtualMachine
	if err := v.Retrieve(e.Ctx, []string{"VirtualMachine"}, []string{"name", "snapshot", "rootSnapshot"}, &all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Snapshot == nil || len(m.RootSnapshot) != 1 || m.Snapshot.RootSnapshotList[0].Name != "a" ||
			len(m.Snapshot.RootSnapshotList[0].ChildSnapshotList) != 0 {
			t.Errorf("%s: %+v", m.Name, m.Snapshot)
		}
	}
	var deeds []vm.Deed
	e.Admin("GET", "/history", nil, &deeds)
	if len(all) != machines || len(deeds) != machines*perMachine {
		t.Fatal(len(all), len(deeds))
	}
}
