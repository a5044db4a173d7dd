package vm

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// backing is a file backing of a disk that can have a delta on top. The backing
// types have no common interface for it, but the same members.
type backing struct{ value reflect.Value }

func backingOf(device types.BaseVirtualDevice) (backing, bool) {
	disk, ok := device.(*types.VirtualDisk)
	if !ok || disk.Backing == nil {
		return backing{}, false
	}
	return asBacking(reflect.ValueOf(disk.Backing))
}

func asBacking(v reflect.Value) (backing, bool) {
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return backing{}, false
	}
	parent, mode := v.Elem().FieldByName("Parent"), v.Elem().FieldByName("DiskMode")
	if !parent.IsValid() || parent.Type() != v.Type() || !mode.IsValid() {
		return backing{}, false
	}
	return backing{v}, true
}

func (b backing) file() string { return b.value.Elem().FieldByName("FileName").String() }

func (b backing) setFile(name string) { b.value.Elem().FieldByName("FileName").SetString(name) }

func (b backing) parent() (backing, bool) { return asBacking(b.value.Elem().FieldByName("Parent")) }

func (b backing) setParent(parent reflect.Value) { b.value.Elem().FieldByName("Parent").Set(parent) }

// independent disks take no part in snapshots (API reference, VirtualDiskMode).
func (b backing) independent() bool {
	return strings.HasPrefix(b.value.Elem().FieldByName("DiskMode").String(), "independent")
}

// chain lists the backing and its parents, the topmost first.
func (b backing) chain() []backing {
	all := []backing{b}
	for p, ok := b.parent(); ok; p, ok = p.parent() {
		all = append(all, p)
	}
	return all
}

func (m *Machine) hasIndependentDisk() bool {
	return slices.ContainsFunc(m.Config.Hardware.Device, func(d types.BaseVirtualDevice) bool {
		b, ok := backingOf(d)
		return ok && b.independent()
	})
}

func (m *Machine) hasNVDIMM() bool {
	return slices.ContainsFunc(m.Config.Hardware.Device, func(d types.BaseVirtualDevice) bool {
		_, ok := d.(*types.VirtualNVDIMM)
		return ok
	})
}

var deltaSuffix = regexp.MustCompile(`-\d{6}$`)

// deltaName returns the name of a new delta over file, as ESX chooses it: the base's
// name and the first free six-digit number.
func deltaName(file string, taken map[string]bool) string {
	base := deltaSuffix.ReplaceAllString(strings.TrimSuffix(file, path.Ext(file)), "")
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%06d.vmdk", base, n)
		if !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// withDeltas returns devices whose dependent disks write into new deltas.
func (m *Machine) withDeltas(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	taken := map[string]bool{}
	for _, list := range m.points() {
		for _, device := range list {
			if b, ok := backingOf(device); ok {
				for _, link := range b.chain() {
					taken[link.file()] = true
				}
			}
		}
	}
	devices = clone(devices)
	for _, device := range devices {
		b, ok := backingOf(device)
		if !ok || b.independent() {
			continue
		}
		parent := clone(device.(*types.VirtualDisk).Backing)
		b.setFile(deltaName(b.file(), taken))
		b.setParent(reflect.ValueOf(parent))
		m.state.sizes[b.file()] = newDelta
	}
	return devices
}

// points are the device lists of everything that holds disks: the machine itself and
// each of its snapshots.
func (m *Machine) points() [][]types.BaseVirtualDevice {
	points := [][]types.BaseVirtualDevice{m.Config.Hardware.Device}
	if m.Snapshot == nil {
		return points
	}
	for _, ref := range refs(m.Snapshot.RootSnapshotList) {
		if s, ok := m.world.snapshot(ref); ok {
			points = append(points, s.Config.Hardware.Device)
		}
	}
	return points
}

// consolidation is a set of device lists whose disk chains are to be shortened.
type consolidation struct {
	lists [][]types.BaseVirtualDevice
	sizes map[string]int64
	// shared are files that disks of other machines stand on: a vCenter leaves them alone.
	shared map[string]bool
}

// run merges every file that nothing stands on any more into its only child: the
// child's blocks are written into the file, as when ESX deletes a snapshot. It
// reports whether there was anything to merge.
func (c *consolidation) run() bool {
	merged := false
	for {
		file, child, ok := c.next()
		if !ok {
			return merged
		}
		merged = true
		c.sizes[file] = c.sizes[file] + c.sizes[child]
		delete(c.sizes, child)
		for _, list := range c.lists {
			for _, device := range list {
				c.cut(device, file, child)
			}
		}
	}
}

// next finds a file that is no disk's top and has exactly one child.
func (c *consolidation) next() (file, child string, ok bool) {
	tops := map[string]bool{}
	children := map[string]map[string]bool{}
	var order []string
	for _, list := range c.lists {
		for _, device := range list {
			b, ok := backingOf(device)
			if !ok {
				continue
			}
			chain := b.chain()
			tops[chain[0].file()] = true
			for i := 1; i < len(chain); i++ {
				parent := chain[i].file()
				if children[parent] == nil {
					children[parent] = map[string]bool{}
					order = append(order, parent)
				}
				children[parent][chain[i-1].file()] = true
			}
		}
	}
	for _, parent := range order {
		if !tops[parent] && len(children[parent]) == 1 && !c.shared[parent] {
			for only := range children[parent] {
				if !c.shared[only] {
					return parent, only, true
				}
			}
		}
	}
	return "", "", false
}

// cut takes child out of the device's chain; what stood on it stands on file.
func (c *consolidation) cut(device types.BaseVirtualDevice, file, child string) {
	b, ok := backingOf(device)
	if !ok {
		return
	}
	for _, link := range b.chain() {
		parent, ok := link.parent()
		if link.file() == child && ok && parent.file() == file {
			link.setFile(file)
			link.setParent(parent.value.Elem().FieldByName("Parent"))
			return
		}
	}
}
