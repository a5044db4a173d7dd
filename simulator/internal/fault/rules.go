package fault

import (
	"slices"
	"sync"
	"time"
)

// Where says at which point an asked-for fault is raised.
type Where string

// The call itself fails, or the task that it started does, or a read leaves out what
// it was to tell of one machine among others.
const (
	InCall Where = "call"
	InTask Where = "task"
	InRead Where = "read"
)

// When says at which point an asked-for cut of the connection happens.
type When string

// The connection is cut before the call has any effect, or after it, without an
// answer.
const (
	Before When = "before"
	After  When = "after"
)

// Match says which calls a rule is about: empty fields match all.
type Match struct {
	Method string `json:"method"`
	VM     string `json:"vm"`
	// Times is how often the rule applies; 0 means always.
	Times int `json:"times"`
}

// Rule asks for a fault.
type Rule struct {
	Match
	Fault   string `json:"fault"`
	Where   Where  `json:"where"`
	Message string `json:"message"`
	// Property limits a fault in a read to reads that ask for this property.
	Property string `json:"property"`
	// Withheld says what a fault in a read leaves out.
	Withheld Withheld `json:"withheld"`
}

// Withheld is what an answer doesn't tell of an object.
type Withheld string

// A read leaves out all properties of the object, or only the property that the rule
// names and what is below it: in missingSet with the fault, or unset if there is no
// fault. Or it leaves the object out without a word.
const (
	Everything   Withheld = ""
	OnlyProperty Withheld = "property"
	WholeObject  Withheld = "object"
)

// Delay asks for a wait before the call is served.
type Delay struct {
	Match
	Milliseconds int `json:"ms"`
}

// Drop asks for a cut connection.
type Drop struct {
	Match
	When When `json:"when"`
}

// Rules holds what a test has asked for. The zero value asks for nothing.
type Rules struct {
	mu     sync.Mutex
	faults []Rule
	delays []Delay
	drops  []Drop
	// Closed to serve at once what is delayed.
	hurry chan struct{}
}

// AddFault, AddDelay and AddDrop put a rule behind the earlier ones.
func (r *Rules) AddFault(rule Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, rule)
}

// AddDelay asks for a wait.
func (r *Rules) AddDelay(rule Delay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delays = append(r.delays, rule)
}

// AddDrop asks for a cut connection.
func (r *Rules) AddDrop(rule Drop) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drops = append(r.drops, rule)
}

// Clear forgets every rule.
func (r *Rules) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults, r.delays, r.drops = nil, nil, nil
}

// Fault takes the first fault asked for at this point. The VM's name is looked up
// only where a rule needs it.
func (r *Rules) Fault(where Where, method string, vm func() string) (Rule, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return take(&r.faults, method, vm, func(rule *Rule) (*Match, bool) {
		return &rule.Match, rule.Where == where
	})
}

// Concerns says whether a fault in a read is about one that asks for these properties.
func (r Rule) Concerns(asked []string) bool {
	return r.Property == "" || slices.Contains(asked, r.Property)
}

// ReadFault takes the first fault asked for in a read of a machine's properties.
func (r *Rules) ReadFault(method, vm string, asked []string) (Rule, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return take(&r.faults, method, func() string { return vm }, func(rule *Rule) (*Match, bool) {
		return &rule.Match, rule.Where == InRead && rule.Concerns(asked)
	})
}

// Reads says whether any rule is about reads.
func (r *Rules) Reads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.faults, func(rule Rule) bool { return rule.Where == InRead })
}

// NameVM says whether any rule is about one machine: its name must be looked up before
// the call is served, as a snapshot that is removed no longer tells it afterwards.
func (r *Rules) NameVM() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.faults, func(rule Rule) bool { return rule.VM != "" }) ||
		slices.ContainsFunc(r.delays, func(rule Delay) bool { return rule.VM != "" }) ||
		slices.ContainsFunc(r.drops, func(rule Drop) bool { return rule.VM != "" })
}

// Delay takes the wait asked for; what it returns waits, as long as that or until Hurry.
func (r *Rules) Delay(method string, vm func() string) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	rule, ok := take(&r.delays, method, vm, func(rule *Delay) (*Match, bool) {
		return &rule.Match, true
	})
	if r.hurry == nil {
		r.hurry = make(chan struct{})
	}
	hurry := r.hurry
	if !ok {
		return func() {}
	}
	return func() {
		select {
		case <-time.After(time.Duration(rule.Milliseconds) * time.Millisecond):
		case <-hurry:
		}
	}
}

// Hurry ends the delays that are under way, and forgets those to come.
func (r *Rules) Hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hurry != nil {
		close(r.hurry)
	}
	r.hurry, r.delays = nil, nil
}

// Drop says whether the connection is to be cut at this point.
func (r *Rules) Drop(when When, method string, vm func() string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := take(&r.drops, method, vm, func(rule *Drop) (*Match, bool) {
		return &rule.Match, rule.When == when
	})
	return ok
}

func take[T any](rules *[]T, method string, vm func() string, match func(*T) (*Match, bool)) (T, bool) {
	for i := range *rules {
		m, ok := match(&(*rules)[i])
		if !ok || (m.Method != "" && !Means(m.Method, method)) || (m.VM != "" && m.VM != vm()) {
			continue
		}
		found := (*rules)[i]
		if m.Times == 1 {
			*rules = slices.Delete(*rules, i, i+1)
		} else if m.Times > 1 {
			m.Times--
		}
		return found, true
	}
	var none T
	return none, false
}

// Means says whether a rule for the method asked is about the method called: what is said of
// CreateSnapshot_Task holds for its successor CreateSnapshotEx_Task, too.
func Means(asked, called string) bool {
	return asked == called || (asked == "CreateSnapshot_Task" && called == "CreateSnapshotEx_Task")
}
