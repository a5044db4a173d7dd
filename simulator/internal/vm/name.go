package vm

import (
	"regexp"
	"strings"
)

// unescaped finds each % that doesn't start an escape sequence.
var unescaped = regexp.MustCompile(`%([^0-9a-fA-F]|[0-9a-fA-F][^0-9a-fA-F]|.?$)`)

// storedName is a snapshot's name as a vCenter keeps it: the API's documentation of
// ManagedEntity.name says that slash, backslash and each percent that doesn't start an
// escape sequence are escaped; snapshots named by the vSphere Client are recorded so
// ("VM Snapshot 1%2f1%2f2021, 8:00:29 PM").
func storedName(name string) string {
	for {
		at := unescaped.FindStringIndex(name)
		if at == nil {
			break
		}
		name = name[:at[0]] + "%25" + name[at[0]+1:]
	}
	return strings.NewReplacer("/", "%2f", `\`, "%5c").Replace(name)
}
