package vm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

const (
	descriptorSize = 512
	// newDelta is what an empty delta takes: VMFS grows it in 16 MiB steps.
	newDelta = 16 << 20
	vmsnSize = 28 << 10
	vmsdSize = 400
	// usedShare of a thin base disk's capacity is in use.
	usedShare = 4
)

// layout returns the changes that make the machine's file layout say what its
// devices and snapshots hold. A file keeps its key while it exists.
func (m *Machine) layout() []types.PropertyChange {
	files := newFiles(m.LayoutEx)
	now := m.world.Tasks.Now()

	layout := types.VirtualMachineFileLayout{}
	if m.Layout != nil {
		layout = clone(*m.Layout)
	}
	layout.Disk, layout.Snapshot = nil, nil
	ex := types.VirtualMachineFileLayoutEx{Timestamp: now.Add(-m.state.layoutAge)}

	disks := m.chains(files, m.Config.Hardware.Device)
	ex.Disk = disks
	for _, device := range m.Config.Hardware.Device {
		if b, ok := backingOf(device); ok {
			names := types.VirtualMachineFileLayoutDiskLayout{Key: device.GetVirtualDevice().Key}
			for _, link := range b.chain() {
				names.DiskFile = append(names.DiskFile, link.file())
			}
			layout.Disk = append(layout.Disk, names)
		}
	}

	if m.Snapshot != nil {
		for _, ref := range refs(m.Snapshot.RootSnapshotList) {
			s, ok := m.world.snapshot(ref)
			if !ok {
				continue
			}
			entry, names := m.snapshotFiles(files, s)
			ex.Snapshot = append(ex.Snapshot, entry)
			layout.Snapshot = append(layout.Snapshot, names)
		}
	}
	m.keepOthers(files)
	ex.File = files.list()
	for i := range ex.File {
		if m.state.unreachable != "" && strings.HasSuffix(ex.File[i].Name, m.state.unreachable) {
			ex.File[i].Accessible = types.NewBool(false)
		}
	}

	var committed, uncommitted int64
	for i := range ex.File {
		committed += ex.File[i].Size
	}
	for _, device := range m.Config.Hardware.Device {
		if disk, ok := device.(*types.VirtualDisk); ok {
			uncommitted += disk.CapacityInBytes
		}
	}
	uncommitted = max(0, uncommitted-committed)
	storage := types.VirtualMachineStorageInfo{Timestamp: now}
	for _, ds := range m.Datastore {
		// All files of a simulated machine are on its first datastore.
		storage.PerDatastoreUsage = append(storage.PerDatastoreUsage, types.VirtualMachineUsageOnDatastore{
			Datastore: ds, Committed: committed, Uncommitted: uncommitted, Unshared: committed,
		})
		break
	}
	return []types.PropertyChange{
		{Name: "layout", Val: layout},
		{Name: "layoutEx", Val: ex},
		{Name: "storage", Val: storage},
		{Name: "summary.storage", Val: types.VirtualMachineStorageSummary{
			Committed: committed, Uncommitted: uncommitted, Unshared: committed, Timestamp: now,
		}},
	}
}

// chains lists the files of each disk, the base first.
func (m *Machine) chains(files *files, devices []types.BaseVirtualDevice) []types.VirtualMachineFileLayoutExDiskLayout {
	var disks []types.VirtualMachineFileLayoutExDiskLayout
	for _, device := range devices {
		b, ok := backingOf(device)
		if !ok {
			continue
		}
		disk := types.VirtualMachineFileLayoutExDiskLayout{Key: device.GetVirtualDevice().Key}
		chain := b.chain()
		slices.Reverse(chain)
		for i, link := range chain {
			name := link.file()
			size, known := m.state.sizes[name]
			if !known {
				size = device.(*types.VirtualDisk).CapacityInBytes / usedShare
				m.state.sizes[name] = size
			}
			extent := "-delta.vmdk"
			if i == 0 {
				extent = "-flat.vmdk"
			}
			disk.Chain = append(disk.Chain, types.VirtualMachineFileLayoutExDiskUnit{FileKey: []int32{
				files.put(name, types.VirtualMachineFileLayoutExFileTypeDiskDescriptor, descriptorSize),
				files.put(strings.TrimSuffix(name, ".vmdk")+extent,
					types.VirtualMachineFileLayoutExFileTypeDiskExtent, size),
			}})
		}
		disks = append(disks, disk)
	}
	return disks
}

// snapshotFiles lists the files of one snapshot: what the machine was (.vmsn), its
// memory (.vmem) if that was kept, and the disk chains as they were.
func (m *Machine) snapshotFiles(files *files, s *VirtualMachineSnapshot) (
	types.VirtualMachineFileLayoutExSnapshotLayout, types.VirtualMachineFileLayoutSnapshotLayout,
) {
	machine := strings.TrimSuffix(m.Config.Files.VmPathName, ".vmx")
	stem := fmt.Sprintf("%s-Snapshot%d", machine, m.state.ids[s.Self])
	entry := types.VirtualMachineFileLayoutExSnapshotLayout{
		Key:       s.Self,
		DataKey:   files.put(stem+".vmsn", types.VirtualMachineFileLayoutExFileTypeSnapshotData, vmsnSize),
		MemoryKey: -1,
		Disk:      m.chains(files, s.Config.Hardware.Device),
	}
	names := types.VirtualMachineFileLayoutSnapshotLayout{Key: s.Self, SnapshotFile: []string{stem + ".vmsn"}}
	if size, ok := m.state.memory[s.Self]; ok {
		entry.MemoryKey = files.put(stem+".vmem", types.VirtualMachineFileLayoutExFileTypeSnapshotMemory, size)
		names.SnapshotFile = append(names.SnapshotFile, stem+".vmem")
	}
	files.put(machine+".vmsd", types.VirtualMachineFileLayoutExFileTypeSnapshotList, vmsdSize)
	return entry, names
}

// keepOthers keeps the files that have nothing to do with disks and snapshots.
func (m *Machine) keepOthers(files *files) {
	if m.LayoutEx == nil {
		return
	}
	for _, file := range m.LayoutEx.File {
		switch types.VirtualMachineFileLayoutExFileType(file.Type) {
		case types.VirtualMachineFileLayoutExFileTypeDiskDescriptor,
			types.VirtualMachineFileLayoutExFileTypeDiskExtent,
			types.VirtualMachineFileLayoutExFileTypeSnapshotData,
			types.VirtualMachineFileLayoutExFileTypeSnapshotMemory,
			types.VirtualMachineFileLayoutExFileTypeSnapshotList:
		default:
			files.put(file.Name, types.VirtualMachineFileLayoutExFileType(file.Type), file.Size)
		}
	}
}

// files collects a file layout; a name that was in the previous one keeps its key.
type files struct {
	keys  map[string]int32
	next  int32
	infos map[int32]types.VirtualMachineFileLayoutExFileInfo
}

func newFiles(previous *types.VirtualMachineFileLayoutEx) *files {
	f := &files{keys: map[string]int32{}, infos: map[int32]types.VirtualMachineFileLayoutExFileInfo{}}
	if previous != nil {
		for _, file := range previous.File {
			f.keys[file.Name] = file.Key
			f.next = max(f.next, file.Key+1)
		}
	}
	return f
}

func (f *files) put(name string, kind types.VirtualMachineFileLayoutExFileType, size int64) int32 {
	key, ok := f.keys[name]
	if !ok {
		key = f.next
		f.next++
		f.keys[name] = key
	}
	f.infos[key] = types.VirtualMachineFileLayoutExFileInfo{
		Key: key, Name: name, Type: string(kind), Size: size, UniqueSize: size, Accessible: types.NewBool(true),
	}
	return key
}

func (f *files) list() []types.VirtualMachineFileLayoutExFileInfo {
	list := make([]types.VirtualMachineFileLayoutExFileInfo, 0, len(f.infos))
	for _, info := range f.infos {
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b types.VirtualMachineFileLayoutExFileInfo) int { return int(a.Key - b.Key) })
	return list
}
