// Package front is the HTTP layer before the simulator: it counts calls and does
// to them what a test asked for.
package front

import (
	"bytes"
	"io"
	"log"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/fault"
	"vmsnapshot/simulator/internal/wire"
)

// Front serves SOAP calls through Next.
type Front struct {
	Next  http.Handler
	Rules *fault.Rules
	// Calls is nil for the plain simulator: requests and answers are passed on
	// unchanged.
	Calls *wire.Calls
	// NameOf returns the name of the VM that an object is or belongs to.
	NameOf func(types.ManagedObjectReference) string

	mu     sync.Mutex
	counts map[string]int
}

// Counts returns how many calls of each method came in, and forgets them if asked.
func (f *Front) Counts(reset bool) map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := maps.Clone(f.counts)
	if reset {
		f.counts = nil
	}
	return counts
}

func (f *Front) count(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	f.counts[method]++
}

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/sdk") {
		f.Next.ServeHTTP(w, r)
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	head, err := wire.Parse(data)
	if err != nil {
		// govmomi answers malformed requests with a proper fault.
		r.Body = io.NopCloser(bytes.NewReader(data))
		f.Next.ServeHTTP(w, r)
		return
	}
	vm := sync.OnceValue(func() string { return f.NameOf(head.This) })
	if f.Rules.NameVM() {
		vm()
	}
	delayed := f.Rules.Delay(head.Method, vm)
	// Whoever sees it counted may rely on its delay being taken.
	f.count(head.Method)
	delayed()
	if f.Rules.Drop(fault.Before, head.Method, vm) {
		panic(http.ErrAbortHandler)
	}
	if rule, ok := f.Rules.Fault(fault.InCall, head.Method, vm); ok {
		f.fail(w, head, rule)
		return
	}

	if f.Calls != nil {
		token := f.Calls.Open(&wire.Call{Head: head, Client: r.Context()})
		defer f.Calls.Close(token)
		data = wire.Tag(data, head, token)
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))

	answer := &buffer{ResponseWriter: w, status: http.StatusOK}
	f.Next.ServeHTTP(answer, r)

	if f.Rules.Drop(fault.After, head.Method, vm) {
		panic(http.ErrAbortHandler)
	}
	out := answer.body.Bytes()
	if f.Calls != nil && answer.status != http.StatusOK {
		out = wire.FillFaultString(out)
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	}
	w.WriteHeader(answer.status)
	if _, err := w.Write(out); err != nil {
		log.Printf("%s: the client went away: %v", head.Method, err)
	}
}

func (f *Front) fail(w http.ResponseWriter, head wire.Head, rule fault.Rule) {
	made, err := fault.New(rule.Fault, head.This)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	message := rule.Message
	if message == "" {
		message = fault.Message(rule.Fault)
	}
	if err := wire.WriteFault(w, made, message); err != nil {
		log.Printf("%s: writing fault %s: %v", head.Method, rule.Fault, err)
	}
}

// buffer holds an answer back until it is known whether it is to be sent.
type buffer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (b *buffer) WriteHeader(status int) { b.status = status }

func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }
