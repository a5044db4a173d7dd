package sim_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/simtest"
)

// Other clients find upstream's other services where they were switched on, and only there.
func TestEndpoints(t *testing.T) {
	for _, on := range []bool{true, false} {
		e := simtest.New(t, func(c *sim.Config) {
			if on {
				c.Endpoints = []string{"pbm", "vapi"}
			}
		})
		_, policies := pbm.NewClient(e.Ctx, e.Client.Client)
		login := rest.NewClient(e.Client.Client).Login(e.Ctx, url.UserPassword("user", "pass"))
		if (policies == nil) != on || (login == nil) != on {
			t.Errorf("on: %v; pbm: %v; vapi: %v", on, policies, login)
		}
	}
}

// A machine may have no CD drive, and a disk on each of several datastores.
func TestDevices(t *testing.T) {
	e := simtest.New(t, func(c *sim.Config) { c.NoCDDrive, c.Datastores = true, 2 })
	read := e.Read(e.VM("web-1"), "config.hardware.device", "datastore")
	devices := object.VirtualDeviceList(read.Config.Hardware.Device)
	if found := devices.SelectByType((*types.VirtualCdrom)(nil)); len(found) != 0 {
		t.Error("a CD drive", found)
	}
	var files []string
	for _, disk := range devices.SelectByType((*types.VirtualDisk)(nil)) {
		files = append(files, disk.GetVirtualDevice().Backing.(*types.VirtualDiskFlatVer2BackingInfo).FileName)
	}
	if want := []string{"[LocalDS_0] web-1/web-1.vmdk", "[LocalDS_1] web-1.vmdk"}; !slices.Equal(files, want) {
		t.Error(files)
	}
	if len(read.Datastore) != 2 {
		t.Error("datastores", read.Datastore)
	}
}

// A machine in a vApp has no parent but the vApp, is in no folder, and is in a view of all.
func TestInVApp(t *testing.T) {
	e := simtest.New(t, func(c *sim.Config) { c.InVApp = []string{"web-2"} })
	manager := view.NewManager(e.Client.Client)
	all, err := manager.CreateContainerView(e.Ctx, e.Client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		t.Fatal(err)
	}
	var found []mo.VirtualMachine
	if err := all.Retrieve(e.Ctx, []string{"VirtualMachine"}, []string{"name", "parent", "parentVApp"}, &found); err != nil {
		t.Fatal(err)
	}
	for _, vm := range found {
		if inside := vm.Name == "web-2"; (vm.Parent == nil) != inside || (vm.ParentVApp != nil) != inside {
			t.Error(vm.Name, vm.Parent, vm.ParentVApp)
		}
		if vm.ParentVApp != nil {
			var app mo.VirtualApp
			if err := property.DefaultCollector(e.Client.Client).RetrieveOne(e.Ctx, *vm.ParentVApp, []string{"name", "vm", "parentFolder"}, &app); err != nil {
				t.Fatal(err)
			}
			if app.Name != "app" || !slices.Contains(app.Vm, vm.Self) || app.ParentFolder == nil {
				t.Errorf("%+v", app)
			}
		}
	}
	if len(found) != 3 {
		t.Error("machines", len(found))
	}
}
