package task

import (
	"cmp"
	"strconv"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
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
