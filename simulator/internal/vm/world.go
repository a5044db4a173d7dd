// Package vm makes the snapshots of simulated virtual machines behave as
// vSphere's do: what they hold, what a revert restores, what is refused.
package vm

import (
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/task"
	"vmsnapshot/simulator/internal/wire"
)

// World is what all virtual machines share.
type World struct {
	Registry *simulator.Registry
	Tasks    *task.Runner
	Calls    *wire.Calls

	// esx says that this is a single host, whose ids are small numbers of its own.
	esx bool
	// machines counts the ids of machines that a host has given.
	machines int
	History  *History

	mu     sync.Mutex
	states map[types.ManagedObjectReference]*state
	// instances holds the instance UUIDs of all machines.
	instances map[string]bool
	// standing holds which linked clones' disks stand on a file.
	standing map[string]map[types.ManagedObjectReference]bool
	// making is held while a machine is made: upstream puts it into its folder before it has
	// a name, and panics when a folder is searched for a name then.
	making sync.Mutex
	// denied are the privileges that nobody has.
	denied []string
}

// NewWorld returns the world of the machines in registry.
func NewWorld(registry *simulator.Registry, tasks *task.Runner, calls *wire.Calls, esx bool) *World {
	return &World{
		esx:      esx,
		Registry: registry,
		Tasks:    tasks,
		Calls:    calls,
		History:  &History{},
		states:   map[types.ManagedObjectReference]*state{},

		instances: map[string]bool{},
		standing:  map[string]map[types.ManagedObjectReference]bool{},
	}
}

// Deny takes privileges from everybody, in place of those that were taken before.
func (w *World) Deny(privileges []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.denied = privileges
}

// Denies says whether a privilege was taken from everybody.
func (w *World) Denies(privilege string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.denied, privilege)
}

// state is what a machine needs to know beside its managed object. It is guarded by
// the registry's lock of the machine.
type state struct {
	lastID int32
	// sizes holds the bytes of disk extents, by datastore path.
	sizes map[string]int64
	// memory holds which snapshots have a memory file, and its size.
	memory map[types.ManagedObjectReference]int64
	// ids holds each snapshot's number, which names its files.
	ids map[types.ManagedObjectReference]int32
	// tools is the state VMware Tools takes whenever the machine is on.
	tools          types.VirtualMachineToolsRunningStatus
	toolsInstalled bool
	// layoutAge is how long ago the server has looked at the files' sizes.
	layoutAge time.Duration
	// unreachable ends the names of the files that the server can't reach.
	unreachable    string
	faultTolerance bool
	// diskLocked is the file that somebody holds, such as a backup; empty: none.
	diskLocked string
	// powerOnFault is what a power-on fails with, also the one that ends a revert; empty: it works.
	powerOnFault string
}

func (w *World) state(ref types.ManagedObjectReference) *state {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[ref]
	if s == nil {
		s = &state{
			sizes:          map[string]int64{},
			memory:         map[types.ManagedObjectReference]int64{},
			ids:            map[types.ManagedObjectReference]int32{},
			tools:          types.VirtualMachineToolsRunningStatusGuestToolsRunning,
			toolsInstalled: true,
		}
		w.states[ref] = s
	}
	return s
}

// Wrap returns the machine with our methods over upstream's.
func (w *World) Wrap(upstream *simulator.VirtualMachine) *Machine {
	return &Machine{VirtualMachine: upstream, world: w, state: w.state(upstream.Self)}
}

// context returns a context for work that no request asked for.
func (w *World) context() *simulator.Context { return &simulator.Context{Map: w.Registry} }

// Settled runs do while no machine is being made.
func (w *World) Settled(do func()) {
	w.making.Lock()
	defer w.making.Unlock()
	do()
}

// Named returns the machine called name.
func (w *World) Named(name string) (*Machine, bool) {
	for _, entity := range w.Registry.All("VirtualMachine") {
		upstream, ok := entity.(*simulator.VirtualMachine)
		if ok && w.nameOf(upstream) == name {
			return w.Wrap(upstream), true
		}
	}
	return nil, false
}

func (w *World) nameOf(upstream *simulator.VirtualMachine) (name string) {
	ctx := w.context()
	ctx.WithLock(upstream.Self, func() { name = upstream.Name })
	return name
}

// NameOf returns the name of the machine that an object is, belongs to or works on.
func (w *World) NameOf(ref types.ManagedObjectReference) string {
	switch o := w.Registry.Get(ref).(type) {
	case *simulator.VirtualMachine:
		return w.nameOf(o)
	case *VirtualMachineSnapshot:
		return w.NameOf(o.Vm)
	case *task.Task:
		return o.Info.EntityName
	}
	return ""
}

// Deed is an effect that really happened.
type Deed struct {
	VM       string    `json:"vm"`
	Op       string    `json:"op"`
	Snapshot string    `json:"snapshot"`
	Name     string    `json:"name"`
	Time     time.Time `json:"time"`
}

// History lists effects in the order they happened.
type History struct {
	mu    sync.Mutex
	deeds []Deed
}

func (h *History) add(vm, op string, node *types.VirtualMachineSnapshotTree) {
	deed := Deed{VM: vm, Op: op, Time: time.Now().UTC()}
	if node != nil {
		deed.Snapshot, deed.Name = node.Snapshot.Value, node.Name
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deeds = append(h.deeds, deed)
}

// Of returns the effects on the named machine, or on all with "".
func (h *History) Of(vm string) []Deed {
	h.mu.Lock()
	defer h.mu.Unlock()
	deeds := []Deed{}
	for _, deed := range h.deeds {
		if vm == "" || vm == deed.VM {
			deeds = append(deeds, deed)
		}
	}
	return deeds
}
