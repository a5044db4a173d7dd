package vm

import (
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/task"
)

// linkedMove is the diskMoveType of a linked clone (govc vm.clone -link -snapshot).
const linkedMove = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)

// CloneVMTask makes a new machine from this one, or from one of its snapshots. Upstream's
// knows neither snapshots nor diskMoveType.
func (m *Machine) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	body := &methods.CloneVM_TaskBody{}
	if m.world.esx {
		// A single host can't clone (API reference, CloneVM_Task: "NotSupported: if the
		// operation is not supported by the current agent").
		body.Fault_ = refuse(&types.NotSupported{})
		return body
	}
	if m.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
		body.Fault_ = refuse(&types.InvalidState{})
		return body
	}
	if req.Spec.Snapshot == nil && req.Spec.Location.DiskMoveType == linkedMove {
		// vmware/pyvmomi issue 362: "A specified parameter was not correct: spec.snapshot".
		body.Fault_ = refuse(&types.InvalidArgument{InvalidProperty: "spec.snapshot"})
		return body
	}
	ref, fault := m.start(ctx, task.Spec{
		Method:        "CloneVM_Task",
		DescriptionID: "VirtualMachine.clone",
		Cancelable:    true,
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			return m.provision(ctx, req)
		},
	})
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.CloneVM_TaskResponse{Returnval: ref}
	return body
}

// provision is the effect: another machine, whose disks stand on the snapshot's files, or
// are whole copies of them.
func (m *Machine) provision(ctx *simulator.Context, req *types.CloneVM_Task) (types.AnyType, types.BaseMethodFault) {
	m.world.making.Lock()
	defer m.world.making.Unlock()
	base := m.Config
	if ref := req.Spec.Snapshot; ref != nil {
		s, ok := m.world.snapshot(*ref)
		if !ok || s.Vm != m.Self {
			return nil, &types.InvalidArgument{InvalidProperty: "spec.snapshot"}
		}
		base = &s.Config
	}
	folder, ok := m.world.Registry.Get(req.Folder).(*simulator.Folder)
	if !ok {
		return nil, &types.InvalidArgument{InvalidProperty: "folder"}
	}
	if there := m.world.Registry.FindByName(req.Name, folder.ChildEntity); there != nil {
		return nil, &types.DuplicateName{Name: req.Name, Object: there.Reference()}
	}
	pool := req.Spec.Location.Pool
	if pool == nil {
		pool = m.ResourcePool
	}
	if pool == nil || m.Config.Template && req.Spec.Location.Pool == nil {
		return nil, &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	store := strings.Trim(datastoreOf(m.Config.Files.VmPathName), "[]")
	if ref := req.Spec.Location.Datastore; ref != nil {
		found, ok := m.world.Registry.Get(*ref).(*simulator.Datastore)
		if !ok {
			return nil, &types.InvalidArgument{InvalidProperty: "spec.location.datastore"}
		}
		store = found.Name
	}
	host := req.Spec.Location.Host
	if host == nil {
		host = m.Runtime.Host
	}
	made, f := m.emptyMachine(ctx, folder, types.CreateVM_Task{
		This: folder.Self, Pool: *pool, Host: host,
		Config: types.VirtualMachineConfigSpec{
			Name:  req.Name,
			Files: &types.VirtualMachineFileInfo{VmPathName: fmt.Sprintf("[%s]", store)},
		},
	})
	if f != nil {
		return nil, f
	}
	config, f := m.configured(base, req, made, req.Spec.Location.DiskMoveType == linkedMove)
	if f != nil {
		return nil, f
	}
	background := m.world.context()
	background.WithLock(made.Self, func() {
		summary := clone(made.Summary.Config)
		summarize(&summary, config)
		summary.InstanceUuid, summary.Uuid, summary.Name = config.InstanceUuid, config.Uuid, req.Name
		background.Update(made.VirtualMachine, []types.PropertyChange{
			{Name: "config", Val: *config},
			{Name: "summary.config", Val: summary},
			{Name: "network", Val: m.world.networks(config.Hardware.Device)},
		})
	})
	// The guest is a copy, too: it has Tools, or lacks them, and the address that is written on its disk.
	made.state.tools, made.state.toolsInstalled = m.state.tools, m.state.toolsInstalled
	if m.Guest != nil {
		guest := types.GuestInfo{IpAddress: m.Guest.IpAddress, Net: clone(m.Guest.Net)}
		background.WithLock(made.Self, func() {
			background.Update(made.VirtualMachine, []types.PropertyChange{{Name: "guest", Val: guest}})
		})
	}
	m.world.prepare(made)
	if req.Spec.PowerOn {
		background.WithLock(made.Self, func() {
			devices := clone(made.Config.Hardware.Device)
			connect(devices, on)
			background.Update(made.VirtualMachine, append(made.power(on),
				types.PropertyChange{Name: "config.hardware.device", Val: devices}))
		})
	}
	node := &types.VirtualMachineSnapshotTree{Name: req.Name}
	if req.Spec.Snapshot != nil {
		node.Snapshot = *req.Spec.Snapshot
	}
	m.world.History.add(m.Name, "clone", node)
	return made.Self, nil
}

// emptyMachine lets upstream make an empty machine: its place in the inventory and its files.
func (m *Machine) emptyMachine(
	ctx *simulator.Context, folder *simulator.Folder, req types.CreateVM_Task,
) (*Machine, types.BaseMethodFault) {
	res, ok := folder.CreateVMTask(ctx, &req).(*methods.CreateVM_TaskBody)
	if !ok || res.Res == nil {
		return nil, &types.SystemErrorFault{Reason: "the folder makes no machines"}
	}
	created, ok := m.world.Registry.Get(res.Res.Returnval).(*simulator.Task)
	if !ok {
		return nil, &types.SystemErrorFault{Reason: "no such task"}
	}
	created.Wait()
	if created.Info.Error != nil {
		return nil, created.Info.Error.Fault
	}
	ref, _ := created.Info.Result.(types.ManagedObjectReference)
	upstream, ok := m.world.Registry.Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return nil, &types.SystemErrorFault{Reason: "no machine was made"}
	}
	return m.world.Wrap(upstream), nil
}

