package task

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
)

// Marks says what a task keeps of its client's names for it.
type Marks string

// A server that keeps the header's activationId (no server is known to; the header
// stands in no documentation), or its operationID with text of its own behind it
// (vCenter 8: vm-operator commit ac0d233b1 looks for its own with "contains"), or
// none (recorded tasks of a vCenter 7.0.1 hold no activationId); or one that logs no event
// of a revert either (which servers do isn't known).
const (
	Exact    Marks = "exact"
	Suffixed Marks = "suffixed"
	None     Marks = "none"
	Nothing  Marks = "nothing"
)

// Keep sets what new tasks keep.
func (r *Runner) Keep(marks Marks) error {
	switch marks {
	case Exact, Suffixed, None, Nothing:
		r.marks.Store(marks)
		return nil
	default:
		return fmt.Errorf("marks are %q, %q, %q or %q", Exact, Suffixed, None, Nothing)
	}
}

// LogsReverts says whether there is an event of each revert.
func (r *Runner) LogsReverts() bool {
	marks, _ := r.marks.Load().(Marks)
	return marks != Nothing
}

// activation is the activation id of the task that a call starts.
func (r *Runner) activation(ctx *simulator.Context) string {
	call := r.Calls.Of(ctx)
	marks, _ := r.marks.Load().(Marks)
	switch marks {
	case Exact:
		if call.ActivationID != "" {
			return call.ActivationID
		}
		return call.OperationID
	case None, Nothing:
		return ""
	default:
		if call.OperationID == "" {
			return ""
		}
		return fmt.Sprintf("%s-%02x", call.OperationID, r.Log.chain()%256)
	}
}
