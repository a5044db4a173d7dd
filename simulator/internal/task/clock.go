package task

import "time"

// Now is the server's time (UTC). Clocks of clients and vCenters differ
// (centreon-plugins issue 4765).
func (r *Runner) Now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())).UTC() }

// SetAhead puts the server's clock before, or with a negative time behind, this
// machine's. What has been dated keeps its date, and what is by then too old for a list of
// recent tasks leaves it.
func (r *Runner) SetAhead(by time.Duration) {
	r.ahead.Store(int64(by))
	r.forgetOld()
}
