// Package inventory makes the simulated vCenter or ESXi and its virtual machines.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path"
	"slices"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	datastore  = "[LocalDS_%d]"
	capacity   = 16 << 30
	memoryMB   = 2048
	numCPUs    = 2
	apiVersion = "8.0.3.0"
	// hardware is the newest hardware version of vSphere 8.0.
	hardware = "vmx-21"
)

// Config says what to make.
type Config struct {
	// ESX makes a single host instead of a vCenter.
	ESX bool
	// VMs is their number; Names are used first.
	VMs   int
	Names []string
	// Plain leaves the API version as upstream has it.
	Plain bool
	// InstanceUUID is the server's identity (about.instanceUuid; of a host, its hardware's UUID); "" leaves upstream's, which is the
	// same for all simulators, as for one server that is started again.
	InstanceUUID string
	// Datastores is their number; each machine has a disk on each.
	Datastores int
	// NoCDDrive leaves the machines' CD drives out.
	NoCDDrive bool
	// InVApp are those of the Names that are in a vApp.
	InVApp []string
}

// New makes the inventory with all machines powered on.
func New(config Config) (*simulator.Model, error) {
	model := simulator.VPX()
	if config.ESX {
		model = simulator.ESX()
	}
	model.Machine, model.Host, model.Autostart = 0, 0, false
	model.Datastore = max(config.Datastores, 1)
	if !config.Plain {
		about := &model.ServiceContent.About
		about.Version, about.ApiVersion = "8.0.3", apiVersion
		about.FullName = fmt.Sprintf("%s %s build-%s", about.Name, about.Version, about.Build)
		if !config.ESX {
			// Of 924 recorded adapters, 827 are on distributed or opaque networks (lamw/govc-recordings).
			model.OpaqueNetwork = 1
		}
	}
	if config.InstanceUUID != "" && !config.ESX {
		model.ServiceContent.About.InstanceUuid = config.InstanceUUID
	}
	if err := model.Create(); err != nil {
		return nil, err
	}
	if config.ESX {
		// A host has no about.instanceUuid (govmomi's simulator/esx, as captured): its hardware tells it.
		model.ServiceContent.About.InstanceUuid = ""
		for _, entity := range model.Map().All("HostSystem") {
			if host, ok := entity.(*simulator.HostSystem); ok && config.InstanceUUID != "" {
				host.Summary.Hardware.Uuid = config.InstanceUUID
				host.Hardware.SystemInfo.Uuid = config.InstanceUUID
			}
		}
	}

	ctx := context.Background()
	client, err := vim25.NewClient(ctx, model.Service)
	if err != nil {
		return nil, err
	}
	finder := find.NewFinder(client)
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return nil, err
	}
	finder.SetDatacenter(dc)
	folders, err := dc.Folders(ctx)
	if err != nil {
		return nil, err
	}
	pool, err := finder.ResourcePoolList(ctx, "*/Resources")
	if err != nil {
		return nil, err
	}
	network, err := finder.NetworkList(ctx, "*")
	if err != nil {
		return nil, err
	}
	card := network[0]
	for _, n := range network {
		if n.Reference().Type == "DistributedVirtualPortgroup" && path.Base(n.GetInventoryPath()) == "DC0_DVPG0" {
			card = n
		}
	}
	backing, err := card.EthernetCardBackingInfo(ctx)
	if err != nil {
		return nil, err
	}

	restore := defaultControllers()
	var created []types.ManagedObjectReference
	for i := range config.VMs {
		name := fmt.Sprintf("DC0_C0_RP0_VM%d", i)
		if config.ESX {
			name = fmt.Sprintf("ha-host_VM%d", i)
		}
		if i < len(config.Names) {
			name = config.Names[i]
		}
		spec, err := machine(name, backing, config)
		if err != nil {
			return nil, err
		}
		if config.Plain {
			spec.Version = ""
		}
		ref, err := create(ctx, model, folders.VmFolder, pool[0], *spec)
		if err != nil {
			return nil, fmt.Errorf("creating %s: %w", name, err)
		}
		if slices.Contains(config.InVApp, name) {
			created = append(created, ref)
		}
		if !config.Plain {
			restore()
		}
	}
	if len(created) > 0 {
		if err := intoVApp(ctx, model, folders.VmFolder, pool[0], created); err != nil {
			return nil, err
		}
	}
	log.Printf("%d virtual machines", config.VMs)
	return model, nil
}

