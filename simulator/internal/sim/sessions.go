package sim

import (
	"log"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// ExpireSessions ends all sessions: later calls raise NotAuthenticated until a new
// login, and so do calls that wait for updates.
func (s *Simulator) ExpireSessions() {
	registry := s.model.Map()
	manager := registry.SessionManager()

	// Upstream tells its sessions only to one that asks for the session manager.
	self := &simulator.Session{
		UserSession: types.UserSession{Key: "admin"},
		Registry:    simulator.NewRegistry(),
		Map:         registry,
	}
	view, ok := self.Get(manager.Reference()).(*simulator.SessionManager)
	if !ok {
		return
	}
	ctx := &simulator.Context{Map: registry, Session: self}
	for _, session := range view.SessionList {
		res := manager.TerminateSession(ctx, &types.TerminateSession{SessionId: []string{session.Key}})
		if f := res.Fault(); f != nil {
			log.Printf("session %s: %s", session.Key, f.String)
		}
	}
	if s.interceptor != nil {
		s.interceptor.forget()
	}
}
