package task

import (
	"cmp"
	"fmt"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// The size of latestPage at first, and at most, as on a vCenter (upstream's values).
const (
	pageDefault = 10
	pageMax     = 1000
)

// CreateCollectorForTasks makes a collector that starts at the oldest task.
func (m *Manager) CreateCollectorForTasks(ctx *simulator.Context, req *types.CreateCollectorForTasks) soap.HasFault {
	body := &methods.CreateCollectorForTasksBody{}
	if ctx.Map.IsESX() {
		// ESX has no task history (API reference, TaskManager).
		body.Fault_ = simulator.Fault("", &types.NotSupported{})
		return body
	}
	// The limit is per client (API reference, TaskManager.maxCollector).
	if len(ctx.Session.Registry.AllReference("TaskHistoryCollector")) >= int(m.MaxCollector) {
		body.Fault_ = simulator.Fault("", &types.InvalidState{})
		return body
	}
	collector := &TaskHistoryCollector{log: m.log, registry: ctx.Map, filter: req.Filter, size: pageDefault}
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
	log      *Log
	registry *simulator.Registry
	filter   types.TaskFilterSpec
	// size is how many tasks latestPage holds at most.
	size int
	// next is the number of the task that ReadNextTasks looks at next.
	next int
}

// Get is how upstream's property collector asks for the object to read: latestPage is
// made when it is read, the newest task first.
func (c *TaskHistoryCollector) Get() mo.Reference {
	content := c.TaskHistoryCollector
	content.LatestPage = nil
	ctx := &simulator.Context{Map: c.registry}
	_, first, end := c.log.at(0)
	for number := end - 1; number >= first && len(content.LatestPage) < c.size; number-- {
		entry, _, _ := c.log.at(number)
		if entry == nil {
			break
		}
		if info := entry(ctx); matches(c.filter, &info) {
			content.LatestPage = append(content.LatestPage, info)
		}
	}
	return &content
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

// SetCollectorPageSize sets how many tasks latestPage holds at most; the other pages
// have the size asked for when they are read.
func (c *TaskHistoryCollector) SetCollectorPageSize(_ *simulator.Context, req *types.SetCollectorPageSize) soap.HasFault {
	body := &methods.SetCollectorPageSizeBody{}
	if req.MaxCount < 0 || req.MaxCount > pageMax {
		body.Fault_ = simulator.Fault("", &types.InvalidArgument{InvalidProperty: "maxCount"})
		return body
	}
	c.size = cmp.Or(int(req.MaxCount), pageDefault)
	body.Res = &types.SetCollectorPageSizeResponse{}
	return body
}

// DestroyCollector ends the collector.
func (*TaskHistoryCollector) DestroyCollector(ctx *simulator.Context, req *types.DestroyCollector) soap.HasFault {
	ctx.Session.Remove(ctx, req.This)
	return &methods.DestroyCollectorBody{Res: &types.DestroyCollectorResponse{}}
}
