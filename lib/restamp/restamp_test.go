package restamp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// farm is a node with neighbours whose clocks are off.
type farm struct {
	held    bool
	off     []time.Duration // of each neighbour's clock
	silent  int             // how many of them do not answer
	written int
	refuse  error
	log     strings.Builder
}

func (f *farm) make(t *testing.T) *Restamp {
	t.Helper()
	r, err := New(Options{
		Ahead: func() (time.Duration, bool) { return 3 * time.Hour, f.held },
		Write: func(context.Context) error {
			f.written++
			f.held = f.refuse != nil
			return f.refuse
		},
		Neighbours: func() (nodes []model.UID) {
			for i := range f.off {
				nodes = append(nodes, model.UID{byte(i)})
			}
			return nodes
		},
		Ask: func(_ context.Context, node model.UID) (time.Time, error) {
			if int(node[0]) < f.silent {
				return time.Time{}, io.EOF
			}
			return time.Now().Add(f.off[node[0]]), nil
		},
		Now: time.Now, Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWhen: what was written is stamped anew when nobody's clock speaks against it.
func TestWhen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		held   bool
		off    []time.Duration
		silent int
		want   int
	}{
		{"not held back", false, []time.Duration{0}, 0, 0},
		{"alone", true, nil, 0, 0},
		{"one agrees", true, []time.Duration{time.Second}, 0, 1},
		{"all agree", true, []time.Duration{59 * time.Second, -59 * time.Second, 0}, 0, 1},
		{"one does not answer", true, []time.Duration{0, 0}, 1, 1},
		{"nobody answers", true, []time.Duration{0, 0}, 2, 0},
		{"this clock is behind", true, []time.Duration{2 * time.Hour, 2 * time.Hour}, 0, 0},
		{"one disagrees", true, []time.Duration{0, 0, -2 * time.Minute}, 0, 0},
		{"one is behind, and the others do not answer", true, []time.Duration{0, 0, 2 * time.Minute}, 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &farm{held: tt.held, off: tt.off, silent: tt.silent}
				r := f.make(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := r.Run(ctx); err != nil || f.written != tt.want {
					t.Errorf("Run = %v, written %d times, want %d", err, f.written, tt.want)
				}
				quiet := tt.want > 0 || !tt.held || len(tt.off) == 0
				if n := strings.Count(f.log.String(), "level=ERROR"); n > 1 || quiet != (n == 0) {
					t.Errorf("the log has %d errors:\n%s", n, f.log.String())
				}
				if old := tt.held && tt.silent > 0 && tt.silent == len(tt.off); old != strings.Contains(f.log.String(), "upgrade it") {
					t.Errorf("the log advises an upgrade: %t, want %t", !old, old)
				}
			})
		})
	}
}

// TestSettles: clocks that disagree in between have to agree for a while again.
func TestSettles(t *testing.T) {
	f := &farm{held: true, off: []time.Duration{0}}
	r := f.make(t)
	now := time.Now()
	look := func(after, off time.Duration, want int) {
		t.Helper()
		now, f.off[0] = now.Add(after), off
		r.look(t.Context(), now)
		if f.written != want {
			t.Fatalf("written %d times, want %d", f.written, want)
		}
	}
	look(0, 0, 0)
	look(settle-1, 0, 0)
	look(1, 2*time.Hour, 0)
	look(1, 0, 0)
	look(settle-1, 0, 0)
	look(1, 0, 1)
}

// TestTriesAgain: what can not be written is tried again, and told once.
func TestTriesAgain(t *testing.T) {
	f := &farm{held: true, off: []time.Duration{0}, refuse: errors.New("disk is full")}
	r := f.make(t)
	now := time.Now()
	r.look(t.Context(), now)
	for range 3 {
		now = now.Add(settle)
		r.look(t.Context(), now)
	}
	if n := strings.Count(f.log.String(), "disk is full"); f.written != 3 || n != 1 {
		t.Errorf("written %d times and told %d times, want 3 and 1", f.written, n)
	}
	f.refuse = nil
	r.look(t.Context(), now.Add(time.Second))
	if f.written != 4 || f.held {
		t.Errorf("written %d times, held back %t", f.written, f.held)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without options does not fail")
	}
}
