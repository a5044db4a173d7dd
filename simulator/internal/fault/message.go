// Package fault knows vSphere's faults: their words, how to make one from its
// name, and which ones a test has asked for.
package fault

import (
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
)

// messages are what vCenter shows for a fault (its English message catalogue).
var messages = map[string]string{
	"ApplicationQuiesceFault":         "An error occurred while quiescing the virtual machine. See the virtual machine's event log for details.",
	"FileFault":                       "Error accessing file.",
	"FileLocked":                      "Unable to access file since it is locked.",
	"GenericVmConfigFault":            "A general virtual machine configuration error occurred.",
	"HostCommunication":               "Unable to communicate with the remote host, since it is disconnected.",
	"InvalidArgument":                 "A specified parameter was not correct.",
	"InvalidCollectorVersion":         "The given version is not valid for this property collector.",
	"InvalidLogin":                    "Cannot complete login due to an incorrect user name or password.",
	"InvalidName":                     "The name is not valid.",
	"InvalidPowerState":               "The attempted operation cannot be performed in the current state.",
	"InvalidState":                    "The operation is not allowed in the current state.",
	"ManagedObjectNotFound":           "The object has already been deleted or has not been completely created.",
	"MemorySnapshotOnIndependentDisk": "Cannot take a memory snapshot, since the virtual machine is configured with independent disks.",
	"MethodDisabled":                  "The method is disabled.",
	"MethodNotFound":                  "The method is not found.",
	"NoPermission":                    "Permission to perform this operation was denied.",
	"NotAuthenticated":                "The session is not authenticated.",
	"NotFound":                        "The specified object could not be found.",
	"NotSupported":                    "The operation is not supported on the object.",
	"RequestCanceled":                 "The task was canceled by a user.",
	"SnapshotDisabled":                "The virtual machine's snapshots are disabled.",
	"SnapshotFault":                   "An error occurred while taking a snapshot.",
	"SnapshotIncompatibleDeviceInVm":  "The virtual machine has a device that prevents the snapshot.",
	"SnapshotLocked":                  "The virtual machine's snapshots are locked.",
	"TaskInProgress":                  "Another task is already in progress.",
	"TooManySnapshotLevels":           "The snapshot operation would exceed the limit of snapshot levels.",
	"ToolsUnavailable":                "Cannot complete operation because VMware Tools is not running in this virtual machine.",
}

// Name is the fault's vim type, without its package.
func Name(f types.BaseMethodFault) string { return reflect.TypeOf(f).Elem().Name() }

// Message returns vCenter's words for the vim type name.
func Message(name string) string {
	if text, ok := messages[name]; ok {
		return text
	}
	return "A general system error occurred: " + name
}

// Words are what vCenter shows for f: its own message if it has one.
func Words(f types.BaseMethodFault) string {
	if detail := f.GetMethodFault().FaultMessage; len(detail) != 0 && detail[0].Message != "" {
		return detail[0].Message
	}
	return Message(Name(f))
}
