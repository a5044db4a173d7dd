package vm

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// VirtualMachineSnapshot is a snapshot object. One in the registry never changes: an
// edit puts a new one in its place, so that reading needs no lock. (A lock of its
// own would be taken before the machine's by calls on the snapshot, and after it by
// tasks on the machine.)
type VirtualMachineSnapshot struct {
	simulator.VirtualMachineSnapshot
	unlocked
	world *World
}

// unlocked opts out of the registry's lock of an object.
type unlocked struct{}

func (*unlocked) Lock() {}

func (*unlocked) Unlock() {}

func (w *World) newSnapshot(content mo.VirtualMachineSnapshot) *VirtualMachineSnapshot {
	s := &VirtualMachineSnapshot{world: w}
	s.VirtualMachineSnapshot.VirtualMachineSnapshot = content
	s.Self.Type = "VirtualMachineSnapshot"
	return s
}

func (w *World) snapshot(ref types.ManagedObjectReference) (*VirtualMachineSnapshot, bool) {
	s, ok := w.Registry.Get(ref).(*VirtualMachineSnapshot)
	return s, ok
}

// replace puts an edited copy of a snapshot in its place.
func (s *VirtualMachineSnapshot) replace(edit func(*mo.VirtualMachineSnapshot)) {
	content := clone(s.VirtualMachineSnapshot.VirtualMachineSnapshot)
	edit(&content)
	s.world.Registry.Put(s.world.newSnapshot(content))
}

// link makes childSnapshot of every snapshot say what the tree says.
func (w *World) link(t *tree) {
	for ref, children := range t.children() {
		s, ok := w.snapshot(ref)
		if ok && !slices.Equal(s.ChildSnapshot, children) {
			s.replace(func(content *mo.VirtualMachineSnapshot) { content.ChildSnapshot = children })
		}
	}
}

// machine returns the machine the snapshot is of.
func (s *VirtualMachineSnapshot) machine(ctx *simulator.Context) (*Machine, bool) {
	upstream, ok := ctx.Map.Get(s.Vm).(*simulator.VirtualMachine)
	if !ok {
		return nil, false
	}
	return s.world.Wrap(upstream), true
}
