// Package simtest starts a simulator for a test and talks to it over real SOAP.
package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/admin"
	"vmsnapshot/simulator/internal/inventory"
	"vmsnapshot/simulator/internal/sim"
)

// Env is a running simulator with a logged-in client.
type Env struct {
	testing.TB
	Ctx    context.Context
	URL    *url.URL
	Client *govmomi.Client
	admin  http.Handler
}

// New starts a simulator with three machines, or with those of config.
func New(t testing.TB, edit ...func(*sim.Config)) *Env {
	t.Helper()
	config := sim.Config{
		Config:       inventory.Config{VMs: 3, Names: []string{"web-1", "web-2", "db-1"}},
		TaskDuration: 2 * time.Millisecond,
		Login:        sim.Account{User: "user", Password: "pass"},
		ReadOnly:     sim.Account{User: "reader", Password: "reads"},
	}
	for _, f := range edit {
		f(&config)
	}
	server := httptest.NewUnstartedServer(nil)
	s, err := sim.New(config, server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s.Front
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		s.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)

	e := &Env{TB: t, Ctx: ctx, admin: admin.New(s)}
	e.URL, err = url.Parse(server.URL + "/sdk")
	if err != nil {
		t.Fatal(err)
	}
	e.Client = e.Login("user", "pass")
	return e
}

// Login returns a new session.
func (e *Env) Login(user, password string) *govmomi.Client {
	e.Helper()
	u := *e.URL
	u.User = url.UserPassword(user, password)
	client, err := govmomi.NewClient(e.Ctx, &u, true)
	if err != nil {
		e.Fatal(err)
	}
	return client
}

// VM finds a machine by name, as e's client or another one.
func (e *Env) VM(name string, as ...*govmomi.Client) *object.VirtualMachine {
	e.Helper()
	client := append(as, e.Client)[0]
	vm, err := find.NewFinder(client.Client).VirtualMachine(e.Ctx, "/DC0/vm/"+name)
	if err != nil {
		e.Fatal(err)
	}
	return vm
}

// Read returns the named properties of a machine.
func (e *Env) Read(vm *object.VirtualMachine, names ...string) mo.VirtualMachine {
	e.Helper()
	var content mo.VirtualMachine
	if err := vm.Properties(e.Ctx, vm.Reference(), names, &content); err != nil {
		e.Fatal(err)
	}
	return content
}

// Info waits for a task's end, however it ends.
func (e *Env) Info(t *object.Task) types.TaskInfo {
	e.Helper()
	_, err := t.WaitForResult(e.Ctx)
	var content mo.Task
	if read := property.DefaultCollector(e.Client.Client).RetrieveOne(e.Ctx, t.Reference(), []string{"info"}, &content); read != nil {
		e.Fatal(read, err)
	}
	return content.Info
}

// Done waits for a task that must succeed.
func (e *Env) Done(t *object.Task, err error) types.AnyType {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
	info, err := t.WaitForResult(e.Ctx)
	if err != nil {
		e.Fatal(err)
	}
	return info.Result
}

// Create takes a snapshot and returns it.
func (e *Env) Create(vm *object.VirtualMachine, name string, memory, quiesce bool) types.ManagedObjectReference {
	e.Helper()
	return e.Done(vm.CreateSnapshot(e.Ctx, name, "of "+name, memory, quiesce)).(types.ManagedObjectReference)
}

// Revert reverts a machine to a snapshot.
func (e *Env) Revert(snapshot types.ManagedObjectReference, suppressPowerOn bool) {
	e.Helper()
	res, err := methods.RevertToSnapshot_Task(e.Ctx, e.Client, &types.RevertToSnapshot_Task{
		This: snapshot, SuppressPowerOn: &suppressPowerOn,
	})
	if err != nil {
		e.Fatal(err)
	}
	e.Done(object.NewTask(e.Client.Client, res.Returnval), nil)
}

// Remove removes a snapshot; consolidate may be nil.
func (e *Env) Remove(snapshot types.ManagedObjectReference, children bool, consolidate *bool) {
	e.Helper()
	res, err := methods.RemoveSnapshot_Task(e.Ctx, e.Client, &types.RemoveSnapshot_Task{
		This: snapshot, RemoveChildren: children, Consolidate: consolidate,
	})
	if err != nil {
		e.Fatal(err)
	}
	e.Done(object.NewTask(e.Client.Client, res.Returnval), nil)
}

// Tree draws a machine's snapshots: "a(b(c*))", the star is the current one.
func (e *Env) Tree(vm *object.VirtualMachine) string {
	e.Helper()
	info := e.Read(vm, "snapshot").Snapshot
	if info == nil {
		return "none"
	}
	var draw func([]types.VirtualMachineSnapshotTree) string
	draw = func(nodes []types.VirtualMachineSnapshotTree) string {
		parts := make([]string, len(nodes))
		for i, node := range nodes {
			parts[i] = node.Name
			if info.CurrentSnapshot != nil && *info.CurrentSnapshot == node.Snapshot {
				parts[i] += "*"
			}
			if len(node.ChildSnapshotList) != 0 {
				parts[i] += "(" + draw(node.ChildSnapshotList) + ")"
			}
		}
		return strings.Join(parts, " ")
	}
	return draw(info.RootSnapshotList)
}

// FaultOf returns the vim fault behind err, from a call or from a task.
func FaultOf(err error) any {
	if soap.IsSoapFault(err) {
		return soap.ToSoapFault(err).VimFault()
	}
	if failed, ok := err.(task.Error); ok {
		return failed.Fault()
	}
	return err
}

// Admin calls the admin endpoint; answer may be nil.
func (e *Env) Admin(method, path string, body, answer any) {
	e.Helper()
	if status := e.AdminStatus(method, path, body, answer); status != http.StatusOK {
		e.Fatalf("%s %s: status %d", method, path, status)
	}
}

// AdminStatus is Admin for calls that may be refused.
func (e *Env) AdminStatus(method, path string, body, answer any) int {
	e.Helper()
	var data bytes.Buffer
	if err := json.NewEncoder(&data).Encode(body); err != nil {
		e.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	e.admin.ServeHTTP(recorder, httptest.NewRequest(method, path, &data))
	if answer != nil {
		if err := json.NewDecoder(recorder.Body).Decode(answer); err != nil && err != io.EOF {
			e.Fatal(err)
		}
	}
	return recorder.Code
}

// JSON is a body for Admin.
type JSON = map[string]any