// configured is the new machine's configuration: the source's as it is or was, with what
// the request changes.
func (m *Machine) configured(
	base *types.VirtualMachineConfigInfo, req *types.CloneVM_Task, made *Machine, linked bool,
) (*types.VirtualMachineConfigInfo, types.BaseMethodFault) {
	config := clone(*base)
	now := m.world.Tasks.Now()
	config.Name, config.Files, config.Template = req.Name, made.Config.Files, req.Spec.Template
	config.Uuid = uuid.NewString()
	config.CreateDate, config.Modified, config.ChangeVersion = &now, now, fmt.Sprint(now.UnixNano())
	spec := types.VirtualMachineConfigSpec{}
	if req.Spec.Config != nil {
		spec = *req.Spec.Config
	}
	config.InstanceUuid = m.world.instanceUUID(spec.InstanceUuid)
	if spec.NumCPUs != 0 {
		config.Hardware.NumCPU = spec.NumCPUs
	}
	if spec.MemoryMB != 0 {
		config.Hardware.MemoryMB = int32(spec.MemoryMB)
	}
	if spec.Annotation != "" {
		config.Annotation = spec.Annotation
	}
	config.ExtraConfig = merged(config.ExtraConfig, spec.ExtraConfig)
	m.copyDisks(config.Hardware.Device, made, linked)
	for _, device := range config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			// Only an address that somebody gave is kept (API reference, VirtualEthernetCard.addressType).
			if c := card.GetVirtualEthernetCard(); c.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
				c.MacAddress = macAddress(config.InstanceUuid, c.Key)
			}
		}
	}
	for _, change := range append(req.Spec.Location.DeviceChange, spec.DeviceChange...) {
		edit := change.GetVirtualDeviceConfigSpec()
		if edit.Operation != types.VirtualDeviceConfigSpecOperationEdit {
			return nil, &types.NotSupported{} // by this simulator
		}
		if !editDevice(config.Hardware.Device, edit.Device) {
			return nil, &types.InvalidDeviceSpec{}
		}
	}
	connect(config.Hardware.Device, off)
	return &config, nil
}

// copyDisks gives each disk files of the new machine: a delta over the source's, or a copy
// of all of the source's chain.
func (m *Machine) copyDisks(devices []types.BaseVirtualDevice, made *Machine, linked bool) {
	stem := strings.TrimSuffix(made.Config.Files.VmPathName, ".vmx")
	taken, number := map[string]bool{}, 0
	for _, device := range devices {
		b, ok := backingOf(device)
		if !ok {
			continue
		}
		name := stem + ".vmdk"
		if number > 0 {
			name = fmt.Sprintf("%s_%d.vmdk", stem, number)
		}
		number++
		if !linked || b.independent() {
			var size int64
			for _, link := range b.chain() {
				size += m.size(device, link.file())
			}
			b.setFile(name)
			b.setParent(reflect.Zero(b.value.Type()))
			made.state.sizes[name] = min(size, device.(*types.VirtualDisk).CapacityInBytes)
			continue
		}
		parent := clone(device.(*types.VirtualDisk).Backing)
		for _, link := range b.chain() {
			made.state.sizes[link.file()] = m.size(device, link.file())
			m.world.stand(made.Self, link.file())
		}
		delta := deltaName(name, taken)
		b.setFile(delta)
		b.setParent(reflect.ValueOf(parent))
		made.state.sizes[delta] = newDelta
	}
}

// size is what a file of the machine's disk takes.
func (m *Machine) size(device types.BaseVirtualDevice, file string) int64 {
	if size, known := m.state.sizes[file]; known {
		return size
	}
	return device.(*types.VirtualDisk).CapacityInBytes / usedShare
}

