package sshproxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh/relay"
)

// Actions in the audit.
const (
	ActionOpen   = "ssh.open"   // a session began, or was refused although its credentials were right
	ActionClose  = "ssh.close"  // it ended
	ActionRecord = "ssh.record" // a recording of a terminal began
)

// session is one connection of a client.
type session struct {
	server  *Server
	uid     model.UID
	wire    *relay.Wire
	remote  string
	visitor *visitor // until it is admitted
	waited  bool     // for credentials to arrive; one goroutine logs in

	// Known once it is logged in.
	access   model.ResourceAccess
	resource model.Resource
	record   bool
	since    time.Time

	mu      sync.Mutex
	target  *target      // guarded by mu; nil until it is reached
	relay   *relay.Relay // guarded by mu; nil until it runs
	leaving *time.Timer  // guarded by mu; cuts it
	reason  string       // guarded by mu: why it was cut
}

// patience is how much longer the client is waited for; below 0: for ever.
func (s *session) patience(d time.Duration) {
	at := time.Time{}
	if d >= 0 {
		at = time.Now().Add(d)
	}
	_ = s.wire.SetDeadline(at) // one that is closed tells at the next use
}

// serve has the client until it or its environment goes.
func (s *session) serve(ctx context.Context) {
	defer s.end()
	s.patience(helloTime)
	raw, ciphers := greet(s.visitor.conn)
	s.wire = relay.NewWire(raw)
	s.patience(helloTime)
	config := s.config(ctx)
	config.Ciphers = ciphers
	conn, channels, requests, err := ssh.NewServerConn(s.wire, config)
	if err != nil {
		s.server.Logger.Debug("ssh client not logged in", "address", s.remote, "error", err)
		if s.cut() {
			s.close("the client went before it was let in")
		}
		return
	}
	s.patience(-1)
	s.since = time.Now()
	client := relay.Side{Conn: conn.Conn, Channels: channels, Requests: requests, Wire: s.wire}
	s.mu.Lock()
	t := s.target
	r := relay.New(relay.Options{Client: client, Target: t.side, Record: s.recorder(), Failed: s.unrecorded, Lost: s.lost})
	s.relay = r
	s.mu.Unlock()
	s.note(ActionOpen, audit.ResultOK, fmt.Sprintf("session %s to resource %s at %s, host key %s", s.uid, s.resource.UID,
		s.resource.IPAddr, crypt.SSHFingerprint(t.hostKey)))
	s.log().Info("ssh session began", "fingerprint", crypt.SSHFingerprint(t.hostKey))
	s.server.look(s) // it may have been given back meanwhile
	r.Run()
	s.close("")
}

// log has what tells this session from others.
func (s *session) log() *slog.Logger {
	return s.server.Logger.With("session", s.uid, "user", s.access.UserName, "address", s.remote, "application", s.access.ApplicationUID)
}

// close notes the end of a session; reason is for one that had no time to begin.
func (s *session) close(reason string) {
	in, out, channels := int64(0), int64(0), int64(0)
	s.mu.Lock()
	if reason == "" {
		reason = s.reason
	}
	if s.relay != nil {
		in, out = s.relay.Bytes()
		channels = s.relay.Channels()
	}
	s.mu.Unlock()
	took := time.Duration(0)
	if !s.since.IsZero() {
		took = time.Since(s.since).Round(time.Millisecond)
	}
	detail := fmt.Sprintf("session %s to resource %s: %v, %d channels, %d bytes from the client, %d to it", s.uid,
		s.access.ResourceUID, took, channels, in, out)
	if reason != "" {
		detail += "; cut: " + reason
	}
	s.note(ActionClose, audit.ResultOK, detail)
	s.log().Info("ssh session ended", "duration", took, "channels", channels, "bytes_in", in, "bytes_out", out, "reason", reason)
}

// refused notes that right credentials did not lead into the environment.
func (s *session) refused(err error) {
	s.note(ActionOpen, audit.ResultRefused, fmt.Sprintf("resource %s: %v", s.access.ResourceUID, err))
	s.log().Warn("ssh session refused", "resource", s.access.ResourceUID, "error", err)
}

func (s *session) note(action string, result audit.Result, detail string) {
	s.server.Audit.Note(audit.Event{
		Action: action, User: s.access.UserName, Address: s.remote, ObjectUID: s.access.ApplicationUID.String(),
		Result: result, Detail: detail,
	})
}

