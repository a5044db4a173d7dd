package task

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// logMax is how many tasks are remembered for history collectors.
const logMax = 5000

// Log remembers tasks, ours and upstream's, in the order they were started.
type Log struct {
	mu      sync.Mutex
	last    int
	first   int
	entries []func(*simulator.Context) types.TaskInfo
}

// nextKey names tasks apart from those upstream names itself.
func (l *Log) nextKey() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return "task-s" + strconv.Itoa(l.last)
}

func (l *Log) chain() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int32(l.last)
}

func cmpTask(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func (l *Log) add(t *Task) {
	l.push(func(ctx *simulator.Context) types.TaskInfo { return read(ctx, t, &t.Info) })
}

func read(ctx *simulator.Context, object mo.Reference, info *types.TaskInfo) (copied types.TaskInfo) {
	ctx.WithLock(object, func() { copied = *info })
	return copied
}

func (l *Log) push(entry func(*simulator.Context) types.TaskInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry)
	if len(l.entries) > logMax {
		l.entries = l.entries[1:]
		l.first++
	}
}

// at returns the entry with this number, counted from the first ever.
func (l *Log) at(number int) (entry func(*simulator.Context) types.TaskInfo, first, end int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := number - l.first; i >= 0 && i < len(l.entries) {
		entry = l.entries[i]
	}
	return entry, l.first, l.first + len(l.entries)
}

// Manager is upstream's task manager with history collectors that know the entity
// and the activation id of a task.
type Manager struct {
	*simulator.TaskManager
	log *Log
}

// NewManager wraps the task manager of registry; it is to be put in its place.
func NewManager(registry *simulator.Registry, runner *Runner) *Manager {
	ctx := &simulator.Context{Map: registry}
	upstream := registry.Get(managerRef(ctx)).(*simulator.TaskManager)
	registry.AddHandler(&listener{runner: runner})
	return &Manager{TaskManager: upstream, log: runner.Log}
}

func managerRef(ctx *simulator.Context) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "TaskManager", Value: managerName(ctx.Map)}
}

func managerName(registry *simulator.Registry) string {
	if registry.IsESX() {
		return "ha-taskmgr"
	}
	return "TaskManager"
}

// listener hears of the tasks that upstream's methods start.
type listener struct{ runner *Runner }

func (*listener) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "TaskListener", Value: "task-listener"}
}

func (l *listener) PutObject(ctx *simulator.Context, object mo.Reference) {
	if t, ok := object.(*simulator.Task); ok {
		l.runner.adopt(ctx, t)
		l.runner.Log.push(func(ctx *simulator.Context) types.TaskInfo { return read(ctx, t, &t.Info) })
	}
}

func (*listener) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

func (*listener) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}

// CreateCollectorForTasks makes a collector that starts at the oldest task.
func (m *Manager) CreateCollectorForTasks(ctx *simulator.Context, req *types.CreateCollectorForTasks) soap.HasFault {
	body := &methods.CreateCollectorForTasksBody{}
	if ctx.Map.IsESX() {
		// ESX has no task history (API reference, TaskManager).
		body.Fault_ = simulator.Fault("", &types.NotSupported{})
		return body
	}
	collector := &TaskHistoryCollector{log: m.log, filter: req.Filter}
	collector.Filter = req.Filter
	collector.Self = types.ManagedObjectReference{
		Type:  "TaskHistoryCollector",
		Value: fmt.Sprintf("session[%s]%s", ctx.Session.Key, uuid.NewString()),
	}
	ctx.Session.Registry.Put(collector)
	body.Res = &types.CreateCollectorForTasksResponse{Returnval: collector.Self}
	return body
}

// TaskHistoryCollector reads tasks that match a filter.
type TaskHistoryCollector struct {
	mo.TaskHistoryCollector
	log    *Log
	filter types.TaskFilterSpec
	next   int
}

// ReadNextTasks reads towards the newest task.
func (c *TaskHistoryCollector) ReadNextTasks(ctx *simulator.Context, req *types.ReadNextTasks) soap.HasFault {
	body := &methods.ReadNextTasksBody{}
	if req.MaxCount <= 0 {
		body.Fault_ = simulator.Fault("", &types.InvalidArgument{InvalidProperty: "maxCount"})
		return body
	}
	body.Res = &types.ReadNextTasksResponse{}
	_, first, _ := c.log.at(0)
	for c.next = max(c.next, first); len(body.Res.Returnval) < int(req.MaxCount); c.next++ {
		entry, _, _ := c.log.at(c.next)
		if entry == nil {
			break
		}
		if info := entry(ctx); matches(c.filter, &info) {
			body.Res.Returnval = append(body.Res.Returnval, info)
		}
	}
	return body
}

// ReadPreviousTasks reads towards the oldest task.
func (c *TaskHistoryCollector) ReadPreviousTasks(ctx *simulator.Context, req *types.ReadPreviousTasks) soap.HasFault {
	body := &methods.ReadPreviousTasksBody{}
	if req.MaxCount <= 0 {
		body.Fault_ = simulator.Fault("", &types.InvalidArgument{InvalidProperty: "maxCount"})
		return body
	}
	body.Res = &types.ReadPreviousTasksResponse{}
	for len(body.Res.Returnval) < int(req.MaxCount) {
		entry, _, _ := c.log.at(c.next - 1)
		if entry == nil {
			break
		}
		c.next--
		if info := entry(ctx); matches(c.filter, &info) {
			body.Res.Returnval = append(body.Res.Returnval, info)
		}
	}
	return body
}

// RewindCollector moves to the oldest task.
func (c *TaskHistoryCollector) RewindCollector(*simulator.Context, *types.RewindCollector) soap.HasFault {
	c.next = 0
	return &methods.RewindCollectorBody{Res: &types.RewindCollectorResponse{}}
}

// ResetCollector moves behind the newest task.
func (c *TaskHistoryCollector) ResetCollector(*simulator.Context, *types.ResetCollector) soap.HasFault {
	_, _, c.next = c.log.at(0)
	return &methods.ResetCollectorBody{Res: &types.ResetCollectorResponse{}}
}

// SetCollectorPageSize is accepted: the pages read have the size asked for.
func (*TaskHistoryCollector) SetCollectorPageSize(*simulator.Context, *types.SetCollectorPageSize) soap.HasFault {
	return &methods.SetCollectorPageSizeBody{Res: &types.SetCollectorPageSizeResponse{}}
}

// DestroyCollector ends the collector.
func (*TaskHistoryCollector) DestroyCollector(ctx *simulator.Context, req *types.DestroyCollector) soap.HasFault {
	ctx.Session.Remove(ctx, req.This)
	return &methods.DestroyCollectorBody{Res: &types.DestroyCollectorResponse{}}
}
