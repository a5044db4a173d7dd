package vm

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Settings are what a test may change about a machine behind the client's back. What
// is nil stays as it is.
type Settings struct {
	Tools               *string   `json:"tools"`
	SnapshotDisabled    *bool     `json:"snapshotDisabled"`
	SnapshotLocked      *bool     `json:"snapshotLocked"`
	DisabledMethods     *[]string `json:"disabledMethods"`
	DeltaGrowthMiB      *int64    `json:"deltaGrowthMiB"`
	IndependentDisk     *bool     `json:"independentDisk"`
	ConsolidationNeeded *bool     `json:"consolidationNeeded"`
	Template            *bool     `json:"template"`
	Placeholder         *bool     `json:"placeholder"`
	FaultTolerance      *bool     `json:"faultTolerance"`
	VMService           *bool     `json:"vmService"`
	Connected           *bool     `json:"connected"`
	ConnectionState     *string   `json:"connectionState"`
	Question            *string   `json:"question"`
	FirstClassDisk      *bool     `json:"firstClassDisk"`
	LayoutAgeMinutes    *int      `json:"layoutAgeMinutes"`
	IPAddress           *string   `json:"ipAddress"`
	UnreachableFile     *string   `json:"unreachableFile"`
	DiskLocked          *string   `json:"diskLocked"`
	PowerOnFault        *string   `json:"powerOnFault"`
}

// The states of VMware Tools that Settings knows.
const (
	toolsRunning      = "running"
	toolsNotRunning   = "notRunning"
	toolsNotInstalled = "notInstalled"
)

// Set applies settings.
func (m *Machine) Set(s Settings) error {
	if s.Tools != nil {
		switch *s.Tools {
		case toolsRunning, toolsNotRunning, toolsNotInstalled:
		default:
			return fmt.Errorf("tools is %s, %s or %s, not %q", toolsRunning, toolsNotRunning, toolsNotInstalled, *s.Tools)
		}
	}
	ctx := m.world.context()
	ctx.WithLock(m.Self, func() { m.set(ctx, s) })
	return nil
}

func (m *Machine) set(ctx *simulator.Context, s Settings) {
	if s.Tools != nil {
		m.state.toolsInstalled = *s.Tools != toolsNotInstalled
		m.state.tools = types.VirtualMachineToolsRunningStatusGuestToolsNotRunning
		if *s.Tools == toolsRunning {
			m.state.tools = types.VirtualMachineToolsRunningStatusGuestToolsRunning
		}
		ctx.Update(m.VirtualMachine, m.power(m.Runtime.PowerState))
	}

	if s.IPAddress != nil {
		// Tools tell the first address, and all of them by adapter (API reference, GuestInfo).
		guest := types.GuestInfo{}
		if m.Guest != nil {
			guest = clone(*m.Guest)
		}
		guest.IpAddress = *s.IPAddress
		guest.Net = []types.GuestNicInfo{{IpAddress: []string{*s.IPAddress}, Connected: true, DeviceConfigId: 4000}}
		ctx.Update(m.VirtualMachine, []types.PropertyChange{{Name: "guest", Val: guest}})
	}

	config := clone(*m.Config)
	if s.SnapshotDisabled != nil {
		config.Flags.SnapshotDisabled = s.SnapshotDisabled
	}
	if s.SnapshotLocked != nil {
		config.Flags.SnapshotLocked = s.SnapshotLocked
	}
	if s.Template != nil {
		config.Template = *s.Template
	}
	if s.VMService != nil {
		// All machines of a Supervisor's VM Service show its extension as their manager
		// (vm-operator, ManagedByExtensionKey).
		config.ManagedBy = nil
		if *s.VMService {
			config.ManagedBy = &types.ManagedByInfo{ExtensionKey: "com.vmware.vcenter.wcp", Type: "VirtualMachine"}
		}
	}
	if s.Placeholder != nil {
		// What Site Recovery Manager keeps at the other site (lamw/govc-recordings: nine of 714 machines).
		config.ManagedBy = nil
		if *s.Placeholder {
			config.ManagedBy = &types.ManagedByInfo{ExtensionKey: "com.vmware.vcDr", Type: "placeholderVm"}
		}
	}
	if s.IndependentDisk != nil && *s.IndependentDisk {
		config.Hardware.Device = append(config.Hardware.Device, independentDisk(config.Hardware.Device, m))
	}
	if s.FirstClassDisk != nil {
		for i, device := range config.Hardware.Device {
			if disk, ok := device.(*types.VirtualDisk); ok {
				disk = clone(disk)
				disk.VDiskId = nil
				if *s.FirstClassDisk {
					disk.VDiskId = &types.ID{Id: disk.DiskObjectId + "6000c298-8fbe-4d9c-9dcf-f1f2c0b9ea11"}
				}
				config.Hardware.Device[i] = disk
				break
			}
		}
	}
	summary := clone(m.Summary.Config)
	summarize(&summary, &config)
	summary.Template, summary.ManagedBy = config.Template, config.ManagedBy
	ctx.Update(m.VirtualMachine, []types.PropertyChange{
		{Name: "config", Val: config},
		{Name: "summary.config", Val: summary},
	})

	if s.DisabledMethods != nil {
		ctx.Update(m.VirtualMachine, []types.PropertyChange{{Name: "disabledMethod", Val: *s.DisabledMethods}})
	}
	m.setRuntime(ctx, s)
	if s.DeltaGrowthMiB != nil {
		for _, device := range m.Config.Hardware.Device {
			if b, ok := backingOf(device); ok && !b.independent() && len(b.chain()) > 1 {
				m.state.sizes[b.file()] += *s.DeltaGrowthMiB << 20
			}
		}
	}
	if s.UnreachableFile != nil {
		m.state.unreachable = *s.UnreachableFile
	}
	if s.DiskLocked != nil {
		m.state.diskLocked = *s.DiskLocked
	}
	if s.PowerOnFault != nil {
		m.state.powerOnFault = *s.PowerOnFault
	}
	if s.LayoutAgeMinutes != nil {
		m.state.layoutAge = time.Duration(*s.LayoutAgeMinutes) * time.Minute
	} else if m.state.layoutAge > 0 && s.DeltaGrowthMiB != nil {
		return // nobody has looked at the files since
	}
	ctx.Update(m.VirtualMachine, m.layout())
}

