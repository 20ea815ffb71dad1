package app

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// piped dials nobody: the other end of each pipe is kept.
type piped struct {
	ends []net.Conn
	err  error
}

func (p *piped) Dial(context.Context, model.UID) (net.Conn, error) {
	if p.err != nil {
		return nil, p.err
	}
	a, b := net.Pipe()
	p.ends = append(p.ends, b)
	return a, nil
}

// TestTunnelsOfRetiredEnd: those to it and those from it, and no others; one
// that is made at that very moment too.
func TestTunnelsOfRetiredEnd(t *testing.T) {
	gone := map[model.UID]bool{}
	p := &piped{}
	tunnels := newTunnels(p, func(node model.UID) bool { return gone[node] })
	dialled, err := tunnels.Dial(t.Context(), model.UID{1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := tunnels.Dial(t.Context(), model.UID{2})
	if err != nil {
		t.Fatal(err)
	}
	from, _ := net.Pipe()
	taken := tunnels.keep(from, model.UID{1})
	gone[model.UID{1}] = true
	tunnels.endRetired()
	late, _ := tunnels.Dial(t.Context(), model.UID{1})
	for name, conn := range map[string]net.Conn{"dialled": dialled, "taken": taken, "late": late} {
		if _, err := conn.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: Write = %v, want it ended", name, err)
		}
	}
	go func() { _, _ = other.Write([]byte("x")) }()
	if n, err := p.ends[1].Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("of another member: %v, want it open", err)
	}
	if len(tunnels.open) != 1 {
		t.Errorf("%d are remembered, want the open one", len(tunnels.open))
	}
	if err := other.Close(); err != nil || len(tunnels.open) != 0 {
		t.Errorf("Close = %v with %d remembered", err, len(tunnels.open))
	}
	if p.err = errors.New("away"); !errors.Is(func() error { _, err := tunnels.Dial(t.Context(), model.UID{2}); return err }(), p.err) {
		t.Error("the dialer's error is lost")
	}
}
