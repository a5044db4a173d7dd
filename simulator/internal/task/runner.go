// Package task runs vSphere tasks that take time, report progress, can be
// cancelled and have their effect, whole, at their end.
package task

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/wire"
)

const (
	// keptFor is how long vCenter keeps a completed task in recentTask and answers
	// calls on it (API reference, TaskManager.recentTask).
	keptFor = 10 * time.Minute
	// recentMax is vCenter's limit for recentTask.
	recentMax = 200
	// maxSteps bounds how often a task reports progress.
	maxSteps = 10
	// minStep keeps short tasks from flooding property collectors.
	minStep = 10 * time.Millisecond
)

// Effect is what a task does at its end, under the lock of its entity.
type Effect func(*simulator.Context) (types.AnyType, types.BaseMethodFault)

// Spec describes a task to start.
type Spec struct {
	// Method is the call that starts it, for example CreateSnapshot_Task.
	Method string
	// DescriptionID is its key in TaskManager.description.methodInfo.
	DescriptionID string
	Entity        types.ManagedObjectReference
	EntityName    string
	Cancelable    bool
	Effect        Effect
	// Done, if set, is called after the effect without any lock, before the task has ended.
	Done func(*simulator.Context)
}

// Runner starts tasks, one at a time per entity.
type Runner struct {
	Rules *fault.Rules
	Calls *wire.Calls
	Log   *Log

	duration atomic.Int64
	ahead    atomic.Int64
	late     atomic.Int64
	marks    atomic.Value

	mu      sync.Mutex
	running map[types.ManagedObjectReference]*Task
	ended   map[*Task]time.Time
	holds   map[Which]chan struct{}
	adopted map[types.ManagedObjectReference]func(*types.TaskInfo)
}

// NewRunner returns a runner whose tasks take d.
func NewRunner(rules *fault.Rules, calls *wire.Calls, d time.Duration) *Runner {
	r := &Runner{
		Rules:   rules,
		Calls:   calls,
		Log:     &Log{},
		running: map[types.ManagedObjectReference]*Task{},
		ended:   map[*Task]time.Time{},
		holds:   map[Which]chan struct{}{},
		adopted: map[types.ManagedObjectReference]func(*types.TaskInfo){},
	}
	r.SetDuration(d)
	return r
}

// SetDuration sets how long tasks started from now on take.
func (r *Runner) SetDuration(d time.Duration) { r.duration.Store(int64(d)) }

// SetLate lets tasks that start from now on be missing from what the server remembers for
// as long after their call: a task can be missing for a while (the VM Operator looks for
// 30 s, vmware-tanzu/vm-operator PR 802).
func (r *Runner) SetLate(by time.Duration) { r.late.Store(int64(by)) }

// Which says which tasks are held: empty fields match all.
type Which struct {
	VM     string `json:"vm"`
	Method string `json:"method"`
}

func (w Which) matches(s Spec) bool {
	return (w.VM == "" || w.VM == s.EntityName) && (w.Method == "" || fault.Means(w.Method, s.Method))
}

// Hold keeps tasks running until Release.
func (r *Runner) Hold(which Which) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds[which] == nil {
		r.holds[which] = make(chan struct{})
	}
}

// Release lets tasks go on that were held for the named entity; "" releases everything.
func (r *Runner) Release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for held, gate := range r.holds {
		if name == "" || name == held.VM {
			close(gate)
			delete(r.holds, held)
		}
	}
}

// gate is what a task has to wait for; nil when nothing holds it.
func (r *Runner) gate(s Spec) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	for held, gate := range r.holds {
		if held.matches(s) {
			return gate
		}
	}
	return nil
}

// State is a running task as the admin endpoint shows it.
type State struct {
	VM       string `json:"vm"`
	Method   string `json:"method"`
	Task     string `json:"task"`
	Progress int32  `json:"progress"`
}

// Running lists the running tasks by age.
func (r *Runner) Running() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := []State{}
	for _, t := range r.running {
		states = append(states, State{t.spec.EntityName, t.spec.Method, t.Self.Value, t.progress.Load()})
	}
	slices.SortFunc(states, func(a, b State) int { return cmpTask(a.Task, b.Task) })
	return states
}

// Busy returns vSphere's refusal if a task is running on entity.
func (r *Runner) Busy(entity types.ManagedObjectReference) *types.TaskInProgress {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.running[entity]; t != nil {
		return &types.TaskInProgress{Task: t.Self}
	}
	return nil
}

