package collector

import (
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
)

// withhold leaves out of an answer what a test wants the client not to learn of single
// machines and their snapshots: all properties of the object, which are in missingSet
// then, or the whole object when it is to be gone. A rule counts once for each machine
// in an answer.
func (h *Hub) withhold(
	ctx *simulator.Context, specs []types.PropertyFilterSpec, objects []types.ObjectContent,
) ([]types.ObjectContent, types.BaseMethodFault) {
	if !h.Rules.Reads() {
		return objects, nil
	}
	method := h.Calls.Of(ctx).Method
	taken := map[string]fault.Rule{}
	kept := make([]types.ObjectContent, 0, len(objects))
	for _, object := range objects {
		ref := object.Obj
		asked := asked(specs, object)
		if (ref.Type != "VirtualMachine" && ref.Type != "VirtualMachineSnapshot") || len(asked) == 0 {
			kept = append(kept, object)
			continue
		}
		name := h.NameOf(ref)
		rule, ok := taken[name]
		if !ok {
			rule, ok = h.Rules.ReadFault(method, name, asked)
		}
		if !ok || !rule.Concerns(asked) {
			kept = append(kept, object)
			continue
		}
		taken[name] = rule
		if rule.Withheld == fault.WholeObject {
			// "Objects that could not be looked up" (SystemError) are left out as those that
			// are gone (API reference, MissingObject).
			continue
		}
		if rule.Withheld == fault.OnlyProperty && rule.Fault == "" {
			object.PropSet = without(object.PropSet, rule.Property)
			kept = append(kept, object)
			continue
		}
		missing, err := unread(rule, ref)
		if err != nil {
			return nil, &types.SystemErrorFault{Reason: err.Error()}
		}
		if _, gone := missing.Fault.(*types.ManagedObjectNotFound); gone {
			if !reports(specs, ref) {
				return nil, missing.Fault
			}
			continue
		}
		if rule.Withheld == fault.OnlyProperty {
			object.PropSet = without(object.PropSet, rule.Property)
		} else {
			object.PropSet, object.MissingSet = nil, nil
		}
		for _, path := range asked {
			if rule.Withheld == fault.OnlyProperty && !within(path, rule.Property) {
				continue
			}
			object.MissingSet = append(object.MissingSet, types.MissingProperty{Path: path, Fault: missing})
		}
		kept = append(kept, object)
	}
	return kept, nil
}

// without is a set of properties without one and those below it.
func without(properties []types.DynamicProperty, path string) []types.DynamicProperty {
	return slices.DeleteFunc(slices.Clone(properties), func(p types.DynamicProperty) bool {
		return within(p.Name, path)
	})
}

// within says whether a property is another or below it.
func within(path, above string) bool {
	return path == above || strings.HasPrefix(path, above+".")
}

// asked are the properties of an object that a read is about, set or not.
func asked(specs []types.PropertyFilterSpec, object types.ObjectContent) []string {
	var paths []string
	for _, spec := range specs {
		for _, p := range spec.PropSet {
			if p.Type == object.Obj.Type || p.Type == "ManagedEntity" {
				paths = append(paths, p.PathSet...)
			}
		}
	}
	// Who asks for all of them, or reads on, names none.
	for _, p := range object.PropSet {
		paths = append(paths, p.Name)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// unread is the fault of a property that can't be read.
func unread(rule fault.Rule, ref types.ManagedObjectReference) (types.LocalizedMethodFault, error) {
	f, err := fault.New(rule.Fault, ref)
	if err != nil {
		return types.LocalizedMethodFault{}, err
	}
	if denied, ok := f.(*types.NoPermission); ok {
		denied.Object, denied.PrivilegeId = &ref, "System.Read"
	}
	message := rule.Message
	if message == "" {
		message = fault.Words(f)
	}
	return types.LocalizedMethodFault{Fault: f, LocalizedMessage: message}, nil
}

// reports says whether a read goes on without an object that is gone (API reference,
// PropertyFilterSpec.reportMissingObjectsInResults). One that was found on the way
// isn't there to be missed.
func reports(specs []types.PropertyFilterSpec, ref types.ManagedObjectReference) bool {
	for _, spec := range specs {
		report := spec.ReportMissingObjectsInResults
		for _, o := range spec.ObjectSet {
			if o.Obj == ref && (report == nil || !*report) {
				return false
			}
		}
	}
	return true
}
