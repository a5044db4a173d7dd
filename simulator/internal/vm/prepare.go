package vm

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Prepare completes what upstream leaves out of the machines it made: capabilities,
// Tools, file layout and summaries as a vCenter shows them.
func (w *World) Prepare() {
	for _, entity := range w.Registry.All("VirtualMachine") {
		if upstream, ok := entity.(*simulator.VirtualMachine); ok {
			w.prepare(w.Wrap(upstream))
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
