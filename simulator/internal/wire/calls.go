package wire

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/vmware/govmomi/simulator"
)

// Call is one request on its way through the simulator.
type Call struct {
	Head
	// Client is done when the client has hung up.
	Client context.Context
}

// Calls joins the HTTP request, which govmomi keeps to itself, with the method
// handler that serves it. The zero value is ready to use.
type Calls struct {
	last atomic.Int64
	open sync.Map
}

// Open registers a call and returns its token; Close forgets it.
func (c *Calls) Open(call *Call) string {
	token := "call-" + strconv.FormatInt(c.last.Add(1), 10)
	c.open.Store(token, call)
	return token
}

// Close forgets the call with this token.
func (c *Calls) Close(token string) { c.open.Delete(token) }

// Of returns the call that ctx serves, or an empty one for calls that didn't come
// over HTTP.
func (c *Calls) Of(ctx *simulator.Context) *Call {
	if call, ok := c.open.Load(ctx.Header.ID); ok {
		return call.(*Call)
	}
	return &Call{Client: context.Background()}
}
