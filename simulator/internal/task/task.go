package task

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
)

// Task is a running or completed task. Its info is guarded by the registry's lock
// of the object, as for every managed object.
type Task struct {
	mo.Task

	runner   *Runner
	spec     Spec
	ctx      *simulator.Context
	progress atomic.Int32

	mu        sync.Mutex
	cancel    chan struct{}
	canceled  bool
	committed bool
}

func (t *Task) run(duration time.Duration) {
	steps := max(2, min(maxSteps, int(duration/minStep)))
	for step := 1; step <= steps; step++ {
		select {
		case <-time.After(duration / time.Duration(steps)):
			percent := int32(100 * step / steps)
			t.progress.Store(percent)
			t.update(func(info *types.TaskInfo) { info.Progress = percent })
		case <-t.cancel:
			step = steps
		}
	}
	if gate := t.runner.gate(t.spec); gate != nil {
		select {
		case <-gate:
		case <-t.cancel:
		}
	}

	result, err := t.finish()
	// The VM is free before the client can learn that the task is over.
	t.runner.finished(t)
	now := t.runner.Now()
	t.update(func(info *types.TaskInfo) {
		info.CompleteTime = &now
		info.Cancelable = false
		if err != nil {
			info.State, info.Error = types.TaskInfoStateError, err
			return
		}
		info.State, info.Result = types.TaskInfoStateSuccess, result
	})
	t.runner.keep(t, now)
}

// finish has the task's effect, unless it was cancelled or is to fail.
func (t *Task) finish() (types.AnyType, *types.LocalizedMethodFault) {
	t.mu.Lock()
	t.committed = true
	canceled := t.canceled
	t.mu.Unlock()
	if canceled {
		return failed(&types.RequestCanceled{}, "")
	}
	name := func() string { return t.spec.EntityName }
	if rule, ok := t.runner.Rules.Fault(fault.InTask, t.spec.Method, name); ok {
		if asked, err := fault.New(rule.Fault, t.spec.Entity); err == nil {
			return failed(asked, rule.Message)
		}
	}
	ctx := t.background()
	var result types.AnyType
	var refused types.BaseMethodFault
	ctx.WithLock(t.spec.Entity, func() { result, refused = t.spec.Effect(ctx) })
	if refused != nil {
		return failed(refused, "")
	}
	if t.spec.Done != nil {
		t.spec.Done(ctx)
	}
	return result, nil
}

func failed(f types.BaseMethodFault, message string) (types.AnyType, *types.LocalizedMethodFault) {
	if message == "" {
		message = fault.Words(f)
	}
	return nil, &types.LocalizedMethodFault{Fault: f, LocalizedMessage: message}
}

// background returns a context that shares no lock with the request that started
// the task: govmomi identifies the holder of a lock by its context.
func (t *Task) background() *simulator.Context {
	ctx := *t.ctx
	return &ctx
}

func (t *Task) update(edit func(*types.TaskInfo)) {
	ctx := t.background()
	ctx.WithLock(t, func() {
		info := t.Info
		edit(&info)
		ctx.Update(t, []types.PropertyChange{{Name: "info", Val: info}})
	})
}

// CancelTask asks the task to stop; its effect doesn't happen if that comes before
// its end (API reference, Task.CancelTask).
func (t *Task) CancelTask(ctx *simulator.Context, _ *types.CancelTask) soap.HasFault {
	body := &methods.CancelTaskBody{}
	refuse := func(f types.BaseMethodFault) soap.HasFault {
		body.Fault_ = simulator.Fault(fault.Words(f), f)
		return body
	}
	if !t.spec.Cancelable {
		return refuse(&types.NotSupported{})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.committed {
		return refuse(&types.InvalidState{})
	}
	if !t.canceled {
		t.canceled = true
		close(t.cancel)
		info := t.Info
		info.Cancelled = true
		ctx.Update(t, []types.PropertyChange{{Name: "info", Val: info}})
	}
	body.Res = &types.CancelTaskResponse{}
	return body
}
