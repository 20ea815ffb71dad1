package sshproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh/relay"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// Server takes the clients of one node.
type Server struct {
	Options

	uids    *model.UIDSource
	pending pending
	work    sync.WaitGroup // of everything that a client causes

	mu       sync.Mutex
	sessions map[*session]model.UID // guarded by mu: the credentials of those that are logged in, or about to be
}

// New makes a server; it answers once Run is called.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	o.Grace = graceOf(o.Grace)
	return &Server{Options: o, uids: model.NewUIDSource(o.Node), sessions: map[*session]model.UID{}}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.Listener.Addr() }

// Run serves until ctx is done; then all sessions are cut.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.work.Go(func() { s.watch(ctx) })
	failed := make(chan error, 1)
	go func() { failed <- s.accept(ctx) }()
	var err error
	select {
	case err = <-failed:
		cancel()
	case <-ctx.Done():
		_ = s.Listener.Close() // ends accept
		err = <-failed
	}
	for _, v := range s.pending.all() {
		_ = v.conn.Close()
	}
	for _, one := range s.all() {
		one.stop()
	}
	s.work.Wait()
	return err
}

// acceptPause is how long nobody is taken in after a failure, such as that no
// file is left for another connection.
const acceptPause = 100 * time.Millisecond

// accept takes clients in until the listener is closed.
func (s *Server) accept(ctx context.Context) error {
	for {
		conn, err := s.Listener.Accept()
		switch {
		case err == nil:
			s.take(ctx, conn)
		case ctx.Err() != nil:
			return nil //nolint:nilerr // that is why it failed
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("take ssh clients in: %w", err)
		default:
			s.Logger.Warn("ssh client not taken in", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// take serves one client.
func (s *Server) take(ctx context.Context, conn net.Conn) {
	visitor, evicted := s.pending.add(conn)
	if evicted != nil {
		_ = evicted.conn.Close() // whoever reads it finds out
	}
	one := &session{
		server: s, uid: s.uids.New(time.Now()), wire: relay.NewWire(conn), remote: conn.RemoteAddr().String(), visitor: visitor,
	}
	s.work.Go(func() {
		defer func() { s.pending.remove(one.visitor) }() // it may be another one by then
		one.serve(ctx)
	})
}

// admit makes a visitor a session, unless there are too many. Credentials count
// once: they are good for one session, however many connections show them.
func (s *Server) admit(one *session, access model.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ofUser := 0
	for other, with := range s.sessions {
		if with == access {
			return &Refusal{Reason: ReasonBusy, Text: "another connection is logging in with the same credentials"}
		}
		if other.access.UserName == one.access.UserName {
			ofUser++
		}
	}
	switch {
	case len(s.sessions) >= s.MaxSessions:
		return &Refusal{Reason: ReasonBusy}
	case ofUser >= (s.MaxSessions+1)/2: // whoever takes all keeps no others out
		return &Refusal{Reason: ReasonBusy, Text: "too many sessions of this user are open, end some of them"}
	}
	s.pending.remove(one.visitor) // or it went for another one, and its connection is closed
	s.sessions[one] = access
	return nil
}

// dismiss makes a session that was not let in a visitor again, who may try other
// credentials.
func (s *Server) dismiss(ctx context.Context, one *session) {
	s.forget(one)
	visitor, evicted := s.pending.add(one.wire)
	one.visitor = visitor
	if evicted != nil {
		_ = evicted.conn.Close() // whoever reads it finds out
	}
	if ctx.Err() != nil {
		_ = one.wire.Close() // the server stops, and may have looked already
	}
}

func (s *Server) forget(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, one)
}

func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.sessions))
	for one := range s.sessions {
		all = append(all, one)
	}
	return all
}

// watch ends the sessions whose environments are given back, or whose users are
// removed.
func (s *Server) watch(ctx context.Context) {
	changed := s.Store.Subscribe(store.KindApplication, store.KindUser)
	defer changed.Close()
	for {
		select {
		case <-changed.C():
			changed.Take()
			for _, one := range s.all() {
				s.look(one)
			}
		case <-ctx.Done():
			return
		}
	}
}

// look ends a session whose environment is given back, or whose user is removed.
func (s *Server) look(one *session) {
	one.mu.Lock()
	running := one.relay != nil
	one.mu.Unlock()
	if !running {
		return // it looks for itself when it is
	}
	if _, exists := s.Store.UserByName(one.access.UserName); !exists {
		one.expel(reasonNoUser, min(s.Grace, removedGrace))
	} else if !s.holds(one.access.ResourceUID) {
		one.expel(reasonGivenBack, s.Grace)
	}
}

// holds reports whether an environment is there and is not given back.
func (s *Server) holds(resource model.UID) bool {
	_, entry, ok := s.Store.Resource(resource)
	return ok && allocated(entry, resource)
}

// await waits until something holds that news bring.
func (s *Server) await(ctx context.Context, limit time.Duration, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	news := s.Store.Subscribe(store.KindResourceAccess, store.KindApplication)
	defer news.Close()
	for !holds() {
		select {
		case <-news.C():
			news.Take()
		case <-ctx.Done():
			return false
		}
	}
	return true
}
