// Package admin lets a test steer the simulator while it runs.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/sim"
	"vmsnapshot/simulator/internal/task"
	"vmsnapshot/simulator/internal/vm"
)

// New returns the endpoint for s. What needs our extensions answers 404 on the plain
// simulator.
func New(s *sim.Simulator) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) { writeCalls(w, s.Front.Counts(false)) })
	mux.HandleFunc("POST /calls/reset", func(w http.ResponseWriter, _ *http.Request) { writeCalls(w, s.Front.Counts(true)) })
	mux.HandleFunc("POST /faults", accept(func(rule fault.Rule) error { return addFault(s, rule) }))
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Rules.Clear()
		done(w)
	})
	mux.HandleFunc("POST /delays", accept(func(rule fault.Delay) error {
		if rule.Milliseconds <= 0 {
			return errors.New("ms must be positive")
		}
		s.Rules.AddDelay(rule)
		return nil
	}))
	mux.HandleFunc("DELETE /delays", func(w http.ResponseWriter, _ *http.Request) {
		s.Rules.Hurry()
		done(w)
	})
	mux.HandleFunc("POST /drop", accept(func(rule fault.Drop) error {
		if rule.When != fault.Before && rule.When != fault.After {
			return errors.New(`when is "before" or "after"`)
		}
		s.Rules.AddDrop(rule)
		return nil
	}))
	mux.HandleFunc("POST /expire-sessions", func(w http.ResponseWriter, _ *http.Request) {
		s.ExpireSessions()
		done(w)
	})
	if s.World != nil {
		extended(mux, s.World)
	}
	return mux
}

// extended adds what works on our extensions.
func extended(mux *http.ServeMux, world *vm.World) {
	type named struct {
		VM string `json:"vm"`
	}
	mux.HandleFunc("POST /task-duration", accept(func(body struct {
		Milliseconds int `json:"ms"`
	},
	) error {
		world.Tasks.SetDuration(time.Duration(body.Milliseconds) * time.Millisecond)
		return nil
	}))
	mux.HandleFunc("POST /marks", accept(func(body struct {
		Marks task.Marks `json:"marks"`
	},
	) error {
		return world.Tasks.Keep(body.Marks)
	}))
	mux.HandleFunc("POST /clock", accept(func(body struct {
		Milliseconds int `json:"ms"`
	},
	) error {
		world.Tasks.SetAhead(time.Duration(body.Milliseconds) * time.Millisecond)
		return nil
	}))
	mux.HandleFunc("POST /history-late", accept(func(body struct {
		Milliseconds int `json:"ms"`
	},
	) error {
		world.Tasks.SetLate(time.Duration(body.Milliseconds) * time.Millisecond)
		return nil
	}))
	mux.HandleFunc("POST /privileges", accept(func(body struct {
		Missing []string `json:"missing"`
	},
	) error {
		world.Deny(body.Missing)
		return nil
	}))
	mux.HandleFunc("POST /reregister", accept(func(body named) error { return world.Reregister(body.VM) }))
	mux.HandleFunc("POST /restore", accept(func(struct{}) error {
		world.Restore()
		return nil
	}))
	mux.HandleFunc("POST /hold", accept(func(which task.Which) error {
		world.Tasks.Hold(which)
		return nil
	}))
	mux.HandleFunc("POST /release", accept(func(body named) error {
		world.Tasks.Release(body.VM)
		return nil
	}))
	mux.HandleFunc("GET /tasks", func(w http.ResponseWriter, _ *http.Request) { write(w, world.Tasks.Running()) })
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, r *http.Request) {
		write(w, world.History.Of(r.URL.Query().Get("vm")))
	})
	mux.HandleFunc("POST /vm", accept(func(body struct {
		VM string `json:"vm"`
		vm.Settings
	},
	) error {
		machine, ok := world.Named(body.VM)
		if !ok {
			return fmt.Errorf("no virtual machine is called %q", body.VM)
		}
		return machine.Set(body.Settings)
	}))
}

func addFault(s *sim.Simulator, rule fault.Rule) error {
	switch rule.Where {
	case "":
		rule.Where = fault.InCall
	case fault.InCall, fault.InTask:
	case fault.InRead:
		if s.World == nil {
			return errors.New("the plain simulator knows no faults of reads")
		}
	default:
		return errors.New(`where is "call", "task" or "read"`)
	}
	if rule.Property != "" && rule.Where != fault.InRead {
		return errors.New(`property is for where "read"`)
	}
	switch rule.Withheld {
	case fault.Everything:
	case fault.OnlyProperty, fault.WholeObject:
		if rule.Where != fault.InRead || (rule.Withheld == fault.OnlyProperty) != (rule.Property != "") {
			return errors.New(`withheld is for where "read"; "property" needs a property, "object" has none`)
		}
		if rule.Fault == "" {
			s.Rules.AddFault(rule)
			return nil
		}
	default:
		return errors.New(`withheld is "property" or "object"`)
	}
	if _, err := fault.New(rule.Fault, types.ManagedObjectReference{}); err != nil {
		return err
	}
	s.Rules.AddFault(rule)
	return nil
}

// accept decodes the request's body. An unknown member is an error: a test that
// misspells one must not pass.
func accept[T any](do func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body T
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := do(body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		done(w)
	}
}

func done(w http.ResponseWriter) { write(w, struct{}{}) }

func write(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func writeCalls(w http.ResponseWriter, methods map[string]int) {
	answer := struct {
		Total   int            `json:"total"`
		Methods map[string]int `json:"methods"`
	}{Methods: map[string]int{}}
	for method, n := range methods {
		answer.Methods[method] = n
		answer.Total += n
	}
	write(w, answer)
}
