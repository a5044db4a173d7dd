package vm_test

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// A revert brings back CPUs, memory, devices, annotation, guest id and extraConfig, but
// not the name.
func TestRevertRestoresConfiguration(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	e.Done(vm.PowerOff(e.Ctx))
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "k", Value: "before"}},
	}))
	before := e.Read(vm, "config", "summary")
	a := e.Create(vm, "a", false, false)

	devices, err := vm.Device(e.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	nic := devices.SelectByType((*types.VirtualEthernetCard)(nil))[0]
	if err := vm.RemoveDevice(e.Ctx, false, nic); err != nil {
		t.Fatal(err)
	}
	controller, err := devices.FindDiskController("")
	if err != nil {
		t.Fatal(err)
	}
	disk := devices.CreateDisk(controller, types.ManagedObjectReference{}, "[LocalDS_0] web-1/more.vmdk")
	disk.CapacityInKB = 1 << 20
	if err := vm.AddDevice(e.Ctx, disk); err != nil {
		t.Fatal(err)
	}
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{
		Name: "renamed", NumCPUs: 8, NumCoresPerSocket: types.NewInt32(4), MemoryMB: 8192,
		Annotation: "changed", GuestId: "windows9_64Guest",
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "k", Value: "after"}},
	}))

	e.Revert(a, false)
	after := e.Read(vm, "config", "summary", "name")
	if after.Name != "renamed" || after.Config.Name != "renamed" {
		t.Error("the name was restored:", after.Name)
	}
	b, h := before.Config, after.Config
	if b.Hardware.NumCPU != h.Hardware.NumCPU || *b.Hardware.NumCoresPerSocket != *h.Hardware.NumCoresPerSocket ||
		b.Hardware.MemoryMB != h.Hardware.MemoryMB || b.Annotation != h.Annotation || b.GuestId != h.GuestId ||
		b.Version != h.Version {
		t.Errorf("%+v is not %+v", h.Hardware, b.Hardware)
	}
	if after.Summary.Config.NumCpu != before.Summary.Config.NumCpu ||
		after.Summary.Config.NumVirtualDisks != 1 || after.Summary.Config.NumEthernetCards != 1 {
		t.Errorf("%+v", after.Summary.Config)
	}
	if n, want := len(h.Hardware.Device), len(b.Hardware.Device); n != want {
		t.Errorf("%d devices, want %d", n, want)
	}
	if got, _ := object.OptionValueList(h.ExtraConfig).GetString("k"); got != "before" {
		t.Errorf("extraConfig k is %s", got)
	}
}

// The power state after a revert is that of the snapshot: on takes memory.
func TestRevertRestoresPowerState(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(*simtest.Env, *object.VirtualMachine)
		memory   bool
		suppress bool
		want     types.VirtualMachinePowerState
	}{
		"memory of a running machine": {memory: true, want: "poweredOn"},
		"power-on suppressed":         {memory: true, suppress: true, want: "suspended"},
		"no memory":                   {want: "poweredOff"},
		"memory of a machine that's off": {memory: true, want: "poweredOff", prepare: func(e *simtest.Env, vm *object.VirtualMachine) {
			e.Done(vm.PowerOff(e.Ctx))
		}},
		"suspended": {want: "suspended", prepare: func(e *simtest.Env, vm *object.VirtualMachine) {
			e.Done(vm.Suspend(e.Ctx))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := simtest.New(t)
			vm := e.VM("web-1")
			if c.prepare != nil {
				c.prepare(e, vm)
			}
			a := e.Create(vm, "a", c.memory, false)
			e.Revert(a, c.suppress)
			got := e.Read(vm, "runtime.powerState", "summary.runtime.powerState")
			if got.Runtime.PowerState != c.want || got.Summary.Runtime.PowerState != c.want {
				t.Fatal(got.Runtime.PowerState, got.Summary.Runtime.PowerState)
			}
			if state := e.Read(vm, "snapshot").Snapshot.RootSnapshotList[0].State; !c.suppress && state != c.want {
				t.Fatal(state)
			}
		})
	}
}

