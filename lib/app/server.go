package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// unusedGrace is how long connections without a running request live on when the node stops: for a client that has just
// dialled to be answered, for HTTP/2 to tell its clients to send nothing more. It is short, as an idle node is to be
// gone within 200 ms.
const unusedGrace = 25 * time.Millisecond

// serverOptions is what one HTTPS listener needs.
type serverOptions struct {
	name    string // for log and errors: "api", "meta"
	address string
	tls     *tls.Config
	limits  *config.Config // its API* values
	drain   time.Duration  // how long a stop waits for running requests
	log     *slog.Logger
}

// named is the same for another listener.
func (o serverOptions) named(name, address string) serverOptions {
	o.name, o.address = name, address
	return o
}

// server is one HTTPS listener: HTTP/1.1 and HTTP/2 over TLS, bounded against slow and many clients.
type server struct {
	name     string
	http     *http.Server
	listener net.Listener
	gate     *gate
	handler  http.Handler  // who answers once run is called
	begin    sync.Once     // the serving, or that there will be none
	served   chan struct{} // closed when it ended
	failure  error         // why it did; set before served is closed
	conns    *connTracker
	patience time.Duration
	log      *slog.Logger
}

// newServer binds the listener; nobody is answered before serve or run.
func newServer(ctx context.Context, o serverOptions) (*server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", o.address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", o.name, err)
	}
	s := &server{
		name: o.name, listener: listener, patience: o.drain, log: o.log.With("component", o.name),
		gate: newGate(), served: make(chan struct{}),
	}
	s.conns = newConnTracker(int(o.limits.APIMaxConnections), s.log)
	s.http = &http.Server{
		TLSConfig:         o.tls,
		ReadHeaderTimeout: o.limits.APIHeaderTimeout, // also bounds the TLS handshake
		ReadTimeout:       o.limits.APIReadTimeout,
		WriteTimeout:      o.limits.APIWriteTimeout,
		IdleTimeout:       o.limits.APIIdleTimeout,
		MaxHeaderBytes:    int(o.limits.APIMaxHeaderSize),
		ConnState:         s.conns.observe,
		ErrorLog:          log.New(serverLog{s.log}, "", 0),
	}
	return s, nil
}

// handle says who answers, and what to call when the server begins to shut down: whoever keeps requests waiting has to
// let them go then.
func (s *server) handle(h http.Handler, stopping ...func()) {
	s.handler = h
	for _, f := range stopping {
		s.http.RegisterOnShutdown(f)
	}
}

// addr is the bound address.
func (s *server) addr() string { return s.listener.Addr().String() }

// serve begins to serve: early answers what it can before run is called, and passes on the rest, which waits for that.
// close or run ends it.
func (s *server) serve(early func(next http.Handler) http.Handler) {
	s.begin.Do(func() {
		s.http.Handler = early(s.gate)
		go func() {
			s.failure = s.http.ServeTLS(s.listener, "", "")
			close(s.served)
		}()
	})
}

// close ends what never ran, or ended: it unbinds the listener and cuts who waits.
func (s *server) close(context.Context) error {
	s.begin.Do(func() { close(s.served) })
	err := s.http.Close()
	if e := s.listener.Close(); !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	<-s.served
	if err != nil {
		return fmt.Errorf("close listener: %w", err)
	}
	return nil
}

// run serves until ctx is done, then lets running requests finish for a while and cuts what is left.
func (s *server) run(ctx context.Context) error {
	s.serve(func(next http.Handler) http.Handler { return next }) // unless it does
	s.gate.pass(s.handler)
	select {
	case <-s.served:
		return fmt.Errorf("serve %s: %w", s.name, s.failure)
	case <-ctx.Done():
	}
	err := s.drain() //nolint:contextcheck // ctx is done, the drain has a bound of its own
	<-s.served
	return err
}

// drain ends the connections: those without a request within unusedGrace, the rest when their request is answered.
// net/http alone would wait one second for an idle HTTP/2 connection, and five for one that was opened and never used.
func (s *server) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	unused := time.AfterFunc(unusedGrace, s.conns.closeUnused)
	defer unused.Stop()
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("requests still ran after %v and were cut: %w", s.patience, err), s.http.Close())
}

// serverLog gives net/http's own messages their level: what any stranger can cause by a broken handshake is not worth a
// line, a panic is.
type serverLog struct{ log *slog.Logger }

// Write logs one message.
func (l serverLog) Write(p []byte) (int, error) {
	text, level := strings.TrimSpace(string(p)), slog.LevelDebug
	switch {
	case strings.Contains(text, "panic serving"):
		level = slog.LevelError
	case strings.Contains(text, "Accept error"):
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "http server", "message", text)
	return len(p), nil
}
