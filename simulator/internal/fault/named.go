package fault

import (
	"fmt"
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
)

var lookup = types.TypeFunc()

var referenceType = reflect.TypeOf(types.ManagedObjectReference{})

// New makes the fault with the vim type name, about entity. Members that a strict
// client can't decode when empty are filled.
func New(name string, entity types.ManagedObjectReference) (types.BaseMethodFault, error) {
	kind, ok := lookup(name)
	if !ok {
		return nil, fmt.Errorf("no vim type is called %q", name)
	}
	value := reflect.New(kind)
	f, ok := value.Interface().(types.BaseMethodFault)
	if !ok {
		return nil, fmt.Errorf("%q is not a fault", name)
	}
	fill(value.Elem(), entity)
	return f, nil
}

func fill(value reflect.Value, entity types.ManagedObjectReference) {
	for i := range value.NumField() {
		field, kind := value.Field(i), value.Type().Field(i)
		switch {
		case kind.Anonymous:
			fill(field, entity)
		case kind.Type == referenceType && kind.Name == "Task":
			field.Set(reflect.ValueOf(types.ManagedObjectReference{Type: "Task", Value: "task-0"}))
		case kind.Type == referenceType:
			field.Set(reflect.ValueOf(entity))
		case kind.Type == reflect.TypeOf(types.VirtualMachinePowerState("")):
			field.SetString(string(types.VirtualMachinePowerStatePoweredOff))
		case kind.Name == "File" && kind.Type.Kind() == reflect.String:
			field.SetString("[LocalDS_0] " + entity.Value)
		}
	}
}
