package fit

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/link"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/sim"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// member is one on real sockets.
type member struct {
	*cluster.Cluster
	uid    model.UID
	addr   string
	rows   *sim.Rows
	stop   func()
	server *httptest.Server
}

// start runs a member of the CA in dir; it knows the address join.
func start(t *testing.T, dir, name, join string, boot uint64) *member {
	t.Helper()
	id, err := crypt.LoadOrCreate(crypt.Options{NodeName: name, NodeAddress: "127.0.0.1:1", TLSKey: filepath.Join(dir, name+".key"), TLSCert: filepath.Join(dir, name+".crt"), CACert: filepath.Join(dir, "ca.crt"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := link.New(link.Options{Certificate: id.Certificate, Roots: id.CAPool, Boot: boot, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*id.Certificate()}, MinVersion: tls.VersionTLS12}
	raw.Attach(server.Config)
	listener := tls.NewListener(server.Listener, server.Config.TLSConfig)
	m := &member{uid: id.UID, addr: server.Listener.Addr().String(), rows: sim.NewRows(nil), server: server}
	go func() { _ = server.Config.Serve(listener) }()

	transport := NewTransport(raw)
	var joins []string
	if join != "" {
		joins = []string{join}
	}
	m.Cluster, err = cluster.New(cluster.Options{
		Self: cluster.Self{Node: id.UID, Name: name, Address: m.addr, Program: "test", Cluster: []byte("one"), Boot: boot},
		Join: joins, Transport: transport, Replication: m.rows, Secure: transport.Secure,
		Healthy: func(context.Context) error { return nil },
		Report:  func() cluster.Report { return cluster.Report{} },
		Known:   func() []cluster.Known { return nil },
		Serve: func(_ context.Context, conn net.Conn) {
			fmt.Fprintf(conn, "%s\n", name)
			_, _ = io.Copy(io.Discard, conn)
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run of %s: %v", name, err)
		}
		_ = server.Config.Close()
	}
	t.Cleanup(m.stop)
	return m
}

func until(t *testing.T, what string, cond func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
	return time.Since(began)
}

// TestRealLinks: three members over TLS on loopback find together, replicate,
// dial each other, and know of one that stops.
func TestRealLinks(t *testing.T) {
	dir := t.TempDir()
	a := start(t, dir, "a", "", 1)
	b := start(t, dir, "b", a.addr, 2)
	c := start(t, dir, "c", b.addr, 3)
	all := []*member{a, b, c}
	t.Logf("all agree after %v", until(t, "all agree", func() bool {
		for _, m := range all {
			if len(m.Active()) != 3 || !m.Ready() {
				return false
			}
		}
		return true
	}))

	origin := replica.Origin{Node: a.uid}
	a.rows.Write(origin)
	t.Logf("a row was seen after %v", until(t, "a row is on c", func() bool { return c.rows.Vector()[origin] == 1 }))

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := a.Dial(ctx, c.uid)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if name, err := bufio.NewReader(conn).ReadString('\n'); err != nil || name != "c\n" {
		t.Errorf("at the other end is %q, %v, want c", name, err)
	}
	if s := a.Status(); len(s.Links) == 0 || len(s.Members) != 3 {
		t.Errorf("status = %+v", s)
	}
	conn.Close()

	b.stop()
	t.Logf("the end of b was known after %v", until(t, "a and c know that b stopped", func() bool { return len(a.Active()) == 2 && len(c.Active()) == 2 }))
}
