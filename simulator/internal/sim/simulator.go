// Package sim puts the simulator together.
package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	pbm "github.com/vmware/govmomi/pbm/simulator"
	"github.com/vmware/govmomi/simulator"
	vapi "github.com/vmware/govmomi/vapi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/collector"
	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/front"
	"vmsnapshot/simulator/internal/inventory"
	"vmsnapshot/simulator/internal/task"
	"vmsnapshot/simulator/internal/vm"
	"vmsnapshot/simulator/internal/wire"
)

// Account is a user with a password.
type Account struct{ User, Password string }

// Config says what to simulate.
type Config struct {
	inventory.Config
	TaskDuration time.Duration
	// Login may do everything, ReadOnly nothing that changes the inventory.
	Login, ReadOnly Account
	// OtherUser has what Login has.
	OtherUser string
	// Endpoints are upstream's other services to serve, too: "pbm" and "vapi".
	Endpoints []string
}

// Simulator is a simulated vCenter or ESXi.
type Simulator struct {
	Front *front.Front
	Rules *fault.Rules
	// World is nil for the plain upstream simulator.
	World *vm.World

	model       *simulator.Model
	interceptor *interceptor
}

// New makes a simulator that is going to listen on host (host:port).
func New(config Config, host string) (*Simulator, error) {
	model, err := inventory.New(config.Config)
	if err != nil {
		return nil, err
	}
	service := model.Service
	registry := model.Map()

	s := &Simulator{Rules: &fault.Rules{}, model: model}
	s.Front = &front.Front{Next: mux(service), Rules: s.Rules, NameOf: plainName(registry)}

	sessions := registry.SessionManager()
	sessions.ServiceHostName = host
	sessions.ValidLogin = func(req *types.Login) bool {
		given := Account{req.UserName, req.Password}
		if given.User == config.OtherUser && config.OtherUser != "" {
			given.User = config.Login.User
		}
		return given == config.Login || (config.ReadOnly.User != "" && given == config.ReadOnly)
	}
	service.Listen = &url.URL{
		Scheme: "https", Host: host, Path: registry.Path,
		User: url.UserPassword(config.Login.User, config.Login.Password),
	}
	for _, endpoint := range config.Endpoints {
		switch {
		case config.ESX:
			return nil, fmt.Errorf("--endpoints %s: only a vCenter has it", endpoint)
		case endpoint == "pbm":
			service.RegisterSDK(pbm.New())
		case endpoint == "vapi":
			patterns, handler := vapi.New(service.Listen, registry)
			for _, pattern := range patterns {
				service.Handle(pattern, handler)
			}
		default:
			return nil, fmt.Errorf("--endpoints knows pbm and vapi, not %q", endpoint)
		}
	}
	if config.Plain {
		return s, nil
	}

	calls := &wire.Calls{}
	tasks := task.NewRunner(s.Rules, calls, config.TaskDuration)
	registry.Put(task.NewManager(registry, tasks))
	s.World = vm.NewWorld(registry, tasks, calls, config.ESX)
	s.World.Prepare()
	s.Front.Calls, s.Front.NameOf = calls, s.World.NameOf
	pc := service.Context.Map.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content.PropertyCollector
	hub := collector.NewHub(registry, calls, s.Rules, s.World.NameOf)
	registry.Put(hub.New(pc, ""))
	s.interceptor = &interceptor{world: s.World, hub: hub, pc: pc, readOnly: config.ReadOnly.User}
	registry.Handler = s.interceptor.intercept
	registry.AddHandler(s.interceptor)
	return s, nil
}

// Close removes the files of the simulated datastores.
func (s *Simulator) Close() { s.model.Remove() }

// mux serves what upstream's own server serves.
func mux(service *simulator.Service) http.Handler {
	registry := service.Context.Map
	service.RegisterSDK(registry, registry.Path+"/vimService")
	mux := service.ServeMux
	mux.HandleFunc(registry.Path+"/vimServiceVersions.xml", service.ServiceVersions)
	mux.HandleFunc("/folder/", service.ServeDatastore)
	mux.HandleFunc("/about", service.About)
	return mux
}

func plainName(registry *simulator.Registry) func(types.ManagedObjectReference) string {
	return func(ref types.ManagedObjectReference) string {
		switch o := registry.Get(ref).(type) {
		case *simulator.VirtualMachine:
			return o.Name
		case *simulator.VirtualMachineSnapshot:
			return plainName(registry)(o.Vm)
		}
		return ""
	}
}