func (m *Machine) setRuntime(ctx *simulator.Context, s Settings) {
	runtime := clone(m.Runtime)
	if s.ConsolidationNeeded != nil {
		runtime.ConsolidationNeeded = *s.ConsolidationNeeded
	}
	if s.FaultTolerance != nil {
		m.state.faultTolerance = *s.FaultTolerance
		runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
		if *s.FaultTolerance {
			runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateRunning
		}
	}
	if s.Connected != nil {
		runtime.ConnectionState = types.VirtualMachineConnectionStateDisconnected
		if *s.Connected {
			runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
		}
	}
	if s.ConnectionState != nil {
		runtime.ConnectionState = types.VirtualMachineConnectionState(*s.ConnectionState)
	}
	if s.Question != nil {
		runtime.Question = nil
		if *s.Question != "" {
			runtime.Question = &types.VirtualMachineQuestionInfo{
				Id:   "1",
				Text: *s.Question,
				Choice: types.ChoiceOption{ChoiceInfo: []types.BaseElementDescription{
					&types.ElementDescription{Description: types.Description{Label: "Cancel"}, Key: "0"},
				}},
			}
		}
	}
	ctx.Update(m.VirtualMachine, []types.PropertyChange{
		{Name: "runtime", Val: runtime},
		{Name: "summary.runtime", Val: runtime},
	})
	changed := s.Connected != nil || s.ConnectionState != nil || s.Template != nil || s.Placeholder != nil
	if s.DisabledMethods == nil && changed {
		ctx.Update(m.VirtualMachine, []types.PropertyChange{{Name: "disabledMethod", Val: m.disabled(runtime)}})
	}
}

// disabled is what vCenter lists of snapshots, power and settings for a machine that it
// can't reach, a template or a placeholder, as recorded (lamw/govc-recordings: one, 44
// and nine such machines). CreateSnapshotEx_Task and RevertToSnapshot_Task are in none
// of the lists; a template that has snapshots (five) lists no revert and no removal.
func (m *Machine) disabled(runtime types.VirtualMachineRuntimeInfo) []string {
	switch {
	case runtime.ConnectionState != types.VirtualMachineConnectionStateConnected:
		return []string{
			"ReconfigVM_Task", "RevertToCurrentSnapshot_Task", "RemoveAllSnapshots_Task",
			"CreateSnapshot_Task", "ConsolidateVMDisks_Task", "PowerOffVM_Task", "CloneVM_Task", "PowerOnVM_Task",
		}
	case m.Config.Template && m.Snapshot != nil:
		return []string{"ReconfigVM_Task", "CreateSnapshot_Task", "PowerOffVM_Task", "MarkAsTemplate", "PowerOnVM_Task"}
	case m.Config.Template:
		return []string{
			"ReconfigVM_Task", "RevertToCurrentSnapshot_Task", "RemoveAllSnapshots_Task",
			"CreateSnapshot_Task", "PowerOffVM_Task", "MarkAsTemplate", "PowerOnVM_Task",
		}
	case m.Config.ManagedBy != nil && m.Config.ManagedBy.Type == "placeholderVm":
		return []string{
			"PowerOffVM_Task", "CloneVM_Task", "CreateSnapshot_Task", "MarkAsTemplate",
			"PowerOnVM_Task", "RemoveAllSnapshots_Task", "RevertToCurrentSnapshot_Task",
		}
	}
	return nil
}

// independentDisk returns a new disk beside the machine's first one.
func independentDisk(devices []types.BaseVirtualDevice, m *Machine) *types.VirtualDisk {
	var first *types.VirtualDisk
	key, unit := int32(0), int32(0)
	for _, device := range devices {
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		if first == nil {
			first = disk
		}
		key = max(key, disk.Key)
		if disk.UnitNumber != nil {
			unit = max(unit, *disk.UnitNumber)
		}
	}
	disk := clone(first)
	disk.Key = key + 1
	disk.UnitNumber = types.NewInt32(unit + 1)
	disk.DeviceInfo = &types.Description{Label: fmt.Sprintf("Hard disk %d", unit+2), Summary: "independent"}
	disk.Backing = &types.VirtualDiskFlatVer2BackingInfo{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{
			FileName: fmt.Sprintf("[LocalDS_0] %s/%s_%d.vmdk", m.Name, m.Name, unit+1),
		},
		DiskMode:        string(types.VirtualDiskModeIndependent_persistent),
		ThinProvisioned: types.NewBool(true),
	}
	return disk
}
