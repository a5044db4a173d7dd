package front_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/front"
)

// The answer of a call on one machine's snapshot is dropped even when the snapshot is
// gone by then.
func TestDropAfterRemoval(t *testing.T) {
	removed := false
	rules := &fault.Rules{}
	rules.AddDrop(fault.Drop{Match: fault.Match{VM: "web-1"}, When: fault.After})
	f := &front.Front{
		Next:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { removed = true }),
		Rules: rules,
		NameOf: func(types.ManagedObjectReference) string {
			if removed {
				return ""
			}
			return "web-1"
		},
	}
	call := strings.NewReader(`<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>` +
		`<RemoveSnapshot_Task xmlns="urn:vim25"><_this type="VirtualMachineSnapshot">snapshot-1</_this>` +
		`</RemoveSnapshot_Task></Body></Envelope>`)
	defer func() {
		if dropped := recover(); dropped != http.ErrAbortHandler || !removed {
			t.Error("not dropped:", dropped, removed)
		}
	}()
	f.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/sdk", call))
}