// intoVApp makes a vApp of machines. Upstream leaves such machines in their folder; in
// vSphere they have no parent but parentVApp, and are in no folder (API reference,
// ManagedEntity.parent and VirtualMachine.parentVApp).
func intoVApp(
	ctx context.Context, model *simulator.Model, folder *object.Folder, pool *object.ResourcePool,
	machines []types.ManagedObjectReference,
) error {
	made, err := pool.CreateVApp(ctx, "app", types.DefaultResourceConfigSpec(), types.VAppConfigSpec{}, folder)
	if err != nil {
		return err
	}
	app := model.Map().Get(made.Reference()).(*simulator.VirtualApp)
	parent := model.Map().Get(folder.Reference()).(*simulator.Folder)
	from := model.Map().Get(pool.Reference()).(*simulator.ResourcePool)
	for _, ref := range machines {
		vm := model.Map().Get(ref).(*simulator.VirtualMachine)
		vm.Parent, vm.ParentVApp = nil, &app.Self
		vm.ResourcePool = &app.Self
		parent.ChildEntity = slices.DeleteFunc(parent.ChildEntity, func(r types.ManagedObjectReference) bool { return r == ref })
		from.Vm = slices.DeleteFunc(from.Vm, func(r types.ManagedObjectReference) bool { return r == ref })
		app.Vm = append(app.Vm, ref)
	}
	return nil
}

// machine describes one with a disk on each datastore, a CD drive and a network card.
func machine(
	name string, backing types.BaseVirtualDeviceBackingInfo, config Config,
) (*types.VirtualMachineConfigSpec, error) {
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return nil, err
	}
	ide, err := devices.CreateIDEController()
	if err != nil {
		return nil, err
	}
	cdrom, err := devices.CreateCdrom(ide.(*types.VirtualIDEController))
	if err != nil {
		return nil, err
	}
	nic, err := devices.CreateEthernetCard("vmxnet3", backing)
	if err != nil {
		return nil, err
	}
	for label, device := range map[string]types.BaseVirtualDevice{
		"SCSI controller 0": scsi, "CD/DVD drive 1": cdrom, "Network adapter 1": nic,
	} {
		device.GetVirtualDevice().DeviceInfo = &types.Description{Label: label}
	}
	devices = append(devices, scsi)
	if !config.NoCDDrive {
		devices = append(devices, cdrom)
	}
	var disks object.VirtualDeviceList
	for i := range max(config.Datastores, 1) {
		file := fmt.Sprintf(datastore+" ", i) + name + ".vmdk"
		if i == 0 {
			file = fmt.Sprintf(datastore+" ", i) + path.Join(name, name+".vmdk")
		}
		disk := disks.CreateDisk(scsi.(types.BaseVirtualController), types.ManagedObjectReference{}, file)
		disk.CapacityInKB, disk.CapacityInBytes = capacity>>10, capacity
		disk.DeviceInfo = &types.Description{Label: fmt.Sprintf("Hard disk %d", i+1)}
		disks = append(disks, disk)
	}
	devices = append(append(devices, disks...), nic)

	spec := &types.VirtualMachineConfigSpec{
		Name:              name,
		GuestId:           string(types.VirtualMachineGuestOsIdentifierUbuntu64Guest),
		Version:           hardware,
		NumCPUs:           numCPUs,
		NumCoresPerSocket: types.NewInt32(1),
		MemoryMB:          memoryMB,
		Files:             &types.VirtualMachineFileInfo{VmPathName: fmt.Sprintf(datastore, 0)},
	}
	spec.DeviceChange, err = devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	return spec, err
}

func create(
	ctx context.Context, model *simulator.Model, folder *object.Folder, pool *object.ResourcePool,
	spec types.VirtualMachineConfigSpec,
) (types.ManagedObjectReference, error) {
	task, err := folder.CreateVM(ctx, spec, pool, nil)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	info, err := result(model, task)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	created := info.Result.(types.ManagedObjectReference)
	task, err = object.NewVirtualMachine(folder.Client(), created).PowerOn(ctx)
	if err != nil {
		return created, err
	}
	_, err = result(model, task)
	return created, err
}

// defaultControllers remembers what is attached to upstream's default controllers, and
// returns what restores that. Upstream makes all machines from the same ones until they
// are powered on, so that each machine's PCI controller lists the network cards of all
// machines before it: half a million entries in a read of 1000.
func defaultControllers() (restore func()) {
	attached := map[*types.VirtualController][]int32{}
	for _, device := range esx.VirtualDevice {
		if c, ok := device.(types.BaseVirtualController); ok {
			attached[c.GetVirtualController()] = slices.Clone(c.GetVirtualController().Device)
		}
	}
	return func() {
		for controller, keys := range attached {
			controller.Device = slices.Clone(keys)
		}
	}
}

// result waits for one of upstream's tasks. Through a property collector that takes
// 20 ms at least, too long for hundreds of machines.
func result(model *simulator.Model, running *object.Task) (types.TaskInfo, error) {
	task, ok := model.Map().Get(running.Reference()).(*simulator.Task)
	if !ok {
		return types.TaskInfo{}, fmt.Errorf("%s: no such task", running.Reference())
	}
	ctx := &simulator.Context{Map: model.Map()}
	for {
		var info types.TaskInfo
		ctx.WithLock(task, func() { info = task.Info })
		switch info.State {
		case types.TaskInfoStateSuccess:
			return info, nil
		case types.TaskInfoStateError:
			return info, errors.New(info.Error.LocalizedMessage)
		}
		time.Sleep(100 * time.Microsecond)
	}
}
