package vm

import (
	"cmp"
	"log"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Prepare completes what upstream leaves out of the machines it made: capabilities,
// Tools, file layout and summaries as a vCenter shows them.
func (w *World) Prepare() {
	entities := w.Registry.All("VirtualMachine")
	slices.SortFunc(entities, func(a, b mo.Entity) int { // in the order in which they were made
		x, y := a.Reference().Value, b.Reference().Value
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
	for _, entity := range entities {
		if upstream, ok := entity.(*simulator.VirtualMachine); ok {
			m := w.Wrap(upstream)
			if w.esx {
				if err := w.again(m); err != nil {
					log.Printf("%s keeps its id: %v", m.Name, err)
				}
			}
			w.know(m.Config.InstanceUuid)
			w.prepare(m)
		}
	}
}

func (w *World) prepare(m *Machine) {
	ctx := w.context()
	ctx.WithLock(m.Self, func() {
		capability := m.Capability
		capability.SnapshotOperationsSupported = true
		capability.MultipleSnapshotsSupported = true
		capability.SnapshotConfigSupported = true
		capability.PoweredOffSnapshotsSupported = true
		capability.MemorySnapshotsSupported = true
		capability.RevertToSnapshotSupported = true
		capability.QuiescedSnapshotsSupported = true
		capability.DisableSnapshotsSupported = true
		capability.LockSnapshotsSupported = true

		ctx.Update(m.VirtualMachine, []types.PropertyChange{{Name: "capability", Val: capability}})

		config := clone(*m.Config)
		config.Flags.SnapshotDisabled = types.NewBool(false)
		config.Flags.SnapshotLocked = types.NewBool(false)
		if config.GuestId == string(types.VirtualMachineGuestOsIdentifierUbuntu64Guest) {
			config.GuestFullName = "Ubuntu Linux (64-bit)"
		}
		summary := clone(m.Summary.Config)
		summarize(&summary, &config)
		changes := append(m.power(m.Runtime.PowerState),
			types.PropertyChange{Name: "config", Val: config},
			types.PropertyChange{Name: "summary.config", Val: summary},
		)
		ctx.Update(m.VirtualMachine, changes)
		ctx.Update(m.VirtualMachine, m.layout())
	})
}
