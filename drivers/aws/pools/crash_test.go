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
)

// crash is one case of the matrix: what happens at a point of a host's life.
type crash struct {
	at   int
	lost bool // of a call the reply alone is lost, and the process lives
	gone bool // the folder is lost with the process
}

var errDead = errors.New("the process is dead")

// point counts the calls and writes of a process, and lets one go wrong.
type point struct {
	mu   sync.Mutex
	n    int
	c    crash
	dead bool
	what string
}

func (p *point) pass(what string, call bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errDead
	}
	if p.n++; p.n != p.c.at {
		return nil
	}
	p.what = what
	if p.c.lost {
		if call {
			return fakeec2.ErrLost
		}
		return errors.New("no space left on device")
	}
	p.dead = true
	return errDead
}

func (p *point) state() (dead bool, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead, p.what
}

// TestCrash: whatever call or write of a host's life a process is killed at, or
// loses the answer of, the next one has every host in its books, none is above
// the maximum, no machine is left on one, who asks is served.
func TestCrash(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 5
	}
	for _, kind := range []crash{{}, {lost: true}, {gone: true}} {
		t.Run(fmt.Sprintf("lost %v, gone %v", kind.lost, kind.gone), func(t *testing.T) {
			n := 0
			for at := 1; ; at += step {
				c := kind
				c.at = at
				what := c.run(t)
				if what == "" || t.Failed() {
					break
				}
				n++
			}
			if n < 15/step {
				t.Errorf("only %d points were met", n)
			}
		})
	}
}

// run does one case, and says what its point was; nothing, if the life is shorter.
func (c crash) run(t *testing.T) (what string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := &point{c: c}
		s.hook = func(_ context.Context, call fakeec2.Call) error {
			if call.Who != alpha.String() || !call.Writes {
				return nil
			}
			return p.pass(fmt.Sprintf("%s, after %v", call.Action, call.After), true)
		}
		s.wrote = func() error { return p.pass("write", false) }
		one := func() Pool { return scrubbing() }
		first := s.start(alpha, one())
		var machine string
		dead := s.life(first, p, &machine)
		_, what = p.state()
		if what == "" {
			return
		}
		s.change(func() { s.hook, s.wrote = nil, nil })
		if dead {
			first.Close()
			if c.gone {
				s.dirs[alpha] = ""
				s.first = false
			}
			time.Sleep(3 * time.Second)
			first = s.start(alpha, one())
		}
		c.mend(s, first, machine)
		if t.Failed() {
			t.Logf("it was at point %d, %s", c.at, what)
		}
	})
	return what
}

// life is a host's: it is asked for, serves, is wiped, idles and is scrubbed. It ends when the process is dead.
func (s *site) life(p *Pools, at *point, machine *string) (dead bool) {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if dead, _ := at.state(); dead {
				cancel()
			}
			rest(ctx, time.Second)
		}
	}()
	host, zone, err := p.Reserve(ctx, "mac", token(1), nil)
	if err == nil {
		inst, err := s.cloud.RunInstance(ctx, s.machine(token(1), host, zone))
		if err != nil {
			s.Errorf("launch: %v", err)
		}
		*machine = inst.ID
		p.Launched(ctx, "mac", token(1), inst.ID)
		rest(ctx, 10*time.Minute)
	}
	if ctx.Err() == nil {
		s.end(p, token(1), *machine)
		*machine = ""
		rest(ctx, 150*time.Minute)
	}
	dead, _ = at.state()
	return dead
}

// mend goes on as a node does, and looks at what is left.
func (c crash) mend(s *site, p *Pools, machine string) {
	if machine != "" {
		p.Launched(s.Context(), "mac", token(1), machine) // what the driver does again
		time.Sleep(time.Minute)
		s.end(p, token(1), machine)
	} else {
		p.Released(s.Context(), "mac", token(1))
	}
	time.Sleep(15 * time.Minute)
	for _, id := range s.hosts() {
		if s.phase(p, id) == "" {
			s.Errorf("host %s is in nobody's books", id)
		}
	}
	for range 6 {
		s.sweep()
		time.Sleep(10 * time.Minute)
	}
	host, zone := s.reserve(p, token(2), 5*time.Hour)
	s.end(p, token(2), s.launch(p, token(2), host, zone))
	time.Sleep(15 * time.Minute)
	if m := s.machines(""); len(m) > 0 {
		s.Errorf("at the end there are machines %v: %+v", m, p.Pools(s.Context()))
	}
	s.audit(1)
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

// rest pauses, unless the process dies before.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