// expel ends the session because its environment is given back, or its user
// removed: its terminals are told, and it is cut after the grace.
func (s *session) expel(reason string, grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving != nil || s.relay == nil {
		return
	}
	s.reason = reason
	r := s.relay
	if grace <= 0 {
		s.leaving = s.part(r, tellTime, s.message("%s. This session ends.", reason))
		return
	}
	s.server.work.Go(func() { r.Tell(s.message("%s. This session ends in %v.", reason, grace)) }) // ends with the connection at the latest
	s.leaving = time.AfterFunc(grace, func() { s.cut() })
}

// part cuts the session once its terminals have taken a last message, which is
// waited for so long.
func (s *session) part(r *relay.Relay, patience time.Duration, message string) *time.Timer {
	last := time.AfterFunc(patience, func() { s.cut() })
	s.server.work.Go(func() {
		r.Tell(message)
		last.Stop()
		s.cut()
	})
	return last
}

// stop ends the session because the node stops.
func (s *session) stop() {
	s.mu.Lock()
	r := s.relay
	if s.reason == "" {
		s.reason = "the node stops"
	}
	s.mu.Unlock()
	if r == nil {
		s.cut() // it only logs in
		return
	}
	s.part(r, stopTime, s.message("the node stops, and this session with it. The environment stays."))
}

// message is what a terminal is told.
func (s *session) message(format string, args ...any) string {
	return "\r\n\aAquarium Fish " + s.server.NodeName + ": " + fmt.Sprintf(format, args...) + "\r\n"
}

// lost tells the terminals why their environment is gone, where that is known:
// it may be removed before the session is.
func (s *session) lost() {
	s.mu.Lock()
	r, told := s.relay, s.leaving != nil
	s.mu.Unlock()
	if told || r == nil {
		return
	}
	gone := func() bool { return !s.server.holds(s.access.ResourceUID) }
	if s.server.await(context.Background(), lostTime, gone) {
		r.Tell(s.message("%s.", reasonGivenBack))
	}
}

const (
	// lostTime is how long after the end of a connection the news are waited for
	// that its environment was given back.
	lostTime = time.Second

	reasonGivenBack = "the environment is given back"
	reasonNoUser    = "the user was removed"

	// removedGrace is for the words to arrive: who was removed has no business
	// there any more.
	removedGrace = time.Second
)

// cut ends both connections, and reports whether the environment was reached.
func (s *session) cut() bool {
	_ = s.wire.Close() // whoever reads it finds out
	s.mu.Lock()
	t, r := s.target, s.relay
	s.mu.Unlock()
	if t != nil {
		_ = t.side.Conn.Close() // likewise
	}
	if r != nil {
		r.Cut()
	}
	return t != nil
}

// end forgets the session.
func (s *session) end() {
	_ = s.wire.Close() // it may be closed
	s.mu.Lock()
	if s.leaving != nil {
		s.leaving.Stop()
	}
	s.mu.Unlock()
	s.server.forget(s)
}

// recorder begins recordings, where the label asks for them.
func (s *session) recorder() func(relay.Terminal) (relay.Recording, error) {
	if !s.record {
		return nil
	}
	return func(t relay.Terminal) (relay.Recording, error) {
		recording, name, err := s.server.Recorder.Record(time.Now(), s.resource.UID, s.uid, t)
		if err != nil {
			return nil, fmt.Errorf("begin recording: %w", err)
		}
		s.note(ActionRecord, audit.ResultOK, fmt.Sprintf("session %s in %s", s.uid, name))
		return recording, nil
	}
}

// unrecorded ends a session that should be recorded and can not be.
func (s *session) unrecorded(err error) {
	s.log().Error("ssh session can not be recorded and is cut", "error", err)
	s.mu.Lock()
	s.reason = "it could not be recorded"
	r := s.relay
	s.mu.Unlock()
	s.part(r, tellTime, s.message("this session has to be recorded and can not be. It ends."))
}

const (
	// tellTime is how long a terminal may take to show a last message.
	tellTime = time.Second
	// stopTime is the same when the node stops, which is to be gone soon.
	stopTime = 200 * time.Millisecond
)
