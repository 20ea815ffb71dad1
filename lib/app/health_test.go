package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// TestProbesWhileTheNodeStarts: a driver takes its time, and whoever looks
// meanwhile is told so at once; everybody else is answered when there is a node.
func TestProbesWhileTheNodeStarts(t *testing.T) {
	opts, _ := testOptions(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.Config.APIAddress = free.Addr().String()
	_ = free.Close()
	asked, release := make(chan struct{}), make(chan struct{})
	opts.Drivers = []drivers.Factory{{Name: "slow", New: func(ctx context.Context, _ drivers.Config) (drivers.Driver, error) {
		close(asked)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, errors.New("is no driver")
	}}}
	type made struct {
		app *App
		err error
	}
	ready := make(chan made, 1)
	go func() {
		a, err := New(t.Context(), opts)
		ready <- made{a, err}
	}()
	<-asked

	base, c := "https://"+opts.Config.APIAddress, client(t, opts.Config.Directory, true)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "starting\n"} {
		resp, body := get(t, c, base+path)
		if body != want || (resp.StatusCode == http.StatusOK) != (want == "ok\n") {
			t.Errorf("GET %s while a driver starts = %s %q, want %q", path, resp.Status, body, want)
		}
	}
	waited := make(chan int, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/nothing", http.NoBody)
		if err == nil {
			if resp, err := client(t, opts.Config.Directory, true).Do(req); err == nil {
				_ = resp.Body.Close()
				waited <- resp.StatusCode
			}
		}
		close(waited)
	}()
	select {
	case status := <-waited:
		t.Errorf("a request was answered %d before there is a node", status)
	default:
	}
	close(release)
	m := <-ready
	if m.err != nil {
		t.Fatal(m.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.app.Run(ctx) }()
	if status := <-waited; status != http.StatusNotFound {
		t.Errorf("the request that waited = %d, want 404 as soon as there is a node", status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestCloseCutsWhoWaits: a start that fails leaves nobody waiting.
func TestCloseCutsWhoWaits(t *testing.T) {
	s := bareServer(t, nil)
	s.serve(func(next http.Handler) http.Handler { return next })
	conn := dial(t, s.addr())
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() { answer <- ask(conn) }()
	waitFor(t, s, "an active connection", func() bool {
		for _, info := range s.conns.open {
			if info.state == http.StateActive {
				return true
			}
		}
		return false
	})
	for range 2 {
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := <-answer; err == nil {
		t.Error("a request was answered by a server that never ran")
	}
	if err := bareServer(t, nil).close(t.Context()); err != nil {
		t.Errorf("close() of what never served = %v", err)
	}
}
