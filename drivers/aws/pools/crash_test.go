package pools

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// crash is one case of the matrix: what happens at a point of a host's life.
type crash struct {
	at   int
	lost bool // of a call the reply alone is lost, and the process lives
	gone bool // the folder is lost with the process
}

var errDead = errors.New("the process is dead")

// point counts the calls and writes of a process, and lets one go wrong. Of
// calls that only look, which a pool repeats for ever, one of a kind counts
// between two changes.
type point struct {
	mu     sync.Mutex
	n      int
	c      crash
	looked map[string]bool
	what   string
	died   chan struct{} // closed with the process
}

func newPoint(c crash) *point {
	return &point{c: c, looked: map[string]bool{}, died: make(chan struct{})}
}

// pass is called at each write to the disk, where call is nil, and before and
// after each call. at is what AWS has at that moment.
func (p *point) pass(call *fakeec2.Call, at string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead() {
		return errDead
	}
	what := "write"
	if call != nil {
		what = fmt.Sprintf("%s, after %v, %s", call.Action, call.After, at)
	}
	if call == nil || call.Writes {
		clear(p.looked)
	} else if p.looked[what] {
		return nil
	}
	p.looked[what] = true
	if p.n++; p.n != p.c.at {
		return nil
	}
	p.what = what
	if !p.c.lost {
		close(p.died)
		return errDead
	}
	if call == nil {
		return errors.New("no space left on device")
	}
	return fakeec2.ErrLost
}

func (p *point) dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// met is what the point was; empty if life was shorter.
func (p *point) met() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.what
}

// TestCrash: whatever call or write of a host's life a process is killed at, or
// loses the answer of, from the request for a host to its release: the next one
// serves who asked, on the one host that there ever is, scrubs it when it idles,
// and releases it when it is a day old. Nothing is left.
func TestCrash(t *testing.T) {
	t.Parallel()
	step := 20
	switch {
	case testing.Short():
		step = 40
	case needs.Long():
		step = 1
	}
	for i, kind := range []crash{{}, {lost: true}, {gone: true}} {
		t.Run(fmt.Sprintf("lost %v, gone %v", kind.lost, kind.gone), func(t *testing.T) {
			t.Parallel()
			n := 0
			for at := 1 + i%step; ; at += step {
				c := kind
				c.at = at
				if what := c.run(t); what == "" || t.Failed() {
					break
				}
				n++
			}
			t.Logf("%d points", n)
			if n < 60/step {
				t.Errorf("only %d points were met", n)
			}
		})
	}
}

// run does one case, and says what its point was; nothing, if the life is shorter.
func (c crash) run(t *testing.T) (what string) {
	synctest.Test(t, func(t *testing.T) {
		opts := quick()
		opts.Timing.Scrub, opts.Timing.Vacated = fakeec2.Fixed(5*time.Hour), fakeec2.Fixed(2*time.Minute)
		s := newSite(t, opts)
		s.cloud.SetLag(fakeec2.Fixed(40 * time.Second))
		time.Sleep(time.Minute) // the account itself is older than lists lag
		at := newPoint(c)
		s.hook = func(_ context.Context, call fakeec2.Call) error {
			if call.Who != alpha.String() {
				return nil
			}
			return at.pass(&call, s.state())
		}
		s.wrote = func() error { return at.pass(nil, "") }
		one := func() Pool { return macPool(func(p *Pool) { p.Max, p.ScrubbingDelay = 3, time.Hour }) }
		l := life{site: s}
		p := s.start(alpha, one())
		l.live(p, at.died)
		if what = at.met(); what == "" {
			return
		}
		if at.dead() {
			p.Close()
			s.change(func() { s.hook, s.wrote = nil, nil })
			if c.gone {
				s.dirs[alpha] = ""
				s.first = false
			}
			time.Sleep(3 * time.Second)
			l.live(s.start(alpha, one()), nil)
		}
		l.wantOver()
		if t.Failed() {
			t.Logf("it was at point %d, %s", c.at, what)
		}
	})
	return what
}

// state is how AWS has the hosts.
func (s *site) state() (all string) {
	for _, id := range s.hosts() {
		h, _ := s.cloud.Host(id)
		all += fmt.Sprintf("%s with %d ", h.State, len(h.Instances))
	}
	return all
}

// life is that of one machine on a host, and of the host, as the driver of a node
// brings it about: what was done is done once, in however many processes.
type life struct {
	*site
	served string // the machine
	ended  bool
}

// live goes on until the host is released, or the process dies.
func (l *life) live(p *Pools, died <-chan struct{}) {
	ctx, cancel := context.WithCancel(l.Context())
	defer cancel()
	go func() {
		select {
		case <-died:
			cancel()
		case <-ctx.Done():
		}
	}()
	if !l.ended && !l.use(ctx, p) {
		return
	}
	p.Released(ctx, "mac", token(1))
	for end := time.Now().Add(40 * time.Hour); len(l.hosts()) > 0 && time.Now().Before(end) && rest(ctx, 10*time.Minute); {
		l.sweep()
	}
}

// use has the machine run for a while, and ends it. false: the process died.
func (l *life) use(ctx context.Context, p *Pools) bool {
	if l.served == "" {
		host, zone, err := p.Reserve(ctx, "mac", token(1), nil)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			l.Errorf("Reserve: %v", err)
			return false
		}
		inst, err := l.cloud.RunInstance(l.Context(), l.machine(token(1), host, zone))
		if err != nil {
			l.Errorf("launch: %v", err)
			return false
		}
		l.served = inst.ID
	}
	p.Launched(ctx, "mac", token(1), l.served)
	if !rest(ctx, 10*time.Minute) {
		return false
	}
	if err := l.cloud.TerminateInstances(l.Context(), []string{l.served}); err != nil {
		l.Errorf("terminate: %v", err)
	}
	l.ended = true
	return true
}

// wantOver fails where anything is left, was there twice, or for too long.
func (l *life) wantOver() {
	l.Helper()
	if !l.ended {
		l.Error("who asked was not served")
	}
	hosts := 0
	for _, b := range l.cloud.Bills() {
		if b.Until.IsZero() {
			l.Errorf("%s %s of %v is left", b.Kind, b.ID, b.Tags)
		}
		if b.Kind != "host" {
			continue
		}
		hosts++
		// Two of a day's scrubs may have begun late, or not be known of.
		if age := b.Until.Sub(b.Since); age > 24*time.Hour+7*time.Hour {
			l.Errorf("host %s was there for %v", b.ID, age)
		}
		if b.Paid > 16*time.Hour {
			l.Errorf("host %s was paid for %v: it was hardly scrubbed", b.ID, b.Paid)
		}
	}
	if hosts != 1 {
		l.Errorf("%d hosts were allocated for one machine", hosts)
	}
}

// sweep does what the driver's sweeper does with machines whose lease is over.
func (s *site) sweep() {
	for _, b := range s.cloud.Billable() {
		lease, err := time.Parse(time.RFC3339, b.Tags[cloud.TagLease])
		if b.Kind == "instance" && err == nil && time.Now().After(lease.Add(2*cloud.Settled)) {
			if err := s.cloud.TerminateInstances(s.Context(), []string{b.ID}); err != nil {
				s.Errorf("sweep: %v", err)
			}
		}
	}
}

// rest pauses, and reports whether the process lives on.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
