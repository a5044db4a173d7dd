package vm

import (
	"fmt"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Reregister takes the machine called name out of the inventory and adds it again, as
// when its host is removed and added. It has a new id, and so has each of its
// snapshots; its UUIDs and what its snapshots hold are in its files and stay (VDDK
// Programming Guide: "unregistering and reregistering a virtual machine could result in
// a change to the moRef"; Zerto's help: "everything that was on it gets a new MoRef ID").
func (w *World) Reregister(name string) error {
	m, ok := w.Named(name)
	if !ok {
		return fmt.Errorf("no virtual machine is called %q", name)
	}
	if w.Tasks.Busy(m.Self) != nil {
		return fmt.Errorf("a task is running on %q", name)
	}
	return w.again(m)
}

// again adds a machine once more, under a new id.
func (w *World) again(m *Machine) error {
	ctx := w.context()
	old := m.Self
	folder, isFolder := w.Registry.Get(*m.Parent).(*simulator.Folder)
	if !isFolder {
		return fmt.Errorf("%q is in no folder", m.Name)
	}
	w.Registry.RemoveReference(ctx, folder, &folder.ChildEntity, old)
	w.eachUser(m, func(user mo.Reference, list *[]types.ManagedObjectReference) {
		w.Registry.RemoveReference(ctx, user, list, old)
	})
	w.Registry.Remove(ctx, old)

	m.Self = types.ManagedObjectReference{Type: old.Type, Value: w.machineID()}
	w.Registry.PutEntity(folder, m.VirtualMachine)
	w.mu.Lock()
	w.states[m.Self] = m.state
	delete(w.states, old)
	w.mu.Unlock()
	w.Registry.AddReference(ctx, folder, &folder.ChildEntity, m.Self)
	w.eachUser(m, func(user mo.Reference, list *[]types.ManagedObjectReference) {
		w.Registry.AddReference(ctx, user, list, m.Self)
	})

	ids := map[types.ManagedObjectReference]types.ManagedObjectReference{}
	for _, ref := range m.snapshots() {
		s := w.newSnapshot(mo.VirtualMachineSnapshot{})
		s.Self.Value = m.snapshotID(m.state.ids[ref])
		ids[ref] = w.Registry.Put(s).Reference()
	}
	ctx.WithLock(m.VirtualMachine, func() { m.renumber(ctx, ids) })
	for ref := range ids {
		w.Registry.Remove(ctx, ref)
	}
	return nil
}

// machineID is the id of the next machine: a host counts its own from 1 (rapid7's
// vm-automation shows `9` of an ESXi 6.5); "" leaves it to the registry, as on a vCenter.
func (w *World) machineID() string {
	if !w.esx {
		return ""
	}
	w.machines++
	return strconv.Itoa(w.machines)
}

// snapshotID is the id of the machine's nth snapshot: on a host `9-snapshot-3`, likewise.
func (m *Machine) snapshotID(n int32) string {
	if !m.world.esx {
		return ""
	}
	return fmt.Sprintf("%s-snapshot-%d", m.Self.Value, n)
}

// Restore gives every snapshot the id of another, as a server may that is restored from
// a backup and finds the snapshots that were taken since: what is in the machines'
// files stays as it is.
func (w *World) Restore() {
	ctx := w.context()
	var all []types.ManagedObjectReference
	var machines []*Machine
	for _, entity := range w.Registry.All("VirtualMachine") {
		upstream, ok := entity.(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		m := w.Wrap(upstream)
		machines = append(machines, m)
		all = append(all, m.snapshots()...)
	}
	ids := map[types.ManagedObjectReference]types.ManagedObjectReference{}
	for i, ref := range all {
		ids[ref] = all[(i+1)%len(all)]
	}
	held := map[types.ManagedObjectReference]mo.VirtualMachineSnapshot{}
	for _, ref := range all {
		if s, ok := w.snapshot(ref); ok {
			held[ref] = clone(s.VirtualMachineSnapshot.VirtualMachineSnapshot)
		}
	}
	for _, m := range machines {
		ctx.WithLock(m.VirtualMachine, func() { m.renumberFrom(ctx, ids, held) })
	}
}

// eachUser calls do with each list that names the machine, but its folder's.
func (w *World) eachUser(m *Machine, do func(mo.Reference, *[]types.ManagedObjectReference)) {
	if m.Runtime.Host != nil {
		if host, ok := w.Registry.Get(*m.Runtime.Host).(*simulator.HostSystem); ok {
			do(host, &host.Vm)
		}
	}
	if m.ResourcePool != nil {
		if pool, ok := w.Registry.Get(*m.ResourcePool).(*simulator.ResourcePool); ok {
			do(pool, &pool.Vm)
		}
	}
	for _, ref := range m.Datastore {
		if store, ok := w.Registry.Get(ref).(*simulator.Datastore); ok {
			do(store, &store.Vm)
		}
	}
}

// snapshots lists the machine's snapshots, parents first.
func (m *Machine) snapshots() (all []types.ManagedObjectReference) {
	m.world.context().WithLock(m.VirtualMachine, func() {
		if m.Snapshot != nil {
			all = refs(m.Snapshot.RootSnapshotList)
		}
	})
	return all
}

// renumber gives each of the machine's snapshots another id.
func (m *Machine) renumber(ctx *simulator.Context, ids map[types.ManagedObjectReference]types.ManagedObjectReference) {
	held := map[types.ManagedObjectReference]mo.VirtualMachineSnapshot{}
	for ref := range ids {
		if s, ok := m.world.snapshot(ref); ok {
			held[ref] = clone(s.VirtualMachineSnapshot.VirtualMachineSnapshot)
		}
	}
	m.renumberFrom(ctx, ids, held)
}

// renumberFrom is renumber with what the snapshots held before any got another's id.
func (m *Machine) renumberFrom(
	ctx *simulator.Context,
	ids map[types.ManagedObjectReference]types.ManagedObjectReference,
	held map[types.ManagedObjectReference]mo.VirtualMachineSnapshot,
) {
	if m.Snapshot == nil {
		return
	}
	t := treeOf(m.Snapshot)
	memory := map[types.ManagedObjectReference]int64{}
	numbers := map[types.ManagedObjectReference]int32{}
	var walk func([]types.VirtualMachineSnapshotTree)
	walk = func(nodes []types.VirtualMachineSnapshotTree) {
		for i := range nodes {
			old := nodes[i].Snapshot
			content := held[old]
			content.Self, content.Vm = ids[old], m.Self
			m.world.Registry.Put(m.world.newSnapshot(content))
			if size, ok := m.state.memory[old]; ok {
				memory[ids[old]] = size
			}
			numbers[ids[old]] = m.state.ids[old]
			nodes[i].Snapshot, nodes[i].Vm = ids[old], m.Self
			walk(nodes[i].ChildSnapshotList)
		}
	}
	walk(t.roots)
	if t.current != nil {
		moved := ids[*t.current]
		t.current = &moved
	}
	m.state.memory, m.state.ids = memory, numbers
	m.world.link(t)
	ctx.Update(m.VirtualMachine, t.changes())
	ctx.Update(m.VirtualMachine, m.layout())
}