// RevertToCurrentSnapshot raises NotFound where there is none.
func TestRevertToCurrent(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	if _, err := vm.RevertToCurrentSnapshot(e.Ctx, false); err == nil {
		t.Fatal("no snapshot, no fault")
	} else if _, ok := simtest.FaultOf(err).(types.NotFound); !ok {
		t.Fatal(err)
	}
	e.Create(vm, "a", false, false)
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{Annotation: "changed"}))
	e.Done(vm.RevertToCurrentSnapshot(e.Ctx, false))
	if got := e.Read(vm, "config").Config.Annotation; got != "" {
		t.Fatal(got)
	}
}

// A snapshot's config is that of its time, whatever happens to the machine.
func TestSnapshotKeepsItsConfig(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", false, false)
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{NumCPUs: 16}))
	var s mo.VirtualMachineSnapshot
	if err := vm.Properties(e.Ctx, a, []string{"config"}, &s); err != nil {
		t.Fatal(err)
	}
	if s.Config.Hardware.NumCPU != 2 {
		t.Fatal(s.Config.Hardware.NumCPU)
	}
}

// Disks write into a delta over the snapshot's; an independent disk doesn't, and stays
// what it is through a revert.
func TestDiskChains(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "independentDisk": true}, nil)
	files := func() (names []string) {
		for _, device := range e.Read(vm, "config.hardware.device").Config.Hardware.Device {
			if disk, ok := device.(*types.VirtualDisk); ok {
				name := ""
				for b := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); b != nil; b = b.Parent {
					name += " " + b.FileName[len("[LocalDS_0] web-1/"):]
				}
				names = append(names, name[1:])
			}
		}
		return names
	}
	check := func(base, independent string) {
		t.Helper()
		if got := files(); len(got) != 2 || got[0] != base || got[1] != independent {
			t.Fatalf("%q, want %q and %q", got, base, independent)
		}
	}
	const kept = "web-1_1.vmdk"
	check("web-1.vmdk", kept)
	a := e.Create(vm, "a", false, false)
	check("web-1-000001.vmdk web-1.vmdk", kept)
	b := e.Create(vm, "b", false, false)
	check("web-1-000002.vmdk web-1-000001.vmdk web-1.vmdk", kept)
	e.Revert(a, false)
	check("web-1-000003.vmdk web-1.vmdk", kept)
	e.Remove(b, false, types.NewBool(false))
	if !e.Read(vm, "runtime").Runtime.ConsolidationNeeded {
		t.Fatal("no consolidation needed")
	}
	res, err := methods.ConsolidateVMDisks_Task(e.Ctx, e.Client, &types.ConsolidateVMDisks_Task{This: vm.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	e.Done(object.NewTask(e.Client.Client, res.Returnval), nil)
	e.Remove(a, false, nil)
	check("web-1.vmdk", kept)
}

// The power-on at the end of a revert fails: the task fails, and the disks are the snapshot's all the same.
func TestRevertWhosePowerOnFails(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", true, false)
	e.Create(vm, "b", false, false)
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "powerOnFault": "InsufficientMemoryResourcesFault"}, nil)
	res, err := methods.RevertToSnapshot_Task(e.Ctx, e.Client, &types.RevertToSnapshot_Task{This: a})
	if err != nil {
		t.Fatal(err)
	}
	if err := object.NewTask(e.Client.Client, res.Returnval).Wait(e.Ctx); err == nil {
		t.Error("the revert succeeded")
	}
	after := e.Read(vm, "snapshot", "runtime")
	if *after.Snapshot.CurrentSnapshot != a || after.Runtime.PowerState != types.VirtualMachinePowerStateSuspended {
		t.Errorf("%v, %v", after.Snapshot.CurrentSnapshot, after.Runtime.PowerState)
	}
	if task, err := vm.PowerOn(e.Ctx); err != nil || task.Wait(e.Ctx) == nil {
		t.Error("it was powered on")
	}
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "powerOnFault": ""}, nil)
	e.Done(vm.PowerOn(e.Ctx))
}
