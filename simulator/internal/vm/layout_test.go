package vm_test

import (
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/simtest"
)

// The files of a snapshot can be found and summed: its data, its memory, its disks.
func TestLayout(t *testing.T) {
	e := simtest.New(t)
	vm := e.VM("web-1")
	a := e.Create(vm, "a", true, false)
	b := e.Create(vm, "b", false, false)
	e.Admin("POST", "/vm", simtest.JSON{"vm": "web-1", "deltaGrowthMiB": 100}, nil)

	layout := e.Read(vm, "layoutEx").LayoutEx
	files := map[int32]types.VirtualMachineFileLayoutExFileInfo{}
	for _, file := range layout.File {
		files[file.Key] = file
	}
	if len(layout.Snapshot) != 2 || layout.Snapshot[0].Key != a || layout.Snapshot[1].Key != b {
		t.Fatalf("%+v", layout.Snapshot)
	}
	first, second := layout.Snapshot[0], layout.Snapshot[1]
	if data := files[first.DataKey]; data.Type != "snapshotData" || data.Size == 0 {
		t.Error(data)
	}
	if memory := files[first.MemoryKey]; memory.Type != "snapshotMemory" || memory.Size != 2048<<20 {
		t.Error(memory)
	}
	if second.MemoryKey != -1 {
		t.Error(second.MemoryKey)
	}
	if n, m := len(first.Disk[0].Chain), len(second.Disk[0].Chain); n != 1 || m != 2 {
		t.Error(n, m)
	}
	chain := layout.Disk[0].Chain
	if len(chain) != 3 {
		t.Fatal(chain)
	}
	top := files[chain[2].FileKey[1]]
	if top.Name != "[LocalDS_0] web-1/web-1-000002-delta.vmdk" || top.Size != 116<<20 {
		t.Error(top)
	}
	keys := map[string]int32{}
	for _, file := range layout.File {
		keys[file.Name] = file.Key
	}

	e.Remove(b, false, nil)
	layout = e.Read(vm, "layoutEx").LayoutEx
	var size int64
	for _, file := range layout.File {
		if key, ok := keys[file.Name]; ok && key != file.Key {
			t.Error("changed its key:", file)
		}
		if file.Name == "[LocalDS_0] web-1/web-1-000001-delta.vmdk" {
			size = file.Size
		}
	}
	// What was written since goes into the delta below.
	if size != 132<<20 || len(layout.Disk[0].Chain) != 2 {
		t.Error(size, layout.Disk[0].Chain)
	}
}