// DestroyTask deletes the machine and its files; files that others stand on stay
// (Web Services SDK Programming Guide, "Removing Snapshots and Deleting Linked Virtual
// Machines": vCenter knows what is shared).
func (m *Machine) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	body := &methods.Destroy_TaskBody{}
	ref, fault := m.start(ctx, task.Spec{
		Method:        "Destroy_Task",
		DescriptionID: "VirtualMachine.destroy",
		Effect: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			snapshots := []types.ManagedObjectReference{}
			if m.Snapshot != nil {
				snapshots = refs(m.Snapshot.RootSnapshotList)
			}
			if r := m.VirtualMachine.UnregisterVM(ctx, &types.UnregisterVM{This: req.This}); r.Fault() != nil {
				f, _ := r.Fault().VimFault().(types.BaseMethodFault)
				return nil, f
			}
			for _, ref := range snapshots {
				ctx.Map.Remove(ctx, ref)
			}
			m.world.forget(m.Self, m.Config.InstanceUuid)
			m.world.History.add(m.Name, "destroy", nil)
			return nil, nil
		},
	})
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.Destroy_TaskResponse{Returnval: ref}
	return body
}

// instanceUUID gives the one that was asked for if no machine has it; else another
// (API reference, VirtualMachineConfigSpec.instanceUuid: assigned or changed "when
// VirtualCenter detects an identifier conflict between virtual machines").
func (w *World) instanceUUID(asked string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked = strings.ToLower(asked)
	if asked == "" || w.instances[asked] {
		asked = uuid.NewString()
	}
	w.instances[asked] = true
	return asked
}

// know notes the instance UUID of a machine that was not cloned.
func (w *World) know(instance string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances[strings.ToLower(instance)] = true
}

// stand notes that a disk of a linked clone stands on a file.
func (w *World) stand(machine types.ManagedObjectReference, file string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.standing[file] == nil {
		w.standing[file] = map[types.ManagedObjectReference]bool{}
	}
	w.standing[file][machine] = true
}

// stoodOn lists the files that disks of other machines stand on.
func (w *World) stoodOn(machine types.ManagedObjectReference) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := map[string]bool{}
	for file, machines := range w.standing {
		for other := range machines {
			if other != machine {
				files[file] = true
			}
		}
	}
	return files
}

// forget drops all that is known of a machine that is gone.
func (w *World) forget(machine types.ManagedObjectReference, instance string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.states, machine)
	delete(w.instances, strings.ToLower(instance))
	for _, machines := range w.standing {
		delete(machines, machine)
	}
}

func datastoreOf(file string) string {
	var p object.DatastorePath
	p.FromString(file)
	return p.Datastore
}

// merged is one list of options with those of another in their place.
func merged(options, over []types.BaseOptionValue) []types.BaseOptionValue {
	all := []types.BaseOptionValue{}
	given := map[string]bool{}
	for _, option := range over {
		given[option.GetOptionValue().Key] = true
	}
	for _, option := range options {
		if !given[option.GetOptionValue().Key] {
			all = append(all, option)
		}
	}
	for _, option := range over {
		if option.GetOptionValue().Value != "" { // an empty value removes (API reference, extraConfig)
			all = append(all, option)
		}
	}
	return all
}

// editDevice puts a device in the place of the one with its key.
func editDevice(devices []types.BaseVirtualDevice, edited types.BaseVirtualDevice) bool {
	for i, device := range devices {
		old, now := device.GetVirtualDevice(), edited.GetVirtualDevice()
		if old.Key != now.Key {
			continue
		}
		if now.DeviceInfo == nil {
			now.DeviceInfo = old.DeviceInfo
		}
		if now.ControllerKey == 0 {
			now.ControllerKey, now.UnitNumber = old.ControllerKey, old.UnitNumber
		}
		if now.Backing == nil {
			now.Backing = old.Backing
		}
		if card, ok := edited.(types.BaseVirtualEthernetCard); ok {
			before := device.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
			c := card.GetVirtualEthernetCard()
			if c.AddressType != string(types.VirtualEthernetCardMacTypeManual) || c.MacAddress == "" {
				c.AddressType, c.MacAddress = before.AddressType, before.MacAddress
			}
		}
		devices[i] = edited
		return true
	}
	return false
}

// networks are those that a machine's cards are on. The reference of a standard one is the server's to fill in:
// it "is not used during configuration" (API reference, VirtualEthernetCardNetworkBackingInfo.network).
func (w *World) networks(devices []types.BaseVirtualDevice) []types.ManagedObjectReference {
	var found []types.ManagedObjectReference
	for _, device := range devices {
		card, ok := device.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		switch b := card.GetVirtualEthernetCard().Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			if there := w.Registry.FindByName(b.DeviceName, refsOf(w.Registry.All("Network"))); there != nil {
				ref := there.Reference()
				b.Network = &ref
				found = append(found, ref)
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			found = append(found, types.ManagedObjectReference{
				Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey,
			})
		}
	}
	return found
}

func refsOf(entities []mo.Entity) []types.ManagedObjectReference {
	found := make([]types.ManagedObjectReference, 0, len(entities))
	for _, entity := range entities {
		found = append(found, entity.Reference())
	}
	return found
}

// macAddress is one of VMware's range for a new machine's card.
func macAddress(instance string, key int32) string {
	sum := uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprintf("%s %d", path.Base(instance), key)))
	return fmt.Sprintf("00:50:56:%02x:%02x:%02x", sum[0]&0x3f|0x80, sum[1], sum[2])
}
