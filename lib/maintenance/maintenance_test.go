package maintenance

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// node is a Keeper at work, in a bubble, and what it did.
type node struct {
	*Keeper
	t         *testing.T
	running   atomic.Int64
	stoppedAt atomic.Int64 // nanoseconds since start plus one; 0: not
	stops     atomic.Int64
	log       bytes.Buffer
	start     time.Time
	end       func()
}

func newNode(t *testing.T, running int64) *node {
	t.Helper()
	n := &node{t: t, start: time.Now()}
	n.running.Store(running)
	k, err := New(Options{
		Running: func() int { return int(n.running.Load()) },
		Stop: func() {
			n.stops.Add(1)
			n.stoppedAt.Store(int64(time.Since(n.start)) + 1)
		},
		Logger: slog.New(slog.NewTextHandler(&n.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Keeper = k
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	n.end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return n
}

func (n *node) apply(r Request) {
	n.t.Helper()
	if err := n.Apply(n.t.Context(), r); err != nil {
		n.t.Errorf("Apply(%+v): %v", r, err)
	}
}

func (n *node) finish(left int64) {
	n.running.Store(left)
	n.RunningChanged()
}

// stopped returns when the node was stopped, -1 if it was not.
func (n *node) stopped() time.Duration {
	synctest.Wait()
	return time.Duration(n.stoppedAt.Load() - 1)
}

const never = time.Duration(-1)

func yes() *bool                             { v := true; return &v }
func no() *bool                              { v := false; return &v }
func after(d time.Duration) *time.Duration   { return &d }
func at(d time.Duration, f func(*node)) step { return step{d, f} }

// step does something with the node so long after the start.
type step struct {
	at time.Duration
	do func(*node)
}

func ask(r Request) func(*node)    { return func(n *node) { n.apply(r) } }
func left(count int64) func(*node) { return func(n *node) { n.finish(count) } }

func TestShutdown(t *testing.T) {
	tests := []struct {
		name    string
		running int64
		steps   []step
		want    time.Duration
	}{
		{"maintenance alone stops nothing", 0, []step{at(0, ask(Request{}))}, never},
		{"nothing runs", 0, []step{at(0, ask(Request{Shutdown: yes()}))}, 0},
		{"delay alone stops nothing", 0, []step{at(0, ask(Request{Delay: after(time.Second)}))}, never},
		{"delay", 0, []step{at(0, ask(Request{Shutdown: yes(), Delay: after(time.Hour)}))}, time.Hour},
		{"an earlier delay is kept", 0, []step{
			at(0, ask(Request{Delay: after(time.Minute)})), at(time.Second, ask(Request{Shutdown: yes()})),
		}, time.Minute + time.Second},
		{"waits for the last application", 2, []step{
			at(0, ask(Request{Shutdown: yes()})), at(5*time.Hour, left(1)), at(9*time.Hour, left(0)),
		}, 9 * time.Hour},
		{"the delay counts from then", 1, []step{
			at(0, ask(Request{Shutdown: yes(), Delay: after(time.Minute)})), at(time.Hour, left(0)),
		}, time.Hour + time.Minute},
		{"an unannounced end is found", 1, []step{
			at(0, ask(Request{Shutdown: yes()})), at(3*time.Second, func(n *node) { n.running.Store(0) }),
		}, 4 * time.Second},
		{"out of maintenance waits for nobody", 3, []step{
			at(0, ask(Request{Enable: no(), Shutdown: yes(), Delay: after(time.Minute)})),
		}, time.Minute},
		{"cancel while it waits", 1, []step{
			at(0, ask(Request{Shutdown: yes()})), at(time.Hour, ask(Request{Shutdown: no()})), at(2*time.Hour, left(0)),
		}, never},
		{"cancel while it counts", 0, []step{
			at(0, ask(Request{Shutdown: yes(), Delay: after(time.Hour)})), at(time.Hour-1, ask(Request{Shutdown: no()})),
		}, never},
		{"asked again, the count goes on", 0, []step{
			at(0, ask(Request{Shutdown: yes(), Delay: after(time.Hour)})),
			at(time.Minute, ask(Request{Shutdown: yes(), Delay: after(5 * time.Hour)})),
		}, time.Hour},
		{"a new delay counts while it still waits", 1, []step{
			at(0, ask(Request{Shutdown: yes(), Delay: after(time.Hour)})),
			at(time.Minute, ask(Request{Delay: after(time.Second)})), at(2*time.Minute, left(0)),
		}, 2*time.Minute + time.Second},
		{"after a cancel the count starts anew", 0, []step{
			at(0, ask(Request{Shutdown: yes(), Delay: after(time.Hour)})), at(59*time.Minute, ask(Request{Shutdown: no()})),
			at(60*time.Minute, ask(Request{Shutdown: yes()})),
		}, 2 * time.Hour},
		{"many rounds, the last one cancels", 1, func() (steps []step) {
			for i := range 8 {
				d := time.Duration(i) * time.Minute
				steps = append(steps, at(d, ask(Request{Shutdown: yes()})), at(d+time.Second, ask(Request{Shutdown: no()})))
			}
			return append(steps, at(time.Hour, left(0)))
		}(), never},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, tt.running)
				defer n.end()
				for _, s := range tt.steps {
					time.Sleep(s.at - time.Since(n.start))
					synctest.Wait()
					s.do(n)
					synctest.Wait()
				}
				time.Sleep(48 * time.Hour)
				if got := n.stopped(); got != tt.want {
					t.Errorf("stopped after %v, want %v", got, tt.want)
				}
				if got := n.stops.Load(); got > 1 {
					t.Errorf("stopped %d times", got)
				}
			})
		})
	}
}

func TestOnAndChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, 0)
		defer n.end()
		for _, c := range []struct {
			request Request
			on      bool
			changed bool
		}{
			{Request{Enable: no()}, false, false},
			{Request{}, true, true},
			{Request{Delay: after(time.Hour)}, true, false},
			{Request{Shutdown: no()}, true, false},
			{Request{Enable: no()}, false, true},
			{Request{Enable: yes()}, true, true},
		} {
			n.apply(c.request)
			changed := false
			select {
			case <-n.Changed():
				changed = true
			default:
			}
			if n.On() != c.on || changed != c.changed {
				t.Errorf("after %+v: on %v, changed %v; want %v, %v", c.request, n.On(), changed, c.on, c.changed)
			}
		}
	})
}

func TestCountdownIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, 0)
		n.apply(Request{Shutdown: yes(), Delay: after(100 * time.Second)})
		time.Sleep(time.Hour)
		n.end()
		var lefts []string
		for line := range strings.Lines(n.log.String()) {
			if _, left, ok := strings.Cut(line, "left="); ok {
				lefts = append(lefts, strings.TrimSpace(left))
			}
		}
		if got, want := strings.Join(lefts, " "), "1m40s 1m10s 40s 10s"; got != want {
			t.Errorf("logged %q, want %q", got, want)
		}
	})
}

// TestLastRequestRules: whatever was asked before, after a cancel the node
// never stops, and after a request it does once nothing runs.
func TestLastRequestRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, running := time.Unix(0, 0), 0
		var s state
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
			switch rapid.IntRange(0, 2).Draw(t, "event") {
			case 0:
				r := Request{Enable: drawBool(t, "enable"), Shutdown: drawBool(t, "shutdown")}
				if rapid.Bool().Draw(t, "with delay") {
					r.Delay = after(time.Duration(rapid.IntRange(0, 200).Draw(t, "delay")) * time.Second)
				}
				before := s
				s = s.apply(r, now)
				if r.Shutdown != nil && s.shutdown != *r.Shutdown || r.Shutdown == nil && s.shutdown != before.shutdown {
					t.Fatalf("shutdown is %v after %+v", s.shutdown, r)
				}
			case 1:
				running = rapid.IntRange(0, 2).Draw(t, "running")
			case 2:
				before := s
				s, _ = s.step(running, now)
				if s.stopping && !before.stopping && (!before.shutdown || before.stopAt.IsZero() && before.on && running > 0) {
					t.Fatalf("stopped from %+v with %d running", before, running)
				}
				if w := s.wait(now); w < 0 || s.shutdown && !s.stopping && w == 0 {
					t.Fatalf("waits %v in %+v", w, s)
				}
			}
		}
		if s.shutdown && !s.stopping {
			s, _ = s.step(0, now)
			if s, _ = s.step(0, now.Add(time.Hour)); !s.stopping {
				t.Fatalf("never stops: %+v", s)
			}
		}
	})
}

func drawBool(t *rapid.T, name string) *bool {
	switch rapid.IntRange(0, 2).Draw(t, name) {
	case 0:
		return nil
	case 1:
		return no()
	}
	return yes()
}

// TestStaleCount: an application that starts between the count and the request
// is waited for.
func TestStaleCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k *Keeper
		stopped, calls := false, 0
		k, err := New(Options{
			Running: func() int {
				if calls++; calls == 1 {
					_ = k.Apply(t.Context(), Request{Shutdown: yes()}) // and an application has just started
					return 0
				}
				return 1
			},
			Stop:   func() { stopped = true },
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := k.Run(ctx); err != nil || stopped {
			t.Errorf("Run: %v, stopped %v; want nil, false", err, stopped)
		}
	})
}

func TestParseDelay(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute} {
		if got, err := ParseDelay(text); got != want || err != nil {
			t.Errorf("ParseDelay(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "soon", "-5s"} {
		if _, err := ParseDelay(text); err == nil || !strings.Contains(err.Error(), "shutdown_delay") {
			t.Errorf("ParseDelay(%q): %v, want an error that names shutdown_delay", text, err)
		}
	}
}

func TestNewChecksOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without Running: no error")
	}
}
