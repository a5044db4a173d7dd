package task

import (
	"slices"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// matches says whether a task passes a history filter: every criterion that is set
// must hold (API reference, TaskFilterSpec). Entities are matched themselves, not
// through their ancestors.
func matches(filter types.TaskFilterSpec, info *types.TaskInfo) bool {
	if e := filter.Entity; e != nil && (info.Entity == nil || *info.Entity != e.Entity) {
		return false
	}
	if len(filter.ActivationId) != 0 && !slices.Contains(filter.ActivationId, info.ActivationId) {
		return false
	}
	if len(filter.State) != 0 && !slices.Contains(filter.State, info.State) {
		return false
	}
	if by := filter.UserName; by != nil && len(by.UserList) != 0 {
		reason, ok := info.Reason.(*types.TaskReasonUser)
		if !ok || !slices.Contains(by.UserList, reason.UserName) {
			return false
		}
	}
	if len(filter.EventChainId) != 0 && !slices.Contains(filter.EventChainId, info.EventChainId) {
		return false
	}
	return filter.Time == nil || within(filter.Time, info)
}

func within(by *types.TaskFilterSpecByTime, info *types.TaskInfo) bool {
	at := &info.QueueTime
	switch by.TimeType {
	case types.TaskFilterSpecTimeOptionStartedTime:
		at = info.StartTime
	case types.TaskFilterSpecTimeOptionCompletedTime:
		at = info.CompleteTime
	}
	if at == nil {
		return false
	}
	return notBefore(*at, by.BeginTime) && (by.EndTime == nil || !at.After(*by.EndTime))
}

func notBefore(at time.Time, begin *time.Time) bool {
	return begin == nil || !at.Before(*begin)
}