// Start starts a task. vSphere refuses a second operation on an entity that is
// busy with TaskInProgress, which names the task in the way.
func (r *Runner) Start(ctx *simulator.Context, spec Spec) (types.ManagedObjectReference, *types.TaskInProgress) {
	background := *ctx
	now := r.Now()
	progress := int32(0)
	t := &Task{runner: r, spec: spec, ctx: &background, cancel: make(chan struct{})}
	t.Info = types.TaskInfo{
		Name:          spec.Method,
		DescriptionId: spec.DescriptionID,
		Entity:        &spec.Entity,
		EntityName:    spec.EntityName,
		State:         types.TaskInfoStateRunning,
		Cancelable:    spec.Cancelable,
		Progress:      progress,
		Reason:        &types.TaskReasonUser{UserName: userOf(ctx)},
		QueueTime:     now,
		StartTime:     &now,
		ActivationId:  r.activation(ctx),
	}

	r.mu.Lock()
	if other := r.running[spec.Entity]; other != nil {
		r.mu.Unlock()
		return types.ManagedObjectReference{}, &types.TaskInProgress{Task: other.Self}
	}
	r.running[spec.Entity] = t
	t.Self = types.ManagedObjectReference{Type: "Task", Value: r.Log.nextKey()}
	r.mu.Unlock()

	t.Info.Key = t.Self.Value
	t.Info.Task = t.Self
	t.Info.EventChainId = r.Log.chain()
	ctx.Map.Put(t)
	r.tell(ctx, t)

	go t.run(time.Duration(r.duration.Load()))
	return t.Self, nil
}

// tell lets clients see a task among those that the server remembers, now or later.
func (r *Runner) tell(ctx *simulator.Context, t *Task) {
	late := time.Duration(r.late.Load())
	if late == 0 {
		r.Log.add(t)
		remember(ctx, t.spec.Entity, t.Self)
		return
	}
	time.AfterFunc(late, func() {
		background := t.background()
		r.Log.add(t)
		if background.Map.Get(t.Self) != nil {
			remember(background, t.spec.Entity, t.Self)
		}
	})
}

// Adopt completes the info of the task that upstream starts for entity during call:
// upstream gives the entity's id as its name and no user. The caller holds the
// entity's lock.
func (r *Runner) Adopt(
	ctx *simulator.Context, entity types.ManagedObjectReference, edit func(*types.TaskInfo), call func(),
) {
	user, activationID := userOf(ctx), r.activation(ctx)
	r.mu.Lock()
	r.adopted[entity] = func(info *types.TaskInfo) {
		info.Reason, info.ActivationId = &types.TaskReasonUser{UserName: user}, activationID
		edit(info)
	}
	r.mu.Unlock()
	call()
	r.mu.Lock()
	delete(r.adopted, entity)
	r.mu.Unlock()
}

// adopt is called before upstream's task runs: it can't be edited safely later, as it
// shares its lock with the call that started it.
func (r *Runner) adopt(ctx *simulator.Context, t *simulator.Task) {
	if t.Info.Entity == nil {
		return
	}
	r.mu.Lock()
	edit := r.adopted[*t.Info.Entity]
	r.mu.Unlock()
	if edit != nil {
		ctx.WithLock(t, func() { edit(&t.Info) })
	}
}

func (r *Runner) finished(t *Task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, t.spec.Entity)
}

// keep leaves a task that ended at a time among the recent ones, as long as a vCenter does.
func (r *Runner) keep(t *Task, at time.Time) {
	r.mu.Lock()
	r.ended[t] = at
	r.mu.Unlock()
	time.AfterFunc(keptFor, r.forgetOld)
}

// forgetOld takes those out again that have ended long ago by the server's clock.
func (r *Runner) forgetOld() {
	old := []*Task{}
	r.mu.Lock()
	for t, at := range r.ended {
		if r.Now().Sub(at) >= keptFor {
			old = append(old, t)
			delete(r.ended, t)
		}
	}
	r.mu.Unlock()
	for _, t := range old {
		forget(t.background(), t.spec.Entity, t.Self)
	}
}

func userOf(ctx *simulator.Context) string {
	if ctx.Session == nil {
		return ""
	}
	return ctx.Session.UserName
}

// remember puts a task into recentTask of its entity and of the task manager.
func remember(ctx *simulator.Context, entity, task types.ManagedObjectReference) {
	change(ctx, entity, func(recent []types.ManagedObjectReference) []types.ManagedObjectReference {
		return append(recent, task)
	})
	change(ctx, managerRef(ctx), func(recent []types.ManagedObjectReference) []types.ManagedObjectReference {
		return append(recent, task)
	})
}

// forget takes it out again.
func forget(ctx *simulator.Context, entity, task types.ManagedObjectReference) {
	without := func(recent []types.ManagedObjectReference) []types.ManagedObjectReference {
		return slices.DeleteFunc(recent, func(r types.ManagedObjectReference) bool { return r == task })
	}
	change(ctx, entity, without)
	change(ctx, managerRef(ctx), without)
	ctx.Map.Remove(ctx, task)
}

func change(
	ctx *simulator.Context,
	ref types.ManagedObjectReference,
	edit func([]types.ManagedObjectReference) []types.ManagedObjectReference,
) {
	object := ctx.Map.Get(ref)
	if object == nil {
		return
	}
	ctx.WithLock(object, func() {
		var recent []types.ManagedObjectReference
		switch o := object.(type) {
		case mo.Entity:
			recent = o.Entity().RecentTask
		case *Manager:
			recent = o.RecentTask
		}
		recent = edit(slices.Clone(recent))
		if len(recent) > recentMax {
			recent = recent[len(recent)-recentMax:]
		}
		ctx.Update(object, []types.PropertyChange{{Name: "recentTask", Val: recent}})
	})
}
