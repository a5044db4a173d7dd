package vm_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/simtest"
)

const uuidOfCopy = "11111111-2222-5333-8444-555555555555"

func cloneSpec(snapshot *types.ManagedObjectReference, linked bool) types.VirtualMachineCloneSpec {
	spec := types.VirtualMachineCloneSpec{
		Snapshot: snapshot,
		Config:   &types.VirtualMachineConfigSpec{InstanceUuid: uuidOfCopy, NumCPUs: 4},
	}
	if linked {
		spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	}
	return spec
}

func folderOf(e *simtest.Env, vm *object.VirtualMachine) *object.Folder {
	parent := e.Read(vm, "parent").Parent
	return object.NewFolder(e.Client.Client, *parent)
}

func chainOf(e *simtest.Env, vm *object.VirtualMachine) (files []string) {
	for _, device := range e.Read(vm, "config.hardware.device").Config.Hardware.Device {
		if disk, ok := device.(*types.VirtualDisk); ok {
			for b := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); b != nil; b = b.Parent {
				files = append(files, b.FileName)
			}
		}
	}
	return files
}

// A linked clone of a snapshot has the snapshot's configuration, and a delta of its own over the snapshot's files.
func TestLinkedClone(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	snapshot := e.Create(vm, "base", false, false)
	e.Done(vm.PowerOff(e.Ctx))
	e.Done(vm.Reconfigure(e.Ctx, types.VirtualMachineConfigSpec{MemoryMB: 8192}))
	e.Done(vm.Clone(e.Ctx, folderOf(e, vm), "copy", cloneSpec(&snapshot, true)))

	found := e.Read(e.VM("copy"), "config", "summary", "runtime", "layoutEx", "datastore")
	if c := found.Config; c.InstanceUuid != uuidOfCopy || c.Hardware.NumCPU != 4 || c.Hardware.MemoryMB != 2048 {
		t.Errorf("%s, %d CPUs, %d MB", c.InstanceUuid, c.Hardware.NumCPU, c.Hardware.MemoryMB)
	}
	if found.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff || len(found.Datastore) != 1 {
		t.Errorf("%s on %v", found.Runtime.PowerState, found.Datastore)
	}
	want := "[LocalDS_0] copy/copy-000001.vmdk [LocalDS_0] web-1/web-1.vmdk"
	if got := strings.Join(chainOf(e, e.VM("copy")), " "); got != want {
		t.Errorf("the chain is %s, not %s", got, want)
	}
	if n := len(found.LayoutEx.Disk[0].Chain); n != 2 {
		t.Errorf("layoutEx has %d units", n)
	}
}

// A full clone has files of its own only.
func TestFullClone(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	snapshot := e.Create(vm, "base", false, false)
	e.Done(vm.Clone(e.Ctx, folderOf(e, vm), "copy", cloneSpec(&snapshot, false)))
	if got := strings.Join(chainOf(e, e.VM("copy")), " "); got != "[LocalDS_0] copy/copy.vmdk" {
		t.Error(got)
	}
}

// What a linked clone stands on is not merged when its snapshot is removed, until the clone is destroyed.
func TestSharedFilesStay(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	base, next := e.Create(vm, "base", false, false), e.Create(vm, "next", false, false)
	e.Done(vm.Clone(e.Ctx, folderOf(e, vm), "copy", cloneSpec(&base, true)))
	before := chainOf(e, vm)
	e.Remove(base, false, nil)
	if after := chainOf(e, vm); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("%v became %v", before, after)
	}
	e.Done(e.VM("copy").Destroy(e.Ctx))
	e.Remove(next, false, nil)
	if after := chainOf(e, vm); len(after) != 1 {
		t.Error(after)
	}
}

// An instance UUID that a machine has already is not given to another; a name of the folder is refused.
func TestConflicts(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	snapshot := e.Create(vm, "base", false, false)
	e.Done(vm.Clone(e.Ctx, folderOf(e, vm), "one", cloneSpec(&snapshot, true)))
	e.Done(vm.Clone(e.Ctx, folderOf(e, vm), "two", cloneSpec(&snapshot, true)))
	if e.Read(e.VM("two"), "config.instanceUuid").Config.InstanceUuid == uuidOfCopy {
		t.Error("two machines have one instance UUID")
	}
	task, err := vm.Clone(e.Ctx, folderOf(e, vm), "one", cloneSpec(&snapshot, true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = task.WaitForResult(e.Ctx); !isFault[types.DuplicateName](err) {
		t.Error(err)
	}
}

// A card is edited by the source's key: it gets the network that was asked for and an address of its own.
func TestEditedCard(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	snapshot := e.Create(vm, "base", false, false)
	devices, err := vm.Device(e.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	card := devices.SelectByType((*types.VirtualEthernetCard)(nil))[0].(*types.VirtualVmxnet3)
	address := card.MacAddress
	card.MacAddress, card.Backing = "", &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"},
	}
	card.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: false}
	spec := cloneSpec(&snapshot, true)
	spec.Config.DeviceChange = []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: card},
	}
	spec.PowerOn = true
	e.Done(vm.Clone(e.Ctx, folderOf(e, vm), "copy", spec))
	devices, err = e.VM("copy").Device(e.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := devices.SelectByType((*types.VirtualEthernetCard)(nil))[0].(*types.VirtualVmxnet3)
	backing, _ := got.Backing.(*types.VirtualEthernetCardNetworkBackingInfo)
	if backing == nil || backing.DeviceName != "VM Network" || backing.Network == nil || got.Connectable.Connected {
		t.Errorf("%+v %+v", got.Backing, got.Connectable)
	}
	if got.MacAddress == address || !strings.HasPrefix(got.MacAddress, "00:50:56:") {
		t.Errorf("%s, of the source %s", got.MacAddress, address)
	}
}

// A single host can't clone.
func TestHostClonesNothing(t *testing.T) {
	e := simtest.New(t, func(c *sim.Config) { c.ESX = true })
	vm, err := find.NewFinder(e.Client.Client).VirtualMachine(e.Ctx, "/ha-datacenter/vm/web-1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = vm.Clone(e.Ctx, folderOf(e, vm), "copy", types.VirtualMachineCloneSpec{})
	if !isFault[types.NotSupported](err) {
		t.Error(err)
	}
}

func isFault[T any](err error) bool {
	switch simtest.FaultOf(err).(type) {
	case T, *T:
		return true
	}
	return false
}

// Several machines can be cloned at the same time, and the folder be searched meanwhile.
func TestClonesAtTheSameTime(t *testing.T) {
	e := simtest.New(t)
	index := object.NewSearchIndex(e.Client.Client)
	var group sync.WaitGroup
	for _, source := range []string{"web-1", "web-2", "db-1"} {
		vm := e.VM(source)
		snapshot := e.Create(vm, "base", false, false)
		folder := folderOf(e, vm)
		group.Add(1)
		go func() {
			defer group.Done()
			for number := range 20 {
				spec := cloneSpec(&snapshot, true)
				spec.Config.InstanceUuid = ""
				name := fmt.Sprintf("%s-%d", source, number)
				if task, err := vm.Clone(e.Ctx, folder, name, spec); err != nil {
					t.Error(err)
				} else if err := task.Wait(e.Ctx); err != nil {
					t.Error(err)
				}
				if found, err := index.FindChild(e.Ctx, folder, name); err != nil || found == nil {
					t.Errorf("%s: %v, %v", name, found, err)
				}
			}
		}()
	}
	group.Wait()
}
